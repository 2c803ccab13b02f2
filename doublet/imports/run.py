"""A file of conversions into the log: looked through first, then imported, each row exactly once.

A row without an event id gets one that is made of what it says: the order's, otherwise a digest
with the number of its occurrence. So a row is the same event in whatever file it comes again. An
import that was cut off goes on where it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import Arrival, with_lead_id
from doublet.accept.fields import Fault as LeadFault
from doublet.accept.leads import EVENT_SOURCE
from doublet.accept.record import event_record
from doublet.catalog import Account
from doublet.collect.appender import Clock
from doublet.deposit import Deposit, deposit, has_landed
from doublet.event import WireEvent
from doublet.imports.book import NO_KEY, Book, Group, Progress, Seen
from doublet.imports.files import Fault, FileSource
from doublet.imports.mapping import Mapping
from doublet.imports.rows import Made, RowMapper
from doublet.processes import FileLock
from doublet.refusal import Refusal
from doublet.settings import Settings

_GROUP = 1000
_ROWS_WITHOUT_EVENTS = 20_000
_DIGITS = 24

REPEATED_DAY = "repeated_day"
PARTS_OF_ONE = frozenset((REPEATED_DAY,))
"""Reasons why a file is refused even when its bad rows may be left out: each of such rows is a part
of one figure, and so are those of them that are taken for good."""

OnProgress = Callable[[int], None]
OnFault = Callable[[Fault], None]


class Importable(Protocol):
    """A file to import: `key` names it with its meaning, so that an import can go on; `steps` are
    what becomes of its rows behind the first `after`. `owner` is whose the records are, a number;
    the book knows their keys by it. `noun` is what they are called."""

    @property
    def source(self) -> FileSource:
        """The file."""

    @property
    def account(self) -> Account:
        """Whose log it goes into."""

    @property
    def owner(self) -> str:
        """Digits of a pixel's or an account's id."""

    @property
    def noun(self) -> str:
        """Of many."""

    def key(self) -> str:
        """Names the same file with the same meaning."""

    def steps(self, arrive: Callable[[], Arrival], after: int) -> Iterator[Step]:
        """What becomes of each row; of the first `after`, only what later ones need is looked
        at."""


class Plan(NamedTuple):
    """A file of conversions, what its columns are, and whose pixel it is for. `is_history` takes
    events of any age, which are told to no destination. `phone_country` is that of numbers without
    a country code."""

    source: FileSource
    mapping: Mapping
    account: Account
    pixel_id: str
    is_history: bool = False
    phone_country: str = ""

    @property
    def owner(self) -> str:
        """The pixel."""
        return self.pixel_id

    @property
    def noun(self) -> str:
        """What its rows become."""
        return "events"

    def steps(self, arrive: Callable[[], Arrival], after: int) -> Iterator[Step]:
        """What becomes of each row."""
        return _steps(self, arrive, after)

    def key(self) -> str:
        """Names the same file with the same meaning, so that an import can go on."""
        zone = self.mapping.time_zone or self.account.time_zone
        said = msgspec.json.encode(
            (self.source.digest(), self.mapping, self.pixel_id, self.is_history, zone),
            order="deterministic",
        )
        return blake2b(said, digest_size=16).hexdigest()


class Checked(NamedTuple):
    """What a file holds beyond the rows that are done already: good rows, those of them whose
    events are known, rows that repeat one of the file, bad rows by reason, the first of them, and
    what is odd about good ones, by flag."""

    rows: int
    good: int
    known: int
    repeated: int
    bad: dict[str, int]
    first: list[Fault]
    flags: dict[str, int]


class Imported(NamedTuple):
    """What an import did: rows that were done before, events that went into the log, those that
    were known, rows that repeat one of the file, bad rows left out."""

    resumed_after: int
    imported: int
    known: int
    repeated: int
    bad: int


class Step(NamedTuple):
    """What becomes of a row (or of several that are one event): how many rows are done with it, and
    its record and key, or a fault; none of them when it repeats an earlier row. A record without a
    key is imported whenever it comes."""

    rows: int
    line: int
    record: bytes = b""
    key: int = NO_KEY
    flags: list[str] | None = None
    fault: Fault | None = None


class _Stamped(msgspec.Struct):
    event_key: int
    flags: list[str] | None = None


class _Received(msgspec.Struct):
    received_at: int


_decode_stamped = msgspec.json.Decoder(_Stamped).decode
_decode_received = msgspec.json.Decoder(_Received).decode
_encode_sorted = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


@contextmanager
def open_book(settings: Settings) -> Iterator[Book]:
    """The book of imports, settled, for this process alone. Raises LockedError."""
    lock = FileLock(settings.run_folder / "imports.lock", f"The import into {settings.data}")
    try:
        book = Book(settings.imports_file)
        try:
            book.settle(partial(has_landed, settings))
            yield book
        finally:
            book.close()
    finally:
        lock.release()


def check(
    plan: Importable,
    book: Book,
    after: int = 0,
    on_progress: OnProgress | None = None,
    on_fault: OnFault | None = None,
    faults_max: int = 20,
) -> Checked:
    """Look through the rows of a file behind the first `after`, without importing anything."""
    clock = Clock()
    account_id = plan.account.account_id

    def arrive() -> Arrival:
        return Arrival(account_id, "", "server", clock.stamp(), 0)

    bad: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    first: list[Fault] = []
    rows = good = known = repeated = 0
    keys: list[int] = []
    for step in plan.steps(arrive, after):
        rows = step.rows
        if on_progress is not None:
            on_progress(rows)
        if step.fault is not None:
            bad[step.fault.reason] += 1
            if len(first) < faults_max:
                first.append(step.fault)
            if on_fault is not None:
                on_fault(step.fault)
        elif not step.record:
            repeated += 1
        else:
            good += 1
            flags.update(step.flags or ())
            if step.key != NO_KEY:
                keys.append(step.key)
            if len(keys) == _GROUP:
                known += len(book.known(plan.owner, keys))
                keys.clear()
    known += len(book.known(plan.owner, keys))
    return Checked(rows, good, known, repeated, dict(bad), first, dict(flags))


def bring_in(
    settings: Settings,
    plan: Importable,
    book: Book,
    file_key: str,
    on_progress: OnProgress | None = None,
) -> Imported:
    """Import what of a file is not imported yet; bad rows are left out. What was imported is
    durable."""
    began = book.progress(file_key)
    book.begin(file_key, plan.owner)
    with deposit(settings, plan.account.account_id) as slot:
        group = _Gathering(plan, book, slot, file_key, began)
        for step in plan.steps(slot.arrival, began.rows):
            group.add(step)
            if on_progress is not None:
                on_progress(step.rows)
        group.flush()
    book.end(file_key)
    return Imported(began.rows, group.imported, group.known, group.repeated, group.bad - began.bad)


class _Gathering:
    """Steps on their way into the log, a group at a time."""

    def __init__(
        self, plan: Importable, book: Book, slot: Deposit, file_key: str, began: Progress
    ) -> None:
        self._plan, self._book, self._slot, self._file_key = plan, book, slot, file_key
        self._steps: list[Step] = []
        self._keys: set[int] = set()
        self._flushed_at = self._rows = began.rows
        self.bad = began.bad
        self.imported = self.known = self.repeated = 0

    def add(self, step: Step) -> None:
        """Take in the next one."""
        self._rows = step.rows
        if step.fault is not None:
            self.bad += 1
        elif not step.record or step.key in self._keys:
            self.repeated += 1
        else:
            self._steps.append(step)
            if step.key != NO_KEY:
                self._keys.add(step.key)
        if len(self._steps) >= _GROUP or self._rows - self._flushed_at >= _ROWS_WITHOUT_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Make durable what is gathered, but for what is known."""
        known = self._book.known(self._plan.owner, self._keys)
        fresh = [step for step in self._steps if step.key not in known]
        self.known += len(known)
        self._steps.clear()
        self._keys.clear()
        if fresh:
            first = _decode_received(fresh[0].record)
            keys = [step.key for step in fresh]
            place = self._slot.place
            self._book.announce(
                Group(self._file_key, place, first.received_at, keys, self._rows, self.bad)
            )
            self._slot.append([step.record for step in fresh])
            self._book.confirm()
            self.imported += len(fresh)
        else:
            self._book.pass_over(self._file_key, self._rows, self.bad)
        self._flushed_at = self._rows


