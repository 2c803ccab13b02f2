"""Customer lists: the rows that were given for audiences, by hashes alone.

An audience has one list that counts (*live*). One that replaces it is gathered beside it (*staged*)
and takes its place by a word in its row. What is no list's any longer (*old*) is cleared away bit
by bit, so that no other process waits long for the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.list_rows import (
    EXTERNAL_ID,
    chunks,
    delete,
    holders_of,
    put,
    split,
    take_out,
    without_external,
)
from doublet.catalog.rows import Audience, ListBatch, ListEntry
from doublet.catalog.tables import (
    audiences,
    customer_lists,
    list_batches,
    list_entries,
    list_keys,
)
from doublet.errors import SenderError
from doublet.normalize import identifier_key

REPLACE_MAX_S = 90 * 60
"""A session that replaces a list lasts no longer (Marketing API, *Replace users*)."""

EXTERNAL_ID_KEPT_S = 90 * 86_400
"""An id of the advertiser's own is kept so long after it was last seen (Marketing API, *External
identifiers*)."""

_PAGE = 20_000
_SWEPT = 5_000


class SessionExpiredError(SenderError):
    """A session that replaces a list has lasted too long."""

    code = "session_expired"


class SessionBusyError(SenderError):
    """Another session is replacing the list."""

    code = "session_busy"


class SessionGapError(SenderError):
    """The last batch of a session that replaces a list is there and others are not."""

    code = "session_gap"


class SessionOverError(SenderError):
    """A batch is of a session whose last batch was taken."""

    code = "session_over"


class StoredEntry(NamedTuple):
    """A row of a list as it is kept."""

    entry_id: int
    identifiers: tuple[str, ...]
    value: float | None
    is_limited: bool


class Lists:
    """The tables of customer lists. Times are in Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- changing -----------------------------------------------------------------------------

    def add(self, audience: Audience, entries: Sequence[ListEntry], now_s: int) -> None:
        """Add rows; one that is there already is seen again. A row that is limited takes out those
        that share an identifier with it."""
        with self._database.write() as connection:
            _lock(connection, audience, now_s)
            list_id = _live(connection, audience.audience_id, now_s)
            put(connection, audience.account_id, list_id, entries, now_s)

    def remove(self, audience: Audience, entries: Sequence[ListEntry], now_s: int) -> None:
        """Take out the rows that share an identifier with one of these; of a row that has none,
        exactly the same."""
        with self._database.write() as connection:
            _lock(connection, audience, now_s)
            list_id = _live(connection, audience.audience_id, now_s)
            take_out(connection, audience.account_id, list_id, entries)
        self._database.empty_journal()

    def stage(
        self,
        audience: Audience,
        entries: Sequence[ListEntry],
        now_s: int,
        batch: ListBatch,
        *,
        is_last: bool,
    ) -> str | None:
        """Gather rows for a list that takes the place of the present one when the last batch is
        there. A batch that was taken before changes nothing, and its first answer is given;
        otherwise None. Raises SessionExpiredError, SessionBusyError, SessionOverError and
        SessionGapError."""
        which = customer_lists.c.audience_id == audience.audience_id
        with self._database.write() as connection:
            # The list itself changes only at the end.
            _lock(connection, audience, now_s, is_change=is_last)
            if (told := _known(connection, audience.audience_id, batch, now_s)) is not None:
                return told
            list_id = self._staged(connection, audience.audience_id, batch.session_id, now_s)
            _note(connection, audience.audience_id, batch, now_s)
            put(connection, audience.account_id, list_id, entries, now_s)
            if is_last:
                _check_gap(connection, audience.audience_id, batch)
                for was, now in (("live", "old"), ("staged", "live")):
                    connection.execute(
                        customer_lists.update()
                        .where(which, customer_lists.c.state == was)
                        .values(state=now)
                    )
        return None

    def _staged(
        self, connection: sa.Connection, audience_id: str, session_id: str, now_s: int
    ) -> int:
        query = sa.select(customer_lists).where(
            customer_lists.c.audience_id == audience_id,
            customer_lists.c.state.in_(("live", "staged")),
        )
        for list_id, _, other, state, started_at in connection.execute(query).all():
            is_over = now_s - started_at > REPLACE_MAX_S
            if state == "live":
                # Some clients have but one number for all their sessions.
                if other == session_id and not is_over:
                    raise SessionOverError(
                        "The last batch of this session was taken already.",
                        "Send the whole list again in a new session.",
                    )
                continue
            if other == session_id and not is_over:
                return int(list_id)
            if other == session_id:
                raise SessionExpiredError(
                    f"The session has lasted longer than {REPLACE_MAX_S // 60} minutes.",
                    "Send the whole list again in a new session.",
                )
            if not is_over:
                raise SessionBusyError(
                    "Another session is replacing the list.",
                    "Finish that one, or wait until it is 90 minutes old.",
                )
            connection.execute(
                customer_lists.update()
                .where(customer_lists.c.list_id == list_id)
                .values(state="old")
            )
        _forget_batches(connection, audience_id, session_id, before_s=now_s - REPLACE_MAX_S)
        return _new_list(connection, audience_id, "staged", session_id, now_s)

    def forget(self, account_id: str, identifiers: Iterable[str]) -> int:
        """Take every row with one of these identifiers out of all lists of an account; how many it
        were. For persons who are erased."""
        keys = [identifier_key(account_id, each) for each in identifiers]
        with self._database.write() as connection:
            holders = holders_of(connection, keys)
            gone = delete(connection, list(holders))
            for chunk in chunks(sorted(set(holders.values()))):
                touched = sa.select(customer_lists.c.audience_id).where(
                    customer_lists.c.list_id.in_(chunk)
                )
                connection.execute(
                    audiences.update()
                    .where(audiences.c.audience_id.in_(touched))
                    .values(list_version=audiences.c.list_version + 1)
                )
        if gone:
            self._database.empty_journal()
        return gone

    def sweep(self, now_s: int) -> int:
        """Clear away what has had its time: lists that were replaced, removed or never finished,
        ids of the advertiser's own that were not seen for 90 days. How many rows went or lost an
        identifier; to be called now and then."""
        before_s = now_s - 2 * REPLACE_MAX_S
        with self._database.write() as connection:
            connection.execute(list_batches.delete().where(list_batches.c.at < before_s))
            connection.execute(
                customer_lists.update()
                .where(
                    customer_lists.c.state == "staged",
                    # A client that is late is still told that its session is over.
                    customer_lists.c.started_at < before_s,
                )
                .values(state="old")
            )
            # Of an audience that went while somebody was filling it.
            connection.execute(
                customer_lists.update()
                .where(customer_lists.c.audience_id.not_in(sa.select(audiences.c.audience_id)))
                .values(state="old")
            )
        gone = 0
        old = sa.select(customer_lists.c.list_id).where(customer_lists.c.state == "old")
        for (list_id,) in self._database.rows(old):
            query = sa.select(list_entries.c.entry_id).where(list_entries.c.list_id == list_id)
            while True:
                with self._database.write() as connection:
                    some = [row[0] for row in connection.execute(query.limit(_SWEPT))]
                    gone += delete(connection, some)
                    if len(some) < _SWEPT:
                        connection.execute(
                            customer_lists.delete().where(customer_lists.c.list_id == list_id)
                        )
                        break
        gone += self._expire(now_s)
        if gone:
            self._database.empty_journal()
        return gone

    def _expire(self, now_s: int) -> int:
        """Drop ids of the advertiser's own not seen for long, and rows of nothing else."""
        stale = (
            sa.select(list_entries.c.entry_id, list_entries.c.identifiers, audiences.c.account_id)
            .add_columns(audiences.c.audience_id)
            .join(customer_lists, customer_lists.c.list_id == list_entries.c.list_id)
            .join(audiences, audiences.c.audience_id == customer_lists.c.audience_id)
            .where(
                list_entries.c.seen_at < now_s - EXTERNAL_ID_KEPT_S,
                list_entries.c.identifiers.contains(EXTERNAL_ID),
            )
            .limit(_SWEPT)
        )
        gone = 0
        while found := self._database.rows(stale):
            with self._database.write() as connection:
                for audience_id in {row[3] for row in found}:
                    _bump(connection, audience_id)
                delete(connection, [row[0] for row in found if not without_external(row[1])])
                for entry_id, text, account_id, _ in found:
                    if kept := without_external(text):
                        dropped = set(split(text)) - set(kept)
                        connection.execute(
                            list_keys.delete().where(
                                list_keys.c.entry_id == entry_id,
                                list_keys.c.identifier_key.in_(
                                    [identifier_key(account_id, each) for each in dropped]
                                ),
                            )
                        )
                        connection.execute(
                            list_entries.update()
                            .where(list_entries.c.entry_id == entry_id)
                            .values(identifiers="\n".join(kept))
                        )
            gone += len(found)
        return gone

    # --- reading ------------------------------------------------------------------------------

    def version(self, audience_id: str) -> int:
        """A number that rises with each change of the list; 0 for none yet."""
        query = sa.select(audiences.c.list_version).where(audiences.c.audience_id == audience_id)
        return next((int(version) for (version,) in self._database.rows(query)), 0)

    def versions(self) -> dict[str, int]:
        """The same of all lists, by audience."""
        query = sa.select(audiences.c.audience_id, audiences.c.list_version).where(
            audiences.c.subtype == "CUSTOM"
        )
        return {each: int(version) for each, version in self._database.rows(query)}

    def entries(self, audience_id: str) -> Iterator[StoredEntry]:
        """The rows of the list, in no order. It is read in parts: whoever must know that all are of
        one moment compares `version` before and after."""
        live = sa.select(customer_lists.c.list_id).where(
            customer_lists.c.audience_id == audience_id, customer_lists.c.state == "live"
        )
        for (list_id,) in self._database.rows(live):
            last: int | None = None
            while True:
                # By the index that keeps a list's rows apart.
                query = sa.select(
                    *(list_entries.c.entry_id, list_entries.c.identifiers, list_entries.c.value),
                    *(list_entries.c.is_limited, list_entries.c.row_key),
                ).where(list_entries.c.list_id == list_id)
                if last is not None:
                    query = query.where(list_entries.c.row_key > last)
                rows = self._database.rows(query.order_by(list_entries.c.row_key).limit(_PAGE))
                for entry_id, text, value, is_limited, _ in rows:
                    yield StoredEntry(entry_id, split(text), value, bool(is_limited))
                if len(rows) < _PAGE:
                    break
                last = int(rows[-1][4])

    def keys(self, audience_id: str) -> Iterator[tuple[str, int, float | None]]:
        """(identifier, entry_id, value) of all rows that are somebody's."""
        for entry in self.entries(audience_id):
            for identifier in entry.identifiers:
                yield identifier, entry.entry_id, entry.value

    def count(self, audience_id: str) -> int:
        """How many rows the list has."""
        query = (
            sa.select(sa.func.count())
            .select_from(list_entries)
            .join(customer_lists, customer_lists.c.list_id == list_entries.c.list_id)
            .where(customer_lists.c.audience_id == audience_id, customer_lists.c.state == "live")
        )
        return int(self._database.rows(query)[0][0])


