"""Stored cross-site scripting: every field that somebody outside can choose holds an attack, and no
page of the dashboard runs it, loads anything for it, or is broken by it.

An attack shows itself in one of four ways: it sets a mark on the window, it makes an element that
bears the mark, a dialog opens, or the page's policy blocks something, which the console tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from doublet.event import WireEvent, WireLead, WireOrder
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS
from doublet.web.page import ATTRIBUTION, PAGES
from tests.browser.stage import Stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ATTACKS = (
    "<script>window.hit=1</script>",
    "<img src=x hit onerror=window.hit=1>",
    '"><svg hit onload=window.hit=1>',
    "'><b hit onmouseover=window.hit=1 style=position:fixed;inset:0>",
    '" hit autofocus onfocus="window.hit=1',
    "</textarea></title></script><script>window.hit=1</script>",
    "javascript:window.hit=1//",
    "{{7*191}}${7*191}<%=7*191%>",
    "</code></pre><iframe hit srcdoc='<script>parent.hit=1</script>'>",
    "<a hit href=javascript:window.hit=1>x</a>",
    "\u202ehit\u2028<!--",
)
WORDS = ATTACKS[1]
"""What stands in the names of campaigns, ad sets, ads, destinations and stages of leads."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("hostile"), WORDS)
    try:
        _poison(made)
        yield made
    finally:
        made.close()


def _texts(form: type[Any]) -> list[str]:
    """The fields of a form that take text, whatever it says."""
    hints = form.__annotations__
    return [
        name
        for name in form.__struct_fields__
        if "str" in str(hints[name]) or "Text" in str(hints[name])
    ]


def _sent(stage: Stage, fields: dict[str, Any]) -> int:
    """The status of one event with these fields; a refusal is kept, and stands on pages too."""
    path = f"/v25.0/{stage.pixel.pixel_id}/events"
    headers = {"authorization": f"Bearer {stage.token}"}
    answer = stage.client.post(path, json={"data": [fields]}, headers=headers)
    assert answer.status_code in (200, 400), answer.text
    return answer.status_code


def _poison(stage: Stage) -> None:
    """Put each attack into each field by each door, one field at a time."""
    numbers = count()
    taken = refused = 0
    for attack in ATTACKS:
        for name in (*_texts(WireEvent), "data_processing_options", "unknown_field"):
            fields = _event(stage, next(numbers))
            fields[name] = [attack] if name == "data_processing_options" else attack
            status = _sent(stage, fields)
            taken, refused = taken + (status == 200), refused + (status == 400)
        for key in (*HASHED_KEYS, *PLAIN_KEYS, attack):
            user = {"external_id": "customer-1", "client_user_agent": "test", key: attack}
            taken += 200 == _sent(stage, _event(stage, next(numbers), user_data=user))
        custom = {
            **dict.fromkeys(
                ("currency", "order_id", "content_name", "status", "search_string"), attack
            ),
            "value": 5,
            attack: attack,
            "contents": [
                {"id": attack, "quantity": 1, "item_price": 2, "delivery_category": attack}
            ],
            "content_ids": [attack],
            "nested": {attack: [attack, {attack: attack}]},
        }
        for key, value in custom.items():
            data = {"value": 5, "currency": "USD", key: value}
            taken += 200 == _sent(stage, _event(stage, next(numbers), custom_data=data))
        _by_other_doors(stage, attack, next(numbers))
    assert taken > 300
    assert refused > 20
    last = _event(stage, next(numbers))
    stage.send(last)
    address = f"/event.json?event_id={last['event_id']}"
    stage.until(lambda: stage.get(address).json(), what="all is modelled")


def _event(stage: Stage, number: int, **fields: Any) -> dict[str, Any]:
    """An event that lacks nothing."""
    return stage.event(event_name="ViewContent", event_id=f"h-{number}", **fields)


def _by_other_doors(stage: Stage, attack: str, number: int) -> None:
    """The pixel's door, with addresses that name campaigns; leads, orders, ads, files' names."""
    marked = quote(attack, safe="")
    address = (
        f"https://shop.example/{marked}?utm_source={marked}&utm_medium={marked}"
        f"&utm_campaign={marked}&utm_content={marked}&utm_term={marked}&fbclid=c{number}"
    )
    hit = {
        **dict.fromkeys(("ev", "eid", "rl", "cd[content_name]", f"cd[{attack}]", "ud[em]"), attack),
        "id": stage.pixel.pixel_id,
        "dl": address,
        "fbp": f"fb.1.1760000000000.{1000 + number}",
    }
    for changed in ({}, {"ev": "Purchase", "eid": f"p{number}"}, {"dl": attack}):
        answer = stage.client.get("/tr/", params=hit | changed)
        assert answer.status_code in (200, 400), answer.text
    headers = {"authorization": f"Bearer {stage.token}"}

    def post(path: str, body: dict[str, Any]) -> None:
        answer = stage.client.post(path, json={"data": [body]}, headers=headers)
        assert answer.status_code in (200, 400), answer.text

    lead: dict[str, Any] = {"lead_id": f"l{number}", "stage": "won", "changed_at": stage.now}
    for name in _texts(WireLead):
        post("/v1/leads", {**lead, name: attack})
    order: dict[str, Any] = {"order_id": f"o{number}", "kind": "paid", "changed_at": stage.now}
    order |= {"value": 3, "currency": "USD"}
    for name in _texts(WireOrder):
        post("/v1/orders", {**order, name: attack})
    ids = {
        f"{level}_{part}": attack
        for level in ("campaign", "adset", "ad")
        for part in ("id", "name")
    }
    day = {"platform": "meta", "date": "2026-11-20", "spend": 1, "currency": "USD", **ids}
    post("/v1/ad_days", day)
    post("/v1/ad_days", {**day, "platform": attack})
    who = {"external_id": "customer-1"}
    touch = {"kind": "click", "platform": "meta", "touched_at": stage.now - 600, "user_data": who}
    touch |= {name: attack for name in ids if name.endswith("_id")}
    for name in ("click_id", "placement", "experiment", "platform", "touch_id"):
        post("/v1/ad_touches", {**touch, "click_id": f"k{number}", name: attack})


