"""The comparison: what both sides have, staged as files, and one statement over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import stored_event_id
from doublet.catalog import Account, Destination, Shop
from doublet.engine import Engine
from doublet.outbox import Outbox
from doublet.reconcile.findings import FINDINGS, SHARES, expected, reason_of
from doublet.refused import Refusals
from doublet.reports import bounds, report_sql
from doublet.shops.orders import ShopOrder

LIMIT_MAX = 100_000
"""So many orders of a finding and reason can be listed."""

_DAY_S = 86_400
_EMISSIONS_AGE_S = 30 * _DAY_S
"""An order may be reported so long before it is made, by a clock that is wrong."""
_STEP = 10_000

_encode = msgspec.json.Encoder().encode


class Question(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is compared: the orders made from `since` to `until`, both days of the account's zone;
    without them those from the first order given to the last. `shop` is the id of the shop that
    they are of. `is_whole`: all orders are given, also those of a day before and a day after.
    `limit` bounds what is listed of each finding and reason."""

    since: date | None = None
    until: date | None = None
    shop: str | None = None
    is_whole: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 10


class Listed(msgspec.Struct):
    """One order under a finding: its id and other number in the shop, its id here; empty where one
    side lacks it. `made_at` is when."""

    finding: str
    why: str
    destination: str
    order_id: str
    name: str
    our_order_id: str
    made_at: datetime
    currency: str
    shop_value: Decimal | None
    our_value: Decimal | None
    detail: str


class Group(msgspec.Struct):
    """The orders of one finding and reason: how many, of how many compared (0 to 1), and by
    currency what the shop has and this side lacks (below zero: what this side has too much). What
    `is_expected` is in order. `says` tells what it means, `do` what to do; the newest are
    listed."""

    finding: str
    why: str
    destination: str
    is_expected: bool
    orders: int
    share: float
    money: dict[str, Decimal]
    first_at: datetime
    last_at: datetime
    says: str
    do: str
    listed: list[Listed]


class Reconciliation(msgspec.Struct):
    """The comparison of the orders made from `since` until before `until`. `orders` of the shop are
    compared, worth `total` by currency; `agree` of them agree. `matched_by` counts by which id the
    orders were found. It `agrees` when there is no group that is not expected. Moments are on the
    clocks of the account's zone."""

    since: datetime | None
    until: datetime | None
    orders: int
    agree: int
    total: dict[str, Decimal]
    matched_by: dict[str, int]
    purchases_without_order_id: int
    agrees: bool
    groups: list[Group]


class Sides(NamedTuple):
    """What is here: the tables, refused requests, destinations with their outbox (None: nothing is
    relayed). `log_problem` says why a part of the log cannot be loaded, empty when all is."""

    engine: Engine
    pixels: Sequence[str]
    refusals: Refusals
    destinations: Sequence[Destination]
    outbox: Outbox | None
    log_problem: str


@cache
def _sql(name: str) -> str:
    return files("doublet.reconcile").joinpath(f"{name}.sql").read_text("utf-8")


def stage(file: Path, rows: Iterable[ShopOrder | Mapping[str, Any]]) -> int:
    """Write rows as JSON lines, which the comparison reads; how many. An order id with a personal
    value in it becomes what it would be in an event."""
    count = 0
    with file.open("wb") as lines:
        for row in rows:
            if isinstance(row, ShopOrder):
                row.order_id, row.name = stored_event_id(row.order_id), stored_event_id(row.name)
            lines.write(_encode(row) + b"\n")
            count += 1
    return count


def compare(
    sides: Sides,
    account: Account,
    question: Question,
    orders: Path,
    folder: Path,
    *,
    shop: Shop | None,
    now_s: int,
) -> Reconciliation:
    """Compare the staged orders of a shop with what is here. `folder` is for files that nobody
    needs afterwards."""
    since, until = bounds(account, question.since, question.until)
    beside = {
        "refused_file": _refused(sides, account, since),
        "destinations_file": _destinations(sides),
        "emissions_file": _emissions(sides, since),
    }
    for name, staged in beside.items():
        stage(folder / name, staged)
    parameters = {
        "account_id": account.account_id,
        "since": since,
        "until": until,
        "shop_file": str(orders),
        **{name: str(folder / name) for name in beside},
        "is_whole": question.is_whole,
        "now": now_s,
        "shop_made_at": shop.created_at if shop else None,
        "shop_pixel_id": shop.pixel_id if shop else None,
        "purchase_on": shop.rules.purchase_on if shop else "placed",
        "log_problem": bool(sides.log_problem),
        "expected": expected(),
        "limit": question.limit,
    }
    rows = sides.engine.query(_sql("compare"), parameters)
    names = {each.destination_id: each.name for each in sides.destinations}
    return _told(sides, account, rows, names, question)


# --- what is here ------------------------------------------------------------------------------


def _refused(sides: Sides, account: Account, since: int | None) -> list[dict[str, Any]]:
    if not sides.refusals.refused:
        return []
    parameters = {
        "paths": sides.refusals.refused,
        "account_id": account.account_id,
        "pixels": list(sides.pixels),
        "received_since": (since or _DAY_S) - _DAY_S,
    }
    return sides.refusals.engine.query(_sql("refused"), parameters)


