"""The worker's side of the relay: events of the tables become emissions in the outbox, once for
each destination; those that are due become payloads, as many as there is room for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from doublet.accept.steps import HISTORY
from doublet.accept.traffic import AUTOMATIC, MARKS, host_of, is_listed
from doublet.catalog import Catalog, Destination
from doublet.engine import Engine
from doublet.outbox import NewEmission, Outbox, Place, Sighting, State, now_us
from doublet.relay.corrections import make_due, new_corrections
from doublet.settings import Settings

_STEP_COPIES = 20_000
_STEP_PAYLOADS = 4000
_SPEND_S = 2.0
"""After so long the rest is left to the next call, since loading waits meanwhile."""
_TIDY_S = 60.0
_LEDGER_D = 90
_DAY_US = 86_400_000_000
_SECOND_US = 1_000_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_FACTS = ("fbc", "fbp", "client_ip_address", "client_user_agent", "external_id")
_LISTED = ("external_id", "em", "ph")
_SINGLE = ("order_id", "lead_id")


class Backfill(msgspec.Struct, forbid_unknown_fields=True):
    """A wish: the events that happened from `since` until before `until` (Unix seconds), sent at
    most `rate` a second."""

    since: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    until: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    rate: Annotated[float, msgspec.Meta(ge=0.01, le=1_000_000)] = 500.0


class Backfilled(msgspec.Struct):
    """What a backfill has put into the ledger: events that will be sent, the last of them not
    before `due_by` (µs since 1970), and events that are withheld."""

    events: int
    withheld: int
    due_by: int


class _Pace:
    """Spaces what is to be sent in time."""

    def __init__(self, rate: float) -> None:
        self._start = now_us()
        self._rate = rate
        self.events = 0
        self.due_by = self._start

    def space(self, emission: NewEmission) -> NewEmission:
        """The next event, due in its turn, and never before its copies can have joined."""
        if emission.state != "waiting":
            return emission
        turn = self._start + int(self.events / self._rate * _SECOND_US)
        due_at = max(turn, emission.due_at)
        self.events += 1
        self.due_by = max(self.due_by, due_at)
        return emission._replace(due_at=due_at)


class _Span(NamedTuple):
    """Offsets of a log slot, both within, and when what lies there was received and happened."""

    log_slot: int
    first: int
    last: int
    received_since: datetime = _BEGINNING
    event_since: int | None = None
    event_until: int | None = None


@cache
def sql(name: str) -> str:
    """The text of a query of the relay's."""
    return files("doublet.relay").joinpath(f"{name}.sql").read_text("utf-8")


