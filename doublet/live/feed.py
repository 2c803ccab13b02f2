"""Follows the tail of every log slot, remembers a little of each account, wakes listeners.

One thread reads for all. What is remembered is what listeners read from: one that is slow holds up
nobody, finds the oldest gone, and is told how many. Whoever names the positions up to which it has
everything gets the rest from the log itself.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from doublet.errors import BusyError, CorruptError
from doublet.live.rows import Place, Row, nobodys, read_row
from doublet.live.statuses import Status, received
from doublet.log import Chunk, segment
from doublet.log.disk import DiskLog

logger = logging.getLogger(__name__)

REMEMBERED_MAX = 500
"""So many records of each account, and once more as many tests and refusals."""

REMEMBERED_AGE = timedelta(hours=1)
ACCOUNTS_MAX = 50
LISTENERS_MAX = 64

_LOOK_S = 0.1
_IDLE_LOOK_S = 1.0
_PAUSE_S = 0.005
_CHUNK_SIZE_BYTES = 256 << 10
_LINE_SIZE_BYTES_MAX = 16 << 10
_BEGIN_SIZE_BYTES = 16 << 20
_OWNERS_S = 3.0
_STATUSES_S = 0.3

_head = re.compile(
    rb'\{"log_offset":(\d+),"record_type":"(event|refused)",'
    rb'"account_id":"([^"\\]*)","pixel_id":"([^"\\]*)"'
).match
_are_positions = re.compile(r"[0-9]{1,5}-[0-9]{1,18}(\.[0-9]{1,5}-[0-9]{1,18}){0,999}").fullmatch
_TEST = b'"test_event_code":"'

Positions = dict[int, int]
"""By slot, the offset of the next record to be read."""


def write_positions(positions: Mapping[int, int]) -> str:
    """Positions as the id of a server-sent event.

    >>> write_positions({1: 20, 0: 5}), read_positions("0-5.1-20"), read_positions("?")
    ('0-5.1-20', {0: 5, 1: 20}, None)
    """
    return ".".join(f"{slot}-{positions[slot]}" for slot in sorted(positions))


def read_positions(text: str) -> Positions | None:
    """What `write_positions` wrote; None for any other text."""
    if not _are_positions(text):
        return None
    pairs = (part.split("-") for part in text.split("."))
    return {int(slot): int(offset) for slot, offset in pairs}


class Wish(NamedTuple):
    """What is listened to: refused requests, and events with `code`, with any code (None), or all
    events with `everything`; of one pixel or (None) of all pixels of the account."""

    account_id: str
    pixel_id: str | None = None
    code: str | None = None
    everything: bool = False

    def fits(self, row: Row) -> bool:
        """Whether a row of the account is wished for."""
        if self.pixel_id not in (None, row.pixel_id):
            return False
        if row.kind == "refused" or self.everything:
            return True
        return bool(row.test_event_code) and self.code in (None, row.test_event_code)


class Entry(NamedTuple):
    """A record: its line, or for a long one its row. `others` are the positions of the other slots
    when it was read."""

    place: Place
    line: bytes | Row
    others: Positions

    @property
    def row(self) -> Row:
        """The record as it is shown."""
        line = self.line
        return line if isinstance(line, Row) else read_row(line, self.place.log_slot)

    @property
    def positions(self) -> Positions:
        """The positions behind this record."""
        return self.others | {self.place.log_slot: self.place.log_offset + 1}


class _Shelf:
    """Records in the order in which they were read; each has a running number."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=REMEMBERED_MAX)
        self.count = 0

    def add(self, entry: Entry) -> None:
        """Put a record last; the oldest may go for it."""
        self.entries.append(entry)
        self.count += 1

    @property
    def first(self) -> int:
        """The number of the oldest."""
        return self.count - len(self.entries)

    def since(self, number: int) -> list[Entry]:
        """Those from a number on."""
        return list(islice(self.entries, max(0, number - self.first), None))

    def forget(self, places: Collection[tuple[int, int]]) -> None:
        """Make the records at these places nobody's; each stays where it is, with its number."""
        for index, entry in enumerate(self.entries):
            if entry.place in places:
                self.entries[index] = entry._replace(line=nobodys(entry.row))

    def forget_before(self, moment: datetime) -> None:
        """Let those go that were received before."""
        while self.entries and self.entries[0].row.received_at < moment:
            self.entries.popleft()


