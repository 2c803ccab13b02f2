"""Membership for other processes: arrays in files, mapped into memory and asked by identifier.

A *base* holds everybody who is in some audience, a *delta* the persons who changed since, whose
answers take the place of those in the base. Both are folders of sorted arrays; `current.json` names
the two that belong together and is replaced in one step, so that a reader never sees half of a
version. Identifiers are there as digests only.

Written by one process, read by any: reading loads neither the engine nor the lake.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from doublet.engine import Engine
from doublet.normalize import identifier_key

CURRENT = "current.json"
_KEPT_S = 60.0
_DELTA_MIN = 20_000
_DELTA_SHARE = 0.1
_BASE_KEPT_S = 3600.0

Array = np.ndarray[Any, Any]


class Current(msgspec.Struct, frozen=True):
    """Which version is the newest. `audiences` are pairs of account and audience id, by the number
    that they have in the arrays; `as_of` is the moment up to which it is right (Unix seconds)."""

    version: int
    base: str
    delta: str
    as_of: float
    audiences: tuple[tuple[str, str], ...]


class Layer(NamedTuple):
    """`keys` are digests of identifiers in rising order and `rows` where their person stands;
    `persons` in rising order; the audiences of person `i` are `numbers[ends[i]:ends[i + 1]]`."""

    keys: Array
    rows: Array
    persons: Array
    ends: Array
    numbers: Array

    def row_of(self, key: int) -> int:
        """Where the person of an identifier stands; -1 when nobody has it."""
        place = int(np.searchsorted(self.keys, key))
        if place < len(self.keys) and self.keys[place] == key:
            return int(self.rows[place])
        return -1

    def has(self, person: int) -> bool:
        """Whether it holds a person."""
        place = int(np.searchsorted(self.persons, person))
        return place < len(self.persons) and int(self.persons[place]) == person

    def numbers_of(self, row: int) -> list[int]:
        """The audiences of the person in a row."""
        found: list[int] = self.numbers[self.ends[row] : self.ends[row + 1]].tolist()
        return found


class Snapshot:
    """The newest version of a folder, opened again when there is a newer one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[int, int] = (0, 0)
        self.current: Current | None = None
        """What is open; None when nothing was published yet."""
        self._base = self._delta = _EMPTY

    def refresh(self) -> bool:
        """Look for a newer version; whether there is any version at all."""
        path = self._folder / CURRENT
        try:
            state = path.stat()
            read = (state.st_mtime_ns, state.st_ino)
            if read == self._read:
                return True
            current = msgspec.json.decode(path.read_bytes(), type=Current)
            is_same = self.current is not None and self.current.base == current.base
            base = self._base if is_same else _open(self._folder / current.base)
            delta = _open(self._folder / current.delta) if current.delta else _EMPTY
        except FileNotFoundError:
            # Either nothing is published, or this version was just superseded.
            return self.current is not None
        # Only together do they tell the truth: audiences go by number.
        self._read, self.current, self._base, self._delta = read, current, base, delta
        return True

    def audiences_of(self, account_id: str, identifiers: Iterable[str]) -> set[str]:
        """The ids of the audiences that hold a person with one of these identifiers (`KEY=VALUE`,
        hashed where they are hashed on the wire)."""
        if self.current is None:
            return set()
        found: set[int] = set()
        for identifier in identifiers:
            key = identifier_key(account_id, identifier)
            if (row := self._delta.row_of(key)) >= 0:
                found.update(self._delta.numbers_of(row))
                continue
            row = self._base.row_of(key)
            # Who changed since and bears this identifier no more is not this one.
            if row >= 0 and not self._delta.has(int(self._base.persons[row])):
                found.update(self._base.numbers_of(row))
        known = self.current.audiences
        return {known[n][1] for n in found if known[n][0] == account_id}


def _open(folder: Path) -> Layer:
    # As plain arrays: each look into one that knows of its file takes a microsecond more.
    return Layer(
        *(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in Layer._fields)
    )


_EMPTY = Layer(
    *(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64)),
    *(np.zeros(1, np.int64), np.empty(0, np.uint32)),
)


