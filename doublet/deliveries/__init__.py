"""What shops delivered, besides what became records: which deliveries were taken, who the visitor
of a cart is, and the errands that an answer could not wait for. One SQLite file, which collectors
fill and the worker empties.

Nothing personal but cookies, addresses, user agents and hashes is in it; they are kept for
VISITOR_S, and `forget` takes a person out sooner.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from doublet.errors import BusyError
from doublet.sqlite_file import copied, opened, version_of, written

VERSION = 1
SEEN_S = 3 * 86_400
"""How long a repeat is known as one; the platform that tries longest does so for two days."""
VISITOR_S = 30 * 86_400
"""How long the visitor of a cart is kept."""
DONE_S = 90 * 86_400
"""How long an errand that is done can be looked at."""

Outcome = Literal["taken", "passed_over", "repeated", "refused", "unproven", "pinged"]

_BUSY_TIMEOUT_S = 10.0


class Asked(NamedTuple):
    """An errand to do: an `order` to complete, a person to `erase` or `export`. `subject` is JSON
    in which personal values are hashed."""

    kind: str
    subject: Mapping[str, Any]


class Errand(NamedTuple):
    """An errand as it stands; times in Unix seconds, `asked_at` in nanoseconds."""

    errand_id: int
    shop_id: str
    account_id: str
    kind: str
    subject: dict[str, Any]
    asked_at: int
    tries: int
    due_at: int
    problem: str
    outcome: str | None
    done_at: int | None


class Count(NamedTuple):
    """How many deliveries of a topic ended in an outcome, and when the last did."""

    topic: str
    outcome: str
    deliveries: int
    last_at: int


_ERRAND = (
    "errand_id, shop_id, account_id, kind, subject, asked_at, tries, due_at, problem, outcome, "
    "done_at"
)


@cache
def _schema() -> str:
    return files("doublet.deliveries").joinpath("schema.sql").read_text("utf-8")


def copy_deliveries(file: Path, target: Path) -> int | None:
    """Copy the file as it is at one moment while others use it, without visitors, who are to be
    gone sooner than a backup; its format, None where there is none. Raises CorruptError."""
    if not file.exists():
        return None
    with copied(file, target) as writing:
        writing.execute("delete from visitors")
        return version_of(writing)


class Deliveries:
    """A connection to the file; thread-safe."""

    def __init__(self, file: Path) -> None:
        """Make the file, for this user alone, where there is none. Raises NewerFormatError."""
        self._lock = threading.Lock()
        self._db = opened(file, VERSION, _schema(), _BUSY_TIMEOUT_S)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable when it ends. Raises BusyError when the disk does not take
        it."""
        with self._lock:
            try:
                with written(self._db) as db:
                    yield db
            except sqlite3.OperationalError as error:
                raise BusyError(
                    f"Deliveries cannot be kept: {error}.", "Try again later."
                ) from error

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # --- taking -------------------------------------------------------------------------------

    def was_seen(self, shop_id: str, delivery_id: str) -> bool:
        """Whether this delivery was taken before."""
        query = "select 1 from seen where shop_id = ? and delivery_id = ?"
        return bool(delivery_id and self._read(query, shop_id, delivery_id))

    def count(self, counts: Mapping[tuple[str, str, Outcome], int]) -> None:
        """More deliveries, by shop, topic and outcome, of which nothing else is kept."""
        with self._write() as db:
            for (shop_id, topic, outcome), deliveries in counts.items():
                _count(db, shop_id, topic, outcome, deliveries)

    def take(
        self,
        shop_id: str,
        account_id: str,
        topic: str,
        outcome: Outcome,
        delivery_id: str = "",
        errands: Iterable[Asked] = (),
    ) -> None:
        """Keep that a delivery was taken, and what it asks for; durable when it returns. An errand
        that is open already is asked for again."""
        now_ns = time.time_ns()
        now = now_ns // 10**9
        with self._write() as db:
            _count(db, shop_id, topic, outcome)
            if delivery_id:
                db.execute(
                    "insert into seen values (?, ?, ?) on conflict do nothing",
                    (shop_id, delivery_id, now),
                )
            for errand in errands:
                db.execute(
                    "insert into errands (shop_id, account_id, kind, subject, asked_at, due_at) "
                    "values (?, ?, ?, ?, ?, ?) on conflict (shop_id, kind, subject) "
                    "where outcome is null do update set asked_at = excluded.asked_at",
                    (
                        shop_id,
                        account_id,
                        errand.kind,
                        msgspec.json.encode(errand.subject, order="sorted").decode(),
                        now_ns,
                        now,
                    ),
                )

    # --- visitors -----------------------------------------------------------------------------

    def remember(self, shop_id: str, tokens: Collection[str], fields: Mapping[str, str]) -> None:
        """Keep who went through these carts and checkouts; newer fields replace older."""
        if not fields or not tokens:
            return
        with self._write() as db:
            for token in tokens:
                db.execute(
                    "insert into visitors values (?, ?, ?, ?) on conflict do update set "
                    "fields = json_patch(fields, excluded.fields), seen_at = excluded.seen_at",
                    (shop_id, token, msgspec.json.encode(fields).decode(), int(time.time())),
                )

    def visitor(self, shop_id: str, tokens: Collection[str]) -> dict[str, str]:
        """What is known of who went through one of these."""
        marks = ", ".join("?" * len(tokens))
        query = (
            f"select fields from visitors where shop_id = ? and token in ({marks}) "
            "order by seen_at, token"
        )
        found: dict[str, str] = {}
        for (fields,) in self._read(query, shop_id, *tokens):
            found |= msgspec.json.decode(fields, type=dict[str, str])
        return found

    # --- errands ------------------------------------------------------------------------------

    def due(self, now: float, limit: int = 20) -> list[Errand]:
        """Errands to do now, those that wait longest first."""
        query = (
            f"select {_ERRAND} from errands where outcome is null and due_at <= ? "
            "order by due_at, errand_id limit ?"
        )
        return [_errand(row) for row in self._read(query, int(now), limit)]

    def settle(self, errand: Errand, outcome: str) -> None:
        """Close an errand; one that was asked for again meanwhile stays open."""
        with self._write() as db:
            db.execute(
                "update errands set outcome = ?, done_at = ?, problem = '' "
                "where errand_id = ? and asked_at = ?",
                (outcome, int(time.time()), errand.errand_id, errand.asked_at),
            )

    def postpone(self, errand: Errand, due_at: float, problem: str) -> None:
        """Try an errand again later, and say why."""
        with self._write() as db:
            db.execute(
                "update errands set tries = tries + 1, due_at = ?, problem = ? where errand_id = ?",
                (int(due_at), problem, errand.errand_id),
            )

    def errands(self, shop_ids: Collection[str], *, only_open: bool = False) -> list[Errand]:
        """Errands of some shops, newest first, a thousand at most."""
        marks = ", ".join("?" * len(shop_ids))
        which = " and outcome is null" if only_open else ""
        query = (
            f"select {_ERRAND} from errands where shop_id in ({marks}){which} "
            "order by errand_id desc limit 1000"
        )
        return [_errand(row) for row in self._read(query, *shop_ids)]

    # --- looking, forgetting ------------------------------------------------------------------

    def counts(self, shop_id: str) -> list[Count]:
        """Deliveries of a shop by topic and outcome."""
        query = (
            "select topic, outcome, deliveries, last_at from counts where shop_id = ? "
            "order by topic, outcome"
        )
        return [Count(*row) for row in self._read(query, shop_id)]

    def forget(self, shop_ids: Collection[str], identifiers: Collection[str]) -> None:
        """Take out visitors with one of these identifiers (`fbp=…`, `fbc=…`)."""
        pairs = [identifier.partition("=") for identifier in identifiers]
        wanted = {(key, value) for key, _, value in pairs if key in ("fbp", "fbc")}
        marks = ", ".join("?" * len(shop_ids))
        with self._write() as db:
            for key, value in wanted:
                db.execute(
                    f"delete from visitors where shop_id in ({marks}) "
                    "and json_extract(fields, ?) = ?",
                    (*shop_ids, f"$.{key}", value),
                )

    def tidy(self, now: float) -> None:
        """Let go of what is old."""
        with self._write() as db:
            for query, age_s in (
                ("delete from seen where seen_at < ?", SEEN_S),
                ("delete from visitors where seen_at < ?", VISITOR_S),
                ("delete from errands where done_at < ?", DONE_S),
            ):
                db.execute(query, (int(now) - age_s,))


def _count(
    db: sqlite3.Connection, shop_id: str, topic: str, outcome: Outcome, deliveries: int = 1
) -> None:
    db.execute(
        "insert into counts values (?, ?, ?, ?, ?) on conflict do update set "
        "deliveries = deliveries + excluded.deliveries, last_at = excluded.last_at",
        (shop_id, topic, outcome, deliveries, int(time.time())),
    )


def _errand(row: tuple[Any, ...]) -> Errand:
    columns = dict(zip(Errand._fields, row, strict=True))
    columns["subject"] = msgspec.json.decode(columns["subject"])
    return Errand(**columns)
