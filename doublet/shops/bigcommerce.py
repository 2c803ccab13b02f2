"""BigCommerce: a delivery names only an id, so its API tells the rest (*Webhooks*, *Orders V2*).

What an API says of an order is its state by then, whatever the delivery was about.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from contextlib import suppress
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
)
from doublet.shops.events import PURCHASE_FRESH_S, Item, contents, wire_event
from doublet.shops.fields import (
    amount,
    json_object,
    mail_seconds,
    needed,
    plain,
    present,
    record,
    records,
    seconds,
    text,
    utc,
)
from doublet.shops.standing import Refund, Standing, messages_of, refunds_of

SECRET_HEADER = "x-doublet-secret"
"""A webhook is made with a secret in this header; each delivery brings it back."""

_CLOCK_S = 300
_SIGNATURES_MAX = 8

_INCOMPLETE, _PENDING, _REFUNDED, _AWAITING_PAYMENT = 0, 1, 4, 7
_DEAD = (5, 6)
_SOLD = (2, 3, _REFUNDED, 8, 9, 10, 11, 13, 14)
"""Cancelled and declined; shipped, refunded, awaiting something but a payment, completed, disputed.
Any other status is a sale once `payment_status` says that it is paid."""
_PAID = ("capture pending", "captured", "paid", "partially refunded", "refunded")

_SITES = ("www", "iphone", "ipad", "android", "mobile", "checkout_api", "buybutton")
_TRIAL = "test payment gateway"

_is_id = re.compile(r"[0-9]{1,18}", re.ASCII).fullmatch
_is_of_order = re.compile(
    r"store/order/(created|updated|statusUpdated|refund/created|transaction/(created|updated))"
).fullmatch


# --- deliveries -------------------------------------------------------------------------------


def _is_proven(headers: Headers, body: bytes, secrets: Iterable[str], now_s: float) -> bool:
    """By the secret that the webhook was made with, or by a signature (*Standard Webhooks*). The
    payload's own `hash` proves nothing: it is made without a secret."""
    given = headers.get(SECRET_HEADER, "").encode("utf-8", "surrogatepass")
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split(" ")[:_SIGNATURES_MAX]
    is_recent = bool(_is_id(sent_at)) and abs(now_s - int(sent_at)) <= _CLOCK_S
    signed = b".".join((message_id.encode("utf-8", "surrogatepass"), sent_at.encode(), body))
    proven = False
    for secret in secrets:
        proven |= bool(given) & hmac.compare_digest(secret.encode(), given)
        for key in _keys(secret) if is_recent and message_id else ():
            made = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
            for signature in signatures:
                proven |= hmac.compare_digest(
                    made.encode(), signature.encode("utf-8", "surrogatepass")
                )
    return proven


