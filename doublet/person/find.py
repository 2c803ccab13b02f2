"""Finding a person: from given identifiers to all records that carry them, and what else they
carry, until nothing new is found; never through what many people share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Set
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import duckdb
import msgspec

from doublet.errors import OperatorError
from doublet.lake import Lake
from doublet.person.identifiers import (
    EVENT_KINDS,
    PEOPLE_KEYS,
    STRONG_KEYS,
    TEXT_LENGTH_MIN,
    Digests,
    identifiers_in,
    kind_of,
    texts_of,
)

OTHERS_MAX = 50
"""An identifier beside more different values of one of `PEOPLE_KEYS` is not one person's."""

DEVICES_MAX = 1000
"""The same for the values of all keys together: a browser gets a new cookie now and then."""

IDENTIFIERS_MAX = 100_000
"""A person with more is many."""

Place = tuple[int, int]
"""Log slot and offset, which name a record for ever."""


class Shared(NamedTuple):
    """An identifier that was not followed: how many records carry it, and beside how many values
    of other identifiers (about)."""

    identifier: str
    records: int
    others: int


class Found(NamedTuple):
    """All that is known of a person. Places are those of rows of `events`, `refused`, `ad_touches`
    and `decisions`. `apart` are identifiers that stand on their records and that a decision of an
    operator says to be somebody else's."""

    identifiers: frozenset[str]
    copies: frozenset[Place]
    refused: frozenset[Place]
    shared: tuple[Shared, ...]
    touches: frozenset[Place] = frozenset()
    decisions: frozenset[Place] = frozenset()
    apart: frozenset[str] = frozenset()

    def figures(self) -> dict[str, Any]:
        """What may be shown: counts, and of identifiers only the keys."""
        return {
            "copies": len(self.copies),
            "refused": len(self.refused),
            "touches": len(self.touches),
            "identifiers": _by_kind(self.identifiers),
            "kept_apart": _by_kind(self.apart),
            "not_followed": [
                {"key": kind_of(s.identifier), "records": s.records, "others": s.others}
                for s in self.shared
            ],
        }


def _by_kind(identifiers: Iterable[str]) -> dict[str, int]:
    kinds = [kind_of(identifier) for identifier in identifiers]
    return {key: kinds.count(key) for key in STRONG_KEYS if key in kinds}


@cache
def _sql(name: str) -> str:
    return files("doublet.person").joinpath(f"{name}.sql").read_text("utf-8")


