"""Sites made of pasted code: Webflow and Google Tag Manager."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from tests.sites.site import Answer, Ask, Given, serving

TAG_MANAGER = (Path(__file__).parent / "tag_manager.js").read_text("utf-8")

WEBFLOW_FORM = """
<div class="w-form">
  <form id="wf-form-Contact" name="wf-form-Contact" data-name="Contact" method="get">
    <input type="email" name="email" data-name="Email" value="Jane.Doe@Example.com">
    <button>Send</button>
  </form>
  <div class="w-form-done" style="display: none">Thank you!</div>
  <div class="w-form-fail" style="display: none">Something went wrong.</div>
</div>
<script>
  document.querySelector(".w-form form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = Array.from(form.elements).filter((field) => field.name);
    const body = new URLSearchParams(fields.map((f) => [f.dataset.name || f.name, f.value]));
    const answer = await fetch("/api/v1/form/f1", { method: "POST", body });
    form.style.display = answer.ok ? "none" : "block";
    form.parentElement.querySelector(".w-form-done").style.display = answer.ok ? "block" : "none";
    form.parentElement.querySelector(".w-form-fail").style.display = answer.ok ? "none" : "block";
  });
</script>
"""


class WebflowSite:
    """A site of Webflow; what it hears of orders and forms, its automation tells."""

    url = ""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.is_closed = False

    def answer(self, ask: Ask) -> Answer:
        """A page, or what takes a form."""
        if ask.path == "/api/v1/form/f1":
            if not self.is_closed:
                self._automate(ask.form)
            return Answer("{}", "application/json", status=500 if self.is_closed else 200)
        head = self.given.head
        if ask.path == "/order-confirmation":
            head += self.given.pieces["purchase"].text
            self._automate({"order_id": ask.query["orderId"], "total": "1049.90"})
            return Answer(_html(head, '<p doublet="total">Total € 1.049,90 EUR</p>'))
        return Answer(_html(head, WEBFLOW_FORM if self.given.goal == "leads" else ""))

    def _automate(self, fields: dict[str, str]) -> None:
        piece = self.given.pieces["server"]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        known = {"submitted_at": now, "ordered_at": now, "email": "jane.doe@example.com", **fields}
        body = re.sub(
            r'"\{\{(\w+)\}\}"', lambda place: json.dumps(known.get(place[1], "")), piece.text
        )
        (address,) = re.findall(r"https?://\S+/events", piece.where)
        headers = {
            "authorization": f"Bearer {self.given.access_token}",
            "content-type": "application/json",
        }
        answer = httpx.post(address, content=body, headers=headers, trust_env=False)
        assert 200 == answer.status_code, answer.text

    def buy(self, page: Page) -> str:
        """Come back from the payment."""
        page.goto(f"{self.url}/order-confirmation?orderId=wf-1001&token=t")
        return "wf-1001"

    def submit(self, page: Page) -> str:
        """Send the form."""
        page.goto(self.url)
        page.click(".w-form button")
        page.wait_for_selector(".w-form-done", state="visible")
        return page.input_value("[name=doublet_event_id]")

    def order(self) -> dict[str, Any]:
        """No webhook tells of it."""
        raise NotImplementedError


class TagManagerSite(WebflowSite):
    """A site with a data layer and the container."""

    def answer(self, ask: Ask) -> Answer:
        """A page."""
        container = self.given.pieces["container"].text.replace("</", "<\\/")
        script = f"<script>{TAG_MANAGER.replace('CONTAINER', container)}</script>"
        push = self.given.pieces["data_layer"].text
        if ask.path == "/thanks" and self.given.goal == "purchases":
            values = {"ORDER_ID": "1001", "PRODUCT_ID": "teacup", '"PRODUCT"': '"Cup"'}
            for place, value in values.items():
                push = push.replace(place, value)
            # Above the container, as a shop's page has it.
            return Answer(_html("", f"<script>{push}</script>{script}"))
        taken = f"<script>function taken() {{ {push.replace('EVENT_ID', 'crm-77')} }}</script>"
        button = '<button onclick="taken()">Send</button>' if self.given.goal == "leads" else ""
        return Answer(_html("", script + taken + button))

    def buy(self, page: Page) -> str:
        """Reach the page that thanks."""
        page.goto(f"{self.url}/thanks")
        return "1001"

    def submit(self, page: Page) -> str:
        """Send the form."""
        page.goto(self.url)
        page.click("button")
        return "crm-77"


def _html(head: str, body: str) -> str:
    return f"<!doctype html><html><head><title>p</title>{head}</head><body>{body}</body></html>"


@contextmanager
def webflow_site(given: Given) -> Iterator[WebflowSite]:
    """A site of Webflow."""
    site = WebflowSite(given)
    with serving(site.answer) as site.url:
        yield site


@contextmanager
def gtm_site(given: Given) -> Iterator[TagManagerSite]:
    """A site with Google Tag Manager."""
    site = TagManagerSite(given)
    with serving(site.answer) as site.url:
        yield site
