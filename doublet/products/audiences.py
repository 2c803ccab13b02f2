"""Audiences by product: the rule (PROTOCOL 9.1) for those who looked at some products, or put them
into the cart, and bought none of them.

A rule names products by their ids, as events do; what a category holds is looked up in the feed,
and again whenever a feed is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from doublet.catalog import Audience, Catalog
from doublet.catalog.products import Chosen, Products
from doublet.errors import SenderError

CONTENT_IDS_MAX = 10_000
"""So many ids a rule may name. Beyond it nothing is made: an audience by a part of a category would
look like one by all of it."""

_DAY_S = 86_400


class Interest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who is meant: persons who did something with products of a category (and those below it), or
    with single ones, in the last days, but did not `unless` with any of the same. An id of a group
    of products means all of its variants. `unless` is empty where it does not matter."""

    category: str = ""
    product_ids: tuple[str, ...] = ()
    did: Literal["ViewContent", "AddToCart", "InitiateCheckout", "Purchase"] = "ViewContent"
    unless: Literal["", "AddToCart", "Purchase"] = "Purchase"
    days: Annotated[int, Meta(ge=1, le=180)] = 30


def ids_of(products: Products, account_id: str, interest: Interest) -> list[str]:
    """The ids that events name these products by, those of whole groups included, in order. Raises
    SenderError when the feed knows none of them, or there are too many for a rule."""
    if interest.category:
        found = _of_category(products, account_id, interest.category)
    else:
        found = _of_products(products, account_id, interest.product_ids)
    if len(found) > CONTENT_IDS_MAX:
        raise SenderError(
            f"These are {len(found):,} ids, but a rule names at most {CONTENT_IDS_MAX:,}.",
            _narrower(products, account_id, interest.category),
        )
    return sorted(found)


def _of_category(products: Products, account_id: str, category: str) -> set[str]:
    ids = set(products.ids(account_id, Chosen(category=category)))
    if not ids:
        raise SenderError(
            f"The feed has no category {category!r}.",
            "`doublet product list --categories` shows those there are.",
        )
    return ids | set(products.group_ids(account_id, Chosen(category=category)))


def _of_products(products: Products, account_id: str, wanted: Sequence[str]) -> set[str]:
    ids: set[str] = set()
    for each in wanted:
        if products.find(account_id, each) is not None:
            ids.add(each)
            continue
        variants = products.ids(account_id, Chosen(item_group_id=each))
        if not variants:
            raise SenderError(
                f"The feed has no product or group {each!r}.",
                "`doublet product list --words …` looks for one.",
            )
        ids.update(variants, (each,))
    if not ids:
        raise SenderError("No product is named.", "Give a category, or ids of products.")
    return ids


def _narrower(products: Products, account_id: str, category: str) -> str:
    below: dict[str, int] = {}
    depth = category.count(" > ") + 2 if category else 1
    for each in products.categories_within(account_id, category) if category else ():
        path = each.split(" > ")
        if len(path) >= depth:
            name = " > ".join(path[:depth])
            below[name] = below.get(name, 0) + 1
    if not below:
        return "Name products one by one, or give them a finer product_type in the feed."
    names = ", ".join(sorted(below)[:5])
    return f"Choose a category further down, such as {names}."


def rule_of(content_ids: Sequence[str], interest: Interest, pixel_ids: Sequence[str]) -> str:
    """The rule as JSON text. In it are persons with an event of `did` that names one of the ids,
    and out are those with one of `unless` that does.

    >>> text = rule_of(["sku-1"], Interest(unless="", days=1), ["1234567890123456"])
    >>> msgspec.json.decode(text)["inclusions"]["rules"][0]["filter"]["filters"][1]
    {'field': 'content_ids', 'operator': 'is_any', 'value': ['sku-1']}
    """
    rule: dict[str, Any] = {
        "inclusions": _part(content_ids, interest.did, interest.days, pixel_ids)
    }
    if interest.unless:
        rule["exclusions"] = _part(content_ids, interest.unless, interest.days, pixel_ids)
    return msgspec.json.encode(rule).decode()


def _part(
    content_ids: Sequence[str], event_name: str, days: int, pixel_ids: Sequence[str]
) -> dict[str, Any]:
    filters = [
        {"field": "event", "operator": "eq", "value": event_name},
        {"field": "content_ids", "operator": "is_any", "value": list(content_ids)},
    ]
    rule = {
        "event_sources": [{"id": each, "type": "pixel"} for each in pixel_ids],
        "retention_seconds": days * _DAY_S,
        "filter": {"operator": "and", "filters": filters},
    }
    return {"operator": "or", "rules": [rule]}


# --- in the catalog ----------------------------------------------------------------------------


class Renewed(NamedTuple):
    """An audience whose products were looked up anew: whether its rule changed, or why it could
    not be made."""

    name: str
    is_changed: bool
    problem: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Interest).decode


def create(catalog: Catalog, account_id: str, name: str, interest: Interest) -> Audience:
    """Make the audience; each import of a feed looks its products up anew. Raises SenderError."""
    rule = _made(catalog, account_id, interest)
    wanted = Audience(
        "", account_id, name, "WEBSITE", rule=rule, retention_days=interest.days, preset="products"
    )
    made = catalog.audiences.create(wanted)
    catalog.products.note_interest(made.audience_id, _encode(interest).decode(), rule)
    return made


def renew(catalog: Catalog, account_id: str) -> Iterator[Renewed]:
    """Look the products of all such audiences up anew, but of those whose rule somebody has
    written himself since. One whose products the feed no longer knows stays as it is."""
    for audience_id, text in sorted(catalog.products.interests(account_id).items()):
        audience = catalog.audiences.find(account_id, audience_id)
        if audience is None:
            continue
        try:
            rule = _made(catalog, account_id, _decode(text))
        except SenderError as error:
            yield Renewed(audience.name, False, error.message)
            continue
        if rule != audience.rule:
            # In this order a process that ends in between leaves one that is as if edited by hand.
            catalog.products.note_interest(audience_id, text, rule)
            catalog.audiences.save(msgspec.structs.replace(audience, rule=rule))
        yield Renewed(audience.name, rule != audience.rule)


def _made(catalog: Catalog, account_id: str, interest: Interest) -> str:
    pixels = [pixel.pixel_id for pixel in catalog.pixels(account_id)]
    return rule_of(ids_of(catalog.products, account_id, interest), interest, pixels)
