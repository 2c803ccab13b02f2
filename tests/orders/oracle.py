"""The rules of docs/orders.md, written a second time as plainly as possible."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tests.factories import NOON
from tests.orders.ledgers import DAY

Fact = dict[str, Any]
Sums = dict[str, Decimal]
NOTHING = Decimal(0)

_TOTALS = ("drafted", "placed", "renewed", "cash_on_delivery", "completed", "confirmed", "edited")
ORDER = (
    "drafted placed renewed purchase cash_on_delivery completed paid confirmed edited refunded "
    "refused cancelled reopened".split()
)


def expected(records: list[bytes], purchases: list[Any]) -> tuple[str, dict[str, list[Decimal]]]:
    """The state of an order, and by currency gross, refunds, cancelled, net and pending."""
    facts = _facts(records, purchases)
    totals = _totals(facts)
    state, is_counted, is_cancelled = _state(facts, totals)
    sums = {}
    for unit, back in _refunds(facts, totals).items():
        total = (totals[-1] or {}).get(unit, NOTHING)
        left = total - back
        if not is_counted:
            sums[unit] = [NOTHING] * 4 + [left if state == "pending" else NOTHING]
        elif is_cancelled:
            sums[unit] = [total, back, left, NOTHING, NOTHING]
        else:
            sums[unit] = [total, back, NOTHING, left, NOTHING]
    return state, sums


def _facts(records: list[bytes], purchases: list[Any]) -> list[Fact]:
    """Each message once and all Purchases, sorted, with the currency that each is `in`."""
    by_id: dict[str, Fact] = {}
    for said in map(msgspec.json.decode, records):
        known = by_id.get(said["message_id"], said)
        by_id[said["message_id"]] = max(
            said, known, key=lambda one: (one["changed_at"], one["message_key"])
        )
    facts = list(by_id.values())
    for day, value, currency in purchases:
        fact = {"kind": "purchase", "changed_at": NOON + day * DAY, "message_id": ""}
        facts.append({**fact, "value": value, "currency": currency})
    facts.sort(key=lambda f: (f["changed_at"], ORDER.index(f["kind"]), f["message_id"]))
    for n, fact in enumerate(facts):
        near = [*filter(_lends, facts[n::-1]), *filter(_lends, facts[n:])]
        fact["in"] = fact.get("currency") or next((one["currency"] for one in near), "")
        fact["sum"] = Decimal(fact["value"]) if "value" in fact else None
    return facts


def _lends(fact: Fact) -> bool:
    is_total = fact["kind"] in _TOTALS and "value" in fact
    return "currency" in fact and (is_total or fact["kind"] in ("paid", "purchase"))


def _totals(facts: list[Fact]) -> list[Sums | None]:
    """After each fact the total by currency, None while there is none."""
    stated: Sums | None = None
    bought: Sums = {}
    paid: Sums = {}
    totals: list[Sums | None] = []
    for fact in facts:
        kind, unit, amount = fact["kind"], fact["in"], fact["sum"]
        if kind in _TOTALS and amount is not None:
            stated = {unit: amount}
        elif kind == "purchase" and not bought:
            bought = {unit: amount}
        elif kind == "paid":
            paid[unit] = paid.get(unit, NOTHING) + amount
        told = dict(paid)
        if not paid.keys() - bought.keys():
            told = {unit: max(worth, paid.get(unit, NOTHING)) for unit, worth in bought.items()}
        totals.append(stated or told or None)
    return totals


def _refunds(facts: list[Fact], totals: list[Sums | None]) -> Sums:
    """What was paid back by currency, never more than the total."""
    refunded = dict.fromkeys({fact["in"] for fact in facts}, NOTHING)
    for n, fact in enumerate(facts):
        later = next((total for total in totals[n:] if total is not None), {})
        for unit, before in refunded.items():
            more, ceiling = NOTHING, (totals[n] or later).get(unit, NOTHING)
            if fact["kind"] == "refunded" and fact["in"] == unit:
                more = ceiling if fact["sum"] is None else fact["sum"]
            refunded[unit] = min(before + more, ceiling)
    return refunded


def _state(facts: list[Fact], totals: list[Sums | None]) -> tuple[str, bool, bool]:
    """The state, whether the order counts at all, and whether what is left was cancelled."""
    last = {fact["kind"]: n + 1 for n, fact in enumerate(facts)}
    state = "sale" if totals[-1] is not None else "unknown"
    if "cash_on_delivery" in last and "confirmed" not in last:
        state = "pending"
    if "drafted" in last and not last.keys() & {"placed", "renewed", "completed"}:
        state = "draft"
    is_counted = state == "sale"
    is_cancelled = last.get("cancelled", 0) > last.get("reopened", 0)
    if is_cancelled:
        state = "cancelled"
    if last.get("refused", 0) > max(last.get("confirmed", 0), last.get("reopened", 0)):
        return "refused", False, is_cancelled
    return state, is_counted, is_cancelled
