"""Persons: who has an identifier, which persons turned out to be one, what was decided apart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.normalize import identifier_key
from doublet.reports import bounds, report_sql

MERGES_MAX = 1000
IDENTIFIERS_MAX = 60
EVENTS_MAX = 50
PREFIX_LENGTH = 8
"""Of a digest, as many characters as tell identifiers apart and say nothing about them."""


class MergeRow(msgspec.Struct):
    """One person that turned out to be another, elder one: when, by which record (an event, or an
    ad touch where there is none), the kinds of identifiers that this record carries, and how many
    conversions got their credit anew, being reported in the 28 days before."""

    person_id: str
    merged_into: str
    merged_at: datetime
    carried: str
    pixel_id: str | None
    event_name: str | None
    event_id: str | None
    restated_conversions: int


class PersonRow(msgspec.Struct):
    """One person: since when it is known, as how many persons it was known before, how many
    identifiers of which kinds it has, and what there is of it. Ids are digits in texts, since they
    are larger than what JavaScript counts exactly."""

    person_id: str
    first_at: datetime
    merged_persons: int
    identifiers: str
    records: int
    touchpoints: int
    conversions: int
    merges: list[MergeRow] = []


class PersonsFound(msgspec.Struct):
    """Who has the given identifiers; how many of them are known at all, and how many are shared by
    too many to be one person's."""

    given: int
    known: int
    shared: int
    persons: list[PersonRow]


class DecisionRow(msgspec.Struct):
    """One decision that two identifiers, of which the kinds are shown, are not one person's."""

    decision_id: str
    kind: str
    identifier_a: str
    identifier_b: str
    reason: str
    is_revoked: bool
    decided_at: datetime


class Identifier(msgspec.Struct):
    """One identifier of a person as it may be shown: its kind, and the beginning of a digest of
    account, kind and value; whether it is one that was looked for."""

    kind: str
    prefix: str
    is_given: bool


class PersonEvent(msgspec.Struct):
    """One event of a person; `copy` is the place in the log by which `/event` finds it."""

    event_name: str
    event_at: datetime
    event_id: str | None
    pixel_id: str
    action_source: str | None
    browser: int
    server: int
    value: Decimal | None
    currency: str | None
    copy: str


class PersonTold(msgspec.Struct):
    """A person with what belongs to it: its identifiers and its newest events."""

    person: PersonRow
    identifiers: list[Identifier]
    events: list[PersonEvent]


def find_persons(engine: Engine, account: Account, identifiers: Iterable[str]) -> PersonsFound:
    """The persons that have one of the identifiers (KEY=VALUE, hashed as in events)."""
    keys = sorted({identifier_key(account.account_id, each) for each in identifiers})
    asked = {"account_id": account.account_id, "keys": keys}
    (count,) = engine.query(
        "select count(*) as known, count(case when is_shared then 1 end) as shared "
        "from identifiers where account_id = $account_id and list_contains($keys, identifier_key)",
        asked,
    )
    persons = [PersonRow(**row) for row in engine.query(report_sql("person"), asked)]
    for person in persons:
        person.merges = merges(engine, account, person_id=int(person.person_id))
    return PersonsFound(len(keys), count["known"], count["shared"], persons)


def tell_persons(
    engine: Engine, account: Account, found: PersonsFound, given: Iterable[str]
) -> list[PersonTold]:
    """What belongs to the persons that have the `given` identifiers, at most `IDENTIFIERS_MAX` and
    `EVENTS_MAX` of each."""
    if not found.persons:
        return []
    keys = {identifier_key(account.account_id, each) for each in given}
    asked = {
        "account_id": account.account_id,
        "person_ids": [int(person.person_id) for person in found.persons],
    }
    identifiers: dict[str, list[Identifier]] = {}
    limits = {**asked, "limit": IDENTIFIERS_MAX}
    for row in engine.query(report_sql("person_identifiers"), limits):
        key = row["identifier_key"]
        each = Identifier(row["kind"], f"{key:015x}"[:PREFIX_LENGTH], key in keys)
        identifiers.setdefault(row["person_id"], []).append(each)
    events: dict[str, list[PersonEvent]] = {}
    for row in engine.query(report_sql("person_events"), {**asked, "limit": EVENTS_MAX}):
        person_id, at = row.pop("person_id"), row.pop("event_time")
        event = PersonEvent(event_at=datetime.fromtimestamp(at, UTC), **row)
        events.setdefault(person_id, []).append(event)
    return [
        PersonTold(person, identifiers.get(person.person_id, []), events.get(person.person_id, []))
        for person in found.persons
    ]


def merges(
    engine: Engine,
    account: Account,
    *,
    person_id: int | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int = MERGES_MAX,
) -> list[MergeRow]:
    """The merges between two days, the latest first, at most `limit`."""
    start, end = bounds(account, since, until)
    rows = engine.query(
        report_sql("merges"),
        {
            "account_id": account.account_id,
            "person_id": person_id,
            "since": start,
            "until": end,
            "limit": limit,
        },
    )
    return [MergeRow(**row) for row in rows]


def decisions(engine: Engine, account: Account) -> list[DecisionRow]:
    """All decisions, the latest first."""
    rows = engine.query(report_sql("decisions"), {"account_id": account.account_id})
    return [DecisionRow(**row) for row in rows]
