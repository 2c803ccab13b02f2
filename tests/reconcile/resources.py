"""Orders as the platforms' interfaces answer them, complete, and servers that answer them.

Shapes: Shopify, Admin REST API, *Order* and *Paginated requests*; WooCommerce, REST API version 3,
*Orders* and *Pagination*; BigCommerce, *Orders V2*, *Webhooks* and *Rate limits*.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)

Resource = dict[str, Any]


def made_at(number: int) -> datetime:
    """Each order is made a minute after the one before."""
    return NOON + timedelta(minutes=number)


def _set(amount: str, presented: str | None = None) -> Resource:
    return {
        "shop_money": {"amount": amount, "currency_code": "EUR"},
        "presentment_money": {
            "amount": presented or amount,
            "currency_code": "USD" if presented else "EUR",
        },
    }


def _address(first_name: str) -> Resource:
    return {
        "first_name": first_name,
        "last_name": "Major",
        "company": None,
        "address1": "Zeil 1",
        "address2": "",
        "phone": "+49 69 1234567",
        "city": "Frankfurt am Main",
        "zip": "60311",
        "province": "Hesse",
        "province_code": "HE",
        "country": "Germany",
        "country_code": "DE",
        "name": f"{first_name} Major",
        "latitude": 50.1,
        "longitude": 8.7,
    }


_SHOPIFY: Resource = {
    "app_id": 580111,
    "browser_ip": "203.0.113.7",
    "buyer_accepts_marketing": False,
    "cancel_reason": None,
    "cancelled_at": None,
    "client_details": {
        "accept_language": "de-DE",
        "browser_height": None,
        "browser_ip": "203.0.113.7",
        "browser_width": None,
        "session_hash": None,
        "user_agent": "Mozilla/5.0",
    },
    "closed_at": None,
    "company": None,
    "confirmed": True,
    "contact_email": "mary@example.com",
    "currency": "EUR",
    "current_subtotal_price": "95.00",
    "current_total_discounts": "0.00",
    "current_total_price": "100.00",
    "current_total_tax": "15.97",
    "customer_locale": "de-DE",
    "discount_applications": [],
    "discount_codes": [],
    "email": "mary@example.com",
    "estimated_taxes": False,
    "financial_status": "paid",
    "fulfillment_status": None,
    "landing_site": "/?utm_source=news",
    "location_id": None,
    "merchant_of_record_app_id": None,
    "note": None,
    "note_attributes": [],
    "original_total_duties_set": None,
    "payment_gateway_names": ["shopify_payments"],
    "phone": None,
    "po_number": None,
    "presentment_currency": "EUR",
    "referring_site": "",
    "source_name": "web",
    "subtotal_price": "95.00",
    "tags": "",
    "tax_exempt": False,
    "tax_lines": [{"price": "15.97", "rate": 0.19, "title": "MwSt"}],
    "taxes_included": True,
    "test": False,
    "total_discounts": "0.00",
    "total_line_items_price": "95.00",
    "total_outstanding": "0.00",
    "total_price": "100.00",
    "total_price_set": _set("100.00"),
    "total_shipping_price_set": _set("5.00"),
    "total_tax": "15.97",
    "total_tip_received": "0.00",
    "total_weight": 800,
    "user_id": None,
    "billing_address": _address("Mary"),
    "customer": {"id": 900, "email": "mary@example.com", "first_name": "Mary"},
    "fulfillments": [],
    "line_items": [
        {
            "id": 1,
            "product_id": 71,
            "variant_id": 7100,
            "title": "Mug",
            "sku": "MUG",
            "quantity": 2,
            "price": "47.50",
        }
    ],
    "payment_terms": None,
    "refunds": [],
    "shipping_address": _address("Mary"),
    "shipping_lines": [{"id": 2, "title": "Post", "price": "5.00"}],
}


def shopify(number: int, **fields: Any) -> Resource:
    """One order of the Admin API."""
    at = made_at(number).isoformat()
    order: Resource = {
        "id": 5_550_000_000 + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{5_550_000_000 + number}",
        "cart_token": f"cart{number}",
        "checkout_id": 9_000_000 + number,
        "checkout_token": f"checkout{number}",
        "confirmation_number": f"CONF{number}",
        "created_at": at,
        "name": f"#{1000 + number}",
        "number": number,
        "order_number": 1000 + number,
        "order_status_url": f"https://shop.example/orders/{number}",
        "processed_at": at,
        "token": f"token{number}",
        "updated_at": at,
    }
    return _SHOPIFY | order | fields


def shopify_refund(amount: str, status: str = "success") -> Resource:
    """A refund of an order."""
    transaction = {
        "id": 31,
        "order_id": 5_550_000_001,
        "kind": "refund",
        "gateway": "shopify_payments",
        "status": status,
        "amount": amount,
        "currency": "EUR",
        "processed_at": NOON.isoformat(),
    }
    return {
        "id": 30,
        "created_at": NOON.isoformat(),
        "note": None,
        "processed_at": NOON.isoformat(),
        "refund_line_items": [],
        "transactions": [transaction],
    }


def woocommerce(number: int, **fields: Any) -> Resource:
    """One order of the REST API, version 3."""
    gmt = f"{made_at(number):%Y-%m-%dT%H:%M:%S}"
    local = f"{made_at(number) + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    billing = {
        **{"first_name": "Mary", "last_name": "Major", "company": "", "address_1": "Zeil 1"},
        **{"address_2": "", "city": "Frankfurt", "state": "HE", "postcode": "60311"},
        **{"country": "DE", "email": "mary@example.com", "phone": "069 1234567"},
    }
    order: Resource = {
        "id": number,
        "parent_id": 0,
        "status": "processing",
        "currency": "EUR",
        "version": "10.3.0",
        "prices_include_tax": True,
        "date_created": local,
        "date_modified": local,
        "discount_total": "0.00",
        "discount_tax": "0.00",
        "shipping_total": "5.00",
        "shipping_tax": "0.95",
        "cart_tax": "15.02",
        "total": "100.00",
        "total_tax": "15.97",
        "customer_id": 3,
        "order_key": f"wc_order_{number}",
        "billing": billing,
        "shipping": {name: text for name, text in billing.items() if name != "email"},
        "payment_method": "stripe",
        "payment_method_title": "Card",
        "transaction_id": f"ch_{number}",
        "customer_ip_address": "203.0.113.7",
        "customer_user_agent": "Mozilla/5.0",
        "created_via": "checkout",
        "customer_note": "",
        "date_completed": None,
        "date_paid": local,
        "cart_hash": f"hash{number}",
        "number": str(number),
        "payment_url": f"https://shop.example/checkout/order-pay/{number}",
        "is_editable": False,
        "needs_payment": False,
        "needs_processing": True,
        "date_created_gmt": gmt,
        "date_modified_gmt": gmt,
        "date_completed_gmt": None,
        "date_paid_gmt": gmt,
        "currency_symbol": "€",
        "meta_data": [{"id": 1, "key": "_fbp", "value": "fb.1.1.2"}],
        "line_items": [
            {
                **{"id": 1, "name": "Mug", "product_id": 71, "variation_id": 0, "quantity": 2},
                **{"subtotal": "79.03", "total": "79.03", "total_tax": "15.02", "sku": "MUG"},
            }
        ],
        "tax_lines": [{"id": 2, "rate_code": "DE-MWST-1", "label": "MwSt", "tax_total": "15.02"}],
        "shipping_lines": [{"id": 3, "method_title": "Post", "total": "5.00"}],
        "fee_lines": [],
        "coupon_lines": [],
        "refunds": [],
        "_links": {"self": [{"href": f"https://shop.example/wp-json/wc/v3/orders/{number}"}]},
    }
    return order | fields


def bigcommerce(number: int, **fields: Any) -> Resource:
    """One order of the API, version 2."""
    at = format_datetime(made_at(number))
    order: Resource = {
        "id": number,
        "customer_id": 11,
        "date_created": at,
        "date_modified": at,
        "date_shipped": "",
        "status_id": 11,
        "status": "Awaiting Fulfillment",
        "subtotal_ex_tax": "79.0300",
        "subtotal_inc_tax": "95.0000",
        "subtotal_tax": "15.9700",
        "base_shipping_cost": "5.0000",
        "shipping_cost_ex_tax": "4.2000",
        "shipping_cost_inc_tax": "5.0000",
        "shipping_cost_tax": "0.8000",
        "base_handling_cost": "0.0000",
        "handling_cost_inc_tax": "0.0000",
        "base_wrapping_cost": "0.0000",
        "wrapping_cost_inc_tax": "0.0000",
        "total_ex_tax": "84.0300",
        "total_inc_tax": "100.0000",
        "total_tax": "15.9700",
        "items_total": 2,
        "items_shipped": 0,
        "payment_method": "Credit Card",
        "payment_provider_id": f"ch_{number}",
        "payment_status": "captured",
        "refunded_amount": "0.0000",
        "order_is_digital": False,
        "store_credit_amount": "0.0000",
        "gift_certificate_amount": "0.0000",
        "ip_address": "203.0.113.7",
        "ip_address_v6": "",
        "geoip_country": "Germany",
        "geoip_country_iso2": "DE",
        "currency_id": 1,
        "currency_code": "EUR",
        "currency_exchange_rate": "1.0000000000",
        "default_currency_id": 1,
        "default_currency_code": "EUR",
        "staff_notes": "",
        "customer_message": "",
        "discount_amount": "0.0000",
        "coupon_discount": "0.0000",
        "shipping_address_count": 1,
        "is_deleted": False,
        "is_email_opt_in": False,
        "ebay_order_id": "0",
        "cart_id": f"cart-{number}",
        "channel_id": 1,
        "billing_address": {
            **{"first_name": "Mary", "last_name": "Major", "company": "", "street_1": "Zeil 1"},
            **{"street_2": "", "city": "Frankfurt", "state": "Hesse", "zip": "60311"},
            **{"country": "Germany", "country_iso2": "DE", "phone": "069 1234567"},
            **{"email": "mary@example.com", "form_fields": []},
        },
        "order_source": "www",
        "consignments": {"url": f"https://api.example/v2/orders/{number}/consignments"},
        "products": {"url": f"https://api.example/v2/orders/{number}/products"},
        "status_custom": "Awaiting Fulfillment",
        "tax_provider_id": "BasicTaxProvider",
        "external_id": None,
        "external_source": None,
        "custom_status": "Awaiting Fulfillment",
    }
    return order | fields


Answer = tuple[int, dict[str, str], bytes]
Trouble = Callable[[int], Answer | None]


class Platform:
    """A shop's interface: pages of orders behind a token. `trouble` answers the n-th request (from
    1) in place of the platform, where it answers anything."""

    def __init__(self, kind: str, orders: list[Resource], size: int = 0) -> None:
        self.kind = kind
        self.orders = orders
        self.hooks: list[Resource] = []
        self.size = size or {"woocommerce": 100}.get(kind, 250)
        self.trouble: Trouble = lambda number: None
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI application."""
        if scope["type"] == "lifespan":
            for part in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{part}.complete"})
            return
        query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode()).items()}
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["path"], query))
        answer = self.trouble(len(self.asked)) or self._answer(scope["path"], query, headers)
        status, more, body = answer
        sent = [(name.encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Answer:
        if not self._is_let_in(headers):
            return 401, {}, b'{"errors": "Invalid API key"}'
        if path.endswith(("/webhooks.json", "/webhooks", "/hooks")):
            hooks: Any = self.hooks
            name = {"shopify": "webhooks", "bigcommerce": "data"}.get(self.kind)
            return 200, {}, json.dumps({name: hooks} if name else hooks).encode()
        return getattr(self, f"_{self.kind}")(path, query, headers["host"])  # type: ignore[no-any-return]

    def _is_let_in(self, headers: dict[str, str]) -> bool:
        if self.kind == "woocommerce":
            proof = b64encode(b"ck_1:cs_2").decode()
            return f"Basic {proof}" == headers.get("authorization")
        name = {"shopify": "x-shopify-access-token", "bigcommerce": "x-auth-token"}[self.kind]
        return "token-1" == headers.get(name)

    def _shopify(self, path: str, query: dict[str, str], host: str) -> Answer:
        assert "/admin/api/2025-10/orders.json" == path
        first = 0
        if "page_info" in query:
            # Only these two may come with it.
            assert {"page_info", "limit"} == set(query)
            first = int(query["page_info"])
        else:
            assert "any" == query["status"]
            since, until = query["created_at_min"], query["created_at_max"]
            self._chosen = [
                order
                for order in self.orders
                if since <= order["created_at"].replace("+00:00", "Z") <= until
            ]
        page = self._chosen[first : first + self.size]
        links = []
        if first:
            links.append(f'<http://{host}{path}?page_info=0&limit=250>; rel="previous"')
        if first + self.size < len(self._chosen):
            more = f"page_info={first + self.size}&limit=250"
            links.append(f'<http://{host}{path}?{more}>; rel="next"')
        return 200, {"link": ", ".join(links)}, json.dumps({"orders": page}).encode()

    def _woocommerce(self, path: str, query: dict[str, str], host: str) -> Answer:
        assert "/wp-json/wc/v3/orders" == path
        assert ("true", "any", "100") == tuple(
            query[name] for name in ("dates_are_gmt", "status", "per_page")
        )
        chosen = [
            o for o in self.orders if query["after"] < o["date_created_gmt"] < query["before"]
        ]
        first = (int(query["page"]) - 1) * self.size
        pages = -(-len(chosen) // self.size)
        page = chosen[first : first + self.size]
        headers = {"x-wp-total": str(len(chosen)), "x-wp-totalpages": str(pages)}
        return 200, headers, json.dumps(page).encode()

    def _bigcommerce(self, path: str, query: dict[str, str], host: str) -> Answer:
        assert "/stores/abc123/v2/orders" == path
        first = (int(query["page"]) - 1) * self.size
        page = self.orders[first : first + self.size]
        return (200, {}, json.dumps(page).encode()) if page else (204, {}, b"")