def _destinations(sides: Sides) -> Iterator[dict[str, Any]]:
    if sides.outbox is None:
        return
    pauses = sides.outbox.pauses()
    for each in sides.destinations:
        pause = pauses.get(each.destination_id)
        yield {
            "destination_id": each.destination_id,
            "created_at": each.created_at * 1_000_000,
            "is_paused": each.is_paused,
            "problem": f"{pause.verdict}: {pause.message}" if pause else "",
            "pixels": each.rules.pixels,
            "events": each.rules.events,
            "domains": each.rules.domains,
        }


def _emissions(sides: Sides, since: int | None) -> Iterator[dict[str, Any]]:
    """What the outbox says of Purchases to these destinations, a few at a time."""
    if sides.outbox is None or not sides.destinations:
        return
    marks = ", ".join("?" * len(sides.destinations))
    known = [each.destination_id for each in sides.destinations]
    after = 0
    while found := sides.outbox.rows(
        "select emission_id, destination_id, log_slot, log_offset, state, reason, message, due_at "
        f"from emissions where emission_id > ? and destination_id in ({marks}) "
        "and event_name = 'Purchase' and is_correction = 0 and event_time >= ? "
        "order by emission_id limit ?",
        (after, *known, (since or 0) - _EMISSIONS_AGE_S, _STEP),
    ):
        names = ("destination_id", "log_slot", "log_offset", "state", "reason", "message", "due_at")
        for emission_id, *row in found:
            after = emission_id
            yield dict(zip(names, row, strict=True))


# --- what is told ------------------------------------------------------------------------------


def _told(
    sides: Sides,
    account: Account,
    rows: list[dict[str, Any]],
    names: Mapping[str, str],
    question: Question,
) -> Reconciliation:
    zone = ZoneInfo(account.time_zone)
    since, until = (
        None if end is None else datetime.fromtimestamp(end, zone)
        for end in bounds(account, question.since, question.until)
    )
    told = Reconciliation(since, until, 0, 0, {}, {}, 0, True, [])
    groups: dict[tuple[str, str, str], Group] = {}
    heads: set[tuple[str, str, str, str]] = set()
    for row in rows:
        told.since, told.until = (row[end].astimezone(zone) for end in ("since_at", "until_at"))
        key = row["finding"], row["why"], row["destination_id"]
        is_first = (*key, row["currency"]) not in heads
        heads.add((*key, row["currency"]))
        if row["finding"] in ("compared", "matched"):
            if is_first:
                _count(told, row)
            continue
        group = groups.get(key)
        if group is None:
            group = groups[key] = _group(row, names, zone)
        if is_first:
            _add(group, row, zone)
        group.listed.append(_listed(row, names, zone))
    order = list(FINDINGS)
    told.groups = sorted(
        groups.values(),
        key=lambda each: (order.index(each.finding), each.is_expected, -each.orders, each.why),
    )
    for group in told.groups:
        group.share = group.orders / told.orders if told.orders else 0.0
        newest = sorted(group.listed, key=lambda each: each.made_at, reverse=True)
        group.listed = newest[: question.limit]
    told.agrees = all(group.is_expected for group in told.groups)
    told.purchases_without_order_id = _without_order_id(sides, account, told)
    return told


def _count(told: Reconciliation, row: Mapping[str, Any]) -> None:
    if row["finding"] == "matched":
        before = told.matched_by.get(row["why"], 0)
        told.matched_by[row["why"]] = before + row["group_orders"]
        return
    told.orders += row["group_orders"]
    told.agree += row["group_orders"] if row["why"] == "agrees" else 0
    before_total = told.total.get(row["currency"], Decimal(0))
    told.total[row["currency"]] = before_total + row["group_money"]


def _group(row: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo) -> Group:
    reason = reason_of(row["finding"], row["why"])
    return Group(
        row["finding"],
        row["why"],
        names.get(row["destination_id"], ""),
        row["is_expected"],
        0,
        0.0,
        {},
        row["group_first_at"].astimezone(zone),
        row["group_last_at"].astimezone(zone),
        reason.says,
        reason.do,
        [],
    )


def _add(group: Group, row: Mapping[str, Any], zone: ZoneInfo) -> None:
    group.orders += row["group_orders"]
    before = group.money.get(row["currency"], Decimal(0))
    group.money[row["currency"]] = before + row["group_money"]
    group.first_at = min(group.first_at, row["group_first_at"].astimezone(zone))
    group.last_at = max(group.last_at, row["group_last_at"].astimezone(zone))


def _listed(row: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo) -> Listed:
    return Listed(
        row["finding"],
        row["why"],
        names.get(row["destination_id"], ""),
        row["order_id"],
        row["name"],
        row["our_order_id"],
        row["made_at"].astimezone(zone),
        row["currency"],
        row["shop_value"],
        row["our_value"],
        row["detail"],
    )


def _without_order_id(sides: Sides, account: Account, told: Reconciliation) -> int:
    if told.since is None or told.until is None:
        return 0
    limits = {"since": int(told.since.timestamp()), "until": int(told.until.timestamp())}
    (row,) = sides.engine.query(
        report_sql("purchases_without_order"), {"account_id": account.account_id, **limits}
    )
    return int(row["purchases"])


def is_share(group: Group) -> bool:
    """Whether a group says how orders were reported, not that something is wrong."""
    return group.finding in SHARES
