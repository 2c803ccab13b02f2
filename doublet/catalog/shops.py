"""Shops: which platform reports the orders of which pixel, and how it proves itself."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.rows import Shop, ShopRules, ShopSecret
from doublet.catalog.tables import shops
from doublet.entries import check_name
from doublet.errors import OperatorError

OLD_SECRET_S = 86_400
"""How long a secret goes on proving after a new one was made: Shopify signs with the old one for
up to an hour (*Rotate or revoke client credentials*), others until somebody has pasted the new."""


class Shops:
    """The table of shops."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        account_id: str,
        pixel_id: str,
        platform: str,
        name: str,
        target: dict[str, str] | None = None,
        secret: str = "",
        api_token: str = "",
        rules: ShopRules | None = None,
    ) -> Shop:
        """Make a shop; without a secret it gets one. Raises OperatorError for a name that cannot be
        one or is another shop's, and where there is no such pixel."""
        made = Shop(
            f"shp_{10**11 + secrets.randbelow(9 * 10**11)}",
            account_id,
            pixel_id,
            platform,
            check_name(name),
            int(time.time()),
            target or {},
            [ShopSecret(secret or secrets.token_urlsafe(32))],
            api_token,
            rules or ShopRules(),
        )
        self._check_free(made)
        with self._database.write() as connection:
            connection.execute(shops.insert().values(**_columns_of(made)))
        return made

    def save(self, shop: Shop) -> None:
        """Replace the row of a shop by this one. Raises OperatorError for a name that cannot be one
        or is another shop's."""
        shop = msgspec.structs.replace(shop, name=check_name(shop.name))
        self._check_free(shop)
        which = shops.c.shop_id == shop.shop_id
        with self._database.write() as connection:
            connection.execute(shops.update().where(which).values(**_columns_of(shop)))

    def rotate(self, shop: Shop, secret: str = "", keep_s: int = OLD_SECRET_S) -> Shop:
        """Give a shop a new secret, made here unless given; the older prove for `keep_s` more."""
        end = int(time.time()) + keep_s
        older = [ShopSecret(s.value, min(s.until or end, end)) for s in shop.secrets]
        kept = [s for s in older if s.until is not None and s.until > time.time()]
        newest = ShopSecret(secret or secrets.token_urlsafe(32))
        shop = msgspec.structs.replace(shop, secrets=[newest, *kept])
        self.save(shop)
        return shop

    def remove(self, shop_id: str) -> None:
        """Forget a shop: its deliveries are refused from now on. What came stays."""
        with self._database.write() as connection:
            connection.execute(shops.delete().where(shops.c.shop_id == shop_id))

    def all(self, account_id: str | None = None) -> list[Shop]:
        """The shops of one account or of all, oldest first."""
        query = sa.select(shops).order_by(shops.c.created_at, shops.c.shop_id)
        if account_id is not None:
            query = query.where(shops.c.account_id == account_id)
        return [_shop(row) for row in self._database.rows(query)]

    def one(self, which: str | None, account_id: str | None = None) -> Shop:
        """The shop with this id or name; None means the only one there is. Raises OperatorError
        when there is none, or more than one."""
        found = [s for s in self.all(account_id) if which in (None, s.shop_id, s.name)]
        if len(found) == 1:
            return found[0]
        named = f" {which!r}" if which else ""
        problem = f"More than one shop{named} fits" if found else f"There is no shop{named}"
        raise OperatorError(
            f"{problem}.", "`doublet shop list` shows them; `doublet shop add` makes one."
        )

    def _check_free(self, shop: Shop) -> None:
        for other in self.all(shop.account_id):
            if other.name == shop.name and other.shop_id != shop.shop_id:
                raise OperatorError(
                    f"The account has a shop {shop.name!r} already.", "Choose another name."
                )


_TYPES: dict[str, Any] = {"target": dict[str, str], "secrets": list[ShopSecret], "rules": ShopRules}
"""Columns that hold JSON."""


def _columns_of(shop: Shop) -> dict[str, Any]:
    columns = {name: getattr(shop, name) for name in Shop.__struct_fields__}
    for name in _TYPES:
        columns[name] = msgspec.json.encode(columns[name]).decode()
    return columns


def _shop(row: tuple[Any, ...]) -> Shop:
    columns = dict(zip(Shop.__struct_fields__, row, strict=True))
    for name, kind in _TYPES.items():
        columns[name] = msgspec.json.decode(columns[name], type=kind)
    return Shop(**columns)
