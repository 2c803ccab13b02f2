"""What is known of persons up to a moment: numbers of `features.sql`, tastes of `tastes.sql`.

Nothing later than the moment is read, so that what a seed did to become one can be kept out by
asking for the moment before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doublet.engine import Engine
from doublet.lookalikes.spec import LookalikeSpec, country_hash

LOOKBACK_S = 180 * 86_400
"""Behaviour older than this says nothing."""
ITEMS_MAX = 2000
"""So many products, categories, pages and own events are told apart, the best known ones."""
ITEM_PERSONS_MIN = 10
PERSONS_PER_PART = 125_000
SAMPLE_PERSONS = 50_000
"""Enough to know what a population does."""

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


@cache
def text(name: str) -> str:
    """One of the SQL texts of this package."""
    return files("doublet.lookalikes").joinpath(f"{name}.sql").read_text("utf-8")


def spread(ids: Ids, most: int) -> Ids:
    """About `most` of them, by lot; the same ones for the same ids."""
    if len(ids) <= most:
        return ids
    return np.sort(np.random.default_rng(1).choice(ids, most, replace=False))


class People(NamedTuple):
    """Who has done something up to a moment, by ascending `ids`. `is_in`: of the countries asked
    for or of none known; `country_places` counts these countries from 1, 0 is unknown."""

    ids: Ids
    first_s: Ids
    country_places: NDArray[np.int32]
    is_in: NDArray[np.bool_]


class Reader(NamedTuple):
    """Reads an account's behaviours through an engine; what persons did is known without events of
    the names that are `ignored`."""

    engine: Engine
    account_id: str
    ignored: tuple[str, ...] = ()

    def ask(self, name: str, until_s: int, **more: Any) -> dict[str, Any]:
        """The columns of one of the texts."""
        known = {"account_id": self.account_id, "until_s": until_s, "lookback_s": LOOKBACK_S}
        if "$ignored" in text(name):
            # DuckDB wants lists to hold something: no event is without a name.
            more["ignored"] = list(self.ignored) or [""]
        return self.engine.columns(text(name), {**known, **more})

    def people(self, until_s: int, spec: LookalikeSpec) -> People:
        """All who are known at that moment."""
        hashes = [country_hash(country) for country in spec.countries]
        excluded = [country_hash(country) for country in spec.excluded_countries]
        # DuckDB wants lists to hold something: no hash is empty.
        found = self.ask("seen", until_s, countries=hashes or [""], excluded=excluded or [""])
        places = found["country_place"]
        is_in = ~found["is_excluded"]
        if hashes:
            is_in &= (places > 0) | ~found["is_elsewhere"]
        return People(found["person_id"], found["first_s"], places, is_in)

    def items(self, until_s: int, people: Ids) -> list[str]:
        """The things by which tastes are told apart, sorted by name; some of the people tell."""
        asked = spread(people, SAMPLE_PERSONS).tolist()
        more = {"persons_min": ITEM_PERSONS_MIN, "items_max": ITEMS_MAX}
        found = self.ask("items", until_s, persons=asked, **more)
        return sorted(found["item"].tolist())

    def known(
        self, until_s: int, people: Ids, items: Sequence[str]
    ) -> Iterator[tuple[Known, float]]:
        """What is known of these people, in parts of bounded size, each with the share that is
        done by then. Who has done nothing up to that moment is left out."""
        parts = -(-len(people) // PERSONS_PER_PART) or 1
        for number, part in enumerate(np.array_split(people, parts), 1):
            found = self.ask("features", until_s, persons=part.tolist())
            ids = found.pop("person_id")
            dense = np.column_stack(list(found.values())).astype(np.float32, copy=False)
            tastes = self._tastes(until_s, ids, items)
            yield Known(ids, dense, tastes, tuple(found)), number / parts

    def _tastes(self, until_s: int, ids: Ids, items: Sequence[str]) -> Any:
        from scipy.sparse import csr_matrix

        if not items or not len(ids):
            return csr_matrix((len(ids), len(items)), dtype=np.float32)
        found = self.ask("tastes", until_s, persons=ids.tolist(), items=list(items))
        rows = np.searchsorted(ids, found["person_id"])
        shape = (len(ids), len(items))
        tastes = csr_matrix((found["times"], (rows, found["place"])), shape=shape)
        tastes.sort_indices()
        return tastes


class Known(NamedTuple):
    """What is known of persons: a row each of numbers, `names` those of the columns, and of how
    often they met each item (scipy's CSR matrix)."""

    ids: Ids
    dense: Floats
    tastes: Any
    names: tuple[str, ...]

    def rows(self, places: NDArray[Any]) -> Known:
        """Those of some persons, by their places."""
        return Known(self.ids[places], self.dense[places], self.tastes[places], self.names)

    def column(self, name: str) -> Floats:
        """One of the numbers, of all persons."""
        return self.dense[:, self.names.index(name)]

    def without(self, names: Sequence[str], items: Sequence[int]) -> Known:
        """The same with these numbers and items blanked."""
        if not names and not len(items):
            return self
        dense = self.dense.copy()
        dense[:, [self.names.index(name) for name in names]] = 0
        tastes = self.tastes
        if len(items):
            from scipy.sparse import diags

            kept = np.ones(tastes.shape[1], np.float32)
            kept[list(items)] = 0
            tastes = (tastes @ diags(kept)).tocsr()
            tastes.eliminate_zeros()
        return Known(self.ids, dense, tastes, self.names)


def stack(parts: Sequence[Known]) -> Known:
    """Rows of several below each other."""
    from scipy.sparse import vstack

    return Known(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.dense for part in parts]),
        vstack([part.tastes for part in parts], format="csr"),
        parts[0].names,
    )


COLUMNS_BY_EVENT: Mapping[str, tuple[str, ...]] = {
    "PageView": ("pages",),
    "ViewContent": ("views", "views_7d", "view_age", "view_price"),
    "ViewCategory": ("categories",),
    "Search": ("searches",),
    "AddToWishlist": ("wishes",),
    "AddToCart": ("carts", "carts_7d", "cart_age"),
    "InitiateCheckout": ("checkouts", "checkout_age"),
    "AddPaymentInfo": ("payments",),
    "Purchase": (
        *("purchases", "purchases_30d", "purchase_age"),
        *("spent", "spent_most", "items_bought"),
    ),
    "Lead": ("leads",),
    "CompleteRegistration": ("registrations",),
    "Subscribe": ("subscriptions",),
}
"""Which numbers tell of an event name."""