# --- row by row ------------------------------------------------------------------------------


def _steps(plan: Plan, arrive: Callable[[], Arrival], after: int) -> Iterator[Step]:
    """What becomes of each row; of the first `after`, only what later ones need is looked at."""
    mapper = RowMapper(plan.mapping, ZoneInfo(plan.account.time_zone))
    seen = Seen()
    rows = 0
    try:
        with plan.source.rows() as found:
            for made in mapper.events(found):
                rows += made.rows
                named = _named(made, seen, mapper)
                if rows <= after:
                    continue
                yield _step(plan, mapper, rows, made.line, named, arrive)
    finally:
        seen.close()


def _step(
    plan: Plan,
    mapper: RowMapper,
    rows: int,
    line: int,
    named: WireEvent | Fault | None,
    arrive: Callable[[], Arrival],
) -> Step:
    if named is None:
        return Step(rows, line)
    if isinstance(named, Fault):
        return Step(rows, line, fault=named)
    arrival = arrive()
    arrival.pixel_id = plan.pixel_id
    arrival.is_history = plan.is_history
    arrival.phone_country = plan.phone_country
    try:
        record = event_record(named, arrival, 0, None)
    except UnicodeError:
        fault = Fault(line, "", "bad_encoding", "It holds what is no text.")
        return Step(rows, line, fault=fault)
    if isinstance(record, Refusal):
        column = mapper.column_of(record.field)
        fault = Fault(line, column, record.reason.label, _sentence(record))
        return Step(rows, line, fault=fault)
    stamped = _decode_stamped(record)
    return Step(rows, line, record, stamped.event_key, stamped.flags)


