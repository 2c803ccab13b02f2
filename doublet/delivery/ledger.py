"""The ledger: what of each budget is spent, and what deciding processes may still spend.

Money leaves a budget in *leases*: a process takes one ahead, reserves the worst cost of each
decision in it without asking again, and gives the rest back. A lease that was closed holds what was
reserved, one whose process died all that was granted, until the worker settles it: when its URLs
have expired and the log up to then is loaded, what was billed is known, and the rest returns.
Hence, whatever dies when, settled + held <= amount, for each budget at every moment; a budget that
is lowered below what is settled and held grants nothing more.

Rows are written in transactions that outlive a power cut: a lease that was granted is known. A
ledger that is lost or damaged is made anew (`set_aside`): leases of the lost one may bill until
their URLs have expired, so the worker opens no budget until so long after `made_at_s`, and then
says with each what the touches in the lake billed. It is no part of a backup for the same reason: a
restored ledger would not know what was spent after it was copied.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.delivery.budgets import LIFETIME, Budget
from doublet.delivery.pacing import Pace
from doublet.errors import BusyError, CorruptError
from doublet.sqlite_file import opened, written

VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_LEASE_SHARE = 256
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HINDERED = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
}
_PACE = msgspec.json.Decoder(Pace)


class Key(NamedTuple):
    """A budget: one ad set in one period."""

    adset_id: str
    period: str


class Lease(NamedTuple):
    """Units of a budget that its holder may reserve before `until_s` (Unix seconds)."""

    lease_id: int
    adset_id: str
    period: str
    units: int
    until_s: float


class Note(NamedTuple):
    """What a holder says of a lease: units reserved so far, units that this will probably bill, and
    whether it reserves no more."""

    reserved: int
    expected: float
    is_closed: bool = False


class Exchanged(NamedTuple):
    """The answer to a holder: leases granted, and ids of leases from which he must reserve no more:
    settled ones, and those of budgets that were lowered below what is held."""

    granted: list[Lease]
    lost: set[int]


class Standing(NamedTuple):
    """How a budget stands, in units. `expected` is what unsettled leases will probably bill, so
    that `settled + expected` is the spend to pace by; `held` is the most that they can."""

    amount: int
    settled: int
    held: int
    expected: float

    @property
    def left(self) -> int:
        """What can still be granted; below 0 after the budget was lowered."""
        return self.amount - self.settled - self.held


@cache
def _schema() -> str:
    return files("doublet.delivery").joinpath("ledger.sql").read_text("utf-8")


class Ledger:
    """One connection to the file; for any thread, one at a time."""

    def __init__(self, file: Path) -> None:
        """Make the file, for this user alone, where there is none. Raises CorruptError (also when a
        newer version wrote it) and BusyError."""
        self._file = file
        self._db, self._inode, self.made_at_s = self._opened()

    def close_file(self) -> None:
        """Give the file back."""
        self._db.close()

    # --- budgets ------------------------------------------------------------------------------

    def unknown(self, budgets: Iterable[Budget]) -> list[Budget]:
        """Those that are not in the ledger: their periods begin, or the ledger was lost."""
        with self._read() as db:
            known = {Key(*row) for row in db.execute("select adset_id, period from budgets")}
        return [each for each in budgets if Key(each.adset_id, each.period) not in known]

    def open(
        self,
        budgets: Iterable[Budget],
        spent: Mapping[Key, int] | None = None,
    ) -> None:
        """Make budgets known, or change their amounts and times. `spent` are units that the touches
        in the lake say were billed of budgets unknown until now, 0 where there is no entry."""
        billed = spent or {}
        with self._write() as db:
            for each in budgets:
                units = billed.get(Key(each.adset_id, each.period), 0)
                db.execute(
                    "insert into budgets (adset_id, period, amount, begin_s, end_s, settled) "
                    "values (?1, ?2, ?3, ?4, ?5, ?6) "
                    "on conflict do update set amount = ?3, begin_s = ?4, end_s = ?5",
                    (*each, units),
                )

    def standings(self) -> dict[Key, Standing]:
        """How all budgets stand."""
        with self._read() as db:
            rows = db.execute(
                "select adset_id, period, amount, settled, held, (select coalesce(sum(expected), "
                "0) from leases where leases.adset_id = budgets.adset_id "
                "and leases.period = budgets.period) from budgets"
            ).fetchall()
        return {Key(*row[:2]): Standing(*row[2:]) for row in rows}

    def spent(self, adset_id: str, period: str) -> int:
        """Units that were billed of a budget, as far as its leases are settled."""
        standing = self.standings().get(Key(adset_id, period))
        return standing.settled if standing else 0

    def sweep(self, before_s: float, kept: Iterable[str] = ()) -> None:
        """Forget budgets whose period ended before a moment, once all their leases are settled; not
        lifetime budgets of `kept` ad sets, whose end may yet be moved on."""
        with self._write() as db:
            db.execute(
                "delete from budgets where end_s < ? and not exists (select 1 from leases where "
                "leases.adset_id = budgets.adset_id and leases.period = budgets.period) "
                "and not (period = ? and adset_id in (select value from json_each(?)))",
                (before_s, LIFETIME, json.dumps(list(kept))),
            )

    # --- leases -------------------------------------------------------------------------------

    def take(
        self, adset_id: str, period: str, want: int, holder: str, now: float, until: float
    ) -> Lease | None:
        """A lease of about so many units, or of what is left of the budget; None when nothing is,
        or the period does not run."""
        done = self.exchange(holder, {}, {Key(adset_id, period): want}, now, until)
        return done.granted[0] if done.granted else None

    def close(self, lease_id: int, reserved: int, now: float) -> None:
        """The units of a lease that are not reserved go back to its budget."""
        self.exchange("", {lease_id: Note(reserved, reserved, is_closed=True)}, {}, now, now)

    def exchange(
        self,
        holder: str,
        notes: Mapping[int, Note],
        wanted: Mapping[Key, int],
        now: float,
        until: float,
    ) -> Exchanged:
        """All that one holder has to say and to ask, in one transaction. A lease is of at least
        1/256 of its budget, where so much is left, and ends with the period."""
        with self._write() as db:
            lost = {lease for lease, note in notes.items() if not _noted(db, lease, note, now)}
            asked = wanted.items()
            granted = [_granted(db, holder, key, want, now, until) for key, want in asked]
        return Exchanged([each for each in granted if each is not None], lost)

    def due(self, before_s: float) -> list[Lease]:
        """Leases that can be settled when URLs of decisions before this moment have expired and the
        log up to then is loaded; `units` are what they hold."""
        with self._read() as db:
            rows = db.execute(
                "select lease_id, adset_id, period, held, until_s from leases "
                "where until_s <= ? order by lease_id",
                (before_s,),
            ).fetchall()
        return [Lease(*row) for row in rows]

    def settle(self, lease_id: int, billed: int) -> None:
        """What a lease billed in all; the rest goes back to its budget. A lease that is settled
        already stays as it is. Raises ValueError for more than it holds."""
        self.settle_all({lease_id: billed})

    def settle_all(self, billed: Mapping[int, int]) -> None:
        """The same of many, all or none."""
        with self._write() as db:
            for lease_id, units in billed.items():
                row = db.execute(
                    "delete from leases where lease_id = ? returning adset_id, period, held",
                    (lease_id,),
                ).fetchone()
                if row is None:
                    continue
                if not 0 <= units <= row[2]:
                    raise ValueError(f"lease {lease_id} holds {row[2]} units, not {units}")
                db.execute(
                    "update budgets set settled = settled + ?3, held = held - ?4 "
                    "where adset_id = ?1 and period = ?2",
                    (*row[:2], units, row[2]),
                )

    # --- paces --------------------------------------------------------------------------------

    def keep_paces(self, paces: Mapping[str, Pace]) -> None:
        """Write down the control of ad sets."""
        with self._write() as db:
            db.executemany(
                "replace into paces values (?, ?)",
                [(adset, msgspec.json.encode(pace).decode()) for adset, pace in paces.items()],
            )

    def paces(self) -> dict[str, Pace]:
        """The control of each ad set that has one."""
        with self._read() as db:
            rows = db.execute("select adset_id, pace from paces").fetchall()
        return {adset_id: _PACE.decode(pace) for adset_id, pace in rows}

    # --- the file -----------------------------------------------------------------------------

    def _opened(self) -> tuple[sqlite3.Connection, int, float]:
        with _told(self._file):
            db = opened(self._file, VERSION, _schema(), _BUSY_TIMEOUT_S)
            ((problem,),) = db.execute("pragma quick_check(1)").fetchall()
            if problem != "ok":
                db.close()
                raise _damaged(self._file, problem)
            with written(db):
                db.execute(
                    "insert into made select ? where not exists (select 1 from made)",
                    (time.time(),),
                )
                # Ids begin at the moment in µs: none is of a lost ledger and of a new one.
                db.execute(
                    "insert into sqlite_sequence (name, seq) select 'leases', ? "
                    "where not exists (select 1 from sqlite_sequence where name = 'leases')",
                    (time.time_ns() // 1000,),
                )
            ((made_at_s,),) = db.execute("select at_s from made").fetchall()
        return db, self._file.stat().st_ino, made_at_s

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """The file that bears the name now: another process may have set one aside, and what is
        written to that one counts for nobody."""
        with _told(self._file):
            try:
                inode = self._file.stat().st_ino
            except FileNotFoundError:
                inode = 0
            if inode != self._inode:
                self._db.close()
                self._db, self._inode, self.made_at_s = self._opened()
            yield self._db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._read() as db, written(db):
            yield db


def set_aside(file: Path) -> Path:
    """Move a damaged ledger away, so that the next one to open it makes a new one; where it is."""
    aside = file.with_name(f"{file.name}.{time.time_ns() // 1_000_000}.damaged")
    for ending in ("", "-wal", "-shm"):
        path = file.with_name(file.name + ending)
        if path.exists():
            path.rename(aside.with_name(aside.name + ending))
    return aside


def _damaged(file: Path, problem: object) -> CorruptError:
    return CorruptError(
        f"The ledger {file} is damaged: {problem}.",
        "The worker sets it aside and makes a new one from the touches in the lake.",
    )


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What SQLite says, as errors of ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            raise _damaged(file, error) from error
        if code in _HINDERED:
            raise BusyError(
                f"The ledger {file} takes no entries: {error}.",
                "Nothing is spent beyond what is granted already; make room on the disk.",
            ) from error
        raise


def _noted(db: sqlite3.Connection, lease_id: int, note: Note, now: float) -> bool:
    """Whether the holder may go on with a lease."""
    row: Any = db.execute(
        "select adset_id, period, leases.held, is_open, amount < settled + budgets.held "
        "from leases left join budgets using (adset_id, period) where lease_id = ?",
        (lease_id,),
    ).fetchone()
    if row is None or not row[3]:
        return False
    adset_id, period, held, _, is_lowered = row
    if not 0 <= note.reserved <= held:
        raise ValueError(f"lease {lease_id} holds {held} units, not {note.reserved}")
    db.execute("update leases set expected = ? where lease_id = ?", (note.expected, lease_id))
    if note.is_closed:
        db.execute(
            "update leases set is_open = 0, held = ?2, until_s = min(until_s, ?3) "
            "where lease_id = ?1",
            (lease_id, note.reserved, now),
        )
        db.execute(
            "update budgets set held = held - ?3 where adset_id = ?1 and period = ?2",
            (adset_id, period, held - note.reserved),
        )
    return not is_lowered


def _granted(
    db: sqlite3.Connection, holder: str, key: Key, want: int, now: float, until: float
) -> Lease | None:
    row = db.execute(
        "select amount, amount - settled - held, end_s from budgets where adset_id = ? "
        "and period = ? and begin_s <= ?3 and ?3 < end_s",
        (*key, now),
    ).fetchone()
    if row is None:
        return None
    amount, left, end_s = row
    units, until = min(left, max(want, amount // _LEASE_SHARE)), min(until, end_s)
    if units <= 0:
        return None
    lease_id = db.execute(
        "insert into leases (adset_id, period, holder, until_s, held) values (?, ?, ?, ?, ?)",
        (*key, holder, until, units),
    ).lastrowid
    db.execute(
        "update budgets set held = held + ?3 where adset_id = ?1 and period = ?2", (*key, units)
    )
    assert lease_id is not None
    return Lease(lease_id, *key, units, until)