def _bump(connection: sa.Connection, audience_id: str, **values: int) -> None:
    connection.execute(
        audiences.update()
        .where(audiences.c.audience_id == audience_id)
        .values(list_version=audiences.c.list_version + 1, **values)
    )


def _lock(
    connection: sa.Connection, audience: Audience, now_s: int, *, is_change: bool = True
) -> None:
    """Have others who change this list wait: the first statement writes."""
    if is_change:
        _bump(connection, audience.audience_id, content_updated_at=now_s)
        return
    connection.execute(
        audiences.update()
        .where(audiences.c.audience_id == audience.audience_id)
        .values(list_version=audiences.c.list_version)
    )


def _of_batch(audience_id: str, batch: ListBatch) -> sa.ColumnElement[bool]:
    return (
        (list_batches.c.audience_id == audience_id)
        & (list_batches.c.session_id == batch.session_id)
        & (list_batches.c.batch_seq == batch.batch_seq)
    )


def _known(connection: sa.Connection, audience_id: str, batch: ListBatch, now_s: int) -> str | None:
    """The answer of the same batch if it was taken before. Other rows under the same number are
    another batch: some clients number all of theirs alike."""
    query = sa.select(list_batches.c.answer).where(
        _of_batch(audience_id, batch),
        list_batches.c.digest == batch.digest,
        list_batches.c.at >= now_s - REPLACE_MAX_S,
    )
    found = connection.execute(query).first()
    return None if found is None else str(found[0])


