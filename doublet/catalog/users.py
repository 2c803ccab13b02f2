"""People who sign in: users, what they may, their sessions, and links that work once.

Of sessions and links only the SHA-256 is stored; the secret is seen once, when it is made.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.passwords import hash_password, is_password
from doublet.catalog.roles import Role
from doublet.catalog.tables import links, roles, sessions, users
from doublet.entries import check_password, check_user_name
from doublet.errors import OperatorError

SESSION_AGE_S_MAX = 30 * 86_400
SESSION_IDLE_S_MAX = 7 * 86_400
LINK_AGE_S_MAX = 86_400
SESSIONS_MAX = 50
"""How many sessions a user may have; a further one ends that which was used the longest ago."""

SEEN_S = 300
"""How often the use of a session is written down: not with each of the pages of a busy minute."""
_BROWSER_LENGTH_MAX = 200
_ID_LENGTH = 16


class User(msgspec.Struct, frozen=True):
    """Who may sign in. `is_operator` is an owner of all accounts, also of those to come; `roles`
    are those of the others by account id. `has_password` is not there until the invitation was
    taken."""

    user_name: str
    is_operator: bool
    is_disabled: bool
    has_password: bool
    created_at: int
    roles: dict[str, Role]


class Session(msgspec.Struct, frozen=True):
    """A browser that is signed in; times in Unix seconds. `session_id` is the beginning of the
    secret's SHA-256, and opens nothing."""

    session_id: str
    user_name: str
    created_at: int
    seen_at: int
    browser: str


