"""Shopify's products: `products.json` of a shop or the Admin API, and the CSV of its admin pages.

Events of a Shopify shop name products or variants, as its pixel and `doublet shop` are set; so it
is to be said which of them a product's id is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from doublet.errors import SenderError
from doublet.imports.files import Cells, Fault

Ids = Literal["product", "variant", "sku"]

JSON_SIZE_BYTES_MAX = 256 << 20
"""A JSON file is read at once; Shopify gives at most 250 products a page."""

CSV_SIGNS = frozenset({"handle", "variant sku"})
"""Columns that only Shopify's CSV has, in lower case."""


class Site(NamedTuple):
    """What a product's id is, and the shop's address, empty where it is not known."""

    ids: Ids
    url: str = ""


class _Products(msgspec.Struct):
    products: list[msgspec.Raw]


class _One(msgspec.Struct):
    product: msgspec.Raw


_decode = msgspec.json.Decoder().decode


def json_rows(body: bytes, site: Site) -> Iterator[Cells | Fault]:
    """The products, or their variants; the line is the product's number. Raises SenderError where
    it is no such file."""
    for number, raw in enumerate(_raw_products(body), 1):
        try:
            product = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            product = None
        if not isinstance(product, dict):
            yield Fault(number, "", "unreadable", "It is no object; a product is one.")
            continue
        variants = product.get("variants")
        listed = variants if isinstance(variants, list) else []
        known = [each for each in listed if isinstance(each, dict)]
        for variant in known[:1] if site.ids == "product" else known:
            yield Cells(number, _cells(product, variant, site))
        if not known:
            if site.ids == "product":
                yield Cells(number, _cells(product, {}, site))
            else:
                yield Fault(number, "variants", "variants", "It has no variants.")


def _raw_products(body: bytes) -> list[msgspec.Raw]:
    for kind in (_Products, _One, list[msgspec.Raw]):
        try:
            found: Any = msgspec.json.decode(body, type=kind)
        except (msgspec.ValidationError, RecursionError):
            continue
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SenderError(f"It is no JSON: {error}.", "Export it again.") from error
        if isinstance(found, _Products):
            return found.products
        return [found.product] if isinstance(found, _One) else found
    raise SenderError(
        'It holds no products: no {"products": […]}.',
        "Save https://SHOP/products.json, or the answer of the Admin API's products.json.",
    )


def _cells(product: Mapping[str, Any], variant: Mapping[str, Any], site: Site) -> dict[str, Any]:
    product_id = product.get("id")
    by_product = site.ids == "product"
    image = _source(variant.get("featured_image")) or _first_image(product)
    handle = product.get("handle")
    link = f"{site.url}/products/{handle}" if site.url and isinstance(handle, str) else ""
    title = str(product.get("title") or "")
    which = str(variant.get("title") or "")
    if not by_product and which and which != "Default Title":
        title = f"{title} – {which}"
    return {
        "id": product_id if by_product else variant.get("sku" if site.ids == "sku" else "id"),
        "item_group_id": "" if by_product else product_id,
        "title": title,
        "product_type": product.get("product_type"),
        "google_product_category": _category(product),
        "brand": product.get("vendor"),
        "price": variant.get("price"),
        "availability": _stock(product, variant),
        "link": product.get("onlineStoreUrl") or link,
        "image_link": image,
    }


def _category(product: Mapping[str, Any]) -> str:
    """The path in Shopify's taxonomy, which newer versions of the Admin API tell."""
    found = product.get("category")
    return str(found.get("full_name") or "") if isinstance(found, dict) else ""


def _stock(product: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    if product.get("status") in ("draft", "archived"):
        return "discontinued"
    available = variant.get("available")
    if isinstance(available, bool):
        return "in_stock" if available else "out_of_stock"
    left = variant.get("inventory_quantity")
    if not isinstance(left, int) or variant.get("inventory_management") is None:
        return ""
    if left > 0:
        return "in_stock"
    return "backorder" if variant.get("inventory_policy") == "continue" else "out_of_stock"


def _source(image: object) -> str:
    return str(image.get("src") or "") if isinstance(image, dict) else ""


def _first_image(product: Mapping[str, Any]) -> str:
    images = product.get("images")
    first = images[0] if isinstance(images, list) and images else product.get("image")
    return _source(first)


def csv_cells(rows: Iterator[Cells | Fault], site: Site) -> Iterator[Cells | Fault]:
    """The variants in the rows of Shopify's CSV, where only a product's first row has its title,
    type and vendor. Rows that hold one more image are none."""
    first: dict[str, Any] = {}
    for row in rows:
        if isinstance(row, Fault):
            yield row
            continue
        values = {name.lower(): value for name, value in row.values.items()}
        if values.get("title") or values.get("handle") != first.get("handle"):
            first = values
        if not any(values.get(name) for name in ("variant sku", "variant price")):
            continue
        handle = values.get("handle") or first.get("handle") or ""
        options = [values.get(f"option{n} value") or "" for n in (1, 2, 3)]
        which = " / ".join(each for each in options if each and each != "Default Title")
        title = first.get("title") or ""
        image = values.get("variant image") or first.get("image src")
        yield Cells(
            row.line,
            {
                "id": values.get("variant sku"),
                "item_group_id": handle,
                "title": f"{title} – {which}" if which else title,
                "product_type": first.get("type"),
                "google_product_category": first.get("product category")
                or first.get("google shopping / google product category"),
                "brand": first.get("vendor"),
                "price": values.get("variant price"),
                "availability": "discontinued"
                if first.get("status") in ("draft", "archived")
                else "",
                "link": f"{site.url}/products/{handle}" if site.url else "",
                "image_link": image,
            },
        )
