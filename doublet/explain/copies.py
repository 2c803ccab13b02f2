"""The copies of an event as they lie in the lake, and on what they disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, NamedTuple

from doublet.accept import event_key, stored_event_id
from doublet.catalog import Account
from doublet.engine import Engine
from doublet.explain.story import Copy, Difference

EVENTS_MAX = 20
"""So many events are told when an id names more."""

COPIES_MAX = 1000
"""So many copies of an event are told, the kept one among them."""

_COMPARED = ("event_id", "event_time", "action_source", "event_source_url")
_MONEY = ("value", "currency", "order_id")
_NAMED_IN_CONFLICTS = frozenset(_MONEY)


class Root(NamedTuple):
    """What names an event: its pixel, and the key and the first receipt of its first chain."""

    pixel_id: str
    event_key: int
    anchor_at: datetime


def roots_of_id(
    engine: Engine, account: Account, event_id: str, pixel_id: str | None
) -> Iterator[Root]:
    """The events of an account that have a copy with this event id, by time."""
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
    yield from [Root(**row) for row in rows if row["pixel_id"] in pixels][:EVENTS_MAX]


def root_of_copy(engine: Engine, account: Account, place: tuple[int, int]) -> Root | None:
    """The event that has the copy at a place of the log (slot and offset), None for none of this
    account."""
    rows = engine.query(
        "select copies.pixel_id, coalesce(root_key, copies.event_key) as event_key, "
        "coalesce(root_at, copies.chain_at) as anchor_at from copies "
        "left join joins using (pixel_id, event_key, chain_at) "
        "where log_slot = $slot and log_offset = $offset",
        {"slot": place[0], "offset": place[1]},
    )
    for row in rows:
        found = Root(**row)
        if engine.query(
            "select 1 from events_deduplicated where pixel_id = $pixel_id "
            "and event_key = $event_key and anchor_at = $anchor_at and account_id = $account_id",
            {**found._asdict(), "account_id": account.account_id},
        ):
            return found
    return None


def copies_of(
    engine: Engine, root: Root, kept: tuple[int, int]
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
        # Of an erased person nothing is left.
        known = row["user_data"] or {}
        user = {key: value for key, value in known.items() if value is not None}
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


def differences_of(copies: list[tuple[Copy, dict[str, Any]]]) -> Iterator[Difference]:
    """Fields that two copies give and that differ."""
    numbered = list(enumerate(copies, 1))
    for name in (*_COMPARED, *_MONEY):
        said = {n: copy.fields[name] for n, (copy, _) in numbered if name in copy.fields}
        if len(set(said.values())) > 1:
            yield Difference(name, said)
    keys = sorted({key for copy, _ in copies for key in copy.custom_data} - _NAMED_IN_CONFLICTS)
    for key in keys:
        said = {n: copy.custom_data[key] for n, (copy, _) in numbered if key in copy.custom_data}
        if len({_plain(value) for value in said.values()}) > 1:
            yield Difference(f"custom_data.{key}", said)
    for key in sorted({key for _, user in copies for key in user}):
        values = {n: str(user[key]) for n, (_, user) in numbered if key in user}
        if len(set(values.values())) > 1:
            yield Difference(f"user_data.{key}", dict.fromkeys(values))


def _plain(value: Any) -> str:
    """A value as JSON by which two are compared: neither the order of keys nor whether a number is
    written as text makes a difference.

    >>> _plain({"id": "a", "quantity": 1.0}) == _plain({"quantity": "1", "id": "a"})
    True
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_plain(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_plain, value)) + "]"
    try:
        return f"{Decimal(str(value)).normalize():f}"
    except InvalidOperation:
        return json.dumps(value)
