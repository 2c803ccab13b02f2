"""Reconciling: how long a comparison of a large shop's orders takes, and what it holds.

A shop's export of so many orders over 28 days beside a ledger of twice as many (older ones too) and
their Purchases, all made by the real path. One order in a hundred is missing here, one lacks the
tax, one was refunded in the shop only, one counts under its number as well as under its id.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from load import peak_bytes, reset_peak
from measure import MIB, print_table, say

from doublet.accept import accept_events, order_record, read_request
from doublet.catalog import Account, Catalog
from doublet.deposit import deposit
from doublet.event import EventsRequest, WireOrder
from doublet.reconcile import Question
from doublet.reconcile.shop_file import Manner
from doublet.reconciling import read_reconciliation, stage_export
from doublet.rounds import Freshener
from doublet.settings import Settings

ORDERS = 100_000
_SPAN = timedelta(days=28)
_GROUP = 1000
_PURCHASES_AGE_S = 6 * 86_400
_COLUMNS = (
    *("Name", "Email", "Financial Status", "Currency", "Shipping", "Taxes", "Total"),
    *("Created at", "Cancelled at", "Refunded Amount", "Id"),
)
_TOTAL, _TAX = "119.00", "19.00"


def fault(number: int) -> str:
    """What is wrong with an order of the shop."""
    return {1: "missing", 2: "tax", 3: "refunded", 4: "two_order_ids"}.get(number % 100, "")


def made_at(number: int, orders: int, now: datetime) -> datetime:
    """When an order was made: numbers from `orders` on are in the export."""
    return now - _SPAN * 2 + _SPAN * number / orders


def write_export(path: Path, orders: int, now: datetime) -> None:
    """The shop's export."""
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(_COLUMNS)
        for number in range(orders, 2 * orders):
            refunded = "5.00" if fault(number) == "refunded" else "0.00"
            at = f"{made_at(number, orders, now):%Y-%m-%d %H:%M:%S +0000}"
            cells = [f"#{number}", f"a{number}@shop.example", "paid", "EUR", "0.00", _TAX, _TOTAL]
            writer.writerow([*cells, at, "", refunded, 5_000_000_000 + number])


def wire_orders(orders: int, now: datetime) -> Iterator[tuple[str, str, int]]:
    """Order id, value and Unix seconds of what came here."""
    for number in range(2 * orders):
        wrong = fault(number) if number >= orders else ""
        at = int(made_at(number, orders, now).timestamp())
        if wrong != "missing":
            yield str(5_000_000_000 + number), "100.00" if wrong == "tax" else _TOTAL, at
        if wrong == "two_order_ids":
            yield f"#{number}", _TOTAL, at


def fill(settings: Settings, account: Account, pixel_id: str, orders: int, now: datetime) -> None:
    """A message about each order, and a Purchase of each of the last week, into the log."""
    with deposit(settings, account.account_id) as slot:
        records: list[bytes] = []
        for order_id, value, at in wire_orders(orders, now):
            message = WireOrder(
                order_id=order_id,
                kind="placed",
                changed_at=at,
                value=value,
                currency="EUR",
                message_id="placed",
            )
            record = order_record(message, slot.arrival())
            assert isinstance(record, bytes), record
            records.append(record)
            if at > now.timestamp() - _PURCHASES_AGE_S:
                body = {"data": [purchase(order_id, value, at)]}
                request = read_request(msgspec.json.encode(body))
                assert isinstance(request, EventsRequest), request
                found = accept_events(request, slot.arrival(pixel_id))
                assert isinstance(found, list), found
                records += found
            if len(records) >= _GROUP:
                slot.append(records)
                records = []
        slot.append(records)


def purchase(order_id: str, value: str, at: int) -> dict[str, Any]:
    """The server's Purchase of an order."""
    return {
        "event_name": "Purchase",
        "event_time": at,
        "event_id": order_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {"external_id": order_id},
        "custom_data": {"value": float(value), "currency": "EUR", "order_id": order_id},
    }


def measure(folder: Path, orders: int) -> dict[str, Any]:
    """One comparison from end to end; its counts are checked."""
    settings = Settings(data=folder / "data")
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "UTC", "EUR")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    now = datetime.now(UTC)
    say(f"{2 * orders:,} orders into log, lake and ledger …")
    fill(settings, account, pixel.pixel_id, orders, now)
    freshener = Freshener(settings)
    freshener.freshen()
    freshener.close()
    export = folder / "orders_export.csv"
    write_export(export, orders, now)
    say("comparing …")
    reset_peak()
    began = time.perf_counter()
    stage_export(folder / "orders", export, account, {}, Manner())
    read = time.perf_counter()
    told = read_reconciliation(settings, account, Question(), folder / "orders")
    ended = time.perf_counter()
    groups = {group.why: group.orders for group in told.groups}
    expected = {"not_delivered": 1, "tax": 1, "refunded": 1, "two_order_ids": 1}
    assert {why: share * orders // 100 for why, share in expected.items()} == {
        why: groups.get(why) for why in expected
    }, groups
    assert (orders, orders - 4 * orders // 100) == (told.orders, told.agree)
    return {
        "orders": orders,
        "export_mib": export.stat().st_size / MIB,
        "read_s": read - began,
        "compare_s": ended - read,
        "peak_mib": peak_bytes() / MIB,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=ORDERS, help="in the shop's export")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), chosen.orders)
    if chosen.json:
        print(json.dumps(result))
        return
    row = [f"{result['orders']:,}", ""]
    row += [f"{result[name]:.1f}" for name in ("export_mib", "read_s", "compare_s", "peak_mib")]
    print_table(["orders", "", "export MiB", "reading s", "comparing s", "peak MiB"], [row])


if __name__ == "__main__":
    main()
