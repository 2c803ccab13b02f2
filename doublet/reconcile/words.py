"""A comparison in words: what agrees, and what may be behind what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from doublet.catalog import Shop
from doublet.reconcile.compare import Reconciliation
from doublet.reports import as_percent
from doublet.reports.orders import amount
from doublet.shops.api import Subscription

_TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "shopify": {
        "missing": ("orders/create",),
        "cancelled": ("orders/cancelled", "orders/updated"),
        "refunded": ("refunds/create", "orders/updated"),
        "paid": ("orders/paid",),
    },
    "woocommerce": {
        "missing": ("order.created", "order.updated"),
        "cancelled": ("order.updated",),
        "refunded": ("order.updated",),
        "paid": ("order.updated",),
    },
    "bigcommerce": {
        "missing": ("store/order/created", "store/order/*"),
        "cancelled": ("store/order/statusUpdated", "store/order/updated", "store/order/*"),
        "refunded": ("store/order/refund/created", "store/order/updated", "store/order/*"),
        "paid": ("store/order/statusUpdated", "store/order/updated", "store/order/*"),
    },
}
"""Which webhook would have told: any of these, by what is wrong."""


def money(sums: Mapping[str, Decimal]) -> str:
    """Sums by currency, for people.

    >>> money({"EUR": Decimal("1200.5"), "USD": Decimal(7)})
    '1,200.50 EUR, 7.00 USD'
    """
    return ", ".join(amount(value, currency) for currency, value in sorted(sums.items())) or "–"


def sentences(told: Reconciliation) -> Iterator[str]:
    """What the comparison comes to."""
    if told.since is None or told.until is None:
        yield "The shop gave no orders, so that there is nothing to compare."
        return
    if not told.orders:
        yield f"The shop has no orders from {told.since:%Y-%m-%d} to {told.until:%Y-%m-%d %H:%M}."
        return
    when = f"{told.since:%Y-%m-%d %H:%M} to {told.until:%Y-%m-%d %H:%M}"
    noun = "order" if told.orders == 1 else "orders"
    yield (
        f"{told.orders:,} {noun} of the shop from {when}, worth {money(told.total)}: "
        f"{told.agree:,} agree ({as_percent(told.agree, told.orders)})."
    )
    odd = {how: count for how, count in told.matched_by.items() if how != "id"}
    if odd:
        counts = ", ".join(f"{count:,} by {how}" for how, count in sorted(odd.items()))
        yield f"Not all were found here by the shop's id: {counts}."
    if told.purchases_without_order_id:
        yield (
            f"{told.purchases_without_order_id:,} Purchases of that time have no order_id, and "
            "cannot be compared."
        )
    if told.agrees and told.orders:
        yield "Both sides agree."


def wanted_topics(told: Reconciliation, platform: str) -> dict[str, tuple[str, ...]]:
    """The webhooks that would have told what is not here, by what is wrong."""
    topics = _TOPICS.get(platform, {})
    found = {}
    for group in told.groups:
        is_missing = (group.finding, group.why) == ("missing", "not_delivered")
        what = "missing" if is_missing else group.why
        if what in topics and (is_missing or group.finding == "status_differs"):
            found[what] = topics[what]
    return found


def webhooks(
    told: Reconciliation, shop: Shop, subscriptions: Sequence[Subscription]
) -> Iterator[str]:
    """Of each webhook that should have told what is not here: whether the shop has it."""
    for topics in dict.fromkeys(wanted_topics(told, shop.platform).values()):
        own = [
            each
            for each in subscriptions
            if each.topic in topics and f"/v1/shops/{shop.shop_id}/" in each.address
        ]
        named = " or ".join(topics)
        if any(each.is_active for each in own):
            yield (
                f"The webhook {own[0].topic} is there and active: its deliveries failed, or it was "
                "made after these orders. The platform shows its last deliveries."
            )
        elif own:
            yield f"The webhook {own[0].topic} is there, but no longer active: switch it on again."
        elif shop.platform == "shopify":
            yield (
                f"The API lists no webhook {named} that leads here. It lists those of its own app "
                "only: look under Settings, Notifications, Webhooks too."
            )
        else:
            yield f"The shop has no webhook {named} that leads here: make one."
