"""An order as its shop has it, in the few fields by which it is compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import msgspec

from doublet.event import MONEY_MAX
from doublet.normalize import hash_user_value
from doublet.shops.contract import Resource, UnreadableError
from doublet.shops.fields import record, records, text

State = Literal["", "sale", "pending", "cancelled", "failed"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS_MAX = 1 << 52
_Id = Annotated[str, msgspec.Meta(max_length=200)]
_Money = Annotated[str, msgspec.Meta(max_length=24, pattern=r"^-?[0-9]{1,14}(\.[0-9]{1,4})?$")]
_Currency = Annotated[str, msgspec.Meta(max_length=3)]


class ShopOrder(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One order. `name` is its other number, such as Shopify's `#1001`; `created_at` is in µs since
    1970. Amounts are decimals in `currency`; None where the shop did not say.

    `total` is before refunds, `presentment_total` the same in the customer's currency. `state` is a
    `sale` (paid), `pending` (awaits payment), `cancelled`, `failed` (never became an order) or
    empty where it is not known. `em` is the SHA-256 of the customer's address.
    """

    order_id: Annotated[_Id, msgspec.Meta(min_length=1)]
    created_at: Annotated[int, msgspec.Meta(ge=0, le=_MICROS_MAX)]
    total: _Money
    currency: _Currency = ""
    name: _Id = ""
    state: State = ""
    is_test: bool = False
    refunded: _Money | None = None
    tax: _Money | None = None
    shipping: _Money | None = None
    discount: _Money | None = None
    presentment_total: _Money | None = None
    presentment_currency: _Currency = ""
    em: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


STATES: Mapping[str, State] = {
    # Shopify, `financial_status` (*Order*).
    "paid": "sale",
    "partially refunded": "sale",
    "refunded": "sale",
    "authorized": "pending",
    "partially paid": "pending",
    "unpaid": "pending",
    "expired": "pending",
    "voided": "pending",
    # WooCommerce, `status` (*Orders*).
    "pending": "pending",
    "pending payment": "pending",
    "on hold": "pending",
    "processing": "sale",
    "completed": "sale",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "failed": "failed",
    "checkout draft": "failed",
    "auto draft": "failed",
    "draft": "failed",
    "trash": "failed",
    # BigCommerce, `status` (*Order statuses*).
    "incomplete": "failed",
    "declined": "failed",
    "shipped": "sale",
    "partially shipped": "sale",
    "awaiting payment": "pending",
    "awaiting pickup": "sale",
    "awaiting shipment": "sale",
    "awaiting fulfillment": "sale",
    "manual verification required": "pending",
    "disputed": "sale",
}
"""What the platforms' words for the state of an order mean, in lower case with single spaces."""


def state_of(word: str) -> State:
    """What a platform's word for the state of an order means; empty for an unknown one.

    >>> state_of("wc-on-hold"), state_of("Partially Refunded"), state_of("gift")
    ('pending', 'sale', '')
    """
    plain = word.strip().lower().removeprefix("wc-").replace("_", " ").replace("-", " ")
    return STATES.get(plain, "")


def decimal_text(value: Decimal) -> str:
    """An amount as `ShopOrder` has it. Raises UnreadableError for one that no order can have."""
    if not value.is_finite() or abs(value) >= MONEY_MAX:
        raise UnreadableError("An amount is no sensible number.")
    return f"{value.quantize(Decimal('0.0001')).normalize() + 0:f}"


