"""Sites in PHP, by PHP's own server: WooCommerce and WordPress as far as the plug-ins use them, and
pages made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.server import free_port
from tests.sites.site import Given, needed, running, sent_form

PAGES = Path(__file__).parent / "php_pages"


class PhpSite:
    """Pages of `php_pages` before the pieces in a folder."""

    def __init__(self, url: str, given: Given) -> None:
        self.url = url
        self.given = given

    def state(self) -> dict[str, Any]:
        """What the pages have kept."""
        found: dict[str, Any] = json.loads((self.given.folder / "state.json").read_text("utf-8"))
        return found

    def buy(self, page: Page) -> str:
        """Order the one thing there is."""
        page.goto(self.url)
        page.click("#buy")
        page.wait_for_url("**/thanks?order=*")
        return "1001"

    def submit(self, page: Page) -> str:
        """Send the form."""
        return sent_form(page, self.url, "form[name=contact]", "**/thanks")

    def order(self) -> dict[str, Any]:
        """No webhook tells of it."""
        raise NotImplementedError


class WooSite(PhpSite):
    """A shop with the plug-in."""

    def buy(self, page: Page) -> str:
        """Put tea into the cart and order it."""
        page.goto(f"{self.url}/product/11/")
        # The next page tells what was added, once its script is there.
        with page.expect_navigation(wait_until="load"):
            page.click("button[name=add-to-cart]")
        page.goto(f"{self.url}/checkout/")
        page.click("#place_order")
        page.wait_for_url("**/order-received/**")
        *_, order = self.state()["orders"].values()
        return str(order["meta"]["_doublet_event_id"])

    def order(self) -> dict[str, Any]:
        """As WooCommerce's REST API has it."""
        *_, row = self.state()["orders"].values()
        meta = [{"id": n, "key": k, "value": v} for n, (k, v) in enumerate(row["meta"].items(), 1)]
        address = {
            "first_name": "Jane",
            "last_name": "Doe",
            "city": "Frankfurt",
            "state": "HE",
            "postcode": "60311",
            "country": "DE",
        }
        return {
            "id": row["id"],
            "number": str(row["id"]),
            "status": row["status"],
            "currency": row["currency"],
            "date_created_gmt": row["created"],
            "date_modified_gmt": row["created"],
            "date_paid_gmt": row["created"],
            "total": row["total"],
            "customer_id": 0,
            "customer_ip_address": row["ip"],
            "customer_user_agent": row["user_agent"],
            "payment_method": "card",
            "billing": {**address, "email": "Jane.Doe@Example.com", "phone": "+49 170 1234567"},
            "shipping": address,
            "line_items": [
                {
                    "id": number,
                    "product_id": item["product_id"],
                    "variation_id": item["variation_id"],
                    "quantity": item["quantity"],
                    "sku": "",
                    "price": item["price"],
                    "total": str(item["price"] * item["quantity"]),
                }
                for number, item in enumerate(row["items"], 1)
            ],
            "refunds": [],
            "meta_data": meta,
        }


class FormsSite(PhpSite):
    """A site with the plug-in and three kinds of forms."""

    def submit(self, page: Page) -> str:
        """Send the form of Contact Form 7, which stays on its page."""
        page.goto(self.url)
        page.click("#cf7 button")
        page.wait_for_selector("#cf7[data-status=wpcf7mailsent]")
        return page.input_value("#cf7 [name=doublet_event_id]")


@contextmanager
def _php(given: Given, script: str, plugin: str = "") -> Iterator[str]:
    php = needed("php", "php-cli")
    port = free_port()
    environ = {
        "SITE_FOLDER": str(given.folder),
        "SITE_STATE": str(given.folder / "state.json"),
        "SITE_PLUGIN": str(given.folder / plugin),
        "DOUBLET_ACCESS_TOKEN": given.access_token,
    }
    command = [php, "-d", "display_errors=1", "-d", "error_reporting=E_ALL"]
    with running(
        [*command, "-S", f"127.0.0.1:{port}", str(PAGES / script)], port, given.folder, environ
    ):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def woocommerce_site(given: Given) -> Iterator[WooSite]:
    """A shop on WooCommerce."""
    with _php(given, "shop.php", given.pieces["plugin"].filename) as url:
        yield WooSite(url, given)


@contextmanager
def wordpress_site(given: Given) -> Iterator[FormsSite]:
    """A site on WordPress with forms."""
    with _php(given, "forms.php", given.pieces["plugin"].filename) as url:
        yield FormsSite(url, given)


@contextmanager
def html_site(given: Given) -> Iterator[PhpSite]:
    """Pages made by hand."""
    for key, piece in given.pieces.items():
        if not piece.filename:
            (given.folder / f"{key}.html").write_text(piece.text, "utf-8")
    with _php(given, "html.php") as url:
        yield PhpSite(url, given)