class Filler:
    """Fills the outbox. Its methods may be called from any thread; they take turns, so that no
    event gets in twice and nothing of an erased person is written after `forget`."""

    def __init__(self, engine: Engine, catalog: Catalog, file: Path, settings: Settings) -> None:
        """`file` is the outbox; it is made when there is a destination."""
        self._engine = engine
        self._catalog = catalog
        self._file = file
        self._settings = settings
        self._turn = threading.Lock()
        self._outbox: Outbox | None = None
        self._tidied_at = float("-inf")
        self._calls = 0

    def close(self) -> None:
        """Give the outbox back."""
        with self._turn:
            if self._outbox is not None:
                self._outbox.close()
                self._outbox = None

    def fill(self, positions: Mapping[int, int]) -> bool:
        """Look at the copies below these offsets of the log's slots, up to which the tables are
        complete, and make payloads of what is due. Whether all of it is done: a long backlog is
        left to the next calls. Wherever this is cut off, nothing is lost or repeated."""
        if not positions:
            # Tables that are being made say of every event that nothing is left of it.
            return True
        with self._turn:
            destinations = self._catalog.destinations()
            outbox = self._open(bool(destinations))
            if outbox is None:
                return True
            is_done = self._note(outbox, destinations, positions, time.monotonic() + _SPEND_S / 2)
            is_done &= self._make_payloads(outbox, destinations, time.monotonic() + _SPEND_S / 2)
            if time.monotonic() - self._tidied_at >= _TIDY_S:
                self._tidy(outbox, destinations)
                self._tidied_at = time.monotonic()
            return is_done

    def backfill(
        self, destination: Destination, since: int, until: int, rate: float = 500.0
    ) -> Backfilled:
        """Let a destination be sent the events of a time that the ledger lacks, also those that
        came before it was made; see `Backfill`. Doing it again adds what is missing."""
        pace = _Pace(rate)
        withheld = 0
        for row in self._engine.query(
            "select log_slot, min(log_offset) as first, max(log_offset) as last from copies "
            "where event_time >= $since and event_time < $until group by log_slot",
            {"since": since, "until": until},
        ):
            span = _Span(**row, event_since=since, event_until=until)
            while span.first <= row["last"]:
                # In steps, since who fills in what is new waits meanwhile.
                with self._turn:
                    outbox = self._open(True)
                    assert outbox is not None
                    step = span._replace(last=self._last(span))
                    found = (
                        self._emission(outbox, destination, event)
                        for event in self._events(step, [destination.account_id])
                    )
                    made = [pace.space(emission) for emission in found if emission is not None]
                    outbox.note(made)
                withheld += sum(emission.state == "withheld" for emission in made)
                span = span._replace(first=step.last + 1)
        return Backfilled(pace.events, withheld, pace.due_by)

    def forget(
        self, account_id: str, places: Collection[Place], identifiers: Collection[str]
    ) -> None:
        """Take a person out of the outbox; see `Outbox.forget`."""
        with self._turn:
            outbox = self._open(False)
            if outbox is not None:
                outbox.forget(account_id, places, identifiers)

    def _open(self, make: bool) -> Outbox | None:
        if self._outbox is None and (make or self._file.exists()):
            self._outbox = Outbox(self._file)
        return self._outbox

    # --- what is new --------------------------------------------------------------------------

    def _note(
        self,
        outbox: Outbox,
        destinations: Sequence[Destination],
        positions: Mapping[int, int],
        give_up_at: float,
    ) -> bool:
        known = outbox.positions()
        of_account: dict[str, list[Destination]] = {}
        for destination in destinations:
            of_account.setdefault(destination.account_id, []).append(destination)
        is_recent = datetime.fromtimestamp((now_us() - _LEDGER_D * _DAY_US) / 1e6, UTC)
        for slot, end in positions.items():
            first = known.get(slot, 0)
            while first < end:
                span = _Span(slot, first, end - 1, is_recent)
                span = span._replace(last=self._last(span))
                events = self._events(span, list(of_account))
                emissions = [
                    emission
                    for event in events
                    for destination in of_account[event["account_id"]]
                    if event["first_received_at"] >= destination.created_at * _SECOND_US
                    and (emission := self._emission(outbox, destination, event)) is not None
                ]
                emissions += new_corrections(self._engine, of_account, _place_of(span))
                sightings = [sighting for event in events for sighting in _sightings(event)]
                first = span.last + 1
                outbox.note(emissions, sightings, (slot, first))
                if first < end and time.monotonic() >= give_up_at:
                    return False
        return True

    def _last(self, span: _Span) -> int:
        """The last offset of a step that begins where a span does."""
        (row,) = self._engine.query(
            "select count(*) as copies, max(log_offset) as last from (select log_offset "
            "from copies where log_slot = $log_slot and log_offset between $first and $last "
            "and received_at >= $received_since order by log_offset limit $limit)",
            {**_place_of(span), "limit": _STEP_COPIES},
        )
        return span.last if row["copies"] < _STEP_COPIES else row["last"]

    def _events(self, span: _Span, accounts: list[str]) -> list[dict[str, Any]]:
        if not accounts:
            return []
        return self._engine.query(sql("noted"), {**span._asdict(), "accounts": accounts})

    def _emission(
        self, outbox: Outbox, destination: Destination, event: Mapping[str, Any]
    ) -> NewEmission | None:
        """What becomes of an event at a destination; None when it is not meant for it, or was
        there before."""
        place = event["log_slot"], event["log_offset"]
        if not is_meant(destination, event):
            return None
        if outbox.covers(destination.destination_id, event["places"] or (place,)):
            return None
        due_at = event["first_received_at"] + int(destination.rules.merge_wait_s * _SECOND_US)
        reason = _why_withheld(destination, event)
        state: State = "withheld" if reason else "waiting"
        return NewEmission(
            destination.destination_id,
            *place,
            event["pixel_id"],
            event["event_name"],
            event["event_id"],
            event["event_time"],
            state,
            reason,
            due_at,
        )

    # --- what is due --------------------------------------------------------------------------

    def _make_payloads(
        self, outbox: Outbox, destinations: Sequence[Destination], give_up_at: float
    ) -> bool:
        """Make payloads while there is room, the destinations in turns; whether all is done."""
        queue = deque(each.destination_id for each in destinations if not each.is_paused)
        self._calls += 1
        queue.rotate(self._calls)
        while queue:
            which = queue.popleft()
            if self._make_ready(outbox, which):
                queue.append(which)
            if time.monotonic() >= give_up_at:
                break
        return not queue

    def _make_ready(self, outbox: Outbox, which: str) -> bool:
        """Make payloads of what has been due longest; whether more is due that there is room
        for."""
        room = self._settings.relay_ready_events_max - outbox.count(which, "ready")
        limit = min(room, _STEP_PAYLOADS)
        if room > 0:
            make_due(self._engine, outbox, which, limit)
        due = outbox.due(which, now_us(), limit) if room > 0 else []
        if not due:
            return False
        ids, slots, offsets = map(list, zip(*due, strict=True))
        given = {"ids": ids, "slots": slots, "offsets": offsets}
        found = {
            row["emission_id"]: row["payload"] for row in self._engine.query(sql("payloads"), given)
        }
        outbox.make_ready(found.items(), [each for each in ids if each not in found])
        return limit < room and len(due) == limit

    def _tidy(self, outbox: Outbox, destinations: Sequence[Destination]) -> None:
        now, settings = now_us(), self._settings
        # Nothing of a person's is kept longer than the events themselves.
        longest_d = settings.retention_events_d or _LEDGER_D

        def before(days: int) -> int:
            return now - min(days, longest_d) * _DAY_US

        outbox.abandon([each.destination_id for each in destinations], before(_LEDGER_D))
        outbox.tidy(
            traces_before=before(settings.relay_trace_d),
            failed_before=before(settings.relay_failed_d),
            seen_before=before(_LEDGER_D),
            ledger_before=now - _LEDGER_D * _DAY_US,
        )


