"""The story of an event in sentences: what arrived, what was done with it, and by which rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import event_key, stored_event_id
from doublet.catalog import Account
from doublet.consent import Consent, consent_of, in_words
from doublet.engine import Engine

EVENTS_MAX = 20
"""So many events are told when an id names more."""

COPIES_MAX = 1000
"""So many copies of an event are told, the kept one among them."""

_DOORS = {"browser": "through /tr", "server": "through the Conversions API"}
_COMPARED = ("event_id", "event_time", "action_source", "event_source_url")
_MONEY = ("value", "currency", "order_id")
_NAMED_IN_CONFLICTS = frozenset(_MONEY)


class Copy(msgspec.Struct):
    """One copy, by time of receipt. `rule` says why it is of this event, `delay_s` how long after
    the first copy it came. Of user data only the keys are told."""

    source: str
    received_at: datetime
    delay_s: float
    rule: str
    is_kept: bool
    log_slot: int
    log_offset: int
    fields: dict[str, Any]
    custom_data: dict[str, Any]
    user_data_keys: list[str]
    flags: list[str]


class Difference(msgspec.Struct):
    """A field on which copies disagree: what each says, by the copy's number from 1. The values of
    user data are not told."""

    field: str
    says: dict[int, Any]


class Relayed(msgspec.Struct):
    """What became of the event at one destination; `name` and `kind` are empty once it is removed.

    `state` is waiting, ready, sent, failed or withheld, `reason` and `message` say why; `due_at` is
    when it was to be sent. The request, as long as it is remembered: when it was sent, with how
    many events, and what was answered. `trace` holds the event as it was `sent` and where what it
    lacked was taken from.
    """

    destination_id: str
    name: str
    kind: str
    state: str
    reason: str
    message: str
    due_at: datetime
    sent_at: datetime | None = None
    events: int | None = None
    http_status: int | None = None
    code: str = ""
    answer: str = ""
    trace: dict[str, Any] | None = None


Outlook = Callable[[Sequence[tuple[int, int]]], list[Relayed]]
"""What the relay did with an event that has copies at these places of the log."""


def nowhere(places: Sequence[tuple[int, int]]) -> list[Relayed]:
    """Nothing is relayed."""
    return []


class Story(msgspec.Struct):
    """One event, its copies and what was made of them; `sentences` tell it to people.

    `consent` is by purpose, null when nobody has said anything; `consent_of` says whether one of
    the copies bears it or the person's earlier events do.
    """

    account_id: str
    pixel_id: str
    event_name: str
    event_id: str | None
    event_time: int
    value: Decimal | None
    currency: str | None
    order_id: str | None
    kept_rule: str
    is_test: bool
    consent: dict[str, Any] | None
    consent_of: Literal["event", "person"] | None
    copies: list[Copy]
    differences: list[Difference]
    sentences: list[str]
    relayed: list[Relayed] = []


class _Root(NamedTuple):
    pixel_id: str
    event_key: int
    anchor_at: datetime


def explain(
    engine: Engine,
    account: Account,
    event_id: str,
    pixel_id: str | None = None,
    outlook: Outlook = nowhere,
) -> list[Story]:
    """The events that have a copy with this event id, by time; empty when there is none."""
    roots = _find(engine, account, event_id, pixel_id)
    return [_tell(engine, account, root, outlook) for root in roots]


def _find(engine: Engine, account: Account, event_id: str, pixel_id: str | None) -> Iterator[_Root]:
    stored = stored_event_id(event_id)
    kinds = engine.query(
        "select distinct pixel_id, event_name from events_deduplicated "
        "where account_id = $account_id and ($pixel_id is null or pixel_id = $pixel_id)",
        {"account_id": account.account_id, "pixel_id": pixel_id},
    )
    keys = [
        event_key(kind["pixel_id"], kind["event_name"], letter + stored)
        for kind in kinds
        for letter in "im"
    ]
    rows = engine.query(
        "select pixel_id, event_key, anchor_at from events_deduplicated "
        "where account_id = $account_id and event_id = $event_id union "
        "select copies.pixel_id, coalesce(root_key, copies.event_key), "
        "coalesce(root_at, copies.chain_at) from copies "
        "left join joins using (pixel_id, event_key, chain_at) "
        "where copies.event_key in (select unnest($keys)) order by anchor_at",
        {"account_id": account.account_id, "event_id": stored, "keys": keys},
    )
    pixels = {kind["pixel_id"] for kind in kinds}
    yield from [_Root(**row) for row in rows if row["pixel_id"] in pixels][:EVENTS_MAX]


def _tell(engine: Engine, account: Account, root: _Root, outlook: Outlook) -> Story:
    (event,) = engine.query(
        "select * from events_deduplicated where pixel_id = $pixel_id "
        "and event_key = $event_key and anchor_at = $anchor_at",
        root._asdict(),
    )
    copies = _copies(engine, root, (event["kept_log_slot"], event["kept_log_offset"]))
    differences = list(_differences(copies))
    told = [copy for copy, _ in copies]
    consent = consent_of(engine, event)
    relayed = outlook([(copy.log_slot, copy.log_offset) for copy in told])
    zone = ZoneInfo(account.time_zone)
    return Story(
        account.account_id,
        root.pixel_id,
        event["event_name"],
        event["event_id"],
        event["event_time"],
        event["value"],
        event["currency"],
        event["order_id"],
        event["kept_rule"],
        event["is_test"],
        consent.state if consent else None,
        consent.whose if consent else None,
        told,
        differences,
        [
            *_sentences(event, told, differences, consent, zone),
            *(_relayed(each, zone) for each in relayed),
        ],
        relayed,
    )


def _copies(
    engine: Engine, root: _Root, kept: tuple[int, int]
) -> list[tuple[Copy, dict[str, Any]]]:
    """The first copies of an event and the kept one, by receipt, each with its user data."""
    places = engine.query(
        "with chains as (select pixel_id, event_key, chain_at, rule from joins "
        "where pixel_id = $pixel_id and root_key = $event_key and root_at = $anchor_at "
        "union all select $pixel_id, $event_key, $anchor_at, 'first') "
        "select copies.log_slot, copies.log_offset, copies.received_at, "
        "case when copies.rule = 'first' then chains.rule else copies.rule end as rule "
        "from copies inner join chains using (pixel_id, event_key, chain_at) "
        "order by case when log_slot = $slot and log_offset = $offset then 0 else 1 end, "
        "copies.received_at, log_slot, log_offset limit $copies_max",
        {**root._asdict(), "slot": kept[0], "offset": kept[1], "copies_max": COPIES_MAX},
    )
    places.sort(key=itemgetter("received_at", "log_slot", "log_offset"))
    rows = _lake_rows(engine, places)
    copies = []
    for place in places:
        at = (place["log_slot"], place["log_offset"])
        row = rows[at]
        user = {key: value for key, value in row["user_data"].items() if value is not None}
        copy = Copy(
            row["source"],
            row["received_at"],
            round((row["received_at"] - places[0]["received_at"]).total_seconds(), 3),
            place["rule"],
            at == kept,
            *at,
            {name: row[name] for name in (*_COMPARED, *_MONEY) if row[name] is not None},
            json.loads(row["custom_data"] or "{}"),
            sorted(user),
            row["flags"] or [],
        )
        copies.append((copy, user))
    return copies


def _lake_rows(engine: Engine, places: list[dict[str, Any]]) -> dict[tuple[int, int], Any]:
    # Messages about orders lie beside the events, and hold none of their columns.
    events = "select path from lake_files where path like '%/events/received_date=%'"
    paths = [row["path"] for row in engine.query(events)]
    rows = engine.query(
        "select source, received_at, log_slot, log_offset, event_id, event_time, action_source, "
        "event_source_url, user_data, value, currency, order_id, custom_data, flags "
        "from read_parquet($paths) where received_at between $first and $last "
        "and log_offset in (select unnest($offsets))",
        {
            "paths": paths,
            "first": places[0]["received_at"],
            "last": places[-1]["received_at"],
            "offsets": [place["log_offset"] for place in places],
        },
    )
    return {(row["log_slot"], row["log_offset"]): row for row in rows}


def _differences(copies: list[tuple[Copy, dict[str, Any]]]) -> Iterator[Difference]:
    """Fields that two copies give and that differ."""
    numbered = list(enumerate(copies, 1))
    for name in (*_COMPARED, *_MONEY):
        said = {n: copy.fields[name] for n, (copy, _) in numbered if name in copy.fields}
        if len(set(said.values())) > 1:
            yield Difference(name, said)
    keys = sorted({key for copy, _ in copies for key in copy.custom_data} - _NAMED_IN_CONFLICTS)
    for key in keys:
        said = {n: copy.custom_data[key] for n, (copy, _) in numbered if key in copy.custom_data}
        if len({msgspec.json.encode(value) for value in said.values()}) > 1:
            yield Difference(f"custom_data.{key}", said)
    for key in sorted({key for _, user in copies for key in user}):
        values = {n: str(user[key]) for n, (_, user) in numbered if key in user}
        if len(set(values.values())) > 1:
            yield Difference(f"user_data.{key}", dict.fromkeys(values))


# --- sentences -------------------------------------------------------------------------------

_RULES = {
    "event_id": "It has the same pixel, name and event id as the first, within 48 hours",
    "late_copy": "It repeats an earlier copy, with the same id and event_time, within 7 days",
    "offline": "It repeats a store's event: same time, name, item and order, within 7 days",
    "order_id": "It is a Purchase with the same order id, within 28 days",
    "external_id": "It follows the browser's copy by at most 48 hours with the same external_id",
    "fbp": "It follows the browser's copy by at most 48 hours with the same fbp",
}
_KEPT = {
    "only": "It is the only copy of this event.",
    "first": "Kept is the first copy",
    "browser_preferred": "Kept is the browser's copy, for it came within 5 minutes of the first",
}


def _sentences(
    event: dict[str, Any],
    copies: list[Copy],
    differences: list[Difference],
    consent: Consent | None,
    zone: ZoneInfo,
) -> Iterator[str]:
    for number, copy in enumerate(copies, 1):
        yield f"{number}. {_arrival(copy, zone)} {_why(copy, copies)}"
    untold = event["browser_copies"] + event["server_copies"] - len(copies)
    if untold:
        yield f"{untold:,} more copies came; they are not told one by one."
    kept = next(number for number, copy in enumerate(copies, 1) if copy.is_kept)
    if len(copies) == 1:
        yield _KEPT["only"]
    else:
        yield (
            f"{_KEPT[event['kept_rule']]} (number {kept}); what it lacks, the others give, and "
            "hashed user data are united."
        )
    for difference in differences:
        yield _difference(difference, event)
    if event["value"] is not None:
        currency = event["currency"] or "without a currency"
        yield f"It counts once, with a value of {event['value']:f} {currency}."
    if event["order_id"] is not None:
        yield f"It is of order {event['order_id']}."
    if consent is not None:
        yield in_words(consent)
    if event["is_test"]:
        yield "It was made by a check of our own and stays out of reports."


def _arrival(copy: Copy, zone: ZoneInfo) -> str:
    at = copy.received_at.astimezone(zone)
    later = f", {_span(copy.delay_s)} after the first" if copy.delay_s else ""
    keys = ", ".join(copy.user_data_keys) or "no user data"
    odd = f" Odd about it: {', '.join(copy.flags)}." if copy.flags else ""
    return (
        f"On {at:%Y-%m-%d at %H:%M:%S} ({zone.key}) a copy of the {copy.source} came "
        f"{_DOORS[copy.source]}{later}, with {keys}.{odd}"
    )


def _why(copy: Copy, copies: list[Copy]) -> str:
    if copy.rule == "first":
        return "It opened the event." if len(copies) > 1 else "It makes an event of its own."
    return f"{_RULES[copy.rule]} (rule {copy.rule}), so it is of the same event."


def _difference(difference: Difference, event: dict[str, Any]) -> str:
    if difference.field.startswith("user_data."):
        numbers = " and ".join(str(number) for number in difference.says)
        return f"Copies {numbers} disagree on {difference.field}."
    said = ", ".join(f"{number} says {value}" for number, value in difference.says.items())
    name = difference.field
    counts = f"; {event[name]} counts" if name in event and event[name] is not None else ""
    return f"Copies disagree on {name}: {said}{counts}."


_WITHHELD = {
    "is_test": "it was made by a check of our own",
    "marked": "a browser alone reported it, and the rules of its pixel mark it",
    "erased": "its person was erased",
    "gone": "nothing of it was left when it was due",
    "removed": "this destination was removed",
    "too_old": "it waited too long",
}


def _relayed(relayed: Relayed, zone: ZoneInfo) -> str:
    where = f"{relayed.name or 'somebody'} ({relayed.destination_id})"
    why = _WITHHELD.get(relayed.reason, relayed.reason) or "no reason is known"
    said = f": {relayed.message}" if relayed.message else ""
    if relayed.state in ("waiting", "ready"):
        at = relayed.due_at.astimezone(zone)
        return f"To be sent to {where}, due on {at:%Y-%m-%d at %H:%M:%S} ({zone.key})."
    if relayed.state == "withheld":
        return f"Not sent to {where}, since {why}{said}."
    asked = ""
    if relayed.sent_at is not None:
        at = relayed.sent_at.astimezone(zone)
        among = f" as one of {relayed.events:,} events" if (relayed.events or 0) > 1 else ""
        status = f"answered {relayed.http_status}" if relayed.http_status else "nobody answered"
        asked = f" on {at:%Y-%m-%d at %H:%M:%S} ({zone.key}){among}; {status}"
    if relayed.state == "sent":
        return f"Sent to {where}{asked}."
    return f"Failed at {where}{asked}; {why}{said}."


def _span(seconds: float) -> str:
    """Seconds in the unit that people would use.

    >>> _span(1.5), _span(300), _span(7200), _span(259200)
    ('1.5 s', '5 min', '2 h', '3 d')
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:g} s"