class Users:
    """The tables of users, roles, sessions and links. `now` is a clock in Unix seconds."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self.now = now

    def _now_s(self) -> int:
        return int(self.now())

    # --- users --------------------------------------------------------------------------------

    def create(self, user_name: str, *, is_operator: bool = False) -> User:
        """Make a user without a password, who can sign in once `set_password` or a link gave one.
        Raises OperatorError for a name that cannot be one or is taken."""
        name = check_user_name(user_name)
        if any(user.user_name == name for user in self.all()):
            raise OperatorError(f"There is a user {name!r} already.", "Choose another name.")
        made = User(name, is_operator, False, False, self._now_s(), {})
        with self._database.write() as connection:
            connection.execute(
                users.insert().values(
                    user_name=name,
                    password_hash="",
                    is_operator=is_operator,
                    is_disabled=False,
                    created_at=made.created_at,
                )
            )
        return made

    def all(self, account_id: str | None = None) -> list[User]:
        """All users, by name; with an account those who have a role in it, and the operators."""
        given: dict[str, dict[str, Role]] = {}
        for name, owned, role in self._database.rows(sa.select(roles)):
            given.setdefault(name, {})[owned] = Role(role)
        known = [
            User(name, is_operator, is_disabled, bool(password), created_at, given.get(name, {}))
            for name, password, is_operator, is_disabled, created_at in self._database.rows(
                sa.select(users).order_by(users.c.user_name)
            )
        ]
        return [u for u in known if account_id is None or u.is_operator or account_id in u.roles]

    def one(self, user_name: str) -> User:
        """The user of this name. Raises OperatorError when there is none."""
        wanted = user_name.strip().lower()
        for user in self.all():
            if user.user_name == wanted:
                return user
        raise OperatorError(
            f"There is no user {user_name!r}.", "`doublet user list` shows those there are."
        )

    def are_there(self) -> bool:
        """Whether there is any user who can sign in."""
        return bool(self._database.rows(sa.select(users.c.user_name).limit(1)))

    def set_role(self, user_name: str, account_id: str, role: Role | None) -> None:
        """Give a user a role in an account in place of an earlier one; None takes it away."""
        which = sa.and_(roles.c.user_name == user_name, roles.c.account_id == account_id)
        with self._database.write() as connection:
            connection.execute(roles.delete().where(which))
            if role is not None:
                connection.execute(
                    roles.insert().values(
                        user_name=user_name, account_id=account_id, role=role.value
                    )
                )

    def set_operator(self, user_name: str, is_operator: bool) -> None:
        """Make a user an owner of all accounts, or no longer."""
        self._change(user_name, is_operator=is_operator)

    def disable(self, user_name: str, is_disabled: bool = True) -> None:
        """Shut a user out, or in again; being shut out ends all sessions and links."""
        self._change(user_name, is_disabled=is_disabled)
        if is_disabled:
            self._end_all(user_name)

    def remove(self, user_name: str) -> None:
        """Forget a user; what was done stays in the record of changes."""
        with self._database.write() as connection:
            for table in (roles, sessions, links, users):
                connection.execute(table.delete().where(table.c.user_name == user_name))

    def _change(self, user_name: str, **values: bool | str) -> None:
        with self._database.write() as connection:
            connection.execute(
                users.update().where(users.c.user_name == user_name).values(**values)
            )

    # --- passwords ----------------------------------------------------------------------------

    def set_password(self, user_name: str, password: str) -> None:
        """Give a user a password, which ends all sessions and links. Raises OperatorError for one
        that is too short, too long or the user's name."""
        self._change(user_name, password_hash=hash_password(check_password(password, user_name)))
        self._end_all(user_name)

    def is_right(self, user_name: str, password: str) -> bool:
        """Whether this is the password of a user who may sign in; takes as long for any name."""
        query = sa.select(users.c.password_hash, users.c.is_disabled).where(
            users.c.user_name == user_name.strip().lower()[:200]
        )
        found = self._database.rows(query)
        password_hash, is_disabled = found[0] if found else ("", True)
        return is_password(password_hash, password) and not is_disabled

    # --- sessions -----------------------------------------------------------------------------

    def begin_session(self, user_name: str, browser: str = "") -> str:
        """The secret of a new session, for the browser's cookie."""
        secret, now = secrets.token_urlsafe(32), self._now_s()
        for old in self.sessions(user_name)[SESSIONS_MAX - 1 :]:
            self.end_session(user_name, old.session_id)
        kept = "".join(c if c.isprintable() else " " for c in browser)[:_BROWSER_LENGTH_MAX]
        with self._database.write() as connection:
            connection.execute(
                sessions.insert().values(
                    session_sha256=secret_sha256(secret),
                    user_name=user_name,
                    created_at=now,
                    seen_at=now,
                    browser=kept,
                )
            )
        return secret

    def session(self, secret: str) -> Session | None:
        """The session of a secret, None when there is none, or no longer. It counts as used."""
        digest, now = secret_sha256(secret), self._now_s()
        query = sa.select(sessions).where(sessions.c.session_sha256 == digest, self._is_open())
        for row in self._database.rows(query):
            found = _session(row)
            if now - found.seen_at >= SEEN_S:
                with self._database.write() as connection:
                    connection.execute(
                        sessions.update()
                        .where(sessions.c.session_sha256 == digest)
                        .values(seen_at=now)
                    )
            return found
        return None

    def sessions(self, user_name: str) -> list[Session]:
        """The open sessions of a user, the one that was used last first."""
        query = (
            sa.select(sessions)
            .where(sessions.c.user_name == user_name, self._is_open())
            .order_by(sessions.c.seen_at.desc(), sessions.c.created_at.desc())
        )
        return [_session(row) for row in self._database.rows(query)]

    def end_session(self, user_name: str, session_id: str) -> bool:
        """End one session of a user; whether there was such a one."""
        with self._database.write() as connection:
            done = connection.execute(
                sessions.delete().where(
                    sessions.c.user_name == user_name,
                    sa.func.substr(sessions.c.session_sha256, 1, _ID_LENGTH) == session_id,
                )
            )
        return bool(done.rowcount)

    def _is_open(self) -> sa.ColumnElement[bool]:
        now = self._now_s()
        return sa.and_(
            sessions.c.created_at > now - SESSION_AGE_S_MAX,
            sessions.c.seen_at > now - SESSION_IDLE_S_MAX,
        )

    def _end_all(self, user_name: str) -> None:
        with self._database.write() as connection:
            for table in (sessions, links):
                connection.execute(table.delete().where(table.c.user_name == user_name))

    def forget_what_ended(self) -> None:
        """Remove sessions and links that open nothing any longer."""
        with self._database.write() as connection:
            connection.execute(sessions.delete().where(sa.not_(self._is_open())))
            connection.execute(links.delete().where(links.c.ends_at <= self._now_s()))

    # --- links --------------------------------------------------------------------------------

    def make_link(self, user_name: str | None) -> str:
        """The code of a new link that lets a user choose a password, once and within a day; without
        a name, one that makes the first user. An earlier one of the same ends."""
        code = secrets.token_urlsafe(24)
        self.forget_what_ended()
        with self._database.write() as connection:
            connection.execute(
                links.delete().where(links.c.user_name.is_not_distinct_from(user_name))
            )
            connection.execute(
                links.insert().values(
                    link_sha256=secret_sha256(code),
                    user_name=user_name,
                    ends_at=self._now_s() + LINK_AGE_S_MAX,
                )
            )
        return code

    def link(self, code: str) -> tuple[str | None] | None:
        """Whose link a code is, None for one that opens nothing (any longer). A link that makes the
        first user is nobody's, and ends when there is one."""
        query = sa.select(links.c.user_name).where(
            links.c.link_sha256 == secret_sha256(code), links.c.ends_at > self._now_s()
        )
        for (name,) in self._database.rows(query):
            return None if name is None and self.are_there() else (name,)
        return None

    def use_link(self, code: str, user_name: str, password: str) -> User:
        """Take a link, which then opens nothing: its user, or the first one, gets the password.
        Raises OperatorError for a link that is over, and for what name and password may not be."""
        found = self.link(code)
        if found is None:
            raise OperatorError(*LINK_IS_OVER)
        name = check_user_name(found[0] or user_name)
        check_password(password, name)
        with self._database.write() as connection:
            taken = connection.execute(
                links.delete().where(links.c.link_sha256 == secret_sha256(code))
            )
        # Of two who come at once the database lets one through.
        if not taken.rowcount:
            raise OperatorError(*LINK_IS_OVER)
        if found[0] is None:
            self.create(name, is_operator=True)
        self.set_password(name, password)
        return self.one(name)


LINK_IS_OVER = (
    "This link opens nothing: it was used, is older than a day, or is not whole.",
    "Ask whoever made it for another one.",
)
"""What somebody is told who comes with a link that is over."""


def secret_sha256(secret: str) -> str:
    """The form in which the secret of a session or link is stored and looked up."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def session_id_of(secret: str) -> str:
    """The id under which a session is listed."""
    return secret_sha256(secret)[:_ID_LENGTH]


def _session(row: tuple[object, ...]) -> Session:
    digest, *columns = row
    return Session(str(digest)[:_ID_LENGTH], *columns)  # type: ignore[arg-type]