def _place_of(span: _Span) -> dict[str, Any]:
    names = ("log_slot", "first", "last", "received_since")
    return {name: getattr(span, name) for name in names}


def is_meant(destination: Destination, event: Mapping[str, Any]) -> bool:
    """Whether the destination's filters let a row of an event pass. What was imported as history is
    meant for none, unless a browser reports it too."""
    rules = destination.rules
    is_history = HISTORY in (event["flags"] or ()) and not event["browser_copies"]
    return (
        not is_history
        and (not rules.pixels or event["pixel_id"] in rules.pixels)
        and (not rules.events or event["event_name"] in rules.events)
        and (not rules.domains or is_listed(host_of(event["event_source_url"]), rules.domains))
    )


def _is_marked(event: Mapping[str, Any], marks: Collection[str] = MARKS) -> bool:
    """Whether a browser alone reported it and its pixel's rules speak against it."""
    return not event["server_copies"] and any(flag in marks for flag in event["flags"] or ())


def _why_withheld(destination: Destination, event: Mapping[str, Any]) -> str:
    """The reason, empty when it is to be sent. Who names an event that browser libraries report
    by themselves wants it."""
    if event["is_test"]:
        return "is_test"
    if "erased" in (event["flags"] or ()):
        return "erased"
    is_named = event["event_name"] in destination.rules.events
    marks = [mark for mark in MARKS if mark != AUTOMATIC] if is_named else MARKS
    return "marked" if _is_marked(event, marks) else ""


def _sightings(event: Mapping[str, Any]) -> Iterator[Sighting]:
    """What a browser showed of each identifier that its event bears."""
    if not event["browser_copies"] or event["is_test"] or _is_marked(event):
        return
    consent, fbp = event["consent"], event["fbp"]
    identifiers = [f"{key}={event[key]}" for key in _SINGLE if event[key]]
    identifiers += [f"{key}={value}" for key in _LISTED for value in event[key] or ()]
    if fbp and consent:
        identifiers.append(f"fbp={fbp}")
    if not identifiers:
        return
    facts = msgspec.json.encode({key: event[key] for key in _FACTS if event[key]}).decode()
    for identifier in identifiers:
        yield Sighting(
            event["account_id"],
            identifier,
            event["event_time"],
            event["log_slot"],
            event["log_offset"],
            event["event_name"],
            fbp,
            facts,
            consent,
            event["event_time"] if consent else None,
        )
