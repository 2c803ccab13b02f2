"""Shares: which audience is given to which server, who was given there, and how it went."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.tables import audience_given, audience_pushes, audience_shares
from doublet.errors import OperatorError

SHARES_MAX = 200
"""So many shares an account may have."""

PUSHES_KEPT = 100
"""So many outcomes are kept of each share."""

_AT_ONCE = 500


class Share(msgspec.Struct, frozen=True):
    """An audience that is given to an audience of another server with a Graph API: Meta, or another
    Doublet. Without `remote_audience_id` one called `remote_name` is made there.

    A paused share gives nobody, yet takes back who left. `is_ending` takes all back, and ends.
    `change_id` is the last change of members that was pushed, `looked_at` when that was begun,
    `compared_at` when all members were compared with all that was given; `due_at` is when it is its
    turn again, after so many `failures` in a row. Times are in Unix seconds."""

    share_id: str
    account_id: str
    audience_id: str
    url: str
    version: str
    remote_account_id: str
    remote_audience_id: str
    remote_name: str
    secret: str
    is_paused: bool = False
    is_ending: bool = False
    created_at: int = 0
    change_id: int = 0
    looked_at: int = 0
    compared_at: int = 0
    due_at: int = 0
    failures: int = 0


class Given(msgspec.Struct, frozen=True):
    """What a server was given of a person: the hashes by the key of user_data. `is_sure` says that
    the server has said so; otherwise it may or may not have them."""

    keys: dict[str, list[str]]
    is_sure: bool


class Push(msgspec.Struct, frozen=True):
    """What one push did: persons added and removed, `nameless` members without any hash that could
    be given, `invalid` rows that the server did not take, and the outcome of its last request."""

    share_id: str
    began_at: int
    ended_at: int
    added: int
    removed: int
    nameless: int
    invalid: int
    requests: int
    verdict: str
    code: str
    message: str


_decode_keys = msgspec.json.Decoder(dict[str, list[str]]).decode
_encode = msgspec.json.Encoder().encode


class Shares:
    """The tables of shares."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, wanted: Share) -> Share:
        """Keep a share under a new id. Raises OperatorError when the account has too many, or one
        of the same audience with the same place."""
        known = self.all(wanted.account_id)
        if len(known) >= SHARES_MAX:
            raise OperatorError(f"The account has {SHARES_MAX} shares already.", "End some.")
        place = (wanted.audience_id, wanted.url, wanted.remote_account_id, wanted.remote_name)
        for each in known:
            other = (each.audience_id, each.url, each.remote_account_id, each.remote_name)
            if other == place and each.remote_audience_id == wanted.remote_audience_id:
                raise OperatorError(
                    "The audience is shared with that place already.",
                    f"`doublet audience push {each.share_id}` gives it what changed.",
                )
        share_id = f"shr_{10**11 + secrets.randbelow(9 * 10**11)}"
        made = msgspec.structs.replace(wanted, share_id=share_id, created_at=int(time.time()))
        with self._database.write() as connection:
            connection.execute(audience_shares.insert().values(**msgspec.structs.asdict(made)))
        return made

    def all(self, account_id: str | None = None) -> list[Share]:
        """The shares of one account or of all, oldest first."""
        query = sa.select(audience_shares).order_by(
            audience_shares.c.created_at, audience_shares.c.share_id
        )
        if account_id is not None:
            query = query.where(audience_shares.c.account_id == account_id)
        return [Share(*row) for row in self._database.rows(query)]

    def one(self, share_id: str, account_id: str | None = None) -> Share:
        """The share with this id. Raises OperatorError when there is none."""
        for share in self.all(account_id):
            if share.share_id == share_id:
                return share
        raise OperatorError(
            f"There is no share {share_id!r}.", "`doublet audience shares` shows those there are."
        )

    def change(self, share_id: str, **changes: Any) -> None:
        """Change some fields of a share."""
        which = audience_shares.c.share_id == share_id
        with self._database.write() as connection:
            connection.execute(audience_shares.update().where(which).values(**changes))

    def move(self, share: Share, due_at: int, failures: int) -> None:
        """Say when it is its turn again, unless somebody has said so meanwhile."""
        which = audience_shares.c.share_id == share.share_id
        table = audience_shares
        with self._database.write() as connection:
            connection.execute(table.update().where(which).values(failures=failures))
            same = which & (table.c.due_at == share.due_at)
            connection.execute(table.update().where(same).values(due_at=due_at))

    def remove(self, share_id: str) -> None:
        """Forget a share and what was given by it."""
        with self._database.write() as connection:
            for table in (audience_given, audience_pushes, audience_shares):
                connection.execute(table.delete().where(table.c.share_id == share_id))

    # --- who was given ------------------------------------------------------------------------

    def given(self, share_id: str, persons: Sequence[int]) -> dict[int, Given]:
        """What was given of these persons; those of whom nothing was are missing."""
        found: dict[int, Given] = {}
        for start in range(0, len(persons), _AT_ONCE):
            some = persons[start : start + _AT_ONCE]
            query = sa.select(*audience_given.c[1:]).where(
                audience_given.c.share_id == share_id, audience_given.c.person_id.in_(some)
            )
            for person, keys, is_sure in self._database.rows(query):
                found[person] = Given(_decode_keys(keys), is_sure)
        return found

    def given_persons(self, share_id: str) -> Iterator[int]:
        """All persons of whom something was given."""
        after: int | None = None
        query = (
            sa.select(audience_given.c.person_id)
            .where(audience_given.c.share_id == share_id)
            .order_by(audience_given.c.person_id)
            .limit(_AT_ONCE * 100)
        )
        while True:
            more = query if after is None else query.where(audience_given.c.person_id > after)
            rows = self._database.rows(more)
            if not rows:
                return
            yield from (row[0] for row in rows)
            after = rows[-1][0]

    def unsure_persons(self, share_id: str) -> list[int]:
        """Those of whom it is not sure what the server has."""
        query = sa.select(audience_given.c.person_id).where(
            audience_given.c.share_id == share_id, sa.not_(audience_given.c.is_sure)
        )
        return [row[0] for row in self._database.rows(query)]

    def count_given(self, share_id: str) -> int:
        """How many persons something was given of."""
        query = sa.select(sa.func.count()).where(audience_given.c.share_id == share_id)
        return int(self._database.rows(query)[0][0])

    def note_given(self, share_id: str, given: Mapping[int, Given | None]) -> None:
        """Write what a server has, or may have, of persons; None: nothing any more."""
        persons = list(given)
        rows = [
            {
                "share_id": share_id,
                "person_id": person,
                "keys": _encode(each.keys).decode(),
                "is_sure": each.is_sure,
            }
            for person, each in given.items()
            if each is not None
        ]
        with self._database.write() as connection:
            for start in range(0, len(persons), _AT_ONCE):
                some = persons[start : start + _AT_ONCE]
                connection.execute(
                    audience_given.delete().where(
                        audience_given.c.share_id == share_id, audience_given.c.person_id.in_(some)
                    )
                )
            if rows:
                connection.execute(audience_given.insert(), rows)

    # --- outcomes -----------------------------------------------------------------------------

    def add_push(self, push: Push) -> None:
        """Keep what a push did, and forget those of long ago."""
        table = audience_pushes
        which = table.c.share_id == push.share_id
        kept = (sa.select(table.c.push_id).where(which).order_by(table.c.push_id.desc())).limit(
            PUSHES_KEPT
        )
        with self._database.write() as connection:
            connection.execute(table.insert().values(**msgspec.structs.asdict(push)))
            ids = [row[0] for row in connection.execute(kept)]
            connection.execute(table.delete().where(which, table.c.push_id < min(ids)))

    def pushes(self, share_id: str, limit: int = PUSHES_KEPT) -> list[Push]:
        """The latest outcomes of a share, newest first."""
        table = audience_pushes
        query = sa.select(*table.c[1:]).where(table.c.share_id == share_id)
        query = query.order_by(table.c.push_id.desc()).limit(limit)
        return [Push(*row) for row in self._database.rows(query)]
