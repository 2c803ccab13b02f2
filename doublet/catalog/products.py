"""Products: what an account sells, as its last feed named it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.tables import audiences, product_audiences, products
from doublet.errors import OperatorError

PRODUCTS_MAX = 1_000_000
"""So many products an account may have."""

_AT_ONCE = 500

_Item = TypeVar("_Item")


class Product(msgspec.Struct, frozen=True):
    """What one content id names. `category` is a path such as `Shoes > Running`; `price` a plain
    decimal number, empty for none, in `currency` (ISO 4217); `availability` in the words of
    Merchant feeds. `updated_at` (Unix seconds) is when a feed last changed it."""

    account_id: str
    product_id: str
    item_group_id: str = ""
    title: str = ""
    category: str = ""
    brand: str = ""
    price: str = ""
    currency: str = ""
    availability: str = ""
    link: str = ""
    image_link: str = ""
    updated_at: int = 0


class Replaced(NamedTuple):
    """What a feed changed: how many products are new, other than before, as before, gone."""

    added: int
    changed: int
    same: int
    removed: int


class Chosen(NamedTuple):
    """Which products are meant; empty: all. `words` are looked for in id, title and brand."""

    category: str = ""
    item_group_id: str = ""
    words: str = ""


def digest_of(product: Product) -> bytes:
    """Sixteen bytes that are others when anything but `updated_at` is."""
    said = msgspec.json.encode(msgspec.structs.replace(product, updated_at=0))
    return hashlib.blake2b(said, digest_size=16).digest()


class Products:
    """The table of products."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(
        self,
        account_id: str,
        found: Iterable[Product],
        named: dict[str, bytes],
        *,
        keeps_others: bool = False,
        now_s: int | None = None,
    ) -> Replaced:
        """Have an account's products be those `found`, all or nothing: whoever reads meanwhile sees
        the old ones. `named` holds the digest of each product found, by its id; with
        `keeps_others`, products that are not named stay. Raises OperatorError where there would
        be too many."""
        now_s = int(time.time()) if now_s is None else now_s
        known = {p.product_id: digest_of(p) for p in self.each(account_id)}
        gone = [] if keeps_others else [each for each in known if each not in named]
        added = sum(each not in known for each in named)
        if (count := len(known) - len(gone) + added) > PRODUCTS_MAX:
            raise OperatorError(
                f"The account would have {count:,} products, at most {PRODUCTS_MAX:,} are kept.",
                "Leave some out of the feed.",
            )
        changed = 0
        with self._database.write() as connection:
            for ids in _batches(gone, _AT_ONCE):
                which = products.c.product_id.in_(ids)
                connection.execute(_of(account_id, products.delete()).where(which))
            others = (p for p in found if known.get(p.product_id) != named[p.product_id])
            for some in _batches(others, _AT_ONCE * 10):
                old = [p.product_id for p in some if p.product_id in known]
                for ids in _batches(old, _AT_ONCE):
                    which = products.c.product_id.in_(ids)
                    connection.execute(_of(account_id, products.delete()).where(which))
                changed += len(old)
                connection.execute(
                    products.insert(),
                    [msgspec.structs.asdict(p) | {"updated_at": now_s} for p in some],
                )
        return Replaced(added, changed, len(named) - added - changed, len(gone))

    def each(self, account_id: str) -> Iterator[Product]:
        """All products of an account, one after the other, by their ids."""
        after = ""
        query = (
            sa.select(products)
            .where(products.c.account_id == account_id)
            .order_by(products.c.product_id)
            .limit(_AT_ONCE * 20)
        )
        while rows := self._database.rows(query.where(products.c.product_id > after)):
            yield from (Product(*row) for row in rows)
            after = rows[-1][1]

    def count(self, account_id: str) -> int:
        """How many products an account has."""
        query = sa.select(sa.func.count()).where(products.c.account_id == account_id)
        return int(self._database.rows(query)[0][0])

    def find(self, account_id: str, product_id: str) -> Product | None:
        """The product with this id."""
        query = sa.select(products).where(
            products.c.account_id == account_id, products.c.product_id == product_id
        )
        return next((Product(*row) for row in self._database.rows(query)), None)

    def some(self, account_id: str, chosen: Chosen, limit: int = 100) -> list[Product]:
        """The first of the chosen products, by their ids."""
        query = self._query(account_id, chosen, sa.select(products))
        query = query.order_by(products.c.product_id).limit(limit)
        return [Product(*row) for row in self._database.rows(query)]

    def ids(self, account_id: str, chosen: Chosen | None = None) -> list[str]:
        """The ids of the chosen products, in order."""
        query = self._query(account_id, chosen or Chosen(), sa.select(products.c.product_id))
        return [row[0] for row in self._database.rows(query.order_by(products.c.product_id))]

    def group_ids(self, account_id: str, chosen: Chosen | None = None) -> list[str]:
        """The ids of the groups of the chosen products, in order."""
        query = sa.select(products.c.item_group_id).distinct()
        query = self._query(account_id, chosen or Chosen(), query)
        return sorted(row[0] for row in self._database.rows(query) if row[0])

    def categories(self, account_id: str) -> dict[str, int]:
        """How many products each category has of its own, without those below it."""
        query = sa.select(products.c.category, sa.func.count())
        query = query.where(products.c.account_id == account_id).group_by(products.c.category)
        return dict(self._database.rows(query))

    def categories_within(self, account_id: str, category: str) -> list[str]:
        """A category and those below it, whatever the case of their letters."""
        wanted = category.casefold()
        return [
            each
            for each in self.categories(account_id)
            if each.casefold() == wanted or each.casefold().startswith(f"{wanted} > ")
        ]

    # --- audiences of products ----------------------------------------------------------------

    def note_interest(self, audience_id: str, interest: str, rule: str) -> None:
        """Remember which products (JSON) an audience is about, and the rule made of them."""
        which = product_audiences.c.audience_id == audience_id
        with self._database.write() as connection:
            connection.execute(product_audiences.delete().where(which))
            connection.execute(
                product_audiences.insert().values(
                    audience_id=audience_id, interest=interest, rule=rule
                )
            )

    def interests(self, account_id: str) -> dict[str, str]:
        """Of the audiences about products that still have the rule made of them: which products
        (JSON), by audience."""
        query = sa.select(product_audiences.c.audience_id, product_audiences.c.interest)
        query = query.join(
            audiences, audiences.c.audience_id == product_audiences.c.audience_id
        ).where(audiences.c.account_id == account_id, audiences.c.rule == product_audiences.c.rule)
        return dict(self._database.rows(query))

    def _query(self, account_id: str, chosen: Chosen, query: sa.Select[Any]) -> sa.Select[Any]:
        query = query.where(products.c.account_id == account_id)
        if chosen.category:
            within = self.categories_within(account_id, chosen.category)
            query = query.where(products.c.category.in_(within))
        if chosen.item_group_id:
            query = query.where(products.c.item_group_id == chosen.item_group_id)
        if chosen.words:
            columns = (products.c.product_id, products.c.title, products.c.brand)
            said = (column.icontains(chosen.words, autoescape=True) for column in columns)
            query = query.where(sa.or_(*said))
        return query


def _of(account_id: str, statement: sa.Delete) -> sa.Delete:
    return statement.where(products.c.account_id == account_id)


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def digests_of(found: Sequence[Product]) -> dict[str, bytes]:
    """The digest of each of a few products, as `Products.replace` wants them."""
    return {product.product_id: digest_of(product) for product in found}
