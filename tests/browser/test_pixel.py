"""The pixel's calls in real Chromium: what a page says is what arrives in `events`."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, BrowserContext

from doublet import pixel
from doublet.normalize import hash_user_value
from tests.browser.shop_site import SHA256, ShopSite, open_page, warnings

pytestmark = pytest.mark.browser

OTHER = "6543210987654321"


def test_snippet_cannot_be_broken_out_of() -> None:
    code = pixel.snippet(OTHER, 'https://x.example/"</script><b>')
    assert 1 == code.count("</script>")
    assert '"&gt;' not in code.partition("<noscript>")[0]


def test_base_code_reports_a_page_view(site: ShopSite, context: BrowserContext) -> None:
    page, said = open_page(context, f"{site.origin()}/shelf?x=1")
    (row,) = site.wait_for(1)
    assert ("PageView", "browser", "website") == (
        row["event_name"],
        row["source"],
        row["action_source"],
    )
    assert f"{site.origin()}/shelf?x=1" == row["event_source_url"]
    assert ("false", "0", "fetch") == tuple(row["extra"][key] for key in ("if", "ec", "rqm"))
    assert abs(time.time() - row["event_time"]) < 60
    assert page.evaluate("String(screen.width)") == row["extra"]["sw"]
    assert re.fullmatch(r"fb\.1\.\d{13}\.\d+", row["user_data"]["fbp"])
    assert re.fullmatch(r"\d{13}\.\d{17}", row["event_id"])
    assert ([], None) == (said, row["flags"])


def test_custom_data_travels_with_its_types(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate(
        """fbq('track', 'Purchase', {
            value: 12.5, currency: 'EUR', contents: [{id: 'ä/1 &=+', quantity: 2}], gift: true,
            gone: undefined, none: null, call: () => 1, at: new Date(0), text: '"quoted" % é',
        }, {eventID: 'o-1'})"""
    )
    row = site.wait_for(2)[1]
    assert ("o-1", 12.5, "EUR") == (row["event_id"], float(row["value"]), row["currency"])
    assert {
        "value": "12.5",
        "currency": "EUR",
        "contents": [{"id": "ä/1 &=+", "quantity": 2}],
        "gift": "true",
        "at": "1970-01-01T00:00:00.000Z",
        "text": '"quoted" % é',
    } == row["custom_data"]


def test_calls_made_before_the_script_arrives_are_sent(
    site: ShopSite, context: BrowserContext
) -> None:
    site.script_delay_s = 0.3
    site.page = site.page_with("fbq('track','ViewContent',{},{eventID:'early'})")
    open_page(context, site.origin())
    assert ["PageView", "ViewContent"] == sorted(row["event_name"] for row in site.wait_for(2))


def test_track_reaches_all_pixels_with_one_id_and_track_single_only_one(
    site: ShopSite, context: BrowserContext
) -> None:
    page, _ = open_page(context, site.origin())
    catalog, account = site.collector.catalog, site.collector.account
    other = catalog.create_pixel(account, "Second")[0].pixel_id
    page.evaluate(f"fbq('init', '{other}'); fbq('track', 'Lead')")
    page.evaluate(
        f"""fbq('trackSingle', '{other}', 'Contact'); fbq('trackSingleCustom', '{other}', 'Mine');
        fbq('set', 'trackSingleOnly', true, '{other}'); fbq('track', 'Schedule')"""
    )
    ours, theirs = site.wait_for(3), site.wait_for(3, other)
    assert {"PageView", "Lead", "Schedule"} == {row["event_name"] for row in ours}
    assert {"Lead", "Contact", "Mine"} == {row["event_name"] for row in theirs}
    leads = [row for row in ours + theirs if row["event_name"] == "Lead"]
    assert 1 == len({row["event_id"] for row in leads})


def test_the_page_can_read_the_id_that_its_event_was_given(
    site: ShopSite, context: BrowserContext
) -> None:
    page, _ = open_page(context, site.origin())
    returned, called = page.evaluate(
        """() => { let called;
        const id = fbq('track', 'Lead', {}, {callback: (given) => { called = given; }});
        return [id, called]; }"""
    )
    assert returned == called == site.wait_for(2)[1]["event_id"]
    held = page.evaluate("fbq('consent', 'revoke'), fbq('track', 'Contact')")
    page.evaluate("fbq('consent', 'grant')")
    assert held == site.wait_for(3)[2]["event_id"]


def test_an_order_page_that_is_loaded_again_makes_no_second_purchase(
    site: ShopSite, context: BrowserContext
) -> None:
    order = "fbq('track', 'Purchase', {value: 5, currency: 'EUR', order_id: 'A1'}"
    site.page = site.bare_page(f"fbq('init', PIXEL); {order})")
    page, _ = open_page(context, f"{site.origin()}/thanks")
    site.wait_for(1)
    page.reload()
    other, _ = open_page(context, f"{site.origin()}/thanks?again")
    assert "A1" == other.evaluate(f"{order}, {{eventID: 'else'}})")
    other.evaluate("fbq('track', 'Purchase', {value: 6, currency: 'EUR', order_id: 'A2'})")
    assert ["A1", "A2"] == [row["event_id"] for row in site.wait_for(2)]


def test_wrong_calls_warn_and_never_throw(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page("")
    page, said = open_page(context, site.origin())
    page.evaluate(
        f"""fbq('track', 'Lead'); fbq('init', 'x'); fbq('init', 9007199254740993); fbq('init');
        fbq('init', '{site.pixel_id}', 'text'); fbq('init', '{site.pixel_id}'); fbq('track');
        fbq('dance'); fbq('trackCustom', 'Mine', 'text', {{eventID: 7}}); fbq('track', 'Odd');
        fbq(); fbq('consent', 'maybe'); fbq('set', 'endpoint', 'http://['); fbq('toString');
        fbq('set', 'dance', 1); fbq('set', 'agent', 'x', '1');
        fbq('track', 'Lead', {{eventID: 'x'}});
        fbq('track', 'Purchase', {{value: '1,5'}}); fbq('track', 'Lead', {{value: -1}});
        fbq(Symbol('x')); fbq('track', Symbol('x'));
        fbq('init', '{site.pixel_id}', {{em: {{}}}}); fbq('track', 'Lead', new Proxy({{}}, {{
            ownKeys() {{ throw new Error('hostile'); }} }}))"""
    )
    assert [
        "PIXEL_NOT_INITIALIZED",
        *["INVALID_PIXEL_ID"] * 3,
        "PII_INVALID_TYPE",
        "DUPLICATE_PIXEL_ID",
        "NO_EVENT_NAME",
        "INVALID_FBQ_METHOD",
        "INVALID_EVENT_ID_FORMAT",
        "NONSTANDARD_EVENT",
        "INVALID_FBQ_METHOD",
        "INVALID_CONSENT_ACTION",
        "INTERNAL",
        "INVALID_FBQ_METHOD",
        "UNSUPPORTED_METADATA_ARGUMENT",
        "INVALID_PARAM",
        "INVALID_PARAM_FORMAT",
        "REQUIRED_PARAM_MISSING",
        "NEGATIVE_EVENT_PARAM",
        "INTERNAL",
        "INTERNAL",
        "PII_UNHASHED_PII",
        "DUPLICATE_PIXEL_ID",
        "INTERNAL",
    ] == warnings(said)
    assert [] == [text for text in said if "THROWN" in text]
    names = [row["event_name"] for row in site.wait_for(5)]
    assert ["Lead", "Lead", "Mine", "Odd", "Purchase"] == sorted(names)


def test_other_verbs_of_the_known_library(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page("fbq('init', PIXEL)")
    page, said = open_page(context, site.origin())
    pixel_id = site.pixel_id
    page.evaluate(
        f"""_fbq.push(['track', 'Lead', {{legacy: 1}}]); fbq('trackCustom', '6001234567890', {{}});
        fbq('track', 'CustomEvent', {{event: 'Named'}});
        fbq('trackSingleSystem', '{pixel_id}', 'automatic', 'System', {{}});
        fbq('setUserProperties', '{pixel_id}', {{plan: 'gold'}});
        fbq('trackShopify', '{pixel_id}', 'Purchase', {{value: 3, currency: 'EUR'}},
            {{eventID: 's1'}}, {{order_id: 'S-1', contents: [{{id: 'v1', quantity: 1}}]}});
        fbq('set', 'agent', 'tmexample', '{pixel_id}'); fbq('track', 'Contact')"""
    )
    rows = {row["event_name"]: row for row in site.wait_for(7)}
    assert "1" == rows["Lead"]["custom_data"]["legacy"]
    assert "automatic" == rows["System"]["extra"]["es"]
    assert "gold" == rows["UserProperties"]["custom_data"]["plan"]
    assert ("s1", "S-1") == (rows["Purchase"]["event_id"], rows["Purchase"]["order_id"])
    assert "tmexample" == rows["Contact"]["extra"]["a"]
    assert {"6001234567890", "Named"} <= rows.keys()
    assert [] == said
    state = page.evaluate("fbq.getState().pixels.map((each) => each.id)")
    assert [pixel_id] == state


def test_hashed_user_data_go_as_they_are_and_plain_ones_hashed(
    site: ShopSite, context: BrowserContext
) -> None:
    plain = {
        "email": " Ada@Shop.example ",
        "phone_number": "+49 (0)30 1234567",
        "firstname": "Zoë-Ann",
        "surname": "O'Brien-Smith",
        "city": "São Paulo",
        "zip": "94035 ",
        "country": "Germany",
        "db": "1990-02-16",
        "gender": "Female",
        "external_id": "User-42",
    }
    calls = f"fbq('init',PIXEL,{plain!r});fbq('track','Lead')".replace("\\'", "'")
    site.page = site.bare_page(calls.replace('"O\'Brien-Smith"', '"O\'Brien-Smith"'))
    _, said = open_page(context, site.origin())
    (row,) = site.wait_for(1)
    keys = {
        "email": "em",
        "phone_number": "ph",
        "firstname": "fn",
        "surname": "ln",
        "city": "ct",
        "zip": "zp",
        "gender": "ge",
    }
    expected = {
        keys.get(name, name): [hash_user_value(keys.get(name, name), value, "")]
        for name, value in plain.items()
    }
    found = {key: row["user_data"].get(key) for key in expected}
    assert expected == found
    assert [] == said
    site.page = site.bare_page(f"fbq('init',PIXEL,{{em:'{SHA256.upper()}'}});fbq('track','Lead')")
    open_page(context, site.origin())
    assert [SHA256] == site.wait_for(2)[1]["user_data"]["em"]


def test_hashes_are_those_of_the_browser(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page("fbq('init', PIXEL)")
    page, _ = open_page(context, site.origin("127.0.0.1"))
    wrong = page.evaluate(
        """async () => {
        let seed = 7; const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648);
        const wrong = [];
        for (let length = 1; length < 200; length++) {
            const id = Array.from({length}, () => String.fromCharCode(97 + next() % 26)).join('');
            fbq('set', 'userData', {external_id: id});
            const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(id));
            const hex = Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0'));
            const ours = fbq.instance.pixelsByID.values().next().value.userData.external_id;
            if (ours !== hex.join('')) wrong.push(id);
        }
        return wrong; }"""
    )
    assert [] == wrong


def test_limited_data_use_is_passed_on(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('dataProcessingOptions', ['LDU'], 1, 1000); fbq('track', 'Lead')")
    page.evaluate("fbq('dataProcessingOptions', []); fbq('track', 'Contact')")
    rows = {row["event_name"]: row["extra"] for row in site.wait_for(3)}
    assert ("LDU", "1", "1000") == tuple(rows["Lead"][key] for key in ("dpo", "dpoco", "dpost"))
    assert ("", None) == (rows["Contact"].get("dpo"), rows["Contact"].get("dpoco"))


def test_a_test_event_code_in_the_address_holds_for_the_visit(
    site: ShopSite, context: BrowserContext
) -> None:
    page, said = open_page(context, f"{site.origin()}/landing?test_event_code=TEST1")
    page.goto(f"{site.origin()}/thanks")
    site.wait_for(2)
    page.goto(f"{site.origin()}/?test_event_code=")
    site.wait_for(3)
    page.goto(f"{site.origin()}/later")
    rows = site.wait_for(4)
    assert ["TEST1", "TEST1", None, None] == [row["extra"].get("test_event_code") for row in rows]
    assert [] == said


def test_endpoint_is_the_address_of_the_script_and_can_be_set(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.page_with("", site.collector_address)
    page, said = open_page(context, site.origin())
    # Straight to the collector under another origin: its answer can be read all the same.
    assert [] == said
    site.wait_for(1)
    page.evaluate(
        "fbq('set', 'endpoint', '/m/tr/'); fbq('track', 'Lead'); fbq('set', 'endpoint', '/m/px')"
    )
    row = site.wait_for(2)[1]
    assert ("Lead", "203.0.113.9") == (row["event_name"], row["user_data"]["client_ip_address"])
    with page.expect_event("console", lambda message: "REFUSED" in message.text) as warned:
        page.evaluate("fbq('init', '999'); fbq('trackSingle', '999', 'Lead')")
    assert "[Doublet] REFUSED: 400 pixel_unknown" == warned.value.text


def test_a_second_copy_of_the_script_changes_nothing(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.page_with("") + '<script src="/m/px.js"></script>'
    page, said = open_page(context, site.origin())
    page.evaluate("fbq('track', 'Lead')")
    assert ["Lead", "PageView"] == sorted(row["event_name"] for row in site.wait_for(2))
    assert [] == said


def test_without_javascript_the_image_reports(site: ShopSite, browser: Browser) -> None:
    visitor = browser.new_context(java_script_enabled=False)
    visitor.new_page().goto(site.origin())
    (row,) = site.wait_for(1)
    visitor.close()
    assert ("PageView", "1") == (row["event_name"], row["extra"]["noscript"])
    assert f"{site.origin()}/" == row["event_source_url"]
