"""WooCommerce: complete resources, signed with the secret of the webhook (`class-wc-webhook.php`).

A body is made only when it is sent: an order that was created minutes ago may be paid by then. So
every topic tells the order's whole state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b

from doublet.catalog import Shop
from doublet.shops.contract import (
    Delivery,
    Headers,
    Platform,
    Resource,
    Told,
    UnreadableError,
    is_signed,
)
from doublet.shops.events import PURCHASE_FRESH_S, Item, contents, wire_event
from doublet.shops.fields import (
    amount,
    click_cookie,
    click_id,
    json_object,
    needed,
    origin,
    page_url,
    plain,
    present,
    record,
    records,
    seconds,
    text,
    utc,
)
from doublet.shops.standing import Refund, Standing, messages_of, refunds_of

_UNPLACED = ("checkout-draft", "auto-draft", "draft", "new")
_DEAD = ("cancelled", "failed", "trash")
_SOLD = ("processing", "completed", "refunded")
"""Any other status is a sale once it is paid: `pending`, `on-hold`, and what plug-ins add."""

_is_ping = re.compile(rb"webhook_id=[0-9]{1,20}").fullmatch
_is_api_error = re.compile(r"[a-z_]{1,80}").fullmatch


def _is_proven(headers: Headers, body: bytes, secrets: Iterable[str], now_s: float) -> bool:
    return is_signed(body, headers.get("x-wc-webhook-signature", ""), secrets)


def _pings(headers: Headers, body: bytes) -> bool:
    """A new webhook tries its address with a form, which it does not sign."""
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    is_delivery = any(name.startswith("x-wc-webhook-") for name in headers)
    return is_form and not is_delivery and _is_ping(body) is not None


def _read(headers: Headers, body: bytes) -> Delivery:
    topic = headers.get("x-wc-webhook-topic", "").lower()
    resource = json_object(body)
    if not topic:
        raise UnreadableError("The header X-WC-Webhook-Topic is missing.")
    code = text(resource.get("code"))
    if "id" not in resource and "action" not in resource and _is_api_error(code):
        raise UnreadableError(
            f"The shop's API answers its own webhook with {code}: save the webhook as an "
            "administrator."
        )
    # WooCommerce makes the id of the webhook and the second, so that two orders can have one.
    delivery_id = headers.get("x-wc-webhook-delivery-id", "")
    digest = blake2b(body, digest_size=8).hexdigest()
    return Delivery(topic, f"{delivery_id}/{digest}" if delivery_id else "", resource)


def _tell(delivery: Delivery, shop: Shop) -> Told:
    resource = delivery.resource
    match delivery.topic:
        case "order.created" | "order.updated":
            return _of_order(resource, shop)
        case "order.restored":
            told = _of_order(resource, shop)
            return told._replace(orders=(*told.orders, _moved(delivery, "reopened")))
        case "order.deleted":
            return Told(orders=(_moved(delivery, "cancelled"),))
        case "customer.created":
            return _registered(resource, shop)
    return Told(passed_over="This topic says nothing about an order or a new customer.")


def _moved(delivery: Delivery, kind: str) -> Resource:
    """Into the trash or out of it, which no field has the time of."""
    return {
        "order_id": needed(delivery.resource, "id"),
        "kind": kind,
        "changed_at": utc(delivery.received_at_s),
        "message_id": f"{delivery.topic}/{delivery.received_at_s}",
    }


# --- orders -----------------------------------------------------------------------------------


def _of_order(order: Resource, shop: Shop) -> Told:
    if text(order.get("status")) in _UNPLACED:
        return Told(passed_over="The order is not placed yet.")
    purchase, standing = _purchase(order, shop), _standing(order, shop)
    refunds = refunds_of(standing, _refunds(order), order.get("status") == "refunded")
    return Told((purchase,) if purchase else (), (*messages_of(standing), *refunds))


def _standing(order: Resource, shop: Shop) -> Standing:
    status, paid_at = needed(order, "status"), _time(order, "date_paid_gmt")
    is_sold = bool(paid_at) or status in _SOLD
    parent_order_id = _renewed(order)
    standing = Standing(
        needed(order, "id"),
        "placed" if is_sold else "drafted",
        _created(order),
        _modified(order),
        _total(order),
        needed(order, "currency"),
        _source(order),
        status in _DEAD,
    )
    if parent_order_id:
        # An unpaid renewal is none yet.
        renewal = standing._replace(kind="renewed", parent_order_id=parent_order_id)
        return renewal if is_sold else standing
    if _is_on_delivery(order, shop):
        completed_at = _time(order, "date_completed_gmt") if status == "completed" else ""
        return standing._replace(kind="cash_on_delivery", confirmed_at=paid_at or completed_at)
    return standing


def _refunds(order: Resource) -> list[Refund]:
    """They have no time of their own; dated by the payment, each is the same message in every
    delivery."""
    changed_at = _time(order, "date_paid_gmt") or _created(order)
    return [
        Refund(needed(refund, "id"), changed_at, abs(amount(refund.get("total"))))
        for refund in records(order, "refunds")
    ]


def _total(order: Resource) -> Decimal:
    return max(amount(order.get("total")), Decimal())


def _created(order: Resource) -> str:
    created_at = _time(order, "date_created_gmt")
    if not created_at:
        raise UnreadableError("The field date_created_gmt is missing; choose WP REST API v3.")
    return created_at


def _modified(order: Resource) -> str:
    return _time(order, "date_modified_gmt") or _created(order)


def _time(order: Resource, key: str) -> str:
    """A time of the shop's, which are UTC and do not say so; empty where there is none."""
    return utc(seconds(order[key])) if order.get(key) else ""