class Part(NamedTuple):
    """What is new for a listener: entries, how many went by unseen, where the feed is now."""

    entries: list[Entry]
    missed: int
    positions: Positions


class Ear:
    """A listener's place in the feed; `wake` is called from the feed's thread when there may be
    something new. `watched` are the places whose status it wants to know."""

    def __init__(self, wish: Wish, wake: Callable[[], None]) -> None:
        self.wish = wish
        self.wake = wake
        self.number = 0
        self.watched: frozenset[Place] = frozenset()


class Feed:
    """See the module. `owners` tells which account has which pixel, `statuses` what the models made
    of an account's copies, `modelled` a number that changes whenever they have made more."""

    def __init__(
        self,
        log_folder: Path,
        owners: Callable[[], Mapping[str, str]],
        statuses: Callable[[str, Collection[Place]], dict[Place, Status]],
        modelled: Callable[[], int],
    ) -> None:
        self._log_folder = log_folder
        self._log = DiskLog(log_folder)
        self._read_owners = owners
        self._owners: Mapping[str, str] = {}
        self._owners_at = float("-inf")
        self._ask_statuses = statuses
        self._modelled = modelled
        self._lock = threading.Lock()
        self._positions: Positions = {}
        self._tests: OrderedDict[str, _Shelf] = OrderedDict()
        self._all: OrderedDict[str, _Shelf] = OrderedDict()
        self._ears: list[Ear] = []
        self._statuses: dict[Place, Status] = {}
        self._statuses_of: tuple[int, frozenset[Place]] = (-1, frozenset())
        self._statuses_at = 0.0
        self._tidied_at = time.monotonic()
        self._damaged: dict[int, int] = {}
        self._wake = threading.Event()
        self.is_closing = False
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)

    def start(self) -> None:
        """Begin to read, with the end of what the log holds."""
        for slot in self._log.partitions():
            self._positions[slot] = _begin(self._log_folder / str(slot))
        self._thread.start()

    def hang_up(self) -> None:
        """Let every listener end; to be called before the server waits for them."""
        self.is_closing = True
        self._wake.set()
        with self._lock:
            ears = list(self._ears)
        for ear in ears:
            ear.wake()

    def stop(self) -> None:
        """Stop reading."""
        self.hang_up()
        if self._thread.is_alive():
            self._thread.join()

    # --- listeners ----------------------------------------------------------------------------

    def open(self, ear: Ear) -> Part:
        """Add a listener: what is remembered for it. Raises BusyError when there are too many."""
        with self._lock:
            if len(self._ears) >= LISTENERS_MAX:
                raise BusyError(
                    f"{LISTENERS_MAX} listeners follow the live feed already.",
                    "Close pages or commands that nobody looks at.",
                )
            self._ears.append(ear)
            shelf = self._shelf(ear.wish)
            ear.number = shelf.count
            part = Part(_young(shelf.entries), 0, dict(self._positions))
        self._wake.set()
        return part

    def close(self, ear: Ear) -> None:
        """Take a listener away; a second time does nothing."""
        with self._lock:
            if ear in self._ears:
                self._ears.remove(ear)

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._ears)

    def take(self, ear: Ear) -> Part:
        """What a listener has not had yet."""
        with self._lock:
            shelf = self._shelf(ear.wish)
            missed = max(0, shelf.first - ear.number)
            part = Part(shelf.since(ear.number), missed, dict(self._positions))
            ear.number = shelf.count
        return part

    def recent(self, wish: Wish) -> list[Row]:
        """The rows that are remembered, the newest first."""
        with self._lock:
            shelf = self._shelves(wish).get(wish.account_id)
            entries = _young(shelf.entries) if shelf else []
        rows = [row for row in (entry.row for entry in entries) if wish.fits(row)]
        return sorted(rows, key=lambda row: (row.received_at, row.place), reverse=True)

    def forget(self, places: Collection[tuple[int, int]]) -> None:
        """Keep of these records only what names nobody; their person was erased."""
        with self._lock:
            for shelves in (self._all, self._tests):
                for shelf in shelves.values():
                    shelf.forget(places)

    def status_of(self, place: Place) -> Status:
        """The status of a copy that a listener watches, as far as it is known."""
        return self._statuses.get(place) or received(place)

    def statuses_of(self, wish: Wish, rows: Collection[Row]) -> dict[Place, Status]:
        """The present status of each event among these rows; asks the models."""
        places = [row.place for row in rows if row.kind == "event"]
        known = self._ask_statuses(wish.account_id, places)
        return {place: known.get(place) or received(place) for place in places}

    def replay(self, wish: Wish, since: Positions, until: Positions) -> Iterator[Entry | None]:
        """The account's records between two positions, slot by slot, from the log; None after each
        chunk, so that the caller may pause. Raises CorruptError where the log is damaged."""
        log, at = DiskLog(self._log_folder), dict(since)
        for slot, end in until.items():
            position = since.get(slot, 0)
            while position < end:
                chunk = log.read(slot, position, _CHUNK_SIZE_BYTES)
                if chunk is None:
                    break
                for account_id, is_test, entry in self._entries(chunk, at):
                    is_theirs = account_id == wish.account_id and (is_test or wish.everything)
                    if is_theirs and position <= entry.place.log_offset < end:
                        yield entry
                position = chunk.next_position
                yield None
            at[slot] = max(position, end)

    def has_lost(self, since: Positions) -> bool:
        """Whether the log may have been freed of records behind these positions."""
        for slot in self._log.partitions():
            paths = segment.segments(self._log_folder / str(slot))
            if slot in since and paths and segment.first_offset(paths[0]) > since[slot]:
                return True
        return False

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self.is_closing:
            more = False
            try:
                more = self.look()
            except Exception:
                # What hinders the feed must not end the worker, which loads the same log.
                logger.exception("live-feed-failed")
                self._log = DiskLog(self._log_folder)
            self._wake.wait(_PAUSE_S if more else _LOOK_S if self._ears else _IDLE_LOOK_S)
            self._wake.clear()

    def look(self) -> bool:
        """Read what is new, at most a chunk of each slot; whether there is more at once."""
        more = False
        for slot in self._log.partitions():
            position = self._begin_of(slot)
            try:
                chunk = self._log.read(slot, position, _CHUNK_SIZE_BYTES)
            except CorruptError as error:
                if self._damaged.get(slot) != position:
                    logger.error("live-feed-damaged %s", error)
                self._damaged[slot] = position
                continue
            if chunk is not None:
                self._take_in(chunk)
                more = True
        self._look_for_statuses()
        self._tidy()
        return more

    def _begin_of(self, slot: int) -> int:
        """Where to read on in a slot; one that is new has a place too before it has records."""
        with self._lock:
            if slot not in self._positions:
                self._positions[slot] = _begin(self._log_folder / str(slot))
            return self._positions[slot]

    def _take_in(self, chunk: Chunk) -> None:
        found = list(self._entries(chunk, self._positions))
        touched = set()
        with self._lock:
            for account_id, is_test, entry in found:
                touched.add(account_id)
                self._shelf_of(self._all, account_id).add(entry)
                if is_test:
                    self._shelf_of(self._tests, account_id).add(entry)
            self._positions[chunk.partition] = chunk.next_position
            ears = [ear for ear in self._ears if ear.wish.account_id in touched]
        for ear in ears:
            ear.wake()

    def _entries(self, chunk: Chunk, at: Positions) -> Iterator[tuple[str, bool, Entry]]:
        """Each record of a chunk that belongs to an account: the account, whether it is a test or a
        refusal, and the entry."""
        slot = chunk.partition
        others = {other: position for other, position in at.items() if other != slot}
        for line in chunk.lines.split(b"\n"):
            head = _head(line)
            if head is None:
                continue
            offset, kind, account, pixel = head.groups()
            account_id = account.decode() or self._owner(pixel.decode())
            if account_id:
                kept = line if len(line) <= _LINE_SIZE_BYTES_MAX else read_row(line, slot)
                is_test = kind == b"refused" or _TEST in line
                yield account_id, is_test, Entry(Place(slot, int(offset)), kept, others)

    def _owner(self, pixel_id: str) -> str:
        """The account of a pixel, empty when nobody has it. Of a refused request no token may have
        proved the account; its reason is for whoever owns the pixel that it named."""
        if not pixel_id:
            return ""
        now = time.monotonic()
        if pixel_id not in self._owners and now - self._owners_at > _OWNERS_S:
            self._owners, self._owners_at = self._read_owners(), now
        return self._owners.get(pixel_id, "")

    def _shelf(self, wish: Wish) -> _Shelf:
        return self._shelf_of(self._shelves(wish), wish.account_id)

    def _shelves(self, wish: Wish) -> OrderedDict[str, _Shelf]:
        return self._all if wish.everything else self._tests

    def _shelf_of(self, shelves: OrderedDict[str, _Shelf], account_id: str) -> _Shelf:
        shelf = shelves.get(account_id)
        if shelf is None:
            shelf = shelves[account_id] = _Shelf()
            if len(shelves) > ACCOUNTS_MAX + LISTENERS_MAX:
                self._forget_accounts(shelves)
        shelves.move_to_end(account_id)
        return shelf

    def _forget_accounts(self, shelves: OrderedDict[str, _Shelf]) -> None:
        """Those that have been silent for the longest, and that nobody listens to."""
        heard = {ear.wish.account_id for ear in self._ears}
        silent = [account_id for account_id in shelves if account_id not in heard]
        for account_id in silent[: len(shelves) - ACCOUNTS_MAX]:
            if account_id != next(reversed(shelves)):
                del shelves[account_id]

    def _look_for_statuses(self) -> None:
        """Ask the models again when they have made more, or when more is watched."""
        now = time.monotonic()
        if now - self._statuses_at < _STATUSES_S:
            return
        with self._lock:
            ears = list(self._ears)
        watched = frozenset().union(*(ear.watched for ear in ears))
        asked = (self._modelled(), watched)
        if asked == self._statuses_of:
            return
        known: dict[Place, Status] = {}
        for account_id in {ear.wish.account_id for ear in ears}:
            of = {
                place for ear in ears if ear.wish.account_id == account_id for place in ear.watched
            }
            known |= self._ask_statuses(account_id, of)
        self._statuses_at, self._statuses_of, self._statuses = now, asked, known
        for ear in ears:
            ear.wake()

    def _tidy(self) -> None:
        """Forget what is old, so that nothing of a person stays here for ever."""
        if time.monotonic() - self._tidied_at < 60:
            return
        self._tidied_at = time.monotonic()
        with self._lock:
            for shelves in (self._all, self._tests):
                for shelf in shelves.values():
                    shelf.forget_before(datetime.now(UTC) - REMEMBERED_AGE)


def _young(entries: Collection[Entry]) -> list[Entry]:
    """Those that are not too old to be shown to somebody who comes now."""
    since = datetime.now(UTC) - REMEMBERED_AGE
    return [entry for entry in entries if entry.row.received_at >= since]


def _begin(place: Path) -> int:
    """Where to begin in a slot: with the newest segments that are not too large together."""
    position, room = 0, _BEGIN_SIZE_BYTES
    for path in reversed(segment.segments(place)):
        room -= path.stat().st_size
        if position and room < 0:
            break
        position = segment.first_offset(path)
    return position
