"""Hosted shops: Shopify and BigCommerce, as far as their pixels see them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from playwright.sync_api import Page

from tests.server import wait_for
from tests.shopify import CHECKOUT, SANDBOX, SHOP, VARIANT
from tests.sites.site import Answer, Ask, Given, sent_form, serving

ALLOWED = {
    "analyticsProcessingAllowed": True,
    "marketingAllowed": True,
    "preferencesProcessingAllowed": True,
    "saleOfDataAllowed": True,
}

THEME = """
<script>
  window.privacy = window.privacy || PRIVACY;
  window.sandboxOrigin = "ORIGIN";
  window.Shopify = {
    routes: { root: "/" },
    analytics: { publish: (name, data) => window.publishCustom(name, data) },
    loadFeatures: (features, done) => setTimeout(() => {
      Shopify.customerPrivacy = { marketingAllowed: () => window.privacy.marketingAllowed };
      done();
    }),
  };
  window.decide = (privacy) => {
    window.privacy = privacy;
    window.collectConsent(privacy);
    document.dispatchEvent(new CustomEvent("visitorConsentCollected", { detail: privacy }));
  };
</script>
"""

VIEW = """
<script>
  const timer = setInterval(() => {
    if (!window.subscribed.has("page_viewed")) return;
    clearInterval(timer);
    window.publish("page_viewed", {}, "sh-" + Date.now(), new Date().toISOString());
  }, 20);
</script>
"""

CONTACT = """
<form method="post" action="/contact" id="ContactForm" accept-charset="UTF-8">
  <input type="hidden" name="form_type" value="contact">
  <input type="email" name="contact[email]" value="Jane.Doe@Example.com"><button>Send</button>
