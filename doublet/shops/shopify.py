"""Shopify: complete resources, signed with the app's client secret (*Webhooks*, *Order*)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from doublet.catalog import Shop
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
from doublet.shops.events import Item, contents, wire_event
from doublet.shops.fields import (
    amount,
    click_cookie,
    click_id,
    json_object,
    needed,
    page_url,
    plain,
    present,
    record,
    records,
    seconds,
    text,
)

_SOURCES = {"pos": "physical_store", "shopify_draft_order": "other"}
_ATTRIBUTES = {
    "_fbp": "fbp",
    "fbp": "fbp",
    "_fbc": "fbc",
    "fbc": "fbc",
    "_doublet_user_agent": "client_user_agent",
}
_UNPAID = ("pending", "authorized", "partially_paid")


def _header(headers: Headers, name: str) -> str:
    """A header by its older name or, for the newer kind of delivery, by that without `x-`."""
    return headers.get(f"x-shopify-{name}") or headers.get(f"shopify-{name}", "")


def _is_proven(headers: Headers, body: bytes, secrets: Iterable[str], now_s: float) -> bool:
    return is_signed(body, _header(headers, "hmac-sha256"), secrets)


def _read(headers: Headers, body: bytes) -> Delivery:
    topic = _header(headers, "topic").lower()
    resource = json_object(body)
    if not topic:
        raise UnreadableError("The header X-Shopify-Topic is missing.")
    return Delivery(topic, _header(headers, "webhook-id"), resource)


def _tell(delivery: Delivery, shop: Shop) -> Told:
    tell = _TOPICS.get(delivery.topic)
    if tell is None:
        return Told(passed_over="This topic says nothing about an order or a customer.")
    return tell(delivery.resource, shop)


# --- orders -----------------------------------------------------------------------------------


def _placed(order: Resource, shop: Shop) -> Told:
    """orders/create"""
    first = _first(order, shop)
    is_awaited = shop.rules.purchase_on == "paid" and order.get("financial_status") in _UNPAID
    events = () if is_awaited else (_purchase(order, shop, needed(order, "created_at")),)
    return _of_order(order, events, (first, *_refunds(order)))


def _paid(order: Resource, shop: Shop) -> Told:
    """orders/paid"""
    messages = [*_known(order, shop)]
    message = {"order_id": needed(order, "id"), "changed_at": needed(order, "updated_at")}
    if _is_on_delivery(order, shop):
        messages.append({**message, "kind": "confirmed", "message_id": "confirmed"})
    elif shop.rules.purchase_on == "paid":
        messages.append({**message, "kind": "completed", "message_id": "completed"})
    is_due = shop.rules.purchase_on == "paid"
    events = (_purchase(order, shop, needed(order, "updated_at")),) if is_due else ()
    return _of_order(order, events, (*messages, *_refunds(order)))


def _first(order: Resource, shop: Shop) -> Resource:
    """What the order began as. Its total may have been edited since; each one that was told is a
    message of its own."""
    kind = "placed"
    if _is_on_delivery(order, shop):
        kind = "cash_on_delivery"
    elif shop.rules.purchase_on == "paid" and order.get("financial_status") in _UNPAID:
        kind = "drafted"
    total, currency = plain(amount(order.get("total_price"))), needed(order, "currency")
    message = {
        "order_id": needed(order, "id"),
        "kind": kind,
        "changed_at": needed(order, "created_at"),
        "value": total,
        "currency": currency,
        "message_id": f"{kind}/{currency}/{total}",
        "action_source": _SOURCES.get(text(order.get("source_name"))),
    }
    return present(message)


def _known(order: Resource, shop: Shop) -> tuple[Resource, ...]:
    """The same from a later delivery, which may be the first to arrive. Where an order counts when
    it is paid, a later one does not know when that was."""
    is_known = shop.rules.purchase_on == "placed" or _is_on_delivery(order, shop)
    return (_first(order, shop),) if is_known else ()


def _changed(order: Resource, shop: Shop) -> Told:
    """orders/updated: the total before refunds, as of now."""
    total = amount(order.get("current_total_price", order.get("total_price")))
    currency = needed(order, "currency")
    refunded = sum(
        (amount(sent["value"]) for sent in _refunds(order) if sent["currency"] == currency),
        Decimal(),
    )
    changed_at = needed(order, "updated_at")
    edited = {
        "order_id": needed(order, "id"),
        "kind": "edited",
        "changed_at": changed_at,
        "value": plain(total + refunded),
        "currency": currency,
        "message_id": f"total/{changed_at}",
    }
    cancelled = _cancellation(order) if order.get("cancelled_at") else ()
    # What a cancelled order was worth is known from before; its current total is nought.
    messages = cancelled or (edited,)
    return _of_order(order, (), (*_known(order, shop), *messages, *_refunds(order)))


def _cancelled(order: Resource, shop: Shop) -> Told:
    """orders/cancelled"""
    told = (*_known(order, shop), *_cancellation(order), *_refunds(order))
    return _of_order(order, (), told)


def _cancellation(order: Resource) -> tuple[Resource, ...]:
    return (
        {
            "order_id": needed(order, "id"),
            "kind": "cancelled",
            "changed_at": needed(order, "cancelled_at"),
            "message_id": "cancelled",
        },
    )


def _refunded(refund: Resource, shop: Shop) -> Told:
    """refunds/create"""
    messages = _refunds({"id": needed(refund, "order_id"), "refunds": [refund]})
    if not messages:
        return Told(passed_over="No money went back with this refund.")
    return Told(orders=messages)


def _refunds(order: Resource) -> tuple[Resource, ...]:
    """A message for each refund with which money went back."""
    messages = []
    for refund in records(order, "refunds"):
        paid_back = [
            transaction
            for transaction in records(refund, "transactions")
            if transaction.get("kind") == "refund" and transaction.get("status") == "success"
        ]
        money = sum((amount(transaction.get("amount")) for transaction in paid_back), Decimal())
        if money > 0:
            money, currency = _in_shop_currency(refund, money, text(paid_back[0].get("currency")))
            messages.append(
                {
                    "order_id": needed(order, "id"),
                    "kind": "refunded",
                    "changed_at": needed(refund, "processed_at"),
                    "value": plain(money),
                    "currency": currency,
                    "message_id": f"refund/{needed(refund, 'id')}",
                }
            )
    return tuple(messages)


def _in_shop_currency(refund: Resource, money: Decimal, currency: str) -> tuple[Decimal, str]:
    """A transaction is in the currency that the buyer saw, an order's total in the shop's: at the
    rate of what is given back, which a refund states in both (*Support multiple currencies*)."""
    sets = [
        record(line, name)
        for line in records(refund, "refund_line_items")
        for name in ("subtotal_set", "total_tax_set")
    ]
    sets += [record(line, "amount_set") for line in records(refund, "order_adjustments")]
    shop, seen, code = Decimal(), Decimal(), ""
    for pair in sets:
        shop_money, seen_money = record(pair, "shop_money"), record(pair, "presentment_money")
        if text(seen_money.get("currency_code")) == currency:
            shop += abs(amount(shop_money.get("amount")))
            seen += abs(amount(seen_money.get("amount")))
            code = text(shop_money.get("currency_code"))
    if not code or code == currency or not shop or not seen:
        return money, currency
    return (money * shop / seen).quantize(Decimal("0.01")), code


def _of_order(
    order: Resource, events: tuple[Resource, ...], messages: tuple[Resource, ...]
) -> Told:
    is_test = order.get("test") is True
    messages = () if is_test else messages
    return Told(
        events,
        messages,
        tokens=_tokens(order),
        visitor=_visitor(order),
        is_test=is_test,
        passed_over="" if events or messages else "It changes neither event nor ledger.",
    )


def _is_on_delivery(order: Resource, shop: Shop) -> bool:
    gateways = order.get("payment_gateway_names")
    names = gateways if isinstance(gateways, list) else []
    return any(str(name).lower() in shop.rules.cash_on_delivery for name in names)


# --- events -----------------------------------------------------------------------------------


def _purchase(order: Resource, shop: Shop, happened_at: str) -> Resource:
    order_id = needed(order, "id")
    return _event(
        "Purchase",
        order_id,
        happened_at,
        order,
        shop,
        _SOURCES.get(text(order.get("source_name")), "website"),
        {
            "value": needed(order, "total_price"),
            "currency": needed(order, "currency"),
            "order_id": order_id,
            **_contents(order, shop),
        },
    )


def _checkout_started(checkout: Resource, shop: Shop) -> Told:
    """checkouts/create"""
    token = needed(checkout, "token")
    custom_data = present(
        {
            "value": text(checkout.get("total_price")),
            "currency": text(checkout.get("currency")),
            **_contents(checkout, shop),
        }
    )
    event = _event(
        "InitiateCheckout",
        f"checkout.{token}",
        needed(checkout, "created_at"),
        checkout,
        shop,
        "website",
        custom_data,
    )
    return Told((event,), tokens=_tokens(checkout), visitor=_visitor(checkout))


def _visited(resource: Resource, shop: Shop) -> Told:
    """checkouts/update, carts/create and carts/update: only who it is."""
    return Told(
        tokens=_tokens(resource),
        visitor=_visitor(resource),
        passed_over="The browser says what happens in a cart; only its visitor is kept.",
    )


def _registered(customer: Resource, shop: Shop) -> Told:
    """customers/create"""
    if customer.get("state") != "enabled":
        return Told(passed_over="The customer has made no account.")
    event = _event(
        "CompleteRegistration",
        f"customer.{needed(customer, 'id')}",
        needed(customer, "created_at"),
        {"customer": customer, "email": customer.get("email"), "phone": customer.get("phone")},
        shop,
        "website",
        {},
    )
    return Told((event,))


def _event(
    name: str,
    event_id: str,
    happened_at: str,
    resource: Resource,
    shop: Shop,
    action_source: str,
    custom_data: Resource,
) -> Resource:
    home = f"https://{shop.target.get('domain', 'shop')}/"
    return wire_event(
        name,
        event_id,
        seconds(happened_at),
        action_source,
        {**_person(resource), **_visitor(resource)},
        custom_data,
        page_url(home, text(resource.get("landing_site"))),
        text(resource.get("referring_site")),
    )


def _contents(resource: Resource, shop: Shop) -> Resource:
    by_variant = shop.rules.content_ids == "variant"
    which = "variant_id" if by_variant else "product_id"
    items = (
        Item(
            text(item.get(which)) or text(item.get("sku")),
            item.get("quantity"),
            text(item.get("price")),
        )
        for item in records(resource, "line_items")
    )
    return contents(items, is_group=not by_variant)


def _person(resource: Resource) -> Resource:
    customer = record(resource, "customer")
    address = (
        record(resource, "billing_address")
        or record(resource, "shipping_address")
        or record(customer, "default_address")
    )
    return {
        "em": text(resource.get("email")) or text(customer.get("email")),
        "ph": text(resource.get("phone"))
        or text(address.get("phone"))
        or text(customer.get("phone")),
        "fn": text(address.get("first_name")) or text(customer.get("first_name")),
        "ln": text(address.get("last_name")) or text(customer.get("last_name")),
        "ct": text(address.get("city")),
        "st": text(address.get("province_code")),
        "zp": text(address.get("zip")),
        "country": text(address.get("country_code")),
        "external_id": text(customer.get("id")),
    }


def _visitor(resource: Resource) -> Resource:
    details = record(resource, "client_details")
    visitor = {
        "client_ip_address": text(resource.get("browser_ip")) or text(details.get("browser_ip")),
        "client_user_agent": text(details.get("user_agent")),
    }
    for attribute in records(resource, "note_attributes"):
        key = _ATTRIBUTES.get(text(attribute.get("name")))
        if key:
            visitor[key] = text(attribute.get("value"))
    click = click_id(text(resource.get("landing_site")))
    if click and not visitor.get("fbc"):
        visitor["fbc"] = click_cookie(click, seconds(resource.get("created_at")))
    return present(visitor)


def _tokens(resource: Resource) -> tuple[str, ...]:
    names = ("cart_token", "checkout_token", "token")
    return tuple(sorted({text(resource.get(name)) for name in names} - {""}))


# --- what the law asks ------------------------------------------------------------------------


def _redacted(request: Resource, shop: Shop) -> Told:
    """customers/redact"""
    return _of_customer("erase", request)


def _asked(request: Resource, shop: Shop) -> Told:
    """customers/data_request"""
    return _of_customer("export", request)


def _of_customer(kind: Any, request: Resource) -> Told:
    customer = record(request, "customer")
    user_data = present(
        {
            "em": text(customer.get("email")),
            "ph": text(customer.get("phone")),
            "external_id": text(customer.get("id")),
        }
    )
    if not user_data:
        raise UnreadableError("The request names no customer.")
    return Told(errands=(Errand(kind, {"user_data": user_data}),))


def _closed(request: Resource, shop: Shop) -> Told:
    """app/uninstalled and shop/redact"""
    return Told(passed_over="The shop has ended its connection.")


_TOPICS = {
    "orders/create": _placed,
    "orders/paid": _paid,
    "orders/updated": _changed,
    "orders/cancelled": _cancelled,
    "refunds/create": _refunded,
    "checkouts/create": _checkout_started,
    "checkouts/update": _visited,
    "carts/create": _visited,
    "carts/update": _visited,
    "customers/create": _registered,
    "customers/redact": _redacted,
    "customers/data_request": _asked,
    "app/uninstalled": _closed,
    "shop/redact": _closed,
}

SHOPIFY = Platform(
    "shopify",
    "Shopify",
    (
        *("orders/create", "orders/paid", "orders/updated", "orders/cancelled", "refunds/create"),
        *("checkouts/create", "checkouts/update", "customers/create"),
        *("customers/redact", "customers/data_request", "shop/redact"),
    ),
    _is_proven,
    lambda headers, body: False,
    _read,
    _tell,
)