class Records:
    """What an account's files held at one moment. `connection` is for this alone; it is left with
    no table of ours."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, account_id: str) -> None:
        """Whoever makes it keeps others from using the lake meanwhile, and from deleting files
        until he is done."""
        self.connection = connection
        self.account_id = account_id
        self.events = [file.path for file in lake.events.files()]
        self.refused = [file.path for file in lake.refused.files()]
        self.touches = [file.path for file in lake.ad_touches.files()]
        self.decisions = [file.path for file in lake.decisions.files()]

    def rows(self, paths: Collection[str], sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The result of a SELECT over files, nothing where there are none."""
        if not paths:
            return []
        given = {**parameters, "account_id": self.account_id, "paths": list(paths)}
        return self.connection.execute(sql, given).fetchall()

    def identified(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The result of a SELECT over `@records`: place and identifiers of every event and every
        ad touch, and which of both it is (`is_touch`). Nothing where there are none."""
        given = {**parameters, "account_id": self.account_id}
        parts = []
        if self.events:
            parts.append(f"select *, false as is_touch from ({_sql('identifiers')})")
            given["paths"] = self.events
        if self.touches:
            parts.append(f"select *, true as is_touch from ({_sql('touch_identifiers')})")
            given["touch_paths"] = self.touches
        if not parts:
            return []
        text = sql.replace("@records", f"({' union all '.join(parts)})")
        return self.connection.execute(text, given).fetchall()

    def clicks(self, copies: Collection[Place]) -> list[str]:
        """The click ids on events at these places."""
        if not self.events or not copies:
            return []
        given = {
            "paths": self.events,
            "slots": [slot for slot, _ in copies],
            "offsets": [offset for _, offset in copies],
        }
        return [click for (click,) in self.connection.execute(_sql("clicks"), given).fetchall()]

    def payloads(self, until: datetime) -> Iterator[tuple[Place, Any]]:
        """Place and content of each refused request that has one."""
        for slot, offset, payload in self.rows(
            self.refused,
            "select log_slot, log_offset, payload from read_parquet($paths) "
            "where account_id = $account_id and received_at <= $until and payload is not null",
            until=until,
        ):
            yield (slot, offset), msgspec.json.decode(payload)

    def decided(self, until: datetime) -> list[tuple[set[str], set[Place]]]:
        """The identifiers that each decision is about, in all forms, and the places of its records:
        they were received by one slot in one moment."""
        return [
            ({*ones, *others}, {(slot, offset) for offset in offsets})
            for ones, others, slot, offsets in self.rows(
                self.decisions,
                "select list(identifier_a), list(identifier_b), log_slot, list(log_offset) from "
                "read_parquet($paths) where account_id = $account_id and received_at <= $until "
                "group by log_slot, received_at",
                until=until,
            )
        ]

    def foes(self, until: datetime) -> dict[str, set[str]]:
        """By identifier, those that decisions say to be somebody else's."""
        found: dict[str, set[str]] = {}
        for one, other in self.rows(self.decisions, _sql("apart"), until=until):
            found.setdefault(one, set()).add(other)
        return found

    def want(self, texts: Iterable[str]) -> None:
        """Texts to be joined with, as the table `person_wanted`."""
        self.connection.execute(
            "create or replace temp table person_wanted as "
            "select cast(unnest($wanted) as varchar) as identifier",
            {"wanted": sorted(texts)},
        )


class _Search:
    """One person, among what was received up to a moment. What a decision keeps apart from what is
    known is somebody else's: a record that carries it is followed no further, and is the person's
    only where it also carries what it is kept apart from, or what was given."""

    def __init__(
        self, records: Records, given: Collection[str], until: datetime, follow: bool
    ) -> None:
        self._records = records
        self._until = until
        self._follow = follow
        self._given = set(given)
        self._foes = records.foes(until)
        self.apart: set[str] = set()
        self.known: set[str] = set()
        self.copies: set[Place] = set()
        self.refused: set[Place] = set()
        self.touches: set[Place] = set()
        self.decisions: set[Place] = set()
        self.shared: dict[str, Shared] = {}

    def spread(self, frontier: set[str], include_shared: bool) -> None:
        """From identifier to identifier over the rows of `events` and `ad_touches`."""
        while frontier:
            self._records.want(frontier)
            self.shared |= self._find_shared()
            alone = frontier - self.shared.keys()
            wanted = frontier if include_shared else alone
            self.known |= wanted
            self._records.want(wanted)
            frontier, include_shared = set(), False
            for slot, offset, is_touch, identifiers in self._records.identified(
                "select log_slot, log_offset, is_touch, any_value(identifiers) from ("
                "select *, unnest(identifiers) as identifier from @records) as carried "
                "semi join person_wanted using (identifier) "
                "group by log_slot, log_offset, is_touch",
                until=self._until,
            ):
                others = self._others_in(identifiers)
                if not self._is_theirs(identifiers, others):
                    continue
                (self.touches if is_touch else self.copies).add((slot, offset))
                if self._follow and not others and not alone.isdisjoint(identifiers):
                    frontier.update(identifiers)
            frontier = self._undisputed(frontier - self.known - self.shared.keys())
            if len(self.known) + len(frontier) > IDENTIFIERS_MAX:
                raise OperatorError(
                    f"More than {IDENTIFIERS_MAX:,} identifiers hang together here.",
                    "Ask with --exact, which follows none.",
                )

    def _others_in(self, identifiers: Iterable[str]) -> set[str]:
        """Those that are somebody else's, since they are kept apart from what is known."""
        if not self._foes:
            return set()
        others = {
            each
            for each in identifiers
            if each in self.apart or not self.known.isdisjoint(self._foes.get(each, ()))
        } - self._given
        self.apart |= others
        return others

    def _is_theirs(self, identifiers: Collection[str], others: Set[str]) -> bool:
        if not others or not self._given.isdisjoint(identifiers):
            return True
        return any(not self._foes[each].isdisjoint(identifiers) for each in others)

    def _undisputed(self, frontier: set[str]) -> set[str]:
        """Without what is kept apart from the known, or from others in it: of two persons whom a
        third identifier leads to, neither is the one."""
        if not self._foes:
            return frontier
        disputed = {each for each in frontier if not frontier.isdisjoint(self._foes.get(each, ()))}
        self.apart |= disputed
        return frontier - disputed - self._others_in(frontier)

    def _find_shared(self) -> dict[str, Shared]:
        """Which of the wanted identifiers stand beside those of many people."""
        records: dict[str, int] = {}
        beside: dict[str, dict[str, int]] = {}
        for identifier, kind, count, values in self._records.identified(
            "select identifier, split_part(other, '=', 1) as kind, "
            "count(*) filter (other = identifier), approx_count_distinct(other) "
            "from (select identifier, unnest(identifiers) as other "
            "from (select identifiers, unnest(identifiers) as identifier from @records) as carried "
            "semi join person_wanted using (identifier)) as pairs group by all",
            until=self._until,
        ):
            is_own = kind == kind_of(identifier)
            if is_own:
                records[identifier] = count
            if kind not in EVENT_KINDS:
                beside.setdefault(identifier, {})[kind] = values - is_own
        return {
            identifier: Shared(identifier, records[identifier], sum(others.values()))
            for identifier, others in beside.items()
            if sum(others.values()) > DEVICES_MAX
            or any(others.get(key, 0) > OTHERS_MAX for key in PEOPLE_KEYS)
        }

    def look_into_refused(self) -> set[str]:
        """Rows of `refused` whose events carry what is known; identifiers found there."""
        texts = texts_of(self.known)
        found: set[str] = set()
        for place, payload in self._records.payloads(self._until):
            for element in elements(payload):
                if carries(element, self.known, texts):
                    carried = identifiers_in(element)
                    others = self._others_in(carried)
                    if self._is_theirs(carried, others):
                        self.refused.add(place)
                        found |= carried if self._follow and not others else set()
        return self._undisputed(found - self.known - self.shared.keys())

    def look_into_texts(self) -> None:
        """Rows of `events` that carry an identifier elsewhere than in user_data."""
        self._records.want(texts_of(self.known))
        found = self._records.rows(
            self._records.events,
            "select distinct log_slot, log_offset from (select log_slot, log_offset, "
            "unnest(regexp_extract_all(text, $pieces)) as identifier from ("
            "select log_slot, log_offset, concat_ws(' ', event_name, event_id, order_id, "
            "event_source_url, custom_data, extra) as text from read_parquet($paths) "
            "where account_id = $account_id and received_at <= $until) as texts) as pieces "
            "semi join person_wanted using (identifier)",
            until=self._until,
            pieces=_PIECES,
        )
        self.copies.update((slot, offset) for slot, offset in found)

    def look_into_clicks(self) -> None:
        """Rows of `ad_touches` with a click id that the person's events bear, unless they carry
        identifiers of somebody else: an address with a click id may have been passed on."""
        self._records.want(self._records.clicks(self.copies))
        clicked = self._records.rows(
            self._records.touches,
            "select log_slot, log_offset from read_parquet($paths) "
            "semi join (select identifier as click_id from person_wanted) as clicks "
            "using (click_id) where account_id = $account_id and received_at <= $until",
            until=self._until,
        )
        places = {(slot, offset) for slot, offset in clicked}
        if not places:
            return
        for slot, offset, identifiers in self._records.identified(
            "select log_slot, log_offset, identifiers from @records "
            "where is_touch and len(identifiers) > 0",
            until=self._until,
        ):
            if self.known.isdisjoint(identifiers):
                places.discard((slot, offset))
        self.touches |= places

    def look_into_decisions(self) -> None:
        """Rows of `decisions` that are about the person."""
        for identifiers, places in self._records.decided(self._until):
            if not self.known.isdisjoint(identifiers):
                self.decisions |= places


_PIECES = f"[A-Za-z0-9._-]{{{TEXT_LENGTH_MIN},}}"
_pieces_of = re.compile(_PIECES).findall


def elements(payload: Any) -> list[dict[str, Any]]:
    """The readable events of a refused request."""
    return [e for e in (payload if isinstance(payload, list) else []) if isinstance(e, dict)]


def carries(element: dict[str, Any], identifiers: Set[str], texts: Set[str]) -> bool:
    """Whether an event of a refused request carries one of the identifiers, or one of the texts
    anywhere in it."""
    if not identifiers.isdisjoint(identifiers_in(element)):
        return True
    return not texts.isdisjoint(_pieces_of(msgspec.json.encode(element).decode()))


def find(
    records: Records,
    given: Iterable[str],
    until: datetime,
    *,
    exact: bool = False,
    shared: bool = False,
) -> Found:
    """All that an account holds of a person in its lake, received up to `until`.

    `given` are identifiers as `KEY=VALUE`. From the records that carry one, the others there are
    followed in turn, unless `exact`. What stands beside more than `OTHERS_MAX` values that name
    people, or `DEVICES_MAX` values in all, is not followed; with `shared` the records that carry
    such a given one are the person's nevertheless. What decisions keep apart from the person is
    somebody else's.
    """
    frontier = set(given)
    search = _Search(records, frontier, until, follow=not exact)
    while frontier:
        search.spread(frontier, include_shared=shared)
        frontier = search.look_into_refused()
        shared = False
    search.look_into_texts()
    search.look_into_clicks()
    search.look_into_decisions()
    records.connection.execute("drop table person_wanted")
    shared_ones = tuple(sorted(search.shared.values()))
    return Found(
        frozenset(search.known),
        frozenset(search.copies),
        frozenset(search.refused),
        shared_ones,
        frozenset(search.touches),
        frozenset(search.decisions),
        frozenset(search.apart),
    )


def resolve(
    records: Records, digests: Digests, wanted: Collection[str], until: datetime
) -> set[str]:
    """The identifiers on an account's records, and in its decisions, whose keyed digests are
    wanted."""
    records.want(wanted)
    found = {
        identifier
        for (identifier,) in records.identified(
            "select distinct identifier from (select unnest(identifiers) as identifier "
            "from @records) as carried semi join (select identifier as digest from person_wanted) "
            "as wanted on sha256($outer || unhex(sha256($inner || encode(identifier)))) = digest",
            until=until,
            **digests.parameters(records.account_id),
        )
    }
    sought = set(wanted)
    for _, payload in records.payloads(until):
        for element in elements(payload):
            for identifier in identifiers_in(element):
                if digests.of(records.account_id, identifier) in sought:
                    found.add(identifier)
    for identifiers, _ in records.decided(until):
        found.update(i for i in identifiers if digests.of(records.account_id, i) in sought)
    records.connection.execute("drop table person_wanted")
    return found
