"""The automatic parts: form fields, buttons and product data, each with its switch."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import BrowserContext

from doublet.normalize import hash_user_value
from tests.browser.shop_site import ShopSite, open_page

pytestmark = pytest.mark.browser

FORM = """<form action="/thanks" onsubmit="return false">
<input name="customer[email]"><input type="tel" name="x"><input autocomplete="given-name" name="a">
<input name="billing.last_name"><input type="password" name="email2" autocomplete="off">
<input name="note"><input type="tel" name="cardNumber">
<input type="tel" name="q" autocomplete="one-time-code">
<input type="tel" name="zip"><input type="tel" name="cvc">
<input type="hidden" name="email3" value="hidden@shop.example">
<select autocomplete="country"><option value="DE">Germany</option><option value="">-</option>
</select>
<button id="send" class="big">Send to ada@shop.example</button></form>"""

LINKED = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebPage", "name": "x"},
        {
            "@type": ["Product", "Thing"],
            "sku": "SKU-1",
            "name": "Socks",
            "offers": [{"@type": "Offer", "price": "9.50", "priceCurrency": "EUR"}],
        },
    ],
}
LINKED_PAGE = f'<script type="application/ld+json">{json.dumps(LINKED)}</script>'
META_PAGE = """<meta property="product:retailer_item_id" content="M-1">
<meta property="og:price:amount" content="9.50"><meta property="og:price:currency" content="EUR">"""
MICRODATA_PAGE = """<div itemscope itemtype="https://schema.org/Product">
<span itemprop="sku">I-1</span><div itemprop="offers" itemscope>
<meta itemprop="price" content="9.50"><meta itemprop="priceCurrency" content="EUR"></div></div>"""


def test_form_fields_are_matched_where_the_site_opted_in(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.bare_page(
        "fbq('init',PIXEL);fbq('optIn',PIXEL,'AutomaticMatching');fbq('optOut',PIXEL,'InferredEvents')",
        body=FORM,
    )
    page, said = open_page(context, site.origin())
    page.fill("[name='customer[email]']", " Ada@Shop.example")
    page.fill("[name=x]", "+49 30 1234567")
    page.fill("[autocomplete=given-name]", "Ada")
    page.fill("[name='billing.last_name']", "Lovelace")
    page.fill("[name=email2]", "secret@shop.example")
    page.fill("[name=note]", "secret")
    page.fill("[name=cardNumber]", "378282246310005")
    page.fill("[name=q]", "12345678")
    page.fill("[name=cvc]", "1234567")
    page.fill("[name=zip]", "94035")
    page.click("#send")
    page.evaluate("fbq('track', 'Lead')")
    page.goto(f"{site.origin()}/thanks")
    page.evaluate("fbq('track', 'Purchase', {value: 1, currency: 'EUR'})")
    rows = site.wait_for(2)
    expected = {
        "em": "ada@shop.example",
        "ph": "+49301234567",
        "fn": "ada",
        "ln": "lovelace",
        "country": "de",
        "zp": "94035",
    }
    for row in rows:
        hashed = {k: v for k, v in row["user_data"].items() if isinstance(v, list)}
        assert {key: [hash_user_value(key, text)] for key, text in expected.items()} == hashed
    assert [] == said


def test_form_fields_are_not_read_without_opting_in(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.bare_page("fbq('init',PIXEL)", body=FORM)
    page, _ = open_page(context, site.origin())
    page.fill("[name='customer[email]']", "ada@shop.example")
    page.click("#send")
    rows = site.wait_for(1)
    assert "em" not in rows[0]["user_data"]
    assert 0 == page.evaluate("sessionStorage.length")


def test_clicks_on_buttons_are_reported_and_marked(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(
        "fbq('init',PIXEL)", body=FORM + "<a href='#x'>link</a><a class='btn' href='#y'>Buy</a>"
    )
    page, said = open_page(context, site.origin())
    page.click("#send")
    page.click("text=link")
    page.click("text=Buy")
    rows = [row for row in site.wait_for(4) if row["event_name"] != "PageView"]
    assert ["SubscribedButtonClick"] * 2 == [row["event_name"] for row in rows]
    # Two requests under way at once may arrive in either order.
    told = [row["custom_data"] for row in rows]
    bought, sent = sorted(told, key=lambda data: "Send to" in data["buttonText"])
    # An address never reaches the disk, not even as the text of a button.
    assert "ada@" not in json.dumps(sent)
    assert "Send to" in sent["buttonText"]
    assert ("send", "button") == (sent["buttonFeatures"]["id"], sent["buttonFeatures"]["tag"])
    assert "Buy" == bought["buttonText"]
    assert {"automatic"} == {row["extra"]["es"] for row in rows}
    assert all("automatic" in row["flags"] for row in rows)
    assert [] == said


@pytest.mark.parametrize("whose", ["", ",PIXEL"])
def test_autoconfig_switches_all_off(site: ShopSite, context: BrowserContext, whose: str) -> None:
    site.page = site.bare_page(
        f"fbq('set','autoConfig',false{whose});fbq('init',PIXEL);fbq('track','ViewContent')",
        body=FORM,
        before="",
    ).replace("<title>", LINKED_PAGE + "<title>")
    page, _ = open_page(context, site.origin())
    page.click("#send")
    page.evaluate("fbq('track', 'Lead')")
    rows = site.wait_for(2)
    assert {"ViewContent", "Lead"} == {row["event_name"] for row in rows}
    assert [{}, {}] == [row["custom_data"] for row in rows]


@pytest.mark.parametrize(
    ("page_data", "content_id"),
    [(LINKED_PAGE, "SKU-1"), (META_PAGE, "M-1"), (MICRODATA_PAGE, "I-1")],
    ids=["json-ld", "open graph", "microdata"],
)
def test_product_data_of_the_page_complete_an_event(
    site: ShopSite, context: BrowserContext, page_data: str, content_id: str
) -> None:
    site.page = site.bare_page("fbq('init',PIXEL)", body=page_data)
    page, said = open_page(context, site.origin())
    page.evaluate("fbq('track', 'ViewContent')")
    page.evaluate(f"fbq('track', 'AddToCart', {{content_ids: ['{content_id}'], value: 3}})")
    page.evaluate("fbq('track', 'AddToCart', {content_ids: ['other']}, {eventID: 'other'})")
    page.evaluate("fbq('track', 'Contact')")
    found = site.wait_for(4)
    (other,) = [row for row in found if row["event_id"] == "other"]
    # The price is that of the page's product, and this event is of another.
    assert ({"content_ids": ["other"]}, None) == (other["custom_data"], other["value"])
    rows = {row["event_name"]: row for row in found if row is not other}
    viewed = rows["ViewContent"]
    assert ([content_id], "product") == (
        viewed["custom_data"]["content_ids"],
        viewed["custom_data"]["content_type"],
    )
    assert (9.5, "EUR") == (float(viewed["value"]), viewed["currency"])
    added = rows["AddToCart"]
    assert ([content_id], 3, "EUR") == (
        added["custom_data"]["content_ids"],
        float(added["value"]),
        added["currency"],
    )
    assert {} == rows["Contact"]["custom_data"]
    assert [] == said


def test_a_page_with_several_products_completes_nothing(
    site: ShopSite, context: BrowserContext
) -> None:
    other = LINKED_PAGE.replace("SKU-1", "SKU-2") + "<script type='application/ld+json'>{</script>"
    site.page = site.bare_page("fbq('init',PIXEL)", body=LINKED_PAGE + other)
    page, said = open_page(context, site.origin())
    page.evaluate("fbq('track', 'ViewContent')")
    assert {} == site.wait_for(1)[0]["custom_data"]
    assert [] == said