class Publisher:
    """Writes versions. It begins with a base, and keeps who changed since the last one."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._current: Current | None = None
        self._changed: set[int] = set()
        self._is_written = True
        self._base_persons = 0
        self._base_at = 0.0
        self._written_at: dict[str, float] = {}

    def publish(self, audiences: Iterable[tuple[str, str]], as_of: float) -> Current:
        """Make what the tables hold now the newest version; `audiences` are pairs of account and
        audience id."""
        wanted = tuple(audiences)
        if self._engine.query("select 1 from snapshot_changes limit 1"):
            # They are taken for good: where they cannot be written now, the next call must.
            self._is_written = False
            self._changed |= self._take_changes()
        last = self._current
        version = self._next_version()
        limit = max(_DELTA_MIN, self._base_persons * _DELTA_SHARE)
        # Who was erased, or left for good, is in the file of a base until there is a new one.
        is_old = bool(self._changed) and as_of - self._base_at >= _BASE_KEPT_S
        is_full = is_old or len(self._changed) > limit
        if last is None or is_full or set(wanted) != set(last.audiences):
            base, delta = f"base-{version}", ""
            self._base_persons = self._write(base, wanted, None)
            self._base_at = as_of
            self._changed.clear()
        elif not self._is_written:
            wanted, base, delta = last.audiences, last.base, f"delta-{version}"
            self._write(delta, wanted, self._changed)
        else:
            wanted, base, delta = last.audiences, last.base, last.delta
        self._current = Current(version, base, delta, as_of, wanted)
        self._is_written = True
        self._name(self._current)
        self._sweep({base, delta})
        return self._current

    def _take_changes(self) -> set[int]:
        with self._engine.transaction(is_reported=False) as tx:
            moved = {person for (person,) in tx.run("select person_id from snapshot_changes")}
            tx.run("delete from snapshot_changes")
        return moved

    def _next_version(self) -> int:
        if self._current is not None:
            return self._current.version + 1
        try:
            read = msgspec.json.decode((self._folder / CURRENT).read_bytes(), type=Current)
            return read.version + 1
        except (FileNotFoundError, msgspec.DecodeError):
            return 1

    def _write(
        self, name: str, audiences: tuple[tuple[str, str], ...], only: set[int] | None
    ) -> int:
        """One layer, of all persons in any audience or of these; how many they are."""
        numbered: dict[str, Any] = {"ids": [audience_id for _, audience_id in audiences]}
        whose = "select distinct person_id from audience_members"
        theirs = ""
        if only is not None:
            numbered["only"] = sorted(only)
            whose = "select unnest($only) as person_id"
            theirs = "semi join (select unnest($only) as person_id) using (person_id)"
        members = self._engine.columns(
            "select person_id, list_position($ids, audience_id) - 1 as number "
            f"from audience_members {theirs} where list_contains($ids, audience_id) "
            "order by person_id, number",
            numbered,
        )
        del numbered["ids"]
        known = self._engine.columns(
            "select identifier_key, person_id from identifiers "
            f"semi join ({whose}) as theirs using (person_id) order by identifier_key",
            numbered,
        )
        persons = np.unique(members["person_id"].astype(np.int64))
        if only is not None:
            persons = np.array(sorted(only), np.int64)
        owners = known["person_id"].astype(np.int64)
        places = np.searchsorted(persons, owners)
        # Who joined between the two questions is in the next version.
        there = places < len(persons)
        there[there] = persons[places[there]] == owners[there]
        layer = Layer(
            keys=known["identifier_key"].astype(np.int64)[there],
            rows=places[there].astype(np.int32),
            persons=persons,
            ends=np.searchsorted(members["person_id"], np.append(persons, 2**62)).astype(np.int64),
            numbers=members["number"].astype(np.uint32),
        )
        self._save(name, layer)
        return len(persons)

    def _save(self, name: str, layer: Layer) -> None:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for field, array in zip(Layer._fields, layer, strict=True):
            np.save(folder / f"{field}.npy", array)
        self._written_at[name] = time.monotonic()

    def _name(self, current: Current) -> None:
        fresh = self._folder / f"{CURRENT}.fresh"
        fresh.write_bytes(msgspec.json.encode(current))
        fresh.replace(self._folder / CURRENT)

    def _sweep(self, kept: set[str]) -> None:
        """Remove versions that nobody opens any more."""
        now = time.monotonic()
        for folder in self._folder.glob("*-*"):
            written_at = self._written_at.setdefault(folder.name, now)
            if folder.name not in kept and now - written_at > _KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
                self._written_at.pop(folder.name, None)
