"""The WooCommerce plug-in under real PHP, before the hooks and pages that it uses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.recipes.conftest import Stage
from tests.sites.php import WooSite
from tests.sites.site import needed

CALL = re.compile(r'fbq\("track", "(\w+)", (\{.*\}), \{"eventID":"([^"]+)"\}\);')
TEA = 'Tea "Earl" & <b>Grey</b></script><script>window.hacked=1</script>'
AGENT = "Mozilla/5.0 (Shop) Firefox/140.0"


@pytest.fixture
def shop(stage: Stage) -> Iterator[WooSite]:
    with stage.demo("woocommerce", "purchases") as site:
        assert isinstance(site, WooSite)
        yield site


@pytest.fixture
def visitor(shop: WooSite) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=shop.url,
        cookies={"_fbp": "fb.1.1790000000000.123", "_fbc": "fb.1.1790000000001.AbC"},
        headers={"user-agent": AGENT},
        follow_redirects=True,
        trust_env=False,
    ) as client:
        yield client


def calls(html: str) -> dict[str, tuple[dict[str, Any], str]]:
    """The pixel's calls in a page: parameters and event id by name."""
    assert "Warning" not in html
    assert "Fatal" not in html
    return {name: (json.loads(params), event_id) for name, params, event_id in CALL.findall(html)}


def test_the_plug_ins_are_sound_php(stage: Stage) -> None:
    php = needed("php", "php-cli")
    for platform, goal in (("woocommerce", "purchases"), ("wordpress", "leads"), ("html", "leads")):
        for piece in stage.pieces(platform, goal):  # type: ignore[arg-type]
            if piece.language == "php":
                done = subprocess.run(
                    [php, "-l"], input=piece.text, capture_output=True, text=True, check=False
                )
                assert 0 == done.returncode, done.stdout


def test_every_page_has_the_base_code_once_and_its_own_event(
    stage: Stage, visitor: httpx.Client
) -> None:
    home = visitor.get("/").text
    assert 1 == home.count(f'fbq("init", "{stage.site.pixel_id}")')
    assert {} == calls(home)
    viewed, viewed_id = calls(visitor.get("/product/11/").text)["ViewContent"]
    assert {
        "content_name": TEA,
        "content_type": "product",
        "content_ids": ["11"],
        "contents": [{"id": "11", "quantity": 1, "item_price": 12.5}],
        "num_items": 1,
        "value": 12.5,
        "currency": "EUR",
    } == viewed
    assert viewed_id != calls(visitor.get("/product/11/").text)["ViewContent"][1]
    group = calls(visitor.get("/product/20/").text)["ViewContent"][0]
    assert ("product_group", ["20"]) == (group["content_type"], group["content_ids"])
    assert {} == calls(visitor.get("/checkout/").text), "nothing is in the cart"


def test_what_goes_into_the_cart_is_told_once(visitor: httpx.Client) -> None:
    blue = {"add-to-cart": "20", "variation_id": "21", "quantity": "2"}
    added, event_id = calls(visitor.post("/product/20/", data=blue).text)["AddToCart"]
    assert [{"id": "21", "quantity": 2, "item_price": 9.95}] == added["contents"]
    assert (19.9, "Mug, blue") == (added["value"], added["content_name"])
    assert {} == calls(visitor.get("/cart/").text)
    visitor.post("/?wc-ajax=add_to_cart", data={"product_id": "11"})
    ((name, quick, other_id),) = visitor.post("/?wc-ajax=doublet_waiting").json()
    assert ("AddToCart", ["11"], 12.5) == (name, quick["content_ids"], quick["value"])
    assert event_id != other_id
    assert [] == visitor.post("/?wc-ajax=doublet_waiting").json()
    begun = calls(visitor.get("/checkout/").text)["InitiateCheckout"][0]
    assert (["21", "11"], 3, 32.4) == (begun["content_ids"], begun["num_items"], begun["value"])


@pytest.mark.parametrize("checkout", ["classic", "block"])
def test_the_purchase_has_the_id_that_the_order_keeps(
    visitor: httpx.Client, shop: WooSite, checkout: str
) -> None:
    visitor.post("/product/20/", data={"add-to-cart": "20", "variation_id": "21", "quantity": "2"})
    headers = {"referer": f"{shop.url}/checkout/?utm_source=ig%20x"}
    if checkout == "classic":
        thanks = str(visitor.post("/checkout/", headers=headers).url)
    else:
        thanks = visitor.post("/wp-json/wc/store/v1/checkout", headers=headers).json()[
            "redirect_url"
        ]
        assert {} == calls(visitor.get(thanks + "x").text), "only with the order's key"
    meta = {entry["key"]: entry["value"] for entry in shop.order()["meta_data"]}
    if checkout == "classic":
        # Following the redirect has opened the page already.
        assert meta.pop("_doublet_purchase_tracked")
        assert {} == calls(visitor.get(thanks).text)
    else:
        bought, event_id = calls(visitor.get(thanks).text)["Purchase"]
        assert meta["_doublet_event_id"] == event_id
        assert {} == calls(visitor.get(thanks).text), "once, however often the page is opened"
        assert ("501", 24.8, "EUR") == (bought["order_id"], bought["value"], bought["currency"])
        assert [{"id": "21", "quantity": 2, "item_price": 9.95}] == bought["contents"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", meta.pop("_doublet_event_id"))
    assert {
        "_doublet_fbp": "fb.1.1790000000000.123",
        "_doublet_fbc": "fb.1.1790000000001.AbC",
        "_doublet_user_agent": AGENT,
        "_doublet_source_url": f"{shop.url}/checkout/?utm_source=ig%20x",
    } == meta


@pytest.mark.browser
def test_a_visit_arrives_with_the_order_s_own_id(stage: Stage, shop: WooSite, page: Page) -> None:
    page.goto(f"{shop.url}/product/11/")
    page.click("#quick")
    stage.events("AddToCart", count=1)
    assert page.evaluate("window.hacked") is None
    event_id = shop.buy(page)
    (bought,) = stage.events("Purchase", count=1)
    assert event_id == bought["event_id"]
    assert (42.4, "EUR") == (float(bought["custom_data"]["value"]), bought["currency"])
    page.reload()
    page.goto(f"{shop.url}/product/11/")
    # Its ViewContent comes after what a second Purchase would have come before.
    stage.events("ViewContent", count=3)
    assert 1 == len(stage.events("Purchase"))
    assert 2 == len(stage.events("AddToCart", count=2))
    assert 1 == len(stage.events("InitiateCheckout"))
    meta = {entry["key"]: entry["value"] for entry in shop.order()["meta_data"]}
    assert bought["user_data"]["fbp"] == meta["_doublet_fbp"]
