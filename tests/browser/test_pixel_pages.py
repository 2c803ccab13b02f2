"""Where pages differ: routes without loading, cookies by domain, iframes, browsers that refuse."""

from __future__ import annotations

import gzip
import re
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from doublet import pixel
from tests.browser.shop_site import ShopSite, cookies, open_page

pytestmark = pytest.mark.browser

NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"


def paths(site: ShopSite, count: int) -> list[str]:
    """Where the PageViews happened, in order."""
    rows = site.wait_for(count)
    assert {"PageView"} == {row["event_name"] for row in rows}
    return [row["event_source_url"].removeprefix(site.origin()) for row in rows]


def test_each_route_is_one_page_view(site: ShopSite, context: BrowserContext) -> None:
    page, said = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("history.pushState({}, '', '/a')")
    site.wait_for(2)
    page.evaluate("history.replaceState({}, '', '/b')")
    site.wait_for(3)
    page.evaluate("history.replaceState({same: 1}, '', '/b')")
    page.go_back()
    assert ["/", "/a", "/b", "/"] == paths(site, 4)
    assert [] == said


def test_a_page_view_of_the_page_itself_replaces_the_automatic_one(
    site: ShopSite, context: BrowserContext
) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("history.pushState({}, '', '/a'); fbq('track', 'PageView', {}, {eventID: 'own'})")
    # A second one of the same page is left out, unless the site wants it.
    page.evaluate("fbq('track', 'PageView')")
    page.wait_for_timeout(400)
    page.evaluate("fbq.allowDuplicatePageViews = true; fbq('track', 'PageView')")
    assert ["/", "/a", "/a"] == paths(site, 3)
    assert "own" == site.rows()[1]["event_id"]


def test_a_page_view_of_one_pixel_leaves_the_route_to_the_others(
    site: ShopSite, context: BrowserContext
) -> None:
    other = site.collector.catalog.create_pixel(site.collector.account, "Second")[0].pixel_id
    page, _ = open_page(context, site.origin())
    page.evaluate(
        f"fbq('init', '{other}'); history.pushState({{}}, '', '/a');"
        f"fbq('trackSingle', '{other}', 'PageView')"
    )
    assert ["/", "/a"] == paths(site, 2)
    assert 1 == len(site.wait_for(1, other))


