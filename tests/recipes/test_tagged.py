"""Webflow's embed and Google Tag Manager's container, in real Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from tests.recipes.conftest import Stage
from tests.sites.tagged import TagManagerSite, WebflowSite

pytestmark = pytest.mark.browser


def test_an_order_of_webflow_is_told_twice_as_one(stage: Stage, page: Page) -> None:
    with stage.demo("webflow", "purchases") as site:
        event_id = site.buy(page)
        browser, server = stage.pair("Purchase")
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert ["1049.9", "1049.9"] == [f"{float(r['value']):.1f}" for r in (browser, server)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("€ 1.234,50", 1234.5), ("$1,234.50 USD", 1234.5), ("1234", 1234), ("1.234 kr", 1234)),
        *(("49,9", 49.9), ("CHF 1'049.90", 1049.9), ("Total: $0.99.", 0.99)),
    ],
)
def test_a_total_is_read_as_people_write_it(
    stage: Stage, page: Page, text: str, value: float
) -> None:
    code = stage.pieces("webflow", "purchases")[1].text
    page.route(
        "**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
    )
    page.goto("http://127.0.0.1:9/thanks?order_id=1")
    page.evaluate("window.told = []; window.fbq = (...words) => told.push(words); 0")
    body = f"<p doublet='total'>{text.replace(chr(39), '&#39;')}</p>"
    page.evaluate(
        """([code, body]) => {
            document.body.innerHTML = body;
            document.head.append(document.createRange().createContextualFragment(code));
            document.dispatchEvent(new Event("DOMContentLoaded"));
        }""",
        [code, body],
    )
    ((_, name, params, options),) = page.evaluate("told")
    assert ("Purchase", value, "1") == (name, params["value"], options["eventID"])


def test_a_form_of_webflow_is_a_lead_once_it_was_taken(stage: Stage, page: Page) -> None:
    with stage.demo("webflow", "leads") as site:
        assert isinstance(site, WebflowSite)
        site.is_closed = True
        page.goto(site.url)
        page.click(".w-form button")
        page.wait_for_selector(".w-form-fail", state="visible")
        site.is_closed = False
        event_id = site.submit(page)
        browser, server = stage.pair("Lead")
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert browser["user_data"]["fbp"] == server["user_data"]["fbp"]
    assert "Contact" == browser["custom_data"]["content_name"]


def test_the_container_reads_the_data_layer(stage: Stage, page: Page) -> None:
    with stage.demo("gtm", "purchases") as site:
        assert isinstance(site, TagManagerSite)
        event_id = site.buy(page)
        (bought,) = stage.events("Purchase", count=1)
        page.evaluate("dataLayer.push({event: 'search', search_term: 'mug'})")
        item = {"item_id": "71", "item_name": "Mug", "price": 12.5, "quantity": 2}
        line = {"currency": "USD", "value": 25, "items": [item]}
        lead = {"event": "generate_lead", "event_id": "crm-1"}
        page.evaluate("lead => dataLayer.push(lead)", lead)
        (told,) = stage.events("Lead", count=1)
        assert ("crm-1", None) == (told["event_id"], told.get("value"))
        page.evaluate("line => dataLayer.push({event: 'add_to_cart', ecommerce: line})", line)
        (added,) = stage.events("AddToCart", count=1)
        (sought,) = stage.events("Search", count=1)
        page.reload()
        page.evaluate("dataLayer.push({event: 'sign_up'})")
        stage.events("CompleteRegistration", count=1)
        assert 1 == len(stage.events("Purchase"))
    assert (event_id, event_id) == (bought["event_id"], bought["order_id"])
    assert [{"id": "teacup", "quantity": 2, "item_price": 24.95}] == bought["custom_data"][
        "contents"
    ]
    assert ("mug", None) == (sought["custom_data"]["search_string"], sought.get("order_id"))
    assert ("USD", ["71"], "Mug") == (
        added["currency"],
        added["custom_data"]["content_ids"],
        added["custom_data"]["content_name"],
    )
    assert not added.get("order_id")
    assert "crm-1" != added["event_id"]


def test_the_container_tells_a_lead_with_the_server_s_id(stage: Stage, page: Page) -> None:
    with stage.demo("gtm", "leads") as site:
        event_id = site.submit(page)
        (lead,) = stage.events("Lead", count=1)
    assert (event_id, "EUR", 25.0) == (lead["event_id"], lead["currency"], float(lead["value"]))


@pytest.mark.parametrize(
    ("push", "order_id", "value"),
    [
        ("dataLayer.push({event: 'purchase', ...order})", "T-1", 99),
        ("gtag('event', 'purchase', order)", "T-1", 99),
        ("dataLayer.push({ecommerce: order}); dataLayer.push({event: 'purchase'})", "T-1", 99),
        ("dataLayer.push({event: 'purchase', ecommerce: {...order, items: {}}})", "T-1", 99),
        ("dataLayer.push({event: 'purchase'})", None, None),
    ],
    ids=["beside", "gtag", "before", "odd", "nothing"],
)
def test_an_order_has_no_values_of_what_was_seen_before(
    stage: Stage, page: Page, push: str, order_id: str | None, value: int | None
) -> None:
    seen = {"value": 10, "items": [{"item_id": "seen", "price": 10}]}
    order = {"transaction_id": "T-1", "value": 99, "items": [{"item_id": "bought", "price": 99}]}
    with stage.demo("gtm", "leads") as site:
        page.goto(site.url)
        page.evaluate("seen => dataLayer.push({event: 'view_item', ecommerce: seen})", seen)
        gtag = "function gtag() { dataLayer.push(arguments); }"
        page.evaluate(f"order => {{ {gtag} {push}; }}", order)
        (bought,) = stage.events("Purchase", count=1)
    told = bought.get("value")
    assert (order_id, value) == (bought.get("order_id"), told and float(told))
    assert "seen" not in str(bought)


def test_the_container_waits_for_consent(stage: Stage, page: Page) -> None:
    with stage.demo("gtm", "leads") as site:
        denied = "ad_storage: 'denied', ad_user_data: 'denied'"
        page.add_init_script(
            "window.dataLayer = []; window.gtag = function () { dataLayer.push(arguments); };"
            f"gtag('consent', 'default', {{{denied}}});"
        )
        site.submit(page)
        assert not page.evaluate("'fbq' in window")
        page.evaluate("gtag('consent', 'update', {ad_storage: 'granted'})")
        page.click("button")
        assert not page.evaluate("'fbq' in window")
        page.evaluate("gtag('consent', 'update', {ad_user_data: 'granted'})")
        page.click("button")
        stage.events("Lead", count=1)
    assert 1 == len(stage.events("PageView"))


def test_the_container_holds_what_is_given_by_hand(stage: Stage) -> None:
    pieces = {piece.key: piece.text for piece in stage.pieces("gtm", "purchases")}
    version = json.loads(pieces["container"])["containerVersion"]
    tags = {
        tag["name"]: {entry["key"]: entry["value"] for entry in tag["parameter"]}
        for tag in version["tag"]
    }
    assert pieces["base"] == tags["Doublet - base code"]["html"]
    assert pieces["events"] == tags["Doublet - events"]["html"]
