"""One listener of the feed, inside an event loop: rows as they come, their statuses, gaps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec

from doublet.errors import CorruptError
from doublet.live.feed import Ear, Entry, Feed, Part, Positions, Wish, write_positions
from doublet.live.rows import Place, Row
from doublet.live.statuses import Status

SILENT_S_MAX = 10.0
"""After so long without news a message without content says that the connection lives."""

LISTENING_S_MAX = 3600.0
"""Then a listener has to come again, with its token."""

_WATCHED_MAX = 500


class Gap(msgspec.Struct, frozen=True):
    """So many records went by unseen; None when nobody knows how many."""

    missed: int | None
    says: str
    kind: Literal["gap"] = "gap"


class Message(NamedTuple):
    """What a listener gets. With `position` as its Last-Event-ID it misses nothing that follows;
    empty where that would not be so."""

    position: str
    content: Row | Status | Gap | None


class Listener:
    """One listener; `since` are the positions up to which it has everything already, None for one
    that wants what is remembered."""

    def __init__(self, feed: Feed, wish: Wish, since: Positions | None) -> None:
        self._feed = feed
        self._wish = wish
        self._since = since
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ear = Ear(wish, self._wake)
        self._told: dict[Place, Status] = {}

    def _wake(self) -> None:
        # The loop may have ended, together with whoever listened.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    async def messages(self) -> AsyncIterator[Message]:
        """Until the listener goes, the worker stops, or it is time to come again. Raises BusyError
        at once when there are too many listeners."""
        ends_at = time.monotonic() + LISTENING_S_MAX
        try:
            part = self._feed.open(self._ear)
            if self._since is None:
                for message in self._rows(part.entries):
                    yield message
            else:
                async for message in self._catch_up(self._since, part.positions):
                    yield message
            yield self._silence(part)
            while not self._feed.is_closing and time.monotonic() < ends_at:
                self._news.clear()
                messages, part = self._next()
                if not messages and not await self._hears():
                    messages, part = self._next()
                    messages.append(self._silence(part))
                for message in messages:
                    yield message
        finally:
            self._feed.close(self._ear)

    async def _hears(self) -> bool:
        try:
            await asyncio.wait_for(self._news.wait(), SILENT_S_MAX)
        except TimeoutError:
            return False
        return True

    def _next(self) -> tuple[list[Message], Part]:
        part = self._feed.take(self._ear)
        messages = []
        if part.missed:
            says = f"{part.missed:,} records came faster than this listener took them."
            messages.append(Message("", Gap(part.missed, says)))
        return [*messages, *self._rows(part.entries), *self._changes()], part

    def _silence(self, part: Part) -> Message:
        return Message(self._at(part.positions), None)

    def _at(self, positions: Positions) -> str:
        """Positions as an id. A feed that has just begun may be behind what the listener has."""
        since = self._since or {}
        return write_positions(
            since | {slot: max(at, since.get(slot, 0)) for slot, at in positions.items()}
        )

    def _rows(self, entries: list[Entry]) -> list[Message]:
        since = self._since or {}
        messages = []
        for entry in entries:
            is_new = entry.place.log_offset >= since.get(entry.place.log_slot, 0)
            if is_new and self._wish.fits(row := entry.row):
                messages.append(Message(self._at(entry.positions), row))
                self._watch(row)
        return messages

    def _watch(self, row: Row) -> None:
        if row.kind == "event":
            self._told[row.place] = self._feed.status_of(row.place)
            while len(self._told) > _WATCHED_MAX:
                del self._told[next(iter(self._told))]
            self._ear.watched = frozenset(self._told)

    def _changes(self) -> list[Message]:
        changed = []
        for place, told in self._told.items():
            status = self._feed.status_of(place)
            if status != told and status.status != "received":
                changed.append(status)
        self._told.update({Place(s.log_slot, s.log_offset): s for s in changed})
        return [Message("", status) for status in changed]

    async def _catch_up(self, since: Positions, until: Positions) -> AsyncIterator[Message]:
        """What came between, from the log."""
        if await asyncio.to_thread(self._feed.has_lost, since):
            says = "The log may no longer hold all that came meanwhile; the reports do."
            yield Message("", Gap(None, says))
        records = self._feed.replay(self._wish, since, until)
        while not self._feed.is_closing:
            try:
                entries, is_over = await asyncio.to_thread(_a_chunk, records)
            except CorruptError:
                yield Message("", Gap(None, "A part of the log is damaged; /health says more."))
                return
            for message in self._rows(entries):
                yield message
            if is_over:
                return


def _a_chunk(records: Iterator[Entry | None]) -> tuple[list[Entry], bool]:
    """The next records up to a pause; whether they are the last."""
    entries: list[Entry] = []
    for entry in records:
        if entry is None:
            return entries, False
        entries.append(entry)
    return entries, True
