"""Accounts, their pixels and access tokens: SQLite by default, through SQLAlchemy.

Tokens are stored as SHA-256 only; the plain token is seen once, when it is made. Every pixel and
every token belongs to exactly one account.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.access_tokens import Token, Tokens, insert_token, token_sha256
from doublet.catalog.audience_webhooks import AudienceWebhook, AudienceWebhooks
from doublet.catalog.audiences import Audiences
from doublet.catalog.campaign_rows import Ad, AdSet, Campaign, Creative, FrequencyCap
from doublet.catalog.campaigns import Campaigns
from doublet.catalog.changes import Change, Changes
from doublet.catalog.database import Database, check_version
from doublet.catalog.lists import Lists
from doublet.catalog.products import Product, Products
from doublet.catalog.reporting import Reporting
from doublet.catalog.roles import Role
from doublet.catalog.rows import (
    Account,
    AlertRow,
    Audience,
    CustomConversion,
    Destination,
    DestinationRules,
    Directory,
    ListBatch,
    ListEntry,
    Pixel,
    PixelRules,
    ReportRules,
    ReportRun,
    Setup,
    Shop,
    ShopRules,
    ShopSecret,
)
from doublet.catalog.setups import Setups
from doublet.catalog.shares import Share, Shares
from doublet.catalog.shops import Shops
from doublet.catalog.tables import accounts, alerts, destinations, metadata, pixels, tokens
from doublet.catalog.users import Session, User, Users
from doublet.entries import check_app_secret, check_currency, check_name, check_time_zone
from doublet.errors import OperatorError

__all__ = [
    "Account",
    "Ad",
    "AdSet",
    "AlertRow",
    "Audience",
    "AudienceWebhook",
    "Campaign",
    "Catalog",
    "Change",
    "Creative",
    "CustomConversion",
    "Destination",
    "DestinationRules",
    "Directory",
    "FrequencyCap",
    "ListBatch",
    "ListEntry",
    "Pixel",
    "PixelRules",
    "Product",
    "ReportRules",
    "ReportRun",
    "Role",
    "Session",
    "Setup",
    "Share",
    "Shop",
    "ShopRules",
    "ShopSecret",
    "Token",
    "User",
    "check_version",
    "is_proven",
    "metadata",
    "token_sha256",
]


def is_proven(secret: str, token: str, proof: str | None) -> bool:
    """Whether an `appsecret_proof`, where one was sent and can be checked, is the token's."""
    if not secret or not proof:
        return True
    expected = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), proof.strip().lower().encode())


def _digits(count: int) -> str:
    return str(10 ** (count - 1) + secrets.randbelow(9 * 10 ** (count - 1)))


