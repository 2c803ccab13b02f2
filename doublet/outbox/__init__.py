"""The outbox: what is to be sent where, what was, and what became of it. One SQLite file, which the
worker fills, the relay empties and the command line looks at.

Nothing personal but hashes, addresses and cookies is in it, and `forget` takes a person out. What
was committed outlives a power cut, so that what was sent is not sent again.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from doublet.errors import BusyError
from doublet.outbox.rows import (
    Aside,
    Asked,
    NewEmission,
    Pause,
    Place,
    Ready,
    Sent,
    Settled,
    Sighting,
    State,
)
from doublet.sqlite_file import copied, opened, version_of, written

__all__ = [
    "MESSAGE_LENGTH_MAX",
    "TO_DO",
    "VERSION",
    "Aside",
    "Asked",
    "NewEmission",
    "Outbox",
    "Pause",
    "Place",
    "Ready",
    "Sent",
    "Settled",
    "Sighting",
    "State",
    "copy_outbox",
    "now_us",
]

VERSION = 1
_BUSY_TIMEOUT_S = 30.0
MESSAGE_LENGTH_MAX = 500
TO_DO = "state in ('waiting', 'ready', 'failed')"
"""The condition of the index `emissions_to_do`: SQLite uses it only where a query says the same."""


def now_us() -> int:
    """This moment in microseconds since 1970."""
    return time.time_ns() // 1000


def copy_outbox(file: Path, target: Path, ends: Mapping[int, int]) -> int | None:
    """Copy an outbox as it is at one moment to a new file, while others use it; its format, None
    where there is none. What lies behind `ends`, offsets by log slot, is left out: whoever goes on
    with a copied log that ends there gives these offsets to other events. Raises CorruptError."""
    if not file.exists():
        return None
    with copied(file, target) as writing:
        writing.execute("create temp table ends (log_slot integer primary key, log_offset integer)")
        writing.executemany("insert into ends values (?, ?)", ends.items())
        behind = (
            "log_offset >= coalesce((select log_offset from ends "
            "where ends.log_slot = {0}.log_slot), 0)"
        )
        emissions = behind.format("emissions")
        writing.execute(
            "update tallies set events = tallies.events - gone.events from (select destination_id, "
            f"state, reason, count(*) as events from emissions where {emissions} "
            "group by destination_id, state, reason) as gone "
            "where tallies.destination_id = gone.destination_id "
            "and tallies.state = gone.state and tallies.reason = gone.reason"
        )
        for name in ("emissions", "sightings"):
            writing.execute(f"delete from {name} where {behind.format(name)}")
        writing.execute(
            "update positions set log_offset = min(log_offset, coalesce("
            "(select log_offset from ends where ends.log_slot = positions.log_slot), 0))"
        )
        return version_of(writing)


@cache
def _schema() -> str:
    return files("doublet.outbox").joinpath("schema.sql").read_text("utf-8")


def _as_it_was(payload: bytes) -> bytes:
    return payload


class Outbox:
    """One connection to the file; for one thread at a time."""

    def __init__(self, file: Path) -> None:
        """Make the file, for this user alone, where there is none. Raises NewerFormatError."""
        self._db = opened(file, VERSION, _schema(), _BUSY_TIMEOUT_S)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def _write(self) -> AbstractContextManager[sqlite3.Connection]:
        return written(self._db)

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Rows of a SELECT as tuples."""
        return self._db.execute(sql, parameters).fetchall()

    # --- filling ------------------------------------------------------------------------------

    def positions(self) -> dict[int, int]:
        """The first offset of each log slot that has not been looked at."""
        return dict(self.rows("select log_slot, log_offset from positions"))

    def covers(self, destination_id: str, places: Iterable[Place]) -> bool:
        """Whether the ledger has an event with one of these copies for a destination."""
        return any(
            self.rows(
                "select 1 from emissions where destination_id = ? and log_slot = ? "
                "and log_offset = ?",
                (destination_id, *place),
            )
            for place in places
        )

    def note(
        self,
        emissions: Sequence[NewEmission],
        sightings: Sequence[Sighting] = (),
        position: Place | None = None,
    ) -> None:
        """Add events and sightings, and move a log slot's position; all or nothing."""
        with self._write() as db:
            db.executemany(
                "insert into emissions (destination_id, log_slot, log_offset, pixel_id, "
                "event_name, event_id, event_time, state, reason, due_at, is_correction, "
                "settled_at) "
                "values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                "case when ?8 = 'withheld' then ?10 end) on conflict do nothing",
                emissions,
            )
            db.executemany(
                "insert into sightings values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1) "
                "on conflict do update set event_time = ?3, log_slot = ?4, log_offset = ?5, "
                "event_name = ?6, browsers = browsers + (fbp is not ?7), fbp = ?7, facts = ?8, "
                "consent = coalesce(?9, consent), consent_at = coalesce(?10, consent_at) "
                "where ?3 >= event_time",
                sightings,
            )
            if position is not None:
                db.execute(
                    "insert into positions values (?, ?) "
                    "on conflict do update set log_offset = excluded.log_offset",
                    position,
                )

    def due(
        self, destination_id: str, until: int, limit: int, *, corrections: bool = False
    ) -> list[tuple[int, int, int]]:
        """Events (or corrections) that wait no longer: emission, slot and offset; those due first,
        first."""
        return self.rows(
            "select emission_id, log_slot, log_offset from emissions where destination_id = ? "
            f"and state = 'waiting' and {TO_DO} and due_at <= ? and is_correction = ? "
            "order by due_at limit ?",
            (destination_id, until, corrections, limit),
        )

    def state_of(self, destination_id: str, places: Iterable[Place]) -> State | None:
        """What became of the event with one of these copies; None where the ledger lacks it."""
        for place in places:
            for (state,) in self.rows(
                "select state from emissions where destination_id = ? and log_slot = ? "
                "and log_offset = ?",
                (destination_id, *place),
            ):
                found: State = state
                return found
        return None

    def correct(
        self,
        ready: Iterable[tuple[int, str, Place]],
        withheld: Iterable[tuple[int, str]],
        later: Iterable[int],
        again_at: int,
    ) -> None:
        """Give due corrections what is sent of them and the place of the Purchase; withhold others,
        with the reason; look at the rest again at a moment."""
        now = now_us()
        with self._write() as db:
            db.executemany(
                "update emissions set state = 'ready', payload = ?2, corrects_slot = ?3, "
                "corrects_offset = ?4 where emission_id = ?1 and state = 'waiting'",
                ((number, payload.encode(), *place) for number, payload, place in ready),
            )
            db.executemany(
                "update emissions set state = 'withheld', reason = ?2, settled_at = ?3 "
                "where emission_id = ?1 and state = 'waiting'",
                ((number, reason, now) for number, reason in withheld),
            )
            db.executemany(
                "update emissions set due_at = ?2 where emission_id = ?1 and state = 'waiting'",
                ((number, again_at) for number in later),
            )

    def make_ready(self, payloads: Iterable[tuple[int, str]], gone: Iterable[int]) -> None:
        """Give due events what is sent of them; those of which nothing is left are withheld."""
        now = now_us()
        with self._write() as db:
            db.executemany(
                "update emissions set state = 'ready', payload = ?2 "
                "where emission_id = ?1 and state = 'waiting'",
                ((emission_id, payload.encode()) for emission_id, payload in payloads),
            )
            db.executemany(
                "update emissions set state = 'withheld', reason = 'gone', settled_at = ?2 "
                "where emission_id = ?1 and state = 'waiting'",
                ((emission_id, now) for emission_id in gone),
            )

    def count(self, destination_id: str, state: State) -> int:
        """How many events are in a state."""
        query = "select sum(events) from tallies where destination_id = ? and state = ?"
        ((events,),) = self.rows(query, (destination_id, state))
        return events or 0

    def left(self, destination_id: str, due_by: int) -> int:
        """How many events that are due by a moment are still to be sent."""
        ((events,),) = self.rows(
            "select count(*) from emissions where destination_id = ? "
            f"and state in ('waiting', 'ready') and {TO_DO} and due_at <= ?",
            (destination_id, due_by),
        )
        return int(events)

    # --- sending ------------------------------------------------------------------------------

    def ready(
        self, destination_id: str, until: int, limit: int, under_way: Collection[int]
    ) -> list[Ready]:
        """The next events to send, without those that are under way."""
        ids = self.rows(
            "select emission_id from emissions where destination_id = ? and state = 'ready' "
            f"and {TO_DO} and due_at <= ? order by due_at, emission_id limit ?",
            (destination_id, until, limit + len(under_way)),
        )
        wanted = [emission_id for (emission_id,) in ids if emission_id not in under_way][:limit]
        marks = ", ".join("?" * len(wanted))
        found = self.rows(
            "select emission_id, due_at, payload from emissions "
            f"where emission_id in ({marks}) and state = 'ready' order by due_at, emission_id",
            wanted,
        )
        return [Ready(*row) for row in found]

    def settle(self, settled: Sequence[Settled]) -> None:
        """Write down what became of requests and events. Of what was erased meanwhile nothing comes
        back."""
        now = now_us()
        with self._write() as db:
            for asked, sent, aside in settled:
                request_id = None
                if asked is not None:
                    request_id = db.execute(
                        "insert into requests (destination_id, sent_at, seconds, events, verdict, "
                        "http_status, code, message) values (?, ?, ?, ?, ?, ?, ?, ?)",
                        (*asked[:7], asked.message[:MESSAGE_LENGTH_MAX]),
                    ).lastrowid
                db.executemany(
                    "update emissions set state = 'sent', reason = '', message = '', payload = "
                    "null, trace = ?2, settled_at = ?3, request_id = ?4 "
                    "where emission_id = ?1 and state = 'ready'",
                    (
                        (each.emission_id, zlib.compress(each.trace, 1), now, request_id)
                        for each in sent
                    ),
                )
                db.executemany(
                    "update emissions set state = ?2, reason = ?3, message = ?4, trace = ?5, "
                    "settled_at = ?6, request_id = ?7, "
                    "payload = case when ?2 = 'failed' then payload end "
                    "where emission_id = ?1 and state = 'ready'",
                    (
                        (
                            each.emission_id,
                            each.state,
                            each.reason,
                            each.message[:MESSAGE_LENGTH_MAX],
                            None if each.trace is None else zlib.compress(each.trace, 1),
                            now,
                            request_id,
                        )
                        for each in aside
                    ),
                )

    def pauses(self) -> dict[str, Pause]:
        """Destinations that fail at present, by id."""
        return {row[0]: Pause(*row) for row in self.rows("select * from pauses")}

    def set_pause(self, pause: Pause) -> None:
        """Keep a destination from being asked; also after a restart."""
        with self._write() as db:
            db.execute("replace into pauses values (?, ?, ?, ?, ?, ?)", pause)

    def end_pause(self, destination_id: str) -> None:
        """It may be asked again."""
        with self._write() as db:
            db.execute("delete from pauses where destination_id = ?", (destination_id,))

    def sighting(self, account_id: str, identifier: str) -> tuple[Any, ...] | None:
        """event_time, event_name, facts, consent, consent_at and browsers of an identifier."""
        found = self.rows(
            "select event_time, event_name, facts, consent, consent_at, browsers from sightings "
            "where account_id = ? and identifier = ?",
            (account_id, identifier),
        )
        return found[0] if found else None

    # --- looking ------------------------------------------------------------------------------

    def trace(self, emission_id: int) -> dict[str, Any]:
        """What was sent of an event; see `doublet.relay.loop.trace`. Empty when it is not known
        any more, or was never sent."""
        rows = self.rows("select trace from emissions where emission_id = ?", (emission_id,))
        found: dict[str, Any] = {}
        if rows and rows[0][0] is not None:
            found = msgspec.json.decode(zlib.decompress(rows[0][0]))
        return found

    def failed(
        self, destination_id: str, reason: str | None = None, limit: int = 1000
    ) -> list[tuple[int, str, str, str, str | None, int, int, bytes | None]]:
        """The dead letters, newest first: emission, reason, message, event_name, event_id,
        event_time, when it was settled (µs since 1970) and the event, as JSON, while it is kept."""
        return self.rows(
            "select emission_id, reason, message, event_name, event_id, event_time, settled_at, "
            f"payload from emissions where destination_id = ?1 and state = 'failed' and {TO_DO} "
            "and (?2 is null or reason = ?2) order by settled_at desc, emission_id limit ?3",
            (destination_id, reason, limit),
        )

    def replay(
        self,
        destination_id: str,
        *,
        emission_ids: Collection[int] | None = None,
        reason: str | None = None,
        mend: Callable[[bytes], bytes] = _as_it_was,
    ) -> list[int]:
        """Make dead letters ready again, each mended; all of a destination, or those named, or of
        one reason. The emissions that will be sent."""
        now = now_us()
        with self._write() as db:
            rows = db.execute(
                "select emission_id, payload from emissions where destination_id = ?1 and state = "
                f"'failed' and {TO_DO} and (?2 is null or reason = ?2) and payload is not null",
                (destination_id, reason),
            ).fetchall()
            mended = [
                (number, mend(payload))
                for number, payload in rows
                if emission_ids is None or number in emission_ids
            ]
            db.executemany(
                "update emissions set state = 'ready', reason = '', message = '', trace = null, "
                "settled_at = null, request_id = null, payload = ?2, due_at = ?3 "
                "where emission_id = ?1",
                [(number, payload, now) for number, payload in mended],
            )
        return [number for number, _ in mended]

    def of_places(self, places: Sequence[Place]) -> list[tuple[Any, ...]]:
        """What became of the events with these copies, oldest first: destination_id, state,
        reason, message, due_at, trace (compressed); sent_at, events, http_status, code and message
        of the request, null where there was none or it is forgotten."""
        found: dict[int, tuple[Any, ...]] = {}
        for place in places:
            for emission_id, *row in self.rows(
                "select emission_id, emissions.destination_id, state, reason, emissions.message, "
                "due_at, trace, sent_at, events, http_status, code, requests.message "
                "from emissions left join requests using (request_id) "
                "where log_slot = ? and log_offset = ?",
                place,
            ):
                found[emission_id] = tuple(row)
        return [found[emission_id] for emission_id in sorted(found)]

    # --- upkeep -------------------------------------------------------------------------------

    def forget(
        self, account_id: str, places: Collection[Place], identifiers: Collection[str]
    ) -> None:
        """Take out a person: what was and would be sent of events with these copies, and what was
        seen of these identifiers in the account. Raises BusyError when a reader keeps their bytes
        from being overwritten."""
        now = now_us()
        with self._write() as db:
            db.executemany(
                "update emissions set payload = null, trace = null, event_id = null, message = '', "
                "reason = case when state in ('waiting', 'ready') then 'erased' else reason end, "
                "state = case when state in ('waiting', 'ready') then 'withheld' else state end, "
                "settled_at = coalesce(settled_at, ?3) where (log_slot = ?1 and log_offset = ?2) "
                "or (corrects_slot = ?1 and corrects_offset = ?2)",
                ((*place, now) for place in places),
            )
            db.executemany(
                "delete from sightings where log_slot = ? and log_offset = ?", list(places)
            )
            db.executemany(
                "delete from sightings where account_id = ? and identifier = ?",
                [(account_id, each) for each in identifiers],
            )
        # Freed pages are zeroed (secure_delete); the log of transactions still has them.
        ((is_busy, *_),) = self.rows("pragma wal_checkpoint(truncate)")
        if is_busy:
            raise BusyError("Somebody reads the outbox for very long.", "It is tried again.")

    def abandon(self, destinations: Collection[str], before: int) -> None:
        """Withhold what waits for others than these destinations, since they are no more, and what
        has waited since before a moment (µs since 1970), when what came then is forgotten."""
        now = now_us()
        known = ", ".join("?" * len(destinations))
        left = f"payload = null, settled_at = ? where state in ('waiting', 'ready') and {TO_DO}"
        with self._write() as db:
            db.execute(
                f"update emissions set state = 'withheld', reason = 'removed', {left} "
                f"and destination_id not in ({known})",
                (now, *destinations),
            )
            db.execute(
                f"update emissions set state = 'withheld', reason = 'too_old', {left} "
                "and due_at < ?",
                (now, before),
            )

    def tidy(
        self, *, traces_before: int, failed_before: int, seen_before: int, ledger_before: int
    ) -> None:
        """Drop what has been kept long enough (µs since 1970): traces and requests, dead letters,
        sightings, whole rows of the ledger."""
        with self._write() as db:
            db.execute(
                "update emissions set trace = null where settled_at < ? and trace is not null "
                "and state <> 'failed'",
                (traces_before,),
            )
            db.execute(
                "update emissions set payload = null, trace = null where settled_at < ? "
                "and state = 'failed' and payload is not null",
                (failed_before,),
            )
            db.execute("delete from emissions where settled_at < ?", (ledger_before,))
            db.execute("delete from requests where sent_at < ?", (traces_before,))
            db.execute("delete from sightings where event_time < ?", (seen_before // 1_000_000,))