</form>
"""


class ShopifySite:
    """A shop on Shopify: theme, cart, and the custom pixel in a sandbox on another origin."""

    url = ""
    sandbox_url = ""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.publishes_views = False
        """Whether pages publish page_viewed themselves, for visitors that no test leads."""
        self.attributes: dict[str, str] = {}
        self.updates: list[dict[str, str]] = []
        self.orders = 0

    def answer(self, ask: Ask) -> Answer:
        """The sandbox, the cart, or a page of the theme."""
        if ask.path == "/sandbox":
            return Answer(SANDBOX.replace("CODE", self.given.pieces["pixel"].text))
        if ask.path == "/cart/update.js":
            changed = json.loads(ask.body)["attributes"]
            self.updates.append(changed)
            self.attributes = {k: v for k, v in {**self.attributes, **changed}.items() if v}
        if ask.path in ("/cart.js", "/cart/update.js"):
            cart = {"token": "c0ffee", "attributes": self.attributes, "item_count": 0, "items": []}
            return Answer(json.dumps(cart), "application/json")
        if ask.method == "POST":
            return Answer(location="/pages/contact?contact_posted=true#ContactForm")
        theme = THEME.replace("PRIVACY", json.dumps(ALLOWED)).replace("ORIGIN", self.sandbox_url)
        form = CONTACT if ask.path == "/pages/contact" and not ask.query else ""
        page = SHOP.replace("<script>", f"{theme}<script>", 1)
        view = VIEW if self.publishes_views else ""
        return Answer(page.replace("</body>", f"{form}{self._below}{view}</body>"))

    @property
    def _below(self) -> str:
        pieces = self.given.pieces
        return "".join(pieces[key].text for key in ("cart", "forms") if key in pieces)

    def open(self, page: Page, path: str = "/products/mug") -> None:
        """A page, once the pixel in its sandbox listens."""
        page.goto(self.url + path)
        page.wait_for_function("window.subscribed.size === 8")
        if not self.publishes_views:
            self.publish(page, "page_viewed", {}, f"sh-{time.time_ns()}")

    def publish(self, page: Page, name: str, data: Any, event_id: str) -> None:
        """What Shopify does when something happens."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        page.evaluate("values => window.publish(...values)", [name, data, event_id, at])

    def buy(self, page: Page) -> str:
        """Put a mug into the cart, go to the checkout, complete it."""
        self.open(page)
        # Playwright's routes run only while it is asked something.
        wait_for(lambda: page.evaluate("1") and "_fbp" in self.attributes)
        self.orders += 1
        checkout = deepcopy(CHECKOUT)
        checkout["order"]["id"] = f"gid://shopify/OrderIdentity/{5550 + self.orders}"
        self.publish(page, "product_viewed", {"productVariant": VARIANT}, f"view-{self.orders}")
        self.publish(page, "checkout_started", {"checkout": checkout}, f"start-{self.orders}")
        self.publish(page, "checkout_completed", {"checkout": checkout}, f"done-{self.orders}")
        page.evaluate("window.settle()")
        return str(5550 + self.orders)

    def submit(self, page: Page) -> str:
        """Send the contact form."""
        self.open(page, "/pages/contact")
        return sent_form(
            page, f"{self.url}/pages/contact", "#ContactForm", "**contact_posted=true*"
        )

    def order(self) -> dict[str, Any]:
        """The REST resource of the last order, as webhooks bring it."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        address = CHECKOUT["billingAddress"]
        notes = [{"name": name, "value": value} for name, value in self.attributes.items()]
        return {
            "id": 5550 + self.orders,
            "name": f"#{1000 + self.orders}",
            "email": CHECKOUT["email"].strip(),
            "phone": None,
            "created_at": now,
            "updated_at": now,
            "processed_at": now,
            "cancelled_at": None,
            "currency": "EUR",
            "total_price": "40.50",
            "current_total_price": "40.50",
            "financial_status": "paid",
            "payment_gateway_names": ["shopify_payments"],
            "source_name": "web",
            "test": False,
            "browser_ip": "127.0.0.1",
            "client_details": {"browser_ip": "127.0.0.1", "user_agent": "Mozilla/5.0"},
            "cart_token": "c0ffee",
            "checkout_token": CHECKOUT["token"],
            "landing_site": "/products/mug",
            "referring_site": "",
            "note_attributes": notes,
            "customer": {"id": 900},
            "billing_address": {
                "first_name": address["firstName"],
                "last_name": address["lastName"],
                "city": address["city"],
                "province_code": address["provinceCode"],
                "zip": address["zip"],
                "country_code": address["countryCode"],
                "phone": address["phone"],
            },
            "line_items": [
                {"id": 1, "product_id": 71, "variant_id": 7100, "quantity": 2, "price": "12.50"},
                {"id": 2, "product_id": 72, "variant_id": 7200, "quantity": 1, "price": "15.50"},
            ],
            "refunds": [],
        }


@contextmanager
def shopify_site(given: Given) -> Iterator[ShopifySite]:
    """A shop on Shopify; names below localhost are secure without TLS, so that it may hash."""
    site = ShopifySite(given)
    with (
        serving(site.answer, "sandbox.shopifypreview.localhost") as site.sandbox_url,
        serving(site.answer, "www.shop.localhost") as site.url,
    ):
        yield site


MUG = {
    "id": "line-1",
    "parentId": None,
    "productId": 71,
    "variantId": 710,
    "name": "Mug",
    "sku": "MUG",
    "quantity": 0,
    "listPrice": 14,
    "salePrice": 12.5,
}

PRODUCT_PAGE = """
<meta property="og:title" content="Mug">
<meta property="product:price:amount" content="12.5">
<meta property="product:price:currency" content="EUR">
<form method="post" action="/cart.php" data-cart-item-add>
  <input type="hidden" name="action" value="add"><input type="hidden" name="product_id" value="71">
  <button id="add">Add to cart</button>
</form>
<button id="quick" onclick="quick()">Add without leaving</button>
<script>
  const form = document.querySelector("form");
  async function quick() {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      fetch("/remote/v1/cart/add", { method: "POST", body: new FormData(form) });
    }, { once: true });
    form.requestSubmit();
  }
</script>
"""

BIG_CONTACT = """
<form data-contact-form action="/pages.php?action=sendContactForm" method="post">
  <input type="text" name="contact_email" value="Jane.Doe@Example.com">
  <button>Send</button>
