"""Webhooks of audiences: who is told of joins and leaves, and how far."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.tables import audience_webhooks
from doublet.errors import OperatorError

WEBHOOKS_MAX = 50
"""So many an account may have."""


class AudienceWebhook(msgspec.Struct, frozen=True):
    """Who is told when somebody joins or leaves `audience_id`, or any audience where that is empty.
    `change_id` is the last change that was told, `delivered` how many were; `verdict` and `message`
    are of the last attempt. Times are in Unix seconds."""

    webhook_id: str
    account_id: str
    audience_id: str
    url: str
    secret: str
    is_paused: bool = False
    created_at: int = 0
    change_id: int = -1
    due_at: int = 0
    failures: int = 0
    delivered: int = 0
    verdict: str = ""
    message: str = ""


class AudienceWebhooks:
    """The table of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, wanted: AudienceWebhook) -> AudienceWebhook:
        """Keep a webhook under a new id. Raises OperatorError when the account has too many, or the
        same already."""
        known = self.all(wanted.account_id)
        if len(known) >= WEBHOOKS_MAX:
            raise OperatorError(f"The account has {WEBHOOKS_MAX} already.", "Remove some.")
        if any((w.audience_id, w.url) == (wanted.audience_id, wanted.url) for w in known):
            raise OperatorError(
                "That address is told already.", "`doublet audience webhook list` shows it."
            )
        webhook_id = f"whk_{10**11 + secrets.randbelow(9 * 10**11)}"
        made = msgspec.structs.replace(wanted, webhook_id=webhook_id, created_at=int(time.time()))
        with self._database.write() as connection:
            connection.execute(audience_webhooks.insert().values(**msgspec.structs.asdict(made)))
        return made

    def all(self, account_id: str | None = None) -> list[AudienceWebhook]:
        """Those of one account or of all, oldest first."""
        query = sa.select(audience_webhooks).order_by(
            audience_webhooks.c.created_at, audience_webhooks.c.webhook_id
        )
        if account_id is not None:
            query = query.where(audience_webhooks.c.account_id == account_id)
        return [AudienceWebhook(*row) for row in self._database.rows(query)]

    def one(self, webhook_id: str, account_id: str | None = None) -> AudienceWebhook:
        """The one with this id. Raises OperatorError when there is none."""
        for webhook in self.all(account_id):
            if webhook.webhook_id == webhook_id:
                return webhook
        raise OperatorError(
            f"There is no webhook {webhook_id!r}.",
            "`doublet audience webhook list` shows those there are.",
        )

    def change(self, webhook_id: str, **changes: Any) -> None:
        """Change some fields."""
        which = audience_webhooks.c.webhook_id == webhook_id
        with self._database.write() as connection:
            connection.execute(audience_webhooks.update().where(which).values(**changes))

    def remove(self, webhook_id: str) -> None:
        """Tell it no more."""
        which = audience_webhooks.c.webhook_id == webhook_id
        with self._database.write() as connection:
            connection.execute(audience_webhooks.delete().where(which))