class Catalog(Database):
    """The catalog at a SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.shops = Shops(self)
        self.setups = Setups(self)
        self.reporting = Reporting(self)
        self.audiences = Audiences(self)
        self.lists = Lists(self)
        self.products = Products(self)
        self.campaigns = Campaigns(self)
        self.shares = Shares(self)
        self.audience_webhooks = AudienceWebhooks(self)
        self.tokens = Tokens(self)
        self.users = Users(self)
        self.changes = Changes(self)

    # --- accounts -----------------------------------------------------------------------------

    def create_account(self, name: str, time_zone: str = "UTC", currency: str = "USD") -> Account:
        """Make an account. Raises OperatorError for a name that cannot be one, an unknown
        time zone or currency."""
        account = Account(
            f"act_{_digits(15)}",
            check_name(name),
            check_time_zone(time_zone),
            check_currency(currency),
        )
        with self.write() as connection:
            connection.execute(
                accounts.insert().values(
                    **msgspec.structs.asdict(account), created_at=int(time.time())
                )
            )
        return account

    def edit_account(
        self,
        account_id: str,
        *,
        name: str | None = None,
        time_zone: str | None = None,
        currency: str | None = None,
        app_secret: str | None = None,
    ) -> Account:
        """Change what is not None; the account as it is now. An empty secret means none. Raises
        OperatorError for what `create_account` refuses, and for a secret that cannot be one."""
        changes = {
            "name": check_name(name) if name is not None else None,
            "time_zone": check_time_zone(time_zone) if time_zone is not None else None,
            "currency": check_currency(currency) if currency is not None else None,
            "app_secret": check_app_secret(app_secret) if app_secret is not None else None,
        }
        self.change(accounts, accounts.c.account_id == account_id, changes)
        return self.account(account_id)

    def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        query = sa.select(*accounts.c[:4]).order_by(accounts.c.created_at, accounts.c.account_id)
        return [Account(*row) for row in self.rows(query)]

    def account(self, account: str | None) -> Account:
        """The account with this id or name; None means the only one there is.

        Raises OperatorError when there is none or when the choice is not clear.
        """
        known = self.accounts()
        found = [a for a in known if account in (None, a.account_id, a.name)]
        if len(found) == 1:
            return found[0]
        if not known:
            raise OperatorError(
                "There is no account yet.", "`doublet pixel create NAME` makes the first."
            )
        names = ", ".join(f"{a.account_id} ({a.name})" for a in known)
        problem = "More than one account fits" if found else f"There is no account {account!r}"
        raise OperatorError(f"{problem}; known: {names}.", "Name one with --account.")

    def account_of_token(self, access_token: str) -> Account | None:
        """Whose token this is, None for an unknown one."""
        holder = self.tokens.holder(access_token)
        return holder[0] if holder else None

    def app_secret(self, account_id: str) -> str:
        """An account's secret for `appsecret_proof`, empty when it has none."""
        query = sa.select(accounts.c.app_secret).where(accounts.c.account_id == account_id)
        return next((str(secret) for (secret,) in self.rows(query)), "")

    # --- pixels -------------------------------------------------------------------------------

    def create_pixel(self, account_id: str, name: str) -> tuple[Pixel, str]:
        """Make a pixel and an access token of its account; the token cannot be shown again.

        Raises OperatorError when there is no such account, or for a name that cannot be one.
        """
        pixel = Pixel(_digits(16), account_id, check_name(name))
        with self.write() as connection:
            connection.execute(
                pixels.insert().values(**msgspec.structs.asdict(pixel), created_at=int(time.time()))
            )
            return pixel, insert_token(connection, account_id, pixel.name)

    def create_token(self, account_id: str, name: str) -> str:
        """One more access token of an account; it cannot be shown again."""
        with self.write() as connection:
            return insert_token(connection, account_id, check_name(name))

    def edit_pixel(
        self, pixel_id: str, *, name: str | None = None, rules: PixelRules | None = None
    ) -> None:
        """Change what is not None. Raises OperatorError for a name that cannot be one."""
        changes = {
            "name": check_name(name) if name is not None else None,
            "rules": _encode_rules(rules) if rules is not None else None,
        }
        self.change(pixels, pixels.c.pixel_id == pixel_id, changes)

    def pixel_rules(self, pixel_id: str) -> PixelRules:
        """The rules of a pixel. Raises OperatorError when there is no such pixel."""
        query = sa.select(pixels.c.rules).where(pixels.c.pixel_id == pixel_id)
        for (rules,) in self.rows(query):
            return _decode_rules(rules)
        raise OperatorError(
            f"There is no pixel {pixel_id!r}.", "`doublet pixel list` shows those there are."
        )

    def pixels(self, account_id: str | None = None) -> list[Pixel]:
        """The pixels of one account or of all, oldest first."""
        query = sa.select(*pixels.c[:3]).order_by(pixels.c.created_at, pixels.c.pixel_id)
        if account_id is not None:
            query = query.where(pixels.c.account_id == account_id)
        return [Pixel(*row) for row in self.rows(query)]

    def creation_times(self, account_id: str) -> dict[str, int]:
        """When each pixel of an account was made, in Unix seconds."""
        columns = (pixels.c.pixel_id, pixels.c.created_at)
        return dict(self.rows(sa.select(*columns).where(pixels.c.account_id == account_id)))

    # --- alerts -------------------------------------------------------------------------------

    def save_alert(self, row: AlertRow) -> int:
        """Add an alert (with the id 0) or replace the one of that id; its id."""
        values = msgspec.structs.asdict(row)
        with self.write() as connection:
            if row.alert_id:
                which = alerts.c.alert_id == row.alert_id
                connection.execute(alerts.update().where(which).values(**values))
                return row.alert_id
            del values["alert_id"]
            made = connection.execute(alerts.insert().values(**values))
            return int(made.inserted_primary_key[0])  # type: ignore[index]

    def alerts(
        self, account_id: str | None = None, *, unsettled: bool = False, limit: int = 1000
    ) -> list[AlertRow]:
        """The alerts of one account or of all, newest first; or only those that are open, or of
        which not everything has been told."""
        query = sa.select(alerts).order_by(alerts.c.opened_at.desc(), alerts.c.alert_id.desc())
        if account_id is not None:
            query = query.where(alerts.c.account_id == account_id)
        if unsettled:
            query = query.where(sa.or_(alerts.c.closed_at.is_(None), alerts.c.told != "closed"))
        return [AlertRow(*row) for row in self.rows(query.limit(limit))]

    # --- destinations -------------------------------------------------------------------------

    def create_destination(
        self,
        account_id: str,
        kind: str,
        name: str,
        target: dict[str, Any],
        secret: str = "",
        rules: DestinationRules | None = None,
        is_paused: bool = False,
    ) -> Destination:
        """Make a destination; what its kind asks of `target`, `secret` and rules was checked.
        Raises OperatorError for a name that cannot be one or is another destination's."""
        made = Destination(
            f"dst_{_digits(12)}",
            account_id,
            kind,
            check_name(name),
            int(time.time()),
            is_paused,
            target,
            secret,
            rules or DestinationRules(),
        )
        self._check_free(made)
        with self.write() as connection:
            connection.execute(destinations.insert().values(**_columns_of(made)))
        return made

    def save_destination(self, destination: Destination) -> None:
        """Replace the row of a destination by this one. Raises OperatorError for a name that cannot
        be one or is another destination's."""
        destination = msgspec.structs.replace(destination, name=check_name(destination.name))
        self._check_free(destination)
        which = destinations.c.destination_id == destination.destination_id
        with self.write() as connection:
            connection.execute(
                destinations.update().where(which).values(**_columns_of(destination))
            )

    def _check_free(self, destination: Destination) -> None:
        for other in self.destinations(destination.account_id):
            if (
                other.name == destination.name
                and other.destination_id != destination.destination_id
            ):
                raise OperatorError(
                    f"The account has a destination {other.name!r} already.", "Choose another name."
                )

    def remove_destination(self, destination_id: str) -> None:
        """Forget a destination; what it was sent is not undone."""
        which = destinations.c.destination_id == destination_id
        with self.write() as connection:
            connection.execute(destinations.delete().where(which))

    def destinations(self, account_id: str | None = None) -> list[Destination]:
        """The destinations of one account or of all, oldest first."""
        query = sa.select(destinations).order_by(
            destinations.c.created_at, destinations.c.destination_id
        )
        if account_id is not None:
            query = query.where(destinations.c.account_id == account_id)
        return [_destination(row) for row in self.rows(query)]

    def destination(self, which: str, account_id: str | None = None) -> Destination:
        """The destination with this id or name. Raises OperatorError when there is none, or more
        than one."""
        known = self.destinations(account_id)
        found = [d for d in known if which in (d.destination_id, d.name)]
        if len(found) == 1:
            return found[0]
        problem = "More than one destination is called" if found else "There is no destination"
        raise OperatorError(
            f"{problem} {which!r}.", "`doublet destination list` shows them with their ids."
        )

    def directory(self) -> Directory:
        """A snapshot for a collector."""
        return Directory(
            dict(self.rows(sa.select(pixels.c.pixel_id, pixels.c.account_id))),
            dict(self.rows(sa.select(tokens.c.token_sha256, tokens.c.account_id))),
            {
                pixel_id: _decode_rules(rules)
                for pixel_id, rules in self.rows(
                    sa.select(pixels.c.pixel_id, pixels.c.rules).where(pixels.c.rules != "{}")
                )
            },
            dict(
                self.rows(
                    sa.select(accounts.c.account_id, accounts.c.app_secret).where(
                        accounts.c.app_secret != ""
                    )
                )
            ),
            {shop.shop_id: shop for shop in self.shops.all()},
            self.setups.codes(),
        )


_decode_rules = msgspec.json.Decoder(PixelRules).decode


def _encode_rules(rules: PixelRules) -> str:
    return msgspec.json.encode(rules).decode()


_decode_destination_rules = msgspec.json.Decoder(DestinationRules).decode
_decode_target = msgspec.json.Decoder(dict[str, Any]).decode


def _columns_of(destination: Destination) -> dict[str, Any]:
    columns = msgspec.structs.asdict(destination)
    for name in ("target", "rules"):
        columns[name] = msgspec.json.encode(columns[name]).decode()
    return columns


def _destination(row: tuple[Any, ...]) -> Destination:
    columns = dict(zip(Destination.__struct_fields__, row, strict=True))
    columns["target"] = _decode_target(columns["target"])
    columns["rules"] = _decode_destination_rules(columns["rules"])
    return Destination(**columns)