def _pages(stage: Stage) -> list[str]:
    """Every page, with the filters and single things that hostile rows lead to."""
    found = stage.get("/events.json?shown=all&limit=400").json()["rows"]
    by_name: dict[str, str] = {row["event_name"]: row["copy"] for row in found}
    odd = [row["copy"] for row in found if row["flags"] or row["conflicts"]][:5]
    orders = [row["order_id"] for row in stage.get("/latest_orders.json").json()]
    audiences = [row["audience_id"] for row in stage.get("/audiences.json").json()]
    return [
        *(f"/audience?id={audience_id}" for audience_id in audiences),
        *(each.path for _, pages in PAGES for each in pages),
        *(path for path, _ in ATTRIBUTION[1:]),
        *(f"/attribution?level={level}" for level in ("campaign", "adset", "ad", "channel")),
        "/events?shown=all&limit=400",
        "/test_events?all=1",
        "/payload",
        "/reconcile",
        "/profile",
        *(f"/event?copy={place}" for place in {*by_name.values(), *odd}),
        *(f"/order?order_id={quote(order_id)}" for order_id in orders if "hit" in order_id),
        *(f"/events?q={quote(attack)}&event_name={quote(attack)}" for attack in ATTACKS),
        *(f"/overview?event_name={quote(name)}" for name in by_name if "hit" in name),
        *(f"/quality?event_name={quote(name)}" for name in by_name if "hit" in name),
    ]


def _look(page: Page, address: str) -> list[str]:
    """What an attack has brought about on a page."""
    said: list[str] = []

    def hear(text: str) -> None:
        # A page refuses what it cannot mean, and the browser tells the status; that is no attack.
        if not re.match("Failed to load resource: the server responded", text):
            said.append(text)

    def close(dialog: Dialog) -> None:
        said.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", lambda message: hear(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", close)
    answer = page.goto(address)
    assert answer is not None
    assert answer.status < 500, address
    # What is to happen at once has happened after two frames.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    if page.evaluate("'hit' in window"):
        said.append("an attack ran")
    made = page.evaluate("[...document.querySelectorAll('[hit]')].map((each) => each.outerHTML)")
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"javascript:\" i]')].length")
    if links:
        said.append(f"{links} links run scripts")
    if "1337" in page.locator("body").inner_text():
        said.append("a template was run")
    return [*said, *made]


def test_no_page_runs_what_somebody_outside_has_written(stage: Stage, browser: Browser) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.new_page().goto(f"{stage.url}/overview?access_token={stage.token}")
        pages = _pages(stage)
        assert len(pages) > 60
        faults = {}
        shown = 0
        for path in pages:
            page = context.new_page()
            found = _look(page, f"{stage.url}{path}")
            shown += "hit" in page.locator("body").inner_text()
            if found:
                faults[path] = found
            page.close()
        assert {} == faults
        # The attacks do stand on pages, as text.
        assert shown > 30


def test_the_chart_shows_hostile_names_as_text(stage: Stage, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{stage.url}/overview?access_token={stage.token}")
        marks = page.locator("#chart svg .mark-rect path")
        expect(marks.first).to_be_visible(timeout=30_000)
        for mark in marks.all():
            # A thin bar may lie half under its neighbour, whose name is then shown.
            mark.hover(force=True)
        assert not page.evaluate("'hit' in window")
        names = [row["event_name"] for row in stage.get("/overview.json").json()]
        assert any("<script>" in name for name in names)


@pytest.mark.parametrize("form", ["json", "csv", "svg"])
def test_twins_are_no_pages(stage: Stage, form: str) -> None:
    paths = {
        "json": ("/overview", "/events", "/campaigns", "/refused", "/relay"),
        "csv": ("/overview", "/events", "/campaigns", "/refused"),
        "svg": ("/campaigns", "/paths", "/timeline"),
    }[form]
    for path in paths:
        answer = stage.get(f"{path}.{form}")
        assert 200 == answer.status_code, path
        assert "nosniff" == answer.headers["x-content-type-options"]
        assert "text/html" not in answer.headers["content-type"]
        if form == "svg":
            assert "<script" not in answer.text
            assert not re.search(r"<[^>]*\son\w+=", answer.text)
            assert "<img" not in answer.text
