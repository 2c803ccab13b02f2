"""The pages on orders: the newest, one with its ledger, and the comparison with the shop's own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.dashboard import HOSTILE, Site
from tests.factories import HOUR, NOON, make_order, make_record
from tests.server import RunningServer


@pytest.fixture
def sold(site: Site) -> Site:
    """Two orders of ours, one refunded in part, and one of theirs."""
    ours, theirs = site.ours.account.account_id, site.theirs.account.account_id
    money: dict[str, Any] = {"value": 50, "currency": "EUR"}
    site.pipeline.append(
        [
            make_order("paid", order_id="A-1", account_id=ours, **money),
            make_order("paid", HOUR, order_id=f"A-2{HOSTILE}", account_id=ours, **money),
            make_order(
                "refunded",
                2 * HOUR,
                order_id="A-1",
                account_id=ours,
                value=20,
                currency="EUR",
                message_id="r1",
            ),
            make_order("paid", 3 * HOUR, order_id="T-1", account_id=theirs, **money),
            make_record(
                NOON + 4 * HOUR,
                account_id=ours,
                pixel_id=site.ours.pixel_id,
                event_id="buy",
                custom_data={"value": 50, "currency": "EUR", "order_id": "A-1"},
            ),
        ]
    )
    site.pipeline.refresh()
    return site


def test_the_newest_orders_stand_on_the_page_and_lead_to_their_ledger(sold: Site) -> None:
    rows = sold.get("/latest_orders.json", sold.ours).json()
    assert [f"A-2{HOSTILE}", "A-1"] == [row["order_id"] for row in rows]
    assert [50.0, 30.0] == [row["net"] for row in rows]
    page = sold.get("/orders", sold.ours).text
    assert 'href="/order?order_id=A-1"' in page
    assert HOSTILE not in page
    assert "T-1" not in page
    table = list(csv.DictReader(io.StringIO(sold.get("/latest_orders.csv", sold.ours).text)))
    assert [row["order_id"] for row in rows] == [row["order_id"] for row in table]
    assert [] == sold.get("/latest_orders.json?until=2026-05-01", sold.ours).json()


def test_an_order_is_told_with_its_corrections_and_events(sold: Site) -> None:
    ledger = sold.get("/order.json?order_id=A-1", sold.ours).json()
    assert 30.0 == ledger["rows"][0]["net"]
    page = sold.get("/order?order_id=A-1", sold.ours).text
    assert "30.00" in page
    assert "20.00 EUR was refunded" in page
    assert 'href="/event?copy=' in page
    assert "buy" in page
    entries = list(csv.DictReader(io.StringIO(sold.get("/order.csv?order_id=A-1", sold.ours).text)))
    assert len(ledger["entries"]) == len(entries)
    lone = sold.get(f"/order?order_id=A-2{HOSTILE}", sold.ours)
    assert 200 == lone.status_code
    assert HOSTILE not in lone.text
    assert "No event bears this order id" in lone.text


def test_an_order_of_another_account_is_unknown(sold: Site) -> None:
    for path in ("/order", "/order.json", "/order.csv"):
        answer = sold.get(f"{path}?order_id=T-1", sold.ours)
        assert 404 == answer.status_code, path
        assert 400 == sold.get(path, sold.ours).status_code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("reconcile")) as server:
        yield server


def _compare(running: RunningServer, text: str, **fields: str) -> httpx.Response:
    form = {"export": text, **fields}
    return httpx.post(f"{running.url}/reconcile", data=form, headers=running.headers, timeout=120)


def test_a_shops_list_is_compared_and_leaves_nothing_behind(running: RunningServer) -> None:
    text = (
        "Name,Email,Created at,Total,Currency,Financial Status\n"
        f"#1001,jane.roe@example.com,2026-11-20 10:00:00 +0000,12.50,USD,paid\n"
        f"{HOSTILE},jane.roe@example.com,2026-11-20 11:00:00 +0000,20.00,USD,paid\n"
    )
    page = _compare(running, text)
    assert 200 == page.status_code, page.text
    assert "The two sides differ" in page.text
    assert "1001" in page.text
    assert HOSTILE not in page.text
    assert "&lt;script&gt;" in page.text
    for path in running.settings.data.rglob("*"):
        if path.is_file():
            assert b"jane.roe" not in path.read_bytes(), path
    assert "jane.roe" not in running.stderr


def test_a_list_that_cannot_be_read_says_what_is_wrong(running: RunningServer) -> None:
    for text in ("", "x", "Name,Total\n#1,many"):
        page = _compare(running, text)
        assert 400 == page.status_code, text
        assert 'role="alert"' in page.text
    example = httpx.get(f"{running.url}/reconcile", headers=running.headers, timeout=60).text
    (names,) = re.findall(r'placeholder="([^"]+)"', example)
    order = "1001,2026-11-20 10:00:00 +0000,12.50,USD"
    assert 200 == _compare(running, f"{names}\n{order}").status_code
    turned = _compare(running, f"{names}\n{order}", since="2026-11-28", until="2026-11-20")
    assert (400, True) == (turned.status_code, "swap them" in turned.text)
    later = _compare(running, f"{names}\n{order}", since="2026-11-28")
    assert "Nothing was compared" in later.text
    wrong = _compare(running, "Name,Total\n#1,1", since="today")
    assert 400 == wrong.status_code
    shown = httpx.get(f"{running.url}/reconcile", headers=running.headers, timeout=60)
    assert 200 == shown.status_code