def _note(connection: sa.Connection, audience_id: str, batch: ListBatch, now_s: int) -> None:
    connection.execute(list_batches.delete().where(_of_batch(audience_id, batch)))
    connection.execute(
        list_batches.insert().values(
            audience_id=audience_id,
            session_id=batch.session_id,
            batch_seq=batch.batch_seq,
            digest=batch.digest,
            answer=batch.answer,
            at=now_s,
        )
    )


def _forget_batches(
    connection: sa.Connection, audience_id: str, session_id: str, *, before_s: int
) -> None:
    """Those of an earlier session under the same number."""
    connection.execute(
        list_batches.delete().where(
            list_batches.c.audience_id == audience_id,
            list_batches.c.session_id == session_id,
            list_batches.c.at < before_s,
        )
    )


def _check_gap(connection: sa.Connection, audience_id: str, last: ListBatch) -> None:
    """Batches are numbered from 1 on without gaps."""
    query = sa.select(list_batches.c.batch_seq).where(
        list_batches.c.audience_id == audience_id,
        list_batches.c.session_id == last.session_id,
    )
    there = {int(row[0]) for row in connection.execute(query)}
    if len(there) < last.batch_seq:
        missing = next(n for n in range(1, last.batch_seq + 1) if n not in there)
        raise SessionGapError(
            f"Batch {missing} of the session has not arrived, and others may not have.",
            "Send it, and the last batch again after it.",
        )


def _live(connection: sa.Connection, audience_id: str, now_s: int) -> int:
    query = sa.select(customer_lists.c.list_id).where(
        customer_lists.c.audience_id == audience_id, customer_lists.c.state == "live"
    )
    found = connection.execute(query).first()
    return int(found[0]) if found else _new_list(connection, audience_id, "live", "", now_s)


def _new_list(
    connection: sa.Connection, audience_id: str, state: str, session_id: str, now_s: int
) -> int:
    made = connection.execute(
        customer_lists.insert().values(
            audience_id=audience_id, session_id=session_id, state=state, started_at=now_s
        )
    )
    return int(made.inserted_primary_key[0])  # type: ignore[index]