def _keys(secret: str) -> list[bytes]:
    """What may sign: the secret itself, and what `whsec_…` says in base64."""
    keys = [secret.encode()]
    if secret.startswith("whsec_"):
        with suppress(binascii.Error, ValueError):
            keys.append(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    return keys


def _read(headers: Headers, body: bytes) -> Delivery:
    payload = json_object(body)
    delivery_id = headers.get("webhook-id") or text(payload.get("hash"))
    return Delivery(needed(payload, "scope"), delivery_id, payload)


def _tell(delivery: Delivery, shop: Shop) -> Told:
    about = record(delivery.resource, "data")
    if delivery.topic == "store/cart/converted":
        return _asks({"id": _id(about, "orderId")})
    if delivery.topic == "store/customer/created":
        return _asks({"customer_id": _id(about, "id")})
    if not _is_of_order(delivery.topic):
        return Told(passed_over="This scope says nothing about an order or a new customer.")
    subject: Resource = {"id": _id(about, "id")}
    status = record(about, "status")
    was, is_now = status.get("previous_status_id"), status.get("new_status_id")
    # The order itself does not tell when it was paid.
    if was in (_INCOMPLETE, _PENDING, _AWAITING_PAYMENT) and is_now in _SOLD:
        subject["paid_at_s"] = _stamp(delivery.resource)
    return _asks(subject)


def _asks(subject: Resource) -> Told:
    return Told(errands=(Errand("order", subject),))


def _id(about: Resource, key: str) -> str:
    """An id, which becomes part of a path of the API."""
    found = needed(about, key)
    if not _is_id(found):
        raise UnreadableError(f"The field {key} is no id.")
    return found


def _stamp(payload: Resource) -> int:
    created_at = needed(payload, "created_at")
    if not _is_id(created_at):
        raise UnreadableError("The field created_at is not in Unix seconds.")
    return int(created_at)


# --- what completes them ----------------------------------------------------------------------


def _wanted(errand: Errand) -> dict[str, str]:
    if "customer_id" in errand.subject:
        return {"customer": f"/v3/customers?id:in={errand.subject['customer_id']}"}
    path = f"orders/{errand.subject['id']}"
    return {
        "order": f"/v2/{path}",
        "products": f"/v2/{path}/products?limit=250",
        "refunds": f"/v3/{path}/payment_actions/refunds",
    }


def _complete(errand: Errand, found: dict[str, Any], shop: Shop) -> Told:
    if "customer_id" in errand.subject:
        customers = records(record(found, "customer"), "data")
        return _registered(customers[0], shop) if customers else Told(passed_over=_GONE)
    order = record(found, "order")
    if _number(order, "status_id") == _INCOMPLETE:
        return Told(passed_over="The order is not placed yet.")
    if text(order.get("external_source")) == "M-MIG":
        return Told(passed_over="The order was made in another system, before this one.")
    standing = _standing(order, shop)
    paid_at_s = errand.subject.get("paid_at_s")
    purchase = _purchase(order, records(found, "products"), shop, paid_at_s)
    refunds = refunds_of(
        standing,
        [_refund(refund, standing) for refund in records(record(found, "refunds"), "data")],
        order.get("status_id") == _REFUNDED,
    )
    is_test = text(order.get("payment_method")).lower() == _TRIAL
    cart = text(order.get("cart_id"))
    return Told(
        (purchase,) if purchase else (),
        () if is_test else (*messages_of(standing), *refunds),
        tokens=(cart,) if cart else (),
        visitor=_visitor(order),
        is_test=is_test,
    )


_GONE = "The shop knows nothing of it any more."


def _standing(order: Resource, shop: Shop) -> Standing:
    status = _number(order, "status_id")
    is_sold = _is_sold(order)
    modified_at = utc(_modified_s(order))
    standing = Standing(
        needed(order, "id"),
        "placed" if is_sold else "drafted",
        utc(mail_seconds(order.get("date_created"))),
        modified_at,
        _total(order),
        _currency(order),
        _source(order),
        status in _DEAD,
    )
    if text(order.get("payment_method")).lower() in shop.rules.cash_on_delivery:
        is_paid = status == 10 or order.get("payment_status") in _PAID
        confirmed_at = modified_at if is_paid else ""
        return standing._replace(kind="cash_on_delivery", confirmed_at=confirmed_at)
    return standing


def _refund(refund: Resource, order: Standing) -> Refund:
    payments = records(refund, "payments")
    money = amount(refund.get("total_amount"))
    if payments:
        paid = (payment for payment in payments if payment.get("is_declined") is not True)
        money = sum((amount(payment.get("amount")) for payment in paid), Decimal())
    created = refund.get("created")
    changed_at = utc(seconds(created)) if created else order.created_at
    return Refund(needed(refund, "id"), changed_at, abs(money))


def _number(order: Resource, key: str) -> int:
    found = order.get(key)
    if not isinstance(found, int) or isinstance(found, bool):
        raise UnreadableError(f"The field {key} is missing.")
    return found


def _is_sold(order: Resource) -> bool:
    return _number(order, "status_id") in _SOLD or order.get("payment_status") in _PAID


def _modified_s(order: Resource) -> int:
    return mail_seconds(order.get("date_modified") or order.get("date_created"))


def _total(order: Resource) -> Decimal:
    return max(amount(order.get("total_inc_tax")), Decimal())


def _currency(order: Resource) -> str:
    """The one that is paid in; `currency_code` is only shown."""
    return text(order.get("default_currency_code")) or needed(order, "currency_code")


def _source(order: Resource) -> str:
    if "pos" in re.split(r"\W+", text(order.get("external_source")).lower()):
        return "physical_store"
    return "website" if text(order.get("order_source")) in _SITES else "other"


# --- events -----------------------------------------------------------------------------------


def _purchase(
    order: Resource, products: list[Resource], shop: Shop, paid_at_s: int | None
) -> Resource | None:
    """The order's Purchase; None where it is none, or long ago."""
    status = _number(order, "status_id")
    happened_s = mail_seconds(order.get("date_created"))
    is_fresh = _modified_s(order) <= happened_s + PURCHASE_FRESH_S
    if shop.rules.purchase_on == "paid":
        is_due = _is_sold(order)
        if paid_at_s is not None:
            happened_s, is_fresh = paid_at_s, True
    else:
        is_due = status != _PENDING or _is_sold(order)
    if status in _DEAD or not is_due or not is_fresh:
        return None
    order_id = needed(order, "id")
    return wire_event(
        "Purchase",
        order_id,
        happened_s,
        _source(order),
        {**_person(order), **_visitor(order)},
        {
            "value": plain(_total(order)),
            "currency": _currency(order),
            "order_id": order_id,
            **_contents(products, shop),
        },
        _home(shop),
    )


def _contents(products: list[Resource], shop: Shop) -> Resource:
    by_variant = shop.rules.content_ids == "variant"
    items = []
    for product in products:
        ids = ("variant_id", "product_id") if by_variant else ("product_id",)
        known = (text(product.get(key)) for key in (*ids, "sku"))
        # What an employee typed in has the id 0.
        content_id = next((found for found in known if found not in ("", "0")), "")
        items.append(Item(content_id, product.get("quantity"), text(product.get("price_inc_tax"))))
    has_options = any(records(product, "product_options") for product in products)
    return contents(items, is_group=not by_variant and has_options)


def _person(order: Resource) -> Resource:
    billing = record(order, "billing_address")
    customer_id = text(order.get("customer_id"))
    return {
        "em": text(billing.get("email")),
        "ph": text(billing.get("phone")),
        "fn": text(billing.get("first_name")),
        "ln": text(billing.get("last_name")),
        "ct": text(billing.get("city")),
        "st": text(billing.get("state")),
        "zp": text(billing.get("zip")),
        "country": text(billing.get("country_iso2")),
        "external_id": "" if customer_id == "0" else customer_id,
    }


def _visitor(order: Resource) -> Resource:
    address = text(order.get("ip_address")) or text(order.get("ip_address_v6"))
    return present({"client_ip_address": address})


def _home(shop: Shop) -> str:
    domain = shop.target.get("domain", "")
    return f"https://{domain}/" if domain else ""


def _registered(customer: Resource, shop: Shop) -> Told:
    customer_id = needed(customer, "id")
    event = wire_event(
        "CompleteRegistration",
        f"customer.{customer_id}",
        seconds(customer.get("date_created")),
        "website",
        {
            "em": text(customer.get("email")),
            "ph": text(customer.get("phone")),
            "fn": text(customer.get("first_name")),
            "ln": text(customer.get("last_name")),
            "external_id": customer_id,
        },
        {},
        _home(shop),
    )
    return Told((event,))


BIGCOMMERCE = Platform(
    "bigcommerce",
    "BigCommerce",
    (
        *("store/order/created", "store/order/updated", "store/order/statusUpdated"),
        *("store/order/refund/created", "store/customer/created"),
    ),
    _is_proven,
    lambda headers, body: False,
    _read,
    _tell,
    _wanted,
    _complete,
)