def _sentence(refusal: Refusal) -> str:
    message = refusal.message.replace("The parameter $['user_data'] is required", "It names nobody")
    return message if message.endswith(".") else f"{message}."


def _named(made: Made, seen: Seen, mapper: RowMapper) -> WireEvent | Fault | None:
    """The event with an id; None when the row repeats an earlier one, a fault when it contradicts
    one."""
    event = made.event
    if isinstance(event, Fault):
        return event
    if (event.custom_data or {}).get("event_source") == EVENT_SOURCE:
        try:
            return with_lead_id(event)
        except LeadFault as fault:
            return Fault(made.line, mapper.column_of("lead_id"), "lead_id", str(fault))
    if event.event_id:
        return _apart(made.line, event, seen, mapper)
    said = _digest(event)
    order_id = (event.custom_data or {}).get("order_id")
    if order_id:
        event.event_id = str(order_id)
        key = ("order", event.event_name, str(order_id), *_item(event))
        times, is_same, first = seen.count(_digest(key), said, made.line)
        if times == 1:
            return event
        if is_same:
            return None
        return Fault(
            made.line,
            mapper.column_of("order_id"),
            "repeated_order",
            f"The order is on line {first} already, with other values; keep one row per order, or "
            "map a column to event_id.",
        )
    times, _, _ = seen.count(b"r" + said, said, made.line)
    event.event_id = f"row-{said.hex()[:_DIGITS]}"
    if times > 1:
        event.event_id += f"-{times}"
        if event.action_source == "physical_store":
            # What is offline is told apart by its item, and not by an id.
            event.custom_data = {"item_number": str(times), **(event.custom_data or {})}
    return _apart(made.line, event, seen, mapper)


def _apart(line: int, event: WireEvent, seen: Seen, mapper: RowMapper) -> WireEvent | Fault:
    """Offline events of one moment and person would be counted as one: refuse the second when it
    says something else."""
    custom = event.custom_data or {}
    if event.action_source != "physical_store" or custom.get("order_id"):
        return event
    key = ("offline", event.event_name, event.event_time, _item(event), event.user_data)
    _, is_same, first = seen.count(_digest(key), _digest(event), line)
    if is_same:
        return event
    return Fault(
        line,
        mapper.column_of("event_time"),
        "same_moment",
        f"In a shop it would be the same event as line {first}: same name, time and person; map a "
        "column to order_id or item_number.",
    )


def _item(event: WireEvent) -> tuple[str, ...]:
    """What tells lines of one order apart in a shop (Meta, *Offline events*)."""
    item = (event.custom_data or {}).get("item_number")
    return (str(item),) if item and event.action_source == "physical_store" else ()


def _digest(said: object) -> bytes:
    return blake2b(_encode_sorted(said), digest_size=16).digest()
