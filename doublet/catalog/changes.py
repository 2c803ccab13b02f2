"""The record of who changed what: rows are added, and never changed or removed."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.tables import changes

VERBS: dict[str, str] = {
    "account.created": "made the account",
    "account.changed": "changed the account",
    "pixel.created": "made the pixel",
    "pixel.changed": "changed the pixel",
    "token.created": "made the access token",
    "token.revoked": "revoked the access token",
    "test_events.sent": "sent events to the pixel",
    "user.created": "made the user",
    "user.invited": "invited the user",
    "user.joined": "took the invitation",
    "user.role": "changed the role of",
    "user.disabled": "shut out",
    "user.enabled": "let in again",
    "user.removed": "removed the user",
    "user.password": "changed the password of",
    "user.reset": "made a link for a new password of",
    "session.ended": "ended a session of",
    "setup.created": "set up the site",
    "setup.changed": "changed the set-up of",
    "setup.shared": "shared the set-up of",
    "setup.unshared": "ended the sharing of the set-up of",
    "setup.removed": "removed the set-up of",
    "shop.created": "connected the shop",
    "shop.removed": "disconnected the shop",
    "shop.changed": "changed the shop",
    "destination.created": "made the destination",
    "destination.changed": "changed the destination",
    "destination.removed": "removed the destination",
    "destination.backfilled": "had older events sent to",
    "destination.replayed": "had sent again what failed at",
    "destination.paused": "paused the destination",
    "destination.resumed": "resumed the destination",
    "refused.replayed": "had refused requests taken again",
    "person.exported": "exported what is kept of a person",
    "person.erased": "had a person erased",
    "person.unmerged": "decided which persons are one",
    "conversion.created": "made the custom conversion",
    "conversion.changed": "changed the custom conversion",
    "conversion.removed": "removed the custom conversion",
    "audience.created": "made the audience",
    "audience.changed": "changed the audience",
    "audience.removed": "removed the audience",
    "list.changed": "changed the customer list",
    "list.replaced": "replaced the customer list",
    "products.imported": "imported the products of",
    "audience.shared": "shared the audience",
    "audience.unshared": "ended the sharing of the audience",
    "audience.share_paused": "paused the sharing of the audience",
    "audience.share_resumed": "resumed the sharing of the audience",
    "audience.exported": "exported the audience",
    "webhook.created": "made the webhook to",
    "webhook.removed": "removed the webhook to",
    "webhook.paused": "paused the webhook to",
    "webhook.resumed": "resumed the webhook to",
    "campaign.created": "made the campaign",
    "campaign.changed": "changed the campaign",
    "campaign.removed": "removed the campaign",
    "adset.created": "made the ad set",
    "adset.changed": "changed the ad set",
    "adset.removed": "removed the ad set",
    "ad.created": "made the ad",
    "ad.changed": "changed the ad",
    "ad.removed": "removed the ad",
    "creative.created": "made the creative",
    "creative.changed": "changed the creative",
    "creative.removed": "removed the creative",
    "campaigns.imported": "imported campaigns from",
    "report.created": "made the report",
    "report.changed": "changed the report",
    "report.removed": "removed the report",
}
"""Everything that is recorded, and how a page says it: *WHO VERB TARGET*."""

COMMAND_LINE = "operator"
"""Who acts by the command line, or by the operator's key."""


class Change(msgspec.Struct, frozen=True):
    """One thing that somebody did, at `at` in Unix seconds. `account_id` is None where it is of no
    account; `details` are plain values, never secrets or personal data."""

    change_id: int
    at: int
    account_id: str | None
    who: str
    what: str
    target: str
    details: dict[str, Any]


class Changes:
    """The table of changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        who: str,
        what: str,
        target: str,
        details: dict[str, Any] | None = None,
        *,
        account_id: str | None = None,
        at: int | None = None,
    ) -> None:
        """Add a row; `what` is one of VERBS."""
        assert what in VERBS, what
        row = {
            "at": int(time.time()) if at is None else at,
            "account_id": account_id,
            "who": who,
            "what": what,
            "target": target,
            "details": msgspec.json.encode(details or {}).decode(),
        }
        with self._database.write() as connection:
            connection.execute(changes.insert().values(**row))

    def newest(
        self,
        account_id: str | None = None,
        *,
        with_general: bool = False,
        before: int | None = None,
        limit: int = 1000,
    ) -> list[Change]:
        """The changes of one account, if wanted with those of no account, or all: newest first,
        only those with a smaller id than `before`."""
        query = sa.select(changes).order_by(changes.c.change_id.desc()).limit(limit)
        if account_id is not None:
            own = changes.c.account_id == account_id
            general = changes.c.account_id.is_(None)
            query = query.where(sa.or_(own, general) if with_general else own)
        if before is not None:
            query = query.where(changes.c.change_id < before)
        return [_change(row) for row in self._database.rows(query)]


_decode_details = msgspec.json.Decoder(dict[str, Any]).decode


def _change(row: tuple[Any, ...]) -> Change:
    columns = dict(zip(Change.__struct_fields__, row, strict=True))
    return Change(**(columns | {"details": _decode_details(columns["details"])}))