def _is_on_delivery(order: Resource, shop: Shop) -> bool:
    names = (text(order.get("payment_method")), text(order.get("payment_method_title")))
    return any(name.lower() in shop.rules.cash_on_delivery for name in names)


def _renewed(order: Resource) -> str:
    """The subscription that this order continues (WooCommerce Subscriptions)."""
    return _meta(order).get("_subscription_renewal", "")


def _source(order: Resource) -> str:
    created_via = text(order.get("created_via"))
    if _renewed(order):
        return "system_generated"
    if created_via.startswith("pos"):
        return "physical_store"
    if created_via in ("checkout", "store-api"):
        return "website"
    is_visitor = created_via != "admin" and text(order.get("customer_user_agent"))
    return "website" if is_visitor else "other"


# --- events -----------------------------------------------------------------------------------


def _purchase(order: Resource, shop: Shop) -> Resource | None:
    """The order's Purchase, the same in each delivery; None where it is none, or long ago."""
    happened_at = _created(order)
    if shop.rules.purchase_on == "paid" or _renewed(order):
        happened_at = _time(order, "date_paid_gmt")
    if text(order.get("status")) in _DEAD or not happened_at:
        return None
    happened_s = seconds(happened_at)
    if seconds(_modified(order)) > happened_s + PURCHASE_FRESH_S:
        return None
    order_id, meta, source = needed(order, "id"), _meta(order), _source(order)
    # A renewal has copies of what the first order knew of its visitor.
    is_visited = source == "website"
    event_id = meta.get("_doublet_event_id") or meta.get("_meta_event_id")
    return wire_event(
        "Purchase",
        event_id if is_visited and event_id else order_id,
        happened_s,
        source,
        {**_person(order), **(_visitor(order) if is_visited else {})},
        {
            "value": plain(_total(order)),
            "currency": needed(order, "currency"),
            "order_id": order_id,
            **_contents(order, shop),
        },
        _url(order, shop),
        meta.get("_wc_order_attribution_referrer", "") if is_visited else "",
    )


def _contents(order: Resource, shop: Shop) -> Resource:
    by_variant = shop.rules.content_ids == "variant"
    lines = records(order, "line_items")
    variants = [text(line.get("variation_id")) for line in lines]
    items = []
    for line, variant in zip(lines, variants, strict=True):
        is_variant = by_variant and variant not in ("", "0")
        content_id = variant if is_variant else text(line.get("product_id"))
        # A product that was deleted since has no id.
        content_id = content_id if content_id not in ("", "0") else text(line.get("sku"))
        items.append(Item(content_id, line.get("quantity"), text(line.get("price"))))
    is_group = not by_variant and any(variant not in ("", "0") for variant in variants)
    return contents(items, is_group)


def _person(resource: Resource) -> Resource:
    billing = record(resource, "billing")
    country = text(billing.get("country"))
    return {
        "em": text(billing.get("email")) or text(resource.get("email")),
        "ph": text(billing.get("phone")),
        "fn": text(billing.get("first_name")) or text(resource.get("first_name")),
        "ln": text(billing.get("last_name")) or text(resource.get("last_name")),
        "ct": text(billing.get("city")),
        # Some countries' states are named with the country: `DE-HE`.
        "st": text(billing.get("state")).removeprefix(f"{country}-"),
        "zp": text(billing.get("postcode")),
        "country": country,
    } | _external_id(text(resource.get("customer_id")))


def _external_id(customer_id: str) -> Resource:
    """Guests are customer 0."""
    return {"external_id": customer_id} if customer_id not in ("", "0") else {}


def _visitor(order: Resource) -> Resource:
    meta = _meta(order)
    fbc = meta.get("_doublet_fbc") or meta.get("_fbc") or meta.get("fbc", "")
    click = click_id(meta.get("_wc_order_attribution_session_entry", ""))
    if click and not fbc:
        fbc = click_cookie(click, seconds(_created(order)))
    return {
        "client_ip_address": text(order.get("customer_ip_address")),
        "client_user_agent": meta.get("_doublet_user_agent")
        or text(order.get("customer_user_agent"))
        or meta.get("_wc_order_attribution_user_agent", ""),
        "fbp": meta.get("_doublet_fbp") or meta.get("_fbp") or meta.get("fbp", ""),
        "fbc": fbc,
    }


def _url(resource: Resource, shop: Shop) -> str:
    """The page that the visit began with, at least the shop."""
    meta = _meta(resource)
    home = origin(text(resource.get("payment_url"))) or _home(shop)
    entry = meta.get("_doublet_source_url") or meta.get("_wc_order_attribution_session_entry", "")
    return page_url(home, entry)


def _home(shop: Shop) -> str:
    domain = shop.target.get("domain", "")
    return f"https://{domain}/" if domain else origin(shop.target.get("api_url", ""))


def _meta(resource: Resource) -> dict[str, str]:
    """What plug-ins wrote to an order; of several values the first."""
    pairs = records(resource, "meta_data")
    found = {text(pair.get("key")): text(pair.get("value")) for pair in reversed(pairs)}
    return present(found)


def _registered(customer: Resource, shop: Shop) -> Told:
    customer_id = needed(customer, "id")
    event = wire_event(
        "CompleteRegistration",
        f"customer.{customer_id}",
        seconds(_created(customer)),
        "website",
        _person({**customer, "customer_id": customer_id}),
        {},
        _url(customer, shop),
    )
    return Told((event,))


WOOCOMMERCE = Platform(
    "woocommerce",
    "WooCommerce",
    ("order.created", "order.updated", "order.deleted", "order.restored", "customer.created"),
    _is_proven,
    _pings,
    _read,
    _tell,
)
