"""Shops: what the webhooks of a platform say, as events and messages about orders."""

from __future__ import annotations

from doublet.shops.bigcommerce import BIGCOMMERCE
from doublet.shops.contract import (
    Delivery,
    Errand,
    Headers,
    Platform,
    Resource,
    Told,
    UnreadableError,
    is_signed,
)
from doublet.shops.shopify import SHOPIFY
from doublet.shops.woocommerce import WOOCOMMERCE

__all__ = [
    "PLATFORMS",
    "Delivery",
    "Errand",
    "Headers",
    "Platform",
    "Resource",
    "Told",
    "UnreadableError",
    "is_signed",
]

PLATFORMS: dict[str, Platform] = {
    platform.key: platform for platform in (SHOPIFY, WOOCOMMERCE, BIGCOMMERCE)
}
"""By the name that a shop's row has."""
