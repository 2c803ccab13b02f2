"""What is reported of the orders, and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from doublet.rates import Rate, keep_rates
from tests.dashboard import Site
from tests.factories import HOUR, SECOND, make_order, make_record
from tests.orders.ledgers import DAY, make_purchase


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def filled(site: Site) -> Site:
    """Our orders of two days, and one of theirs. NOON is at 22:26 in the shops' zone."""
    ours = site.ours.account.account_id
    theirs = site.theirs.account.account_id
    site.pipeline.append(
        [
            make_purchase(account_id=ours),
            make_order("placed", account_id=ours, order_id="2", value=50, currency="USD"),
            make_order("cash_on_delivery", account_id=ours, order_id="3", value=7, currency="EUR"),
            make_order("placed", account_id=ours, order_id="4", value=0, currency="EUR"),
            make_order("drafted", account_id=ours, order_id="5", value=9, currency="EUR"),
            make_purchase(HOUR, account_id=theirs, order_id="8"),
            make_purchase(2 * HOUR, 10, account_id=ours, order_id="6"),
            make_record(account_id=ours, event_id="no order id"),
            make_order("refunded", 40 * DAY, account_id=ours, value=130),
            make_order("cancelled", 40 * DAY + SECOND, account_id=ours, order_id="6"),
        ]
    )
    site.pipeline.refresh()
    return site


def test_the_orders_of_each_day_and_currency_are_reported(filled: Site) -> None:
    report = filled.get("/orders.json", filled.ours).json()
    names = (
        "day currency orders gross refunds cancelled net pending_orders pending conflicts".split()
    )
    assert [
        ("2026-05-28", "EUR", 2, 100, 100, 0, 0, 1, 7, 1),
        ("2026-05-28", "USD", 1, 50, 0, 0, 50, 0, 0, 0),
        ("2026-05-29", "EUR", 1, 10, 0, 10, 0, 0, 0, 0),
    ] == [tuple(row[name] for name in names) for row in report["rows"]]
    assert (1, ["USD"], 0) == (
        report["purchases_without_order_id"],
        report["without_rate"],
        report["net_converted"],
    )


def test_days_are_the_accounts_and_bound_the_report(filled: Site) -> None:
    def days(query: str) -> list[str]:
        rows = filled.get(f"/orders.json?{query}", filled.ours).json()["rows"]
        return sorted({row["day"] for row in rows})

    assert ["2026-05-29"] == days("since=2026-05-29")
    assert ["2026-05-28"] == days("until=2026-05-28")
    assert [] == days("since=2026-05-30")


def test_rates_convert_what_they_are_given_for(filled: Site, tmp_path: Path) -> None:
    account_id = filled.ours.account.account_id
    keep_rates(tmp_path / "rates", account_id, [Rate(date(2026, 5, 1), "USD", Decimal("0.9"))])
    report = filled.get("/orders.json", filled.ours).json()
    assert (45, []) == (report["net_converted"], report["without_rate"])
    assert [0, 45, 0] == [row["net_converted"] for row in report["rows"]]


def test_the_report_is_csv(filled: Site) -> None:
    answer = filled.get("/orders.csv", filled.ours)
    assert "text/csv; charset=utf-8" == answer.headers["content-type"]
    lines = answer.text.splitlines()
    assert "2026-05-28,USD,1,50.0000,0.0000,0.0000,50.0000,0,0.0000,0,," == lines[2]
    assert 4 == len(lines)


def test_the_page_shows_the_newest_orders_first(filled: Site) -> None:
    page = filled.get("/orders", filled.ours).text
    assert page.index("2026-05-29") < page.index("2026-05-28")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Orders 4 each counted once" in text
    assert "EUR, without USD for lack of a rate" in text
    assert "Not in the ledger 1 Purchase events without an order_id" in text
    assert "2026-05-29 EUR 1 10.00 0.00 10.00 0.00 0.00 0" in text
    assert "/orders.csv?since=2026-05-29" in (
        filled.get("/orders?since=2026-05-29", filled.ours).text
    )
    assert "Nothing fits" in filled.get("/orders?since=2027-01-01", filled.ours).text
    assert "/orders" in filled.get("/overview", filled.ours).text


def test_the_page_of_an_account_without_orders_says_so(site: Site) -> None:
    assert "No orders yet" in site.get("/orders", site.ours).text


def test_one_order_is_told_to_its_own_account_only(filled: Site) -> None:
    ledger = filled.get("/order.json?order_id=1001", filled.ours).json()
    assert [("purchase", 100), ("refunded", 0)] == [
        (entry["kind"], entry["gross"]) for entry in ledger["entries"]
    ]
    assert "2026-05-28T22:26:40+02:00" == ledger["entries"][0]["changed_at"]
    assert 404 == filled.get("/order.json?order_id=8", filled.ours).status_code
    assert 200 == filled.get("/order.json?order_id=8", filled.theirs).status_code


def test_an_order_whose_id_holds_an_address_is_found_as_it_was_sent(site: Site) -> None:
    ours = site.ours.account.account_id
    site.pipeline.append([make_purchase(account_id=ours, order_id="jo@example.com/7")])
    site.pipeline.refresh()
    ledger = site.get("/order.json?order_id=jo@example.com/7", site.ours).json()
    assert [100] == [row["net"] for row in ledger["rows"]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/order.json", "order_id"),
        ("/orders.json?since=yesterday", "since"),
        ("/orders.csv?pixel={pixel}", "pixel"),
    ],
)
def test_what_is_asked_wrongly_is_refused(filled: Site, path: str, field: str) -> None:
    answer = filled.get(path.format(pixel=filled.ours.pixel_id), filled.ours)
    assert 400 == answer.status_code
    assert [[field]] == answer.json()["error"]["error_data"]["blame_field_specs"]


def test_orders_want_a_token(filled: Site) -> None:
    for path in ("/orders.json", "/orders.csv", "/order.json?order_id=1001"):
        assert 401 == filled.client.get(path).status_code
