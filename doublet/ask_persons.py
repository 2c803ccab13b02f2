"""How the command line reads persons: it asks the running worker, or opens the database itself."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import msgspec

from doublet.ask import ask_worker, own_engine
from doublet.catalog import Account
from doublet.reports.persons import (
    DecisionRow,
    MergeRow,
    PersonsFound,
    decisions,
    find_persons,
    merges,
)
from doublet.settings import Settings


def read_persons(
    settings: Settings, account: Account, identifiers: Collection[str]
) -> PersonsFound:
    """Who has one of the identifiers (KEY=VALUE, hashed as in events)."""
    user_data: dict[str, list[str]] = {}
    for identifier in sorted(identifiers):
        key, _, value = identifier.partition("=")
        user_data.setdefault(key, []).append(value)
    body = msgspec.json.encode({"user_data": user_data, "account": account.account_id})
    answer = ask_worker(settings, "POST", "/v1/person/show", body=body)
    if answer is not None:
        return msgspec.json.decode(answer, type=PersonsFound)
    with own_engine(settings) as engine:
        return find_persons(engine, account, identifiers)


def read_merges(
    settings: Settings, account: Account, since: date | None, until: date | None
) -> list[MergeRow]:
    """The merges between two days, the latest first."""
    given = {"account": account.account_id, "since": since, "until": until}
    asked = {name: str(value) for name, value in given.items() if value}
    answer = ask_worker(settings, "GET", "/merges.json", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[MergeRow])
    with own_engine(settings) as engine:
        return merges(engine, account, since=since, until=until)


def read_decisions(settings: Settings, account: Account) -> list[DecisionRow]:
    """All decisions, the latest first."""
    answer = ask_worker(settings, "GET", "/decisions.json", {"account": account.account_id})
    if answer is not None:
        return msgspec.json.decode(answer, type=list[DecisionRow])
    with own_engine(settings) as engine:
        return decisions(engine, account)