def test_routes_can_be_left_to_the_page(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq.disablePushState = true; history.pushState({}, '', '/a')")
    page.wait_for_timeout(400)
    page.evaluate("fbq.disablePushState = false; history.pushState({}, '', '/b')")
    assert ["/", "/b"] == paths(site, 2)


def test_a_route_that_is_left_at_once_counts(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("history.pushState({}, '', '/a'); location.href = 'about:blank'")
    assert ["/", "/a"] == paths(site, 2)


def test_a_page_restored_from_the_cache_is_viewed_again(
    site: ShopSite, context: BrowserContext
) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    # Headless browsers keep no pages, so the event is the one a restored page gets.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert ["/", "/"] == paths(site, 2)
    assert 2 == len({row["event_id"] for row in site.rows()})


def test_a_page_that_is_only_prepared_is_viewed_when_it_is_shown(
    site: ShopSite, context: BrowserContext
) -> None:
    # Headless browsers prepare no pages, so what the page sees of it is played.
    context.add_init_script(
        "Object.defineProperty(document, 'prerendering', {get: () => !window.shown})"
    )
    page, said = open_page(context, f"{site.origin()}/?fbclid=x")
    page.wait_for_timeout(300)
    assert ([], {}) == (site.rows(), cookies(context))
    page.evaluate("shown = true; document.dispatchEvent(new Event('prerenderingchange'))")
    assert ["/?fbclid=x"] == paths(site, 1)
    assert [] == said


def test_cookies_go_to_the_widest_domain(site: ShopSite, context: BrowserContext) -> None:
    address = site.origin("www.corner.shop.co.uk")
    open_page(context, f"{address}/?fbclid=IwAR.2_F-x")
    (row,) = site.wait_for(1)
    kept = cookies(context)
    for name in ("_fbp", "_fbc"):
        assert ".shop.co.uk" == kept[name]["domain"]
        assert ("/", "Lax", False) == tuple(
            kept[name][key] for key in ("path", "sameSite", "httpOnly")
        )
        assert abs(time.time() + 90 * 86400 - kept[name]["expires"]) < 60
    assert re.fullmatch(r"fb\.2\.\d{13}\.\d+", kept["_fbp"]["value"])
    assert re.fullmatch(r"fb\.2\.\d{13}\.IwAR__DOT__2_F-x", kept["_fbc"]["value"])
    assert row["user_data"]["fbc"].endswith(".IwAR.2_F-x")
    assert kept["_fbp"]["value"] == row["user_data"]["fbp"]


def test_fbp_stays_and_fbc_changes_only_with_a_new_click(
    site: ShopSite, context: BrowserContext
) -> None:
    values = []
    for path in (
        "/?fbclid=First",
        "/",
        "/?fbclid=First",
        "/?fbclid=FIRST",
        "/?fbclid=" + "x" * 501,
    ):
        open_page(context, site.origin() + path)
        values.append({name: cookie["value"] for name, cookie in cookies(context).items()})
    assert 1 == len({value["_fbp"] for value in values})
    assert values[0]["_fbc"] == values[1]["_fbc"] == values[2]["_fbc"]
    assert values[0]["_fbc"].endswith(".First")
    assert values[3]["_fbc"].endswith(".FIRST")
    assert values[4]["_fbc"] == values[3]["_fbc"]


def test_the_click_id_of_the_referrer_counts(site: ShopSite, context: BrowserContext) -> None:
    site.pages["/from"] = "<!doctype html><title>f</title><a href='/to'>to</a>"
    page = context.new_page()
    page.goto(f"{site.origin()}/from?fbclid=Before")
    page.click("a")
    assert site.wait_for(1)[0]["user_data"]["fbc"].endswith(".Before")


@pytest.mark.parametrize("platform", ["iPhone", "Android"])
def test_the_click_id_of_an_app_counts(
    site: ShopSite, context: BrowserContext, platform: str
) -> None:
    context.add_init_script(
        f"Object.defineProperty(navigator, 'userAgent', {{get: () => '{platform} [FBAN/x]'}});"
        """window.webkit = {messageHandlers: {browserProperties: {
            postMessage: (name) => Promise.resolve(name === 'clickID' && 'AppClick') }}};
        if (navigator.userAgent.startsWith('Android')) window.XMLHttpRequest = class {
            open(method, url) { this.url = url; }
            send() { setTimeout(() => {
                this.responseText = this.url === 'properties://browser/clickID' ? 'AppClick' : '';
                this.onload(); }); } };"""
    )
    page, _ = open_page(context, site.origin())
    page.wait_for_function("document.cookie.includes('_fbc')")
    page.evaluate("fbq('track', 'Lead')")
    assert site.wait_for(2)[1]["user_data"]["fbc"].endswith(".AppClick")


def test_cookies_can_be_denied(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(
        "fbq('set','firstPartyCookies',false);fbq('init',PIXEL);fbq('track','Lead')"
    )
    open_page(context, f"{site.origin()}/?fbclid=x")
    (row,) = site.wait_for(1)
    assert {} == cookies(context)
    assert row["user_data"].keys() == {"client_ip_address", "client_user_agent"}


def test_other_clicks_and_campaigns_are_kept_for_later_events(
    site: ShopSite, context: BrowserContext
) -> None:
    page, _ = open_page(context, f"{site.origin()}/?gclid=G1&utm_source=news&utm_id=7&other=1")
    page.goto(f"{site.origin()}/later")
    rows = site.wait_for(2)
    touches = [row["extra"]["touch"] for row in rows]
    assert touches[0] == touches[1]
    assert ("G1", "news", "7") == tuple(
        touches[0][key] for key in ("gclid", "utm_source", "utm_id")
    )
    assert "other" not in touches[0]
    assert abs(int(touches[0]["ts"]) / 1000 - rows[0]["event_time"]) < 5
    page.goto(f"{site.origin()}/?utm_source=mail")
    touch = site.wait_for(3)[2]["extra"]["touch"]
    assert {"ts", "utm_source"} == touch.keys()


def test_blocked_cookies_and_storage_lose_no_event(site: ShopSite, context: BrowserContext) -> None:
    context.add_init_script(
        """const deny = () => { throw new DOMException('denied', 'SecurityError'); };
        for (const name of ['localStorage', 'sessionStorage', 'crypto'])
            Object.defineProperty(window, name, {get: deny});
        Object.defineProperty(Document.prototype, 'cookie', {get: deny, set: deny});"""
    )
    site.page = site.page_with("fbq('track','Lead',{},{eventID:'bare'})")
    page, said = open_page(context, f"{site.origin()}/?fbclid=Click")
    rows = site.wait_for(2)
    assert {"PageView", "Lead"} == {row["event_name"] for row in rows}
    assert {None} == {row["user_data"].get("fbp") for row in rows}
    assert all(row["user_data"]["fbc"].endswith(".Click") for row in rows)
    site.outage = 503
    page.evaluate("fbq('track', 'Contact')")
    page.wait_for_timeout(300)
    site.outage = 0
    # What is waiting only in the page's memory goes when the page does.
    page.goto("about:blank")
    assert "Contact" in {row["event_name"] for row in site.wait_for(3)}
    assert [] == [text for text in said if "503" not in text]


def test_inside_an_iframe_of_another_site(site: ShopSite, context: BrowserContext) -> None:
    site.pages["/outer"] = (
        f"<!doctype html><title>o</title><iframe src='{site.origin()}/inner'></iframe>"
        f"<iframe sandbox='allow-scripts' src='{site.origin()}/sandboxed'></iframe>"
    )
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{site.origin('portal.test')}/outer")
    rows = {row["event_source_url"]: row for row in site.wait_for(2)}
    for path in ("/inner", "/sandboxed"):
        row = rows[site.origin() + path]
        assert "true" == row["extra"]["if"]
        assert row["extra"]["referrer_url"].startswith(site.origin("portal.test"))
    assert [] == said


def test_react_facebook_pixel_works_unchanged(site: ShopSite, context: BrowserContext) -> None:
    """Version 1.0.4 from npm, with the address of the script replaced and nothing else."""
    library = (NODE_MODULES / "react-facebook-pixel/dist/fb-pixel.js").read_text("utf-8")
    original = "https://connect.facebook.net/en_US/fbevents.js"
    assert 1 == library.count(original)
    site.pages["/library.js"] = library.replace(original, site.origin() + "/m/px.js")
    site.page = "<!doctype html><title>r</title><p></p><script src='/library.js'></script>"
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(site.origin())
    other = site.collector.catalog.create_pixel(site.collector.account, "Second")[0].pixel_id
    page.evaluate(
        f"""() => {{ const pixel = window.ReactPixel.default;
        pixel.init('{site.pixel_id}', {{em: 'ada@shop.example'}},
            {{autoConfig: true, debug: false}});
        pixel.pageView();
        pixel.track('AddToCart', {{value: 2, currency: 'EUR', content_ids: ['a']}});
        pixel.trackCustom('Mine', {{x: 1}});
        pixel.revokeConsent(); pixel.track('Lead'); pixel.grantConsent();
        pixel.init('{other}'); pixel.trackSingle('{other}', 'Contact');
        pixel.trackSingleCustom('{other}', 'Schedule', {{}});
        pixel.fbq('track', 'Search', {{search_string: 'socks'}}); }}"""
    )
    rows = site.wait_for(5)
    assert {"PageView", "AddToCart", "Mine", "Lead", "Search"} == {r["event_name"] for r in rows}
    assert all(row["user_data"]["em"] for row in rows)
    assert {"Contact", "Schedule", "Search"} == {r["event_name"] for r in site.wait_for(3, other)}
    assert [] == said


def test_beside_another_library_it_takes_a_name_of_its_own(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = (
        "<!doctype html><title>b</title><script>window.fbq = () => 'theirs'; fbq.callMethod = fbq;"
        "</script><script src='/m/px.js' data-name='dbq'></script>"
    )
    page, said = open_page(context, site.origin())
    page.evaluate(f"dbq('init', '{site.pixel_id}'); dbq('track', 'Lead')")
    assert "Lead" == site.wait_for(1)[0]["event_name"]
    assert "theirs" == page.evaluate("fbq('track', 'Lead')")
    assert [] == said


def test_scripts_are_small() -> None:
    """Gzipped, with (8 KB) and without (5 KB) the automatic parts."""
    sizes = {path: len(gzip.compress(pixel.script(path), 9)) for path in ("/px.js", "/px-core.js")}
    print(sizes)
    assert sizes["/px.js"] <= 8 * 1024
    assert sizes["/px-core.js"] <= 5 * 1024
