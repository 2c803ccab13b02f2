"""Messages about orders from files and from the command line, into the log.

A file is looked through first and imported only when all of its lines are good, as a request is.
What was imported is durable. Importing a file again repeats nothing: a message counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from doublet.accept import Arrival, OrderFile, order_record
from doublet.catalog import Account
from doublet.collect.appender import Clock
from doublet.deposit import deposit
from doublet.errors import SenderError
from doublet.event import WireOrder
from doublet.refusal import Refusal
from doublet.settings import Settings

_GROUP = 1000
_TOLD_MAX = 20

OnProgress = Callable[[int], None]


class Bad(NamedTuple):
    """A line of a file that is no message."""

    line: int
    column: str
    message: str


class Checked(NamedTuple):
    """What a file holds: good messages by kind, bad lines, and columns that were left aside."""

    kinds: dict[str, int]
    bad: list[Bad]
    ignored: list[str]

    @property
    def good(self) -> int:
        """How many lines are messages."""
        return sum(self.kinds.values())


def send_one(settings: Settings, account: Account, message: WireOrder) -> None:
    """Make one message durable. Raises SenderError when it is wrong."""
    with deposit(settings, account.account_id) as slot:
        record = order_record(message, slot.arrival())
        if isinstance(record, Refusal):
            raise SenderError(record.message, "`doublet order correct --help` says what is needed.")
        slot.append([record])


def check_file(path: Path, account: Account, on_progress: OnProgress | None = None) -> Checked:
    """Look through a file without importing anything. Raises SenderError when it is no CSV file of
    messages at all."""
    kinds: Counter[str] = Counter()
    bad: list[Bad] = []
    clock = Clock()
    with _opened(path, account) as file:
        for line in file:
            record: bytes | Refusal | WireOrder = line.message
            if isinstance(line.message, WireOrder):
                arrival = Arrival(account.account_id, "", "server", clock.stamp(), 0)
                record = order_record(line.message, arrival)
            if isinstance(record, Refusal):
                bad.append(Bad(line.number, record.field, record.message))
            elif isinstance(line.message, WireOrder):
                kinds[str(line.message.kind)] += 1
            if on_progress is not None:
                on_progress(1)
        return Checked(dict(kinds), bad, file.ignored)


def import_file(
    settings: Settings, account: Account, path: Path, on_progress: OnProgress | None = None
) -> int:
    """Make the good messages of a file durable; how many there were."""
    imported = 0
    with deposit(settings, account.account_id) as slot, _opened(path, account) as file:
        messages = (line.message for line in file if isinstance(line.message, WireOrder))
        records = (order_record(message, slot.arrival()) for message in messages)
        found = (record for record in records if isinstance(record, bytes))
        while group := list(islice(found, _GROUP)):
            slot.append(group)
            imported += len(group)
            if on_progress is not None:
                on_progress(len(group))
    return imported


def listing(path: Path, checked: Checked) -> str:
    """The first bad lines of a file, one a line, under a heading."""
    total = checked.good + len(checked.bad)
    lines = [f"{len(checked.bad):,} of {total:,} lines of {path.name} are wrong:"]
    for bad in checked.bad[:_TOLD_MAX]:
        column = f", column {bad.column}" if bad.column else ""
        lines.append(f"line {bad.line}{column}: {bad.message}")
    if len(checked.bad) > _TOLD_MAX:
        lines.append(f"… and {len(checked.bad) - _TOLD_MAX:,} more.")
    return "\n".join(lines)


@contextmanager
def _opened(path: Path, account: Account) -> Iterator[OrderFile]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            file = OrderFile(lines, ZoneInfo(account.time_zone))
            if file.problem is not None:
                raise SenderError(
                    f"{path.name}: {file.problem.message}",
                    "Begin the file with the columns' names.",
                )
            yield file
    except UnicodeDecodeError as error:
        raise SenderError(
            f"{path.name} is not UTF-8 (byte {error.start} of a part).", "Save it as UTF-8."
        ) from error