</form>
"""


class BigCommerceSite:
    """A shop on BigCommerce: theme, Storefront API, checkout."""

    url = ""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.quantity = 0
        self.bought = 0
        self.orders = 0

    def answer(self, ask: Ask) -> Answer:
        """The Storefront API, or a page."""
        if ask.path == "/api/storefront/carts":
            return _json(
                [self._holder("cart-1", "cartAmount", self.quantity)] * bool(self.quantity)
            )
        if ask.path == f"/api/storefront/order/{self._order_id}":
            return _json(
                {**self._holder("", "orderAmount", self.bought), "orderId": self._order_id}
            )
        if ask.path in ("/cart.php", "/remote/v1/cart/add") and ask.method == "POST":
            self.quantity += 1
            return Answer(location="/cart.php") if ask.path == "/cart.php" else _json({})
        if ask.path == "/checkout/pay":
            self.orders += 1
            self.bought, self.quantity = self.quantity, 0
            return Answer(location="/checkout/order-confirmation")
        bodies = {
            "/mug/": PRODUCT_PAGE,
            "/contact-us/": BIG_CONTACT,
            "/checkout": '<a id="pay" href="/checkout/pay">Pay</a>',
        }
        if ask.method == "POST" and "spam" in ask.form.get("contact_email", ""):
            bodies[ask.path] = BIG_CONTACT
        is_confirmed = ask.path == "/checkout/order-confirmation"
        code = "".join(
            self.given.pieces[key].text
            for key in ("script", "snippet", "forms")
            if key in self.given.pieces
        ).replace("{{checkout.order.id}}", str(self._order_id) if is_confirmed else "")
        body = bodies.get(ask.path, "")
        return Answer(f"<!doctype html><html><head>{code}</head><body>{body}</body></html>")

    @property
    def _order_id(self) -> int:
        return 250 + self.orders

    def _holder(self, cart_id: str, amount: str, quantity: int) -> dict[str, Any]:
        lines = {"physicalItems": [{**MUG, "quantity": quantity}], "digitalItems": []}
        return {
            "id": cart_id,
            "currency": {"code": "EUR"},
            amount: 12.5 * quantity,
            "lineItems": {**lines, "giftCertificates": [], "customItems": []},
        }

    def buy(self, page: Page) -> str:
        """Put a mug into the cart and order it."""
        page.goto(f"{self.url}/mug/")
        page.wait_for_function("sessionStorage.getItem('doublet_cart')")
        page.click("#add")
        page.wait_for_url("**/cart.php")
        page.wait_for_function("sessionStorage.getItem('doublet_cart')?.includes('line-1')")
        page.goto(f"{self.url}/checkout")
        page.click("#pay")
        page.wait_for_url("**/order-confirmation")
        return str(self._order_id)

    def submit(self, page: Page) -> str:
        """Send the contact form."""
        return sent_form(
            page, f"{self.url}/contact-us/", "[data-contact-form]", "**/pages.php?action=*"
        )

    def order(self) -> dict[str, Any]:
        """The last order of the V2 API, with its `products`."""
        return {
            "id": self._order_id,
            "customer_id": 0,
            "date_created": time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()),
            "date_modified": time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()),
            "status_id": 11,
            "status": "Awaiting Fulfillment",
            "cart_id": "cart-1",
            "total_inc_tax": f"{12.5 * self.bought:.4f}",
            "refunded_amount": "0.0000",
            "currency_code": "EUR",
            "ip_address": "127.0.0.1",
            "payment_method": "Credit Card",
            "billing_address": {
                "first_name": "Jane",
                "last_name": "Doe",
                "city": "Frankfurt",
                "state": "Hessen",
                "zip": "60311",
                "country_iso2": "DE",
                "email": "jane.doe@example.com",
                "phone": "+49 170 1234567",
            },
            "products": [
                {
                    "id": 1,
                    "product_id": 71,
                    "variant_id": 710,
                    "quantity": self.bought,
                    "price_inc_tax": "12.5000",
                }
            ],
        }


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value), "application/json")


@contextmanager
def bigcommerce_site(given: Given) -> Iterator[BigCommerceSite]:
    """A shop on BigCommerce."""
    site = BigCommerceSite(given)
    with serving(site.answer) as site.url:
        yield site