def micros(moment: datetime) -> int:
    """µs since 1970; a moment without an offset is in UTC. Raises ValueError for a moment at which
    no shop had an order yet, or will have one for a hundred years."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    found = (aware - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= found <= _MICROS_MAX:
        raise ValueError(f"{moment} is no time of an order")
    return found


def hashed_address(address: str) -> str | None:
    """The SHA-256 of an e-mail address in its canonical form, None where there is none."""
    return hash_user_value("em", address) if address.strip() else None


def shopify_order(order: Resource) -> ShopOrder:
    """An order of Shopify's Admin API (*Order*). Raises UnreadableError."""
    refunded = sum(
        (
            _amount(transaction, "amount")
            for refund in records(order, "refunds")
            for transaction in records(refund, "transactions")
            if transaction.get("kind") == "refund" and transaction.get("status") == "success"
        ),
        Decimal(),
    )
    is_cancelled = bool(order.get("cancelled_at"))
    # As of now; of a cancelled order nothing is left, and its total was that of before.
    current = None if is_cancelled else _maybe(order, "current_total_price")
    total = _amount(order, "total_price") if current is None else current + refunded
    paid = record(record(order, "total_price_set"), "presentment_money")
    shipping = record(record(order, "total_shipping_price_set"), "shop_money")
    return ShopOrder(
        _id(order, "id"),
        _moment(order, "created_at"),
        decimal_text(total),
        currency=text(order.get("currency")).upper(),
        name=text(order.get("name")),
        state="cancelled" if is_cancelled else state_of(text(order.get("financial_status"))),
        is_test=order.get("test") is True,
        refunded=decimal_text(refunded),
        tax=_said(order, "total_tax"),
        shipping=_said(shipping, "amount"),
        discount=_said(order, "total_discounts"),
        presentment_total=_said(paid, "amount"),
        presentment_currency=text(order.get("presentment_currency")).upper(),
        em=hashed_address(text(order.get("email"))),
    )


def woocommerce_order(order: Resource) -> ShopOrder:
    """An order of WooCommerce's REST API (*Orders*). Raises UnreadableError."""
    refunds = records(order, "refunds")
    total = _amount(order, "total")
    refunded = sum((abs(_amount(refund, "total")) for refund in refunds), Decimal())
    status = text(order.get("status"))
    if status == "refunded" and not refunds:
        refunded = total
    # What is to be paid at the door is on its way, and not paid.
    is_awaited = status == "processing" and text(order.get("payment_method")) == "cod"
    order_id = _id(order, "id")
    number = text(order.get("number"))
    return ShopOrder(
        order_id,
        _moment(order, "date_created_gmt"),
        decimal_text(total),
        currency=text(order.get("currency")).upper(),
        name=number if number != order_id else "",
        state="pending" if is_awaited else state_of(status),
        refunded=decimal_text(refunded),
        tax=_said(order, "total_tax"),
        shipping=_said(order, "shipping_total"),
        discount=_said(order, "discount_total"),
        em=hashed_address(text(record(order, "billing").get("email"))),
    )


def bigcommerce_order(order: Resource) -> ShopOrder:
    """An order of BigCommerce's API, version 2 (*Orders V2*). Raises UnreadableError."""
    return ShopOrder(
        _id(order, "id"),
        _moment(order, "date_created"),
        decimal_text(_amount(order, "total_inc_tax")),
        currency=text(order.get("currency_code")).upper(),
        state=state_of(text(order.get("status"))),
        is_test=text(order.get("payment_method")).lower() == "test payment gateway",
        refunded=_said(order, "refunded_amount"),
        tax=_said(order, "total_tax"),
        shipping=_said(order, "shipping_cost_inc_tax"),
        discount=_said(order, "discount_amount"),
        em=hashed_address(text(record(order, "billing_address").get("email"))),
    )


def _id(order: Resource, key: str) -> str:
    if found := text(order.get(key)):
        return found[:200]
    raise UnreadableError(f"An order has no {key}.")


def _amount(resource: Resource, key: str) -> Decimal:
    try:
        return Decimal(text(resource.get(key)))
    except InvalidOperation:
        raise UnreadableError(f"{key} is missing or no number.") from None


def _maybe(resource: Resource, key: str) -> Decimal | None:
    return _amount(resource, key) if text(resource.get(key)) else None


def _said(resource: Resource, key: str) -> str | None:
    found = _maybe(resource, key)
    return None if found is None else decimal_text(found)


def _moment(order: Resource, key: str) -> int:
    said: Any = text(order.get(key))
    try:
        # BigCommerce's dates are those of e-mails.
        is_mail = said[:3].isalpha()
        return micros(parsedate_to_datetime(said) if is_mail else datetime.fromisoformat(said))
    except (ValueError, OverflowError):
        raise UnreadableError(f"{key} is missing or no date.") from None
