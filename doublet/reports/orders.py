"""What the orders of a day are worth by now, and the ledger of one order in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import stored_event_id
from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports import bounds, report_sql


class OrdersRow(msgspec.Struct):
    """The orders made on one day (of the account's zone) in one currency: how many are sales, and
    net = gross - refunds - cancelled, with all corrections known by now. Orders paid on delivery
    are pending until confirmed. `rate` converts to the account's currency; without one it is None,
    and so is `net_converted`."""

    day: date
    currency: str
    orders: int
    gross: Decimal
    refunds: Decimal
    cancelled: Decimal
    net: Decimal
    pending_orders: int
    pending: Decimal
    conflicts: int
    rate: Decimal | None = None
    net_converted: Decimal | None = None


class OrdersReport(msgspec.Struct):
    """The rows by day and currency; their net in the account's currency, which leaves out the
    currencies `without_rate`; and how many Purchases no ledger has, for lack of an order id."""

    rows: list[OrdersRow]
    currency: str
    net_converted: Decimal
    without_rate: list[str]
    purchases_without_order_id: int


class OrderRow(msgspec.Struct):
    """One currency of an order."""

    currency: str
    ordered_at: datetime
    state: str
    gross: Decimal
    refunds: Decimal
    cancelled: Decimal
    net: Decimal
    pending: Decimal
    parent_order_id: str | None


class LatestOrderRow(msgspec.Struct):
    """One currency of one order, by its id."""

    order_id: str
    currency: str
    ordered_at: datetime
    state: str
    gross: Decimal
    refunds: Decimal
    cancelled: Decimal
    net: Decimal
    pending: Decimal
    parent_order_id: str | None


class OrderEntry(msgspec.Struct):
    """One entry of an order's ledger: what was said when, and what it changes."""

    currency: str
    kind: str
    changed_at: datetime
    learned_at: datetime
    ordered_at: datetime
    value: Decimal | None
    gross: Decimal
    refunds: Decimal
    cancelled: Decimal
    pending: Decimal
    state: str
    message_id: str | None
    pixel_id: str | None
    is_own: bool
    is_in_conflict: bool
    is_capped: bool
    is_total_below_refunds: bool
    is_id_reused: bool


class OrderLedger(msgspec.Struct):
    """An order: its sums by currency, and its entries by their own time. Moments are on the clocks
    of the account's zone."""

    order_id: str
    rows: list[OrderRow]
    entries: list[OrderEntry]


def orders(
    engine: Engine,
    account: Account,
    rates: Rates,
    *,
    since: date | None = None,
    until: date | None = None,
) -> OrdersReport:
    """Per day and currency, oldest first. Without rows when no order is known."""
    start, end = bounds(account, since, until)
    limits = {"account_id": account.account_id, "since": start, "until": end}
    found = engine.query(report_sql("orders"), {**limits, "zone": account.time_zone})
    rows = [OrdersRow(**row) for row in found]
    for row in rows:
        row.rate = rates.rate(row.day, row.currency)
        if row.rate is not None:
            row.net_converted = (row.net * row.rate).quantize(Decimal("0.0001"))
    (missing,) = engine.query(report_sql("purchases_without_order"), limits)
    return OrdersReport(
        rows,
        account.currency,
        sum((row.net_converted for row in rows if row.net_converted is not None), Decimal(0)),
        sorted({row.currency for row in rows if row.rate is None}),
        missing["purchases"],
    )


def latest_orders(
    engine: Engine,
    account: Account,
    *,
    since: date | None = None,
    until: date | None = None,
    limit: int = 1000,
) -> list[LatestOrderRow]:
    """The orders made between two days, the newest first, at most `limit` rows; moments are on the
    clocks of the account's zone."""
    start, end = bounds(account, since, until)
    asked = {"account_id": account.account_id, "since": start, "until": end, "limit": limit}
    rows = [LatestOrderRow(**row) for row in engine.query(report_sql("latest_orders"), asked)]
    for row in rows:
        row.ordered_at = row.ordered_at.astimezone(ZoneInfo(account.time_zone))
    return rows


def order_ledger(engine: Engine, account: Account, order_id: str) -> OrderLedger | None:
    """The ledger of one order, None when nothing is known of it; the id is as it was sent."""
    asked = {"account_id": account.account_id, "order_id": stored_event_id(order_id)}
    zone = ZoneInfo(account.time_zone)

    def local(row: Mapping[str, object]) -> dict[str, object]:
        return {
            name: value.astimezone(zone) if isinstance(value, datetime) else value
            for name, value in row.items()
        }

    rows = [
        msgspec.convert(local(row), OrderRow) for row in engine.query(report_sql("order"), asked)
    ]
    entries = engine.query(report_sql("order_entries"), asked)
    if not rows:
        return None
    return OrderLedger(order_id, rows, [msgspec.convert(local(row), OrderEntry) for row in entries])


# --- in words --------------------------------------------------------------------------------

_SAID = {
    "purchase": "A Purchase event of {value}",
    "drafted": "Drafted{at_value}; no sale until it is completed",
    "placed": "Placed at {value}",
    "renewed": "Renewed at {value}",
    "cash_on_delivery": "To be paid on delivery{at_value}; pending until confirmed",
    "completed": "The draft was completed{at_value}",
    "paid": "A payment of {value}",
    "confirmed": "Cash on delivery was paid{at_value}",
    "edited": "Edited; the total is now {value}",
    "refunded": "{value} was refunded",
    "refused": "The parcel was refused; no sale",
    "cancelled": "Cancelled",
    "reopened": "Reopened",
}
_FLAGS = {
    "is_in_conflict": "its value is none that the order ever had, and does not count",
    "is_capped": "that is more than was left; the rest does not count",
    "is_total_below_refunds": "that is less than was already refunded, so refunds end there",
    "is_id_reused": "messages with this id said different things; the latest change counts",
}


def amount(value: Decimal, currency: str) -> str:
    """A sum for people; two decimals, or as many as it has."""
    text = f"{value.normalize():,f}" if value != round(value, 2) else f"{value:,.2f}"
    return f"{text} {currency or '(no currency)'}"


def sentences(ledger: OrderLedger) -> Iterator[str]:
    """The ledger as a person would tell it: the sums, then entry by entry."""
    first = ledger.rows[0]
    yield f"Order {ledger.order_id} of {first.ordered_at:%Y-%m-%d %H:%M}: {first.state}."
    if first.parent_order_id:
        yield f"It renews {first.parent_order_id}."
    for row in ledger.rows:
        pending = f"; pending {amount(row.pending, row.currency)}" if row.pending else ""
        yield (
            f"Gross {amount(row.gross, row.currency)}, refunds "
            f"{amount(row.refunds, row.currency)}, cancelled "
            f"{amount(row.cancelled, row.currency)}: net {amount(row.net, row.currency)}{pending}."
        )
    for entry in ledger.entries:
        learned = ""
        if entry.learned_at.date() != entry.changed_at.date():
            learned = f" (learned {entry.learned_at:%Y-%m-%d %H:%M})"
        notes = [_said(entry), *_changes(entry)]
        notes += [text for flag, text in _FLAGS.items() if getattr(entry, flag)]
        yield f"{entry.changed_at:%Y-%m-%d %H:%M}{learned}  {'; '.join(notes)}."


def _said(entry: OrderEntry) -> str:
    if not entry.is_own:
        return f"The total in {entry.currency or 'no currency'} ended"
    value = "all that was left" if entry.value is None else amount(entry.value, entry.currency)
    if entry.value is None and entry.kind == "purchase":
        value = "no value"
    at_value = "" if entry.value is None else f" at {value}"
    text = _SAID[entry.kind].format(value=value, at_value=at_value)
    return text[0].upper() + text[1:]


def _changes(entry: OrderEntry) -> Iterator[str]:
    for name in ("gross", "refunds", "cancelled", "pending"):
        change: Decimal = getattr(entry, name)
        if change:
            sign = "+" if change > 0 else "-"
            yield f"{name} {sign}{amount(abs(change), entry.currency)}"
