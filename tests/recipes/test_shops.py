"""Hosted shops: Shopify's cart and forms, BigCommerce's script, in real Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route

from tests.recipes.conftest import Stage
from tests.server import wait_for
from tests.sites.shops import ALLOWED, BigCommerceSite, ShopifySite

pytestmark = pytest.mark.browser


def test_an_order_of_shopify_bears_the_browser_s_ids(stage: Stage, page: Page) -> None:
    with stage.demo("shopify", "purchases") as site:
        assert isinstance(site, ShopifySite)
        site.open(page, "/?fbclid=AbC.dEf")
        wait_for(lambda: page.evaluate("1") and "_fbc" in site.attributes)
        event_id = site.buy(page)
        (bought,) = stage.events("Purchase", count=1)
        assert event_id == bought["event_id"] == bought["order_id"] == str(site.order()["id"])
        notes = {note["name"]: note["value"] for note in site.order()["note_attributes"]}
        cookies = {c["name"]: c["value"] for c in page.context.cookies()}
        assert {name: cookies[name] for name in ("_fbp", "_fbc")} == notes
        assert bought["user_data"]["fbp"] == notes["_fbp"]
        assert 1 == len(site.updates), "only what has changed is written"


def test_nothing_is_written_into_the_cart_of_who_forbids_it(stage: Stage, page: Page) -> None:
    with stage.demo("shopify", "purchases") as site:
        assert isinstance(site, ShopifySite)
        page.add_init_script(
            f"window.privacy = {json.dumps({**ALLOWED, 'marketingAllowed': False})}"
        )
        page.context.add_cookies(
            [{"name": "_fbp", "value": "fb.1.1790000000000.1", "url": site.url}]
        )
        with page.expect_response("**/cart.js"):
            site.open(page)
        page.evaluate("privacy => window.decide(privacy)", ALLOWED)
        wait_for(lambda: page.evaluate("1") and site.attributes)
        assert [{"_fbp": "fb.1.1790000000000.1"}] == site.updates
        denied = {**ALLOWED, "marketingAllowed": False}
        page.evaluate("privacy => window.decide(privacy)", denied)
        wait_for(lambda: page.evaluate("1") and not site.attributes)


def test_a_contact_form_of_shopify_is_a_lead(stage: Stage, page: Page) -> None:
    with stage.demo("shopify", "leads") as site:
        event_id = site.submit(page)
        (lead,) = stage.events("Lead", count=1)
        assert (event_id, "ContactForm") == (lead["event_id"], lead["custom_data"]["content_name"])


def test_a_visit_of_bigcommerce_is_told_with_the_order_s_id(stage: Stage, page: Page) -> None:
    told: list[str] = []

    def note(route: Route) -> None:
        told.append(route.request.post_data or "")
        route.fulfill(status=200, headers={"access-control-allow-origin": "*"})

    page.route(f"{stage.site.public_url}/v1/shops/{stage.site.shop_id}/visitor", note)
    with stage.demo("bigcommerce", "purchases") as site:
        assert isinstance(site, BigCommerceSite)
        page.goto(f"{site.url}/mug/?fbclid=AbC")
        page.wait_for_function("sessionStorage.getItem('doublet_cart')")
        page.click("#quick")
        (viewed,) = stage.events("ViewContent", count=1)
        (added,) = stage.events("AddToCart", count=1)
        event_id = site.buy(page)
        (bought,) = stage.events("Purchase", count=1)
        page.reload()
        stage.events("PageView", count=6)
    assert (["71"], 12.5, "Mug") == (
        viewed["custom_data"]["content_ids"],
        float(viewed["custom_data"]["value"]),
        added["custom_data"]["content_name"],
    )
    assert (event_id, event_id, 25.0) == (
        bought["event_id"],
        bought["order_id"],
        float(bought["custom_data"]["value"]),
    )
    (begun,) = stage.events("InitiateCheckout")
    mugs = [{"id": "71", "quantity": 2, "item_price": 12.5}]
    assert mugs == begun["custom_data"]["contents"] == bought["custom_data"]["contents"]
    assert 2 == len(stage.events("AddToCart"))
    # Told again where a page was left before the answer, and always the same.
    (visitor,) = map(json.loads, set(told))
    assert "cart-1" == visitor["token"]
    assert bought["user_data"]["fbp"] == visitor["fbp"]
    assert visitor["fbc"].endswith(".AbC")


def test_a_contact_form_of_bigcommerce_is_a_lead_once_it_was_taken(
    stage: Stage, page: Page
) -> None:
    with stage.demo("bigcommerce", "leads") as site:
        assert isinstance(site, BigCommerceSite)
        page.goto(f"{site.url}/contact-us/")
        page.fill("[name=contact_email]", "spam@example.com")
        page.click("button")
        page.wait_for_url("**/pages.php?action=*")
        stage.events("PageView", count=2)
        event_id = site.submit(page)
        (lead,) = stage.events("Lead", count=1)
        assert event_id == lead["event_id"]
