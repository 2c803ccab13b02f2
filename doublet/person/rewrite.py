"""Rewriting what lies on disk, so that a person's records stay and identify nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Set
from functools import partial
from threading import Lock
from typing import Any

import duckdb
import msgspec

from doublet.errors import BusyError
from doublet.lake.table import MERGED, File, Table
from doublet.log import rewriting
from doublet.log.disk import DiskLog
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS
from doublet.person.anonymous import (
    ERASED,
    anonymous_custom_data,
    anonymous_decision,
    anonymous_payload,
    anonymous_record,
    anonymous_touch,
    anonymous_url,
)
from doublet.person.bonds import Bonds
from doublet.person.find import Place, carries, elements

OnReplaced = Callable[[list[str], list[str]], object]
"""Is told the paths that were made and those they replace, while nobody else uses the table."""

_ATTEMPTS_MAX = 5


def _bond(key: str) -> str:
    kind = "varchar[]" if key in HASHED_KEYS else "varchar"
    bond = (
        f"case when changes.{key} is not null then [changes.{key}] end" if key in _BONDS else "null"
    )
    return f"{key} := cast({bond} as {kind})"


_BONDS = ("external_id", "em")
_USER_DATA = (
    "case when coalesce(changes.external_id, changes.em) is not null "
    f"then struct_pack({', '.join(map(_bond, (*HASHED_KEYS, *PLAIN_KEYS)))}) end"
)
_account_of = re.compile(rb'"account_id":"([^"]*)"').search
_words_of = re.compile(rb"[^\s\"\\,:{}\[\]=&?#/%]{6,}").findall


def rewrite_log(
    log: DiskLog,
    account_id: str,
    places: Collection[Place],
    bonds: Bonds,
    identifiers: Set[str],
    texts: Set[str],
) -> int:
    """Make the records at these places anonymous in every complete segment, and blank those lines
    of damaged ones that hold an identifier; how many records changed."""

    def change(record: bytes, slot: int) -> bytes:
        if b'"record_type":"refused"' in record[:200]:
            return _anonymous_refused(record, identifiers, texts)
        if b'"record_type":"ad_touch"' in record[:200]:
            return anonymous_touch(record)
        if b'"record_type":"decision"' in record[:200]:
            return anonymous_decision(record)
        offset = int(record[record.index(b":") + 1 : record.index(b",")])
        return anonymous_record(record, bonds.get((slot, offset)))

    values = {identifier.partition("=")[2].encode() for identifier in identifiers}
    values |= {text.encode() for text in texts}

    def is_theirs(line: bytes) -> bool:
        account = _account_of(line)
        is_foreign = account is not None and account[1] != account_id.encode()
        return not is_foreign and not values.isdisjoint(_words_of(line))

    for slot in log.partitions():
        rewriting.remove_scratch(log.folder / str(slot))
    changed = 0
    for slot, path in log.complete_segments():
        offsets = {offset for at, offset in places if at == slot}
        changed += rewriting.rewrite(path, offsets, partial(change, slot=slot)) if offsets else 0
        rewriting.blank(path, is_theirs)
    for _, path in log.damaged_copies():
        rewriting.blank(path, is_theirs)
    return changed


def _anonymous_refused(record: bytes, identifiers: Set[str], texts: Set[str]) -> bytes:
    fields = msgspec.json.decode(record)
    payload = fields.get("payload")
    theirs = [e for e in elements(payload) if carries(e, identifiers, texts)]
    if not theirs:
        return record
    # The body's digest would still tell whether a body one has is this one.
    fields |= {"payload": anonymous_payload(payload, theirs), "sha256": ""}
    return msgspec.json.encode(fields)


class Rewriter:
    """Rewrites the files of a lake table that hold certain rows, while others are loaded.

    `connection` is for this alone, `turn` is held whenever the table itself is used.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, turn: Lock) -> None:
        self._connection = connection
        self._turn = turn

    def events(
        self, table: Table, places: Collection[Place], bonds: Bonds, on_replaced: OnReplaced
    ) -> int:
        """Make rows of `events` anonymous; how many there were that were not."""
        self._note(places)
        wanted = (
            "select log_slot, log_offset, event_source_url, custom_data from read_parquet($paths) "
            "semi join person_places using (log_slot, log_offset) "
            f"where not list_contains(coalesce(flags, []), '{ERASED}')"
        )
        gone = {
            "user_data": _USER_DATA,
            "event_id": f"case when lake_rows.event_id is not null then '{ERASED}' end",
            "extra": "null",
            "event_source_url": "changes.event_source_url",
            "custom_data": "changes.custom_data",
            "flags": f"list_append(coalesce(lake_rows.flags, []), '{ERASED}')",
        }

        def change(row: tuple[Any, ...]) -> tuple[Any, ...]:
            slot, offset, url, custom = row
            kept = anonymous_custom_data(custom)
            bond = bonds.get((slot, offset), {})
            text = kept.decode() if kept else None
            return slot, offset, anonymous_url(url), text, bond.get("external_id"), bond.get("em")

        names = ("event_source_url", "custom_data", "external_id", "em")
        return self._rewrite(table, wanted, names, change, gone, on_replaced)

    def refused(
        self, table: Table, places: Collection[Place], identifiers: Set[str], texts: Set[str]
    ) -> int:
        """Take a person's events out of rows of `refused`; how many rows had any."""
        self._note(places)
        wanted = (
            "select log_slot, log_offset, payload from read_parquet($paths) "
            "semi join person_places using (log_slot, log_offset) where payload is not null"
        )

        def change(row: tuple[Any, ...]) -> tuple[Any, ...] | None:
            slot, offset, text = row
            payload = msgspec.json.decode(text)
            theirs = [e for e in elements(payload) if carries(e, identifiers, texts)]
            if not theirs:
                return None
            kept = msgspec.json.encode(anonymous_payload(payload, theirs)).decode()
            return slot, offset, kept

        gone = {"payload": "changes.payload", "sha256": "''"}
        return self._rewrite(table, wanted, ("payload",), change, gone, None)

    def touches(self, table: Table, places: Collection[Place], on_replaced: OnReplaced) -> int:
        """Make rows of `ad_touches` anonymous; how many there were that were not."""
        self._note(places)
        wanted = (
            "select log_slot, log_offset, account_id from read_parquet($paths) "
            "semi join person_places using (log_slot, log_offset) "
            f"where not list_contains(coalesce(flags, []), '{ERASED}')"
        )
        gone = {
            "user_data": "null",
            "click_id": "null",
            "touch_id": f"'{ERASED}'",
            "flags": f"list_append(coalesce(lake_rows.flags, []), '{ERASED}')",
        }
        return self._rewrite(table, wanted, ("account_id",), tuple, gone, on_replaced)

    def decisions(self, table: Table, places: Collection[Place], on_replaced: OnReplaced) -> int:
        """Make decisions say of nobody; how many there were that did."""
        self._note(places)
        wanted = (
            "select log_slot, log_offset, account_id from read_parquet($paths) "
            "semi join person_places using (log_slot, log_offset) "
            f"where decision_id <> '{ERASED}'"
        )
        gone = {
            "decision_id": f"'{ERASED}'",
            "identifier_a": "''",
            "identifier_b": "''",
            "reason": "''",
        }
        return self._rewrite(table, wanted, ("account_id",), tuple, gone, on_replaced)

    def _note(self, places: Collection[Place]) -> None:
        self._connection.execute(
            "create or replace temp table person_places as "
            "select cast(unnest($slots) as integer) as log_slot, "
            "cast(unnest($offsets) as bigint) as log_offset",
            {"slots": [slot for slot, _ in places], "offsets": [offset for _, offset in places]},
        )

    def _rewrite(
        self,
        table: Table,
        wanted: str,
        names: tuple[str, ...],
        change: Callable[[tuple[Any, ...]], tuple[Any, ...] | None],
        gone: dict[str, str],
        on_replaced: OnReplaced | None,
    ) -> int:
        """File by file, again from the beginning when another writer replaced one meanwhile."""
        done = 0
        for _ in range(_ATTEMPTS_MAX):
            is_lost = False
            for file in self._files_of(table):
                rows = self._connection.execute(wanted, {"paths": [file.path]}).fetchall()
                changes = [made for made in map(change, rows) if made is not None]
                if not changes:
                    continue
                made = self._replace(table, file, names, changes, gone, on_replaced)
                done += len(changes) if made else 0
                is_lost = is_lost or not made
            if not is_lost:
                self._connection.execute("drop table person_places")
                return done
        raise BusyError(f"Others keep replacing the files of {table.folder.name}.", "Try again.")

    def _files_of(self, table: Table) -> Iterator[File]:
        with self._turn:
            table.update()
            files = table.files()
        if not files:
            return
        holding = {
            name
            for (name,) in self._connection.execute(
                "select distinct filename from read_parquet($paths, filename = true) "
                "semi join person_places using (log_slot, log_offset)",
                {"paths": [file.path for file in files]},
            ).fetchall()
        }
        yield from (file for file in files if file.path in holding)

    def _replace(
        self,
        table: Table,
        file: File,
        names: tuple[str, ...],
        changes: list[tuple[Any, ...]],
        gone: dict[str, str],
        on_replaced: OnReplaced | None,
    ) -> list[str]:
        columns = ", ".join(f"{name} varchar" for name in names)
        self._connection.execute(
            f"create or replace temp table person_changes "
            f"(log_slot integer, log_offset bigint, {columns})"
        )
        marks = ", ".join("?" for _ in range(2 + len(names)))
        self._connection.executemany(f"insert into person_changes values ({marks})", changes)
        selected = ", ".join(
            f"case when changes.log_slot is null then lake_rows.{c.name} "
            f"else {gone[c.name]} end as {c.name}"
            if c.name in gone
            else f"lake_rows.{c.name}"
            for c in table.columns
        )
        sql = (
            f"select {selected} from {table.read_sql([file.path])} as lake_rows "
            "left join person_changes as changes using (log_slot, log_offset)"
        )
        actions = table.copy(self._connection, sql, {}, file.received_date, MERGED)
        with self._turn:
            made = table.replace([file], actions, changes_rows=True)
            if made and on_replaced is not None:
                on_replaced(made, [file.path])
        self._connection.execute("drop table person_changes")
        return made
