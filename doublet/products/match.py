"""How many of the content ids in events a product feed knows, and what to do about the others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

from doublet.engine import Engine

UNKNOWN_MAX = 50
"""So many unknown ids are listed."""

PRODUCT_EVENTS = ("ViewContent", "AddToCart", "InitiateCheckout", "Purchase", "AddToWishlist")
"""Events that should name products, whether or not they do."""

_LOW_RATE = 0.9


class Feed(NamedTuple):
    """The ids that an account's products have."""

    product_ids: Sequence[str]
    group_ids: Sequence[str]


class MatchRow(msgspec.Struct):
    """The events of one name: how many name products of which all, some or none are known; those
    without any id; and in how many an id is known only as that of a group. `match_rate` is the
    share (0–1) of those with all ids known, of those that name any; null where none does."""

    event_name: str
    events: int
    without_ids: int
    all_known: int
    some_known: int
    none_known: int
    of_groups: int
    match_rate: float | None = None


class UnknownId(msgspec.Struct):
    """An id that events name and the feed does not know; `likely` is the product it may mean, and
    `fix` says what to do."""

    content_id: str
    events: int
    event_names: list[str]
    last_time: int
    is_group: bool
    likely: str = ""
    fix: str = ""


class Match(msgspec.Struct):
    """How events and feed fit; `advice` says in words what to do."""

    account_id: str
    since: int
    until: int
    products: int
    rows: list[MatchRow]
    unknown: list[UnknownId]
    advice: list[str]


def match(engine: Engine, account_id: str, feed: Feed, since_s: int, until_s: int) -> Match:
    """What events between two moments (Unix seconds) name, against the feed."""
    parameters: dict[str, Any] = {
        "account_id": account_id,
        "since_s": since_s,
        "until_s": until_s,
        "product_ids": list(feed.product_ids),
        "group_ids": list(feed.group_ids),
    }
    rows = [
        MatchRow(**row, match_rate=_rate(row))
        for row in engine.query(_text("match"), {**parameters, "product_events": [*PRODUCT_EVENTS]})
    ]
    found = engine.query(_text("unknown_ids"), {**parameters, "limit": UNKNOWN_MAX})
    near = _Near(feed.product_ids)
    unknown = [near.explained(UnknownId(**row)) for row in found]
    advice = list(_advice(rows, unknown, len(feed.product_ids)))
    return Match(account_id, since_s, until_s, len(feed.product_ids), rows, unknown, advice)


def _text(name: str) -> str:
    return files("doublet.products").joinpath(f"{name}.sql").read_text("utf-8")


def _rate(row: dict[str, Any]) -> float | None:
    named = row["events"] - row["without_ids"]
    return row["all_known"] / named if named else None


class _Near:
    """Which product an unknown id may mean: the same in other letters, without leading zeros, or as
    a part of it, as in `shopify_DE_632910392_808950810`."""

    def __init__(self, product_ids: Sequence[str]) -> None:
        self._known = set(product_ids)
        self._plain: dict[str, str] = {}
        for each in product_ids:
            self._plain.setdefault(_plain(each), each)

    def explained(self, row: UnknownId) -> UnknownId:
        """The same with what to do."""
        if row.is_group:
            row.fix = "It is the id of a group: send the variant's, or content_type=product_group."
            return row
        pieces = re.split(r"[_:|/-]", row.content_id)
        parts = [each for each in reversed(pieces) if each in self._known and len(pieces) > 1]
        if likely := self._plain.get(_plain(row.content_id)):
            row.likely, row.fix = likely, f"Write it as the feed does: {likely}."
        elif parts:
            row.likely = parts[0]
            row.fix = f"Send only {parts[0]}, or have the feed's ids be written like the events'."
        else:
            row.fix = "Add it to the feed, if it is sold; or import the feed anew."
        return row


def _plain(text: str) -> str:
    return text.strip().casefold().lstrip("0")


def _advice(rows: list[MatchRow], unknown: list[UnknownId], products: int) -> Iterator[str]:
    if not products:
        yield "There are no products yet: import a feed with `doublet product import`."
        return
    for row in rows:
        if row.without_ids and row.event_name in PRODUCT_EVENTS:
            yield (
                f"{row.without_ids:,} of {row.events:,} {row.event_name} events name no product: "
                "send content_ids, or contents with an id each."
            )
        if row.of_groups:
            yield (
                f"{row.of_groups:,} {row.event_name} events name groups (item_group_id): send the "
                "ids of variants, or content_type=product_group."
            )
    low = [row for row in rows if row.match_rate is not None and row.match_rate < _LOW_RATE]
    alike = [row for row in unknown if row.likely]
    if alike:
        yield (
            f"{len(alike)} of the {len(unknown)} most frequent unknown ids are ids of the feed "
            f"written in another way, such as {alike[0].content_id} for {alike[0].likely}."
        )
    if low and not alike and not any(row.of_groups for row in low):
        names = ", ".join(row.event_name for row in low)
        yield (
            f"Less than {_LOW_RATE:.0%} of {names} events fit: is the feed of this shop, and up to "
            "date?"
        )
