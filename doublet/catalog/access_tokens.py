"""Access tokens of accounts: what lets scripts and SDKs in. Only their SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets
import time

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.rows import Account
from doublet.catalog.tables import accounts, tokens

_ID_LENGTH = 16


class Token(msgspec.Struct, frozen=True):
    """An access token without what opens the account: `token_id` is the beginning of its
    SHA-256. `created_at` is in Unix seconds."""

    token_id: str
    account_id: str
    name: str
    created_at: int


class Tokens:
    """The table of tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, account_id: str) -> list[Token]:
        """The tokens of an account, oldest first."""
        query = (
            sa.select(tokens)
            .where(tokens.c.account_id == account_id)
            .order_by(tokens.c.created_at, tokens.c.token_sha256)
        )
        return [Token(str(row[0])[:_ID_LENGTH], *row[1:]) for row in self._database.rows(query)]

    def holder(self, access_token: str) -> tuple[Account, str] | None:
        """The account of a token and the token's name, None for an unknown one."""
        query = (
            sa.select(*accounts.c[:4], tokens.c.name)
            .join(tokens, tokens.c.account_id == accounts.c.account_id)
            .where(tokens.c.token_sha256 == token_sha256(access_token))
        )
        return next(((Account(*row[:4]), row[4]) for row in self._database.rows(query)), None)

    def revoke(self, account_id: str, token_id: str) -> Token | None:
        """Forget a token of an account: it opens nothing within seconds. None for an unknown id."""
        for token in self.all(account_id):
            if token.token_id == token_id:
                which = sa.func.substr(tokens.c.token_sha256, 1, _ID_LENGTH) == token_id
                with self._database.write() as connection:
                    connection.execute(
                        tokens.delete().where(which, tokens.c.account_id == account_id)
                    )
                return token
        return None


def token_sha256(access_token: str) -> str:
    """The form in which a token is stored and looked up."""
    return hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).hexdigest()


def insert_token(connection: sa.Connection, account_id: str, name: str) -> str:
    """Make a token; it cannot be shown again."""
    access_token = f"dbl_{secrets.token_urlsafe(32)}"
    connection.execute(
        tokens.insert().values(
            token_sha256=token_sha256(access_token),
            account_id=account_id,
            name=name,
            created_at=int(time.time()),
        )
    )
    return access_token
