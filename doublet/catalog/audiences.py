"""Audiences: by what each gathers people, how many it had when, and how far it is made."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.rows import Audience
from doublet.catalog.tables import (
    audience_sizes,
    audience_states,
    audiences,
    customer_lists,
    list_batches,
)
from doublet.errors import OperatorError, SenderError

AUDIENCES_MAX = {"WEBSITE": 10_000, "CUSTOM": 500, "LOOKALIKE": 500}
"""So many of each subtype an account may have at a time (Marketing API, *Custom audiences*)."""

_DAY_S = 86_400
_ALL_SIZES_KEPT_S = 7 * _DAY_S
_SIZES_KEPT_S = 400 * _DAY_S
_columns = [audiences.c[name] for name in Audience.__struct_fields__]
_decode_status = msgspec.json.Decoder(dict[str, Any]).decode


class TooManyAudiencesError(SenderError):
    """An account has as many audiences of a subtype as it may."""

    code = "too_many_audiences"


class OriginError(SenderError):
    """An audience cannot go: a lookalike is made of it."""

    code = "audience_is_origin"


class Audiences:
    """The tables of audiences."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, wanted: Audience) -> Audience:
        """Keep an audience under a new id; rule and spec were checked. Raises
        TooManyAudiencesError."""
        most = AUDIENCES_MAX[wanted.subtype]
        now_s = int(time.time())
        made = msgspec.structs.replace(
            wanted,
            audience_id=str(10**15 + secrets.randbelow(9 * 10**15)),
            created_at=wanted.created_at or now_s,
            updated_at=now_s,
            content_updated_at=wanted.content_updated_at or now_s,
        )
        count = sa.select(sa.func.count()).where(
            audiences.c.account_id == wanted.account_id, audiences.c.subtype == wanted.subtype
        )
        with self._database.write() as connection:
            connection.execute(audiences.insert().values(**msgspec.structs.asdict(made)))
            # Counted after the row has taken the lock, so that two at once are not one too many.
            if int(connection.execute(count).scalar_one()) > most:
                raise TooManyAudiencesError(
                    f"The account has {most} audiences of subtype {wanted.subtype} already.",
                    "Delete some of them.",
                )
        return made

    def save(self, audience: Audience) -> None:
        """Replace the row of this id; it was updated now."""
        values = msgspec.structs.asdict(audience) | {"updated_at": int(time.time())}
        which = audiences.c.audience_id == audience.audience_id
        with self._database.write() as connection:
            connection.execute(audiences.update().where(which).values(**values))

    def remove(self, audience_id: str) -> None:
        """Forget an audience with its history, and its list (`Lists.sweep` clears away the rows).
        Raises OriginError while a lookalike is made of it."""
        origin = sa.select(audiences.c.name).where(audiences.c.origin_audience_id == audience_id)
        with self._database.write() as connection:
            connection.execute(audiences.delete().where(audiences.c.audience_id == audience_id))
            if (row := connection.execute(origin.order_by(audiences.c.created_at)).first()) is not (
                None
            ):
                raise OriginError(
                    f"The lookalike {row[0]!r} is made of this audience.",
                    "Delete the lookalikes that have it as origin first.",
                )
            for table in (audience_sizes, audience_states, list_batches):
                connection.execute(table.delete().where(table.c.audience_id == audience_id))
            connection.execute(
                customer_lists.update()
                .where(customer_lists.c.audience_id == audience_id)
                .values(state="old")
            )

    def find(self, account_id: str, audience_id: str) -> Audience | None:
        """One audience of an account; None where it has none of this id."""
        query = sa.select(*_columns).where(
            audiences.c.audience_id == audience_id, audiences.c.account_id == account_id
        )
        return next((Audience(*row) for row in self._database.rows(query)), None)

    def all(self, account_id: str | None = None) -> list[Audience]:
        """The audiences of one account or of all, oldest first."""
        query = sa.select(*_columns).order_by(audiences.c.created_at, audiences.c.audience_id)
        if account_id is not None:
            query = query.where(audiences.c.account_id == account_id)
        return [Audience(*row) for row in self._database.rows(query)]

    def one(self, which: str, account_id: str | None = None) -> Audience:
        """The audience with this id or name. Raises OperatorError when there is none, or more than
        one."""
        found = [each for each in self.all(account_id) if which in (each.audience_id, each.name)]
        if len(found) == 1:
            return found[0]
        problem = "More than one audience is called" if found else "There is no audience"
        raise OperatorError(
            f"{problem} {which!r}.", "`doublet audience list` shows them with their ids."
        )

    # --- sizes --------------------------------------------------------------------------------

    def note_size(self, audience_id: str, at: int, members: int) -> None:
        """How many members an audience had at a moment (Unix seconds)."""
        which = (audience_sizes.c.audience_id == audience_id) & (audience_sizes.c.at == at)
        with self._database.write() as connection:
            connection.execute(audience_sizes.delete().where(which))
            connection.execute(
                audience_sizes.insert().values(audience_id=audience_id, at=at, members=members)
            )

    def sizes(self, audience_id: str, since: int = 0) -> list[tuple[int, int]]:
        """(moment, members) from a moment on, oldest first."""
        query = (
            sa.select(audience_sizes.c.at, audience_sizes.c.members)
            .where(audience_sizes.c.audience_id == audience_id, audience_sizes.c.at >= since)
            .order_by(audience_sizes.c.at)
        )
        return [(at, members) for at, members in self._database.rows(query)]

    def latest_sizes(self, account_id: str | None = None) -> dict[str, tuple[int, int]]:
        """(moment, members) that was noted last, by audience; without those never counted."""
        all_sizes = audience_sizes.alias()
        last = (
            sa.select(sa.func.max(all_sizes.c.at))
            .where(all_sizes.c.audience_id == audiences.c.audience_id)
            .correlate(audiences)
            .scalar_subquery()
        )
        query = sa.select(
            audiences.c.audience_id, audience_sizes.c.at, audience_sizes.c.members
        ).where(
            audience_sizes.c.audience_id == audiences.c.audience_id,
            audience_sizes.c.at == last,
        )
        if account_id is not None:
            query = query.where(audiences.c.account_id == account_id)
        return {each: (at, members) for each, at, members in self._database.rows(query)}

    def thin(self, now_s: int) -> None:
        """Of days (UTC) that are older than a week keep the last number, for 400 days; to be called
        now and then."""
        later = audience_sizes.alias()
        day = audience_sizes.c.at - audience_sizes.c.at % _DAY_S
        has_later = sa.exists().where(
            later.c.audience_id == audience_sizes.c.audience_id,
            later.c.at > audience_sizes.c.at,
            later.c.at < day + _DAY_S,
        )
        # Whole days only: the last number of a day is not known before its end.
        week = now_s - now_s % _DAY_S - _ALL_SIZES_KEPT_S
        with self._database.write() as connection:
            connection.execute(
                audience_sizes.delete().where(
                    (audience_sizes.c.at < now_s - _SIZES_KEPT_S)
                    | ((audience_sizes.c.at < week) & has_later)
                )
            )

    # --- states -------------------------------------------------------------------------------

    def note_state(self, audience_id: str, status: dict[str, Any]) -> None:
        """What the worker says of an audience: `state` (building, ready, failed), `message` and
        more."""
        text = msgspec.json.encode(status).decode()
        which = audience_states.c.audience_id == audience_id
        with self._database.write() as connection:
            connection.execute(audience_states.delete().where(which))
            connection.execute(
                audience_states.insert().values(audience_id=audience_id, status=text)
            )

    def state(self, audience_id: str) -> dict[str, Any]:
        """The same as it was said last; empty when the worker has not come to it yet."""
        query = sa.select(audience_states.c.status).where(
            audience_states.c.audience_id == audience_id
        )
        return next((_decode_status(text) for (text,) in self._database.rows(query)), {})

    def states(self, account_id: str) -> dict[str, dict[str, Any]]:
        """Those of all audiences of an account, by audience."""
        query = (
            sa.select(audience_states)
            .join(audiences, audiences.c.audience_id == audience_states.c.audience_id)
            .where(audiences.c.account_id == account_id)
        )
        return {each: _decode_status(text) for each, text in self._database.rows(query)}
