"""Nothing that the pixel was told is lost: outages, pages that are left, policies in its way."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.shop_site import ShopSite, open_page
from tests.server import wait_for

pytestmark = pytest.mark.browser


def waiting(page: Page) -> int:
    """How many events the browser keeps for later."""
    return int(
        page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('_dbq')).length")
    )


def test_an_event_on_leaving_the_page_outlives_it(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("addEventListener('pagehide', () => fbq('trackCustom', 'Left'))")
    page.goto("about:blank")
    row = site.wait_for(2)[1]
    assert ("Left", "fetch") == (row["event_name"], row["extra"]["rqm"])


def test_a_browser_whose_requests_end_with_the_page_sends_a_beacon(
    site: ShopSite, context: BrowserContext
) -> None:
    context.add_init_script("delete Request.prototype.keepalive")
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("addEventListener('pagehide', () => fbq('trackCustom', 'Left'))")
    page.goto("about:blank")
    row = site.wait_for(2)[1]
    assert ("Left", "SB") == (row["event_name"], row["extra"]["rqm"])


def test_a_click_that_leads_away_is_reported(site: ShopSite, context: BrowserContext) -> None:
    site.pages["/next"] = site.bare_page("fbq('init', PIXEL)")
    site.page = site.page_with(
        "",
        body="""<a href="/next" onclick="fbq('track', 'AddToCart', {value: 1, currency: 'EUR'},
            {eventID: 'cart'})">go</a>""",
    )
    page, _ = open_page(context, site.origin())
    page.click("a")
    page.wait_for_url("**/next")
    wait_for(lambda: waiting(page) == 0)
    # The next page repeats what this one could not learn the fate of: under the same id.
    carts = [row for row in site.rows() if row["event_name"] == "AddToCart"]
    assert ({"cart"}, 1) == (
        {row["event_id"] for row in carts},
        len({row["event_key"] for row in carts}),
    )
    assert len(carts) <= 2


def test_what_could_not_be_sent_offline_is_sent_online_once(
    site: ShopSite, context: BrowserContext
) -> None:
    page, said = open_page(context, site.origin())
    (_,) = site.wait_for(1)
    context.set_offline(True)
    page.evaluate("fbq('track', 'Lead', {}, {eventID: 'offline'})")
    at = page.evaluate("Date.now()")
    page.wait_for_timeout(1100)
    assert 1 == waiting(page)
    context.set_offline(False)
    row = site.wait_for(2)[1]
    assert ("Lead", "offline") == (row["event_name"], row["event_id"])
    # The time of the event, not that of its delivery.
    assert row["event_time"] <= at // 1000 < row["received_at"].timestamp()
    wait_for(lambda: waiting(page) == 0)
    assert [] == said


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_answer_of_trouble_is_tried_again_on_the_next_page(
    site: ShopSite, context: BrowserContext, status: int
) -> None:
    site.outage = status
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('track', 'Lead', {}, {eventID: 'kept'})")
    wait_for(lambda: site.turned_away >= 2)
    wait_for(lambda: waiting(page) == 2)
    times = page.evaluate(
        """Object.keys(localStorage).filter((key) => key.startsWith('_dbq'))
        .map((key) => JSON.parse(localStorage[key]).body.match(/&ts=([0-9]+)/)[1]).sort()"""
    )
    page.close()
    site.outage = 0
    site.page = site.bare_page("fbq('init', PIXEL)")
    # Another page of the site, which has nothing of its own to report.
    later, _ = open_page(context, f"{site.origin()}/later")
    rows = site.wait_for(2)
    assert ["Lead", "PageView"] == sorted(row["event_name"] for row in rows)
    assert [int(time) // 1000 for time in times] == sorted(row["event_time"] for row in rows)
    assert all(row["event_source_url"] == f"{site.origin()}/" for row in rows)
    wait_for(lambda: waiting(later) == 0)


def test_what_is_refused_is_not_tried_again(site: ShopSite, context: BrowserContext) -> None:
    site.outage = 400
    page, said = open_page(context, site.origin())
    wait_for(lambda: site.turned_away == 1)
    wait_for(lambda: waiting(page) == 0)
    assert ["[Doublet] REFUSED: 400 "] == [text for text in said if "REFUSED" in text]


def test_the_queue_is_bounded_and_forgets_the_oldest(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.bare_page("fbq('init', PIXEL)")
    page, _ = open_page(context, site.origin())
    context.set_offline(True)
    page.evaluate(
        """for (let i = 0; i < 130; i++) fbq('trackCustom', 'Many', {}, {eventID: 'm' + i})"""
    )
    context.set_offline(False)
    wait_for(lambda: waiting(page) == 0, 30)
    ids = {row["event_id"] for row in site.rows()}
    assert {f"m{i}" for i in range(30, 130)} == ids


def test_an_event_too_old_to_be_joined_is_dropped(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page("")
    page, _ = open_page(context, site.origin())
    body = f"id={site.pixel_id}&ev=Lead&eid="
    page.evaluate(
        f"""[['old', 48], ['young', 46]].forEach(([name, hours]) => {{
        localStorage['_dbq.' + name] = JSON.stringify({{to: location.origin + '/m/px',
            body: '{body}' + name, at: Date.now() - hours * 3600000, tries: 3, next: 0}}); }})"""
    )
    page.evaluate(f"fbq('init', '{site.pixel_id}')")
    assert ["young"] == [row["event_id"] for row in site.wait_for(1)]
    wait_for(lambda: waiting(page) == 0)


def test_two_tabs_do_not_repeat_each_other(site: ShopSite, context: BrowserContext) -> None:
    site.outage = 503
    first, _ = open_page(context, f"{site.origin()}/one")
    second, _ = open_page(context, f"{site.origin()}/two")
    for page, name in ((first, "One"), (second, "Two")):
        page.evaluate(f"for (let i = 0; i < 5; i++) fbq('trackCustom', '{name}')")
    wait_for(lambda: site.turned_away >= 12)
    site.outage = 0
    wait_for(lambda: waiting(first) == 0, 30)
    rows = site.rows()
    assert 12 == len({(row["event_name"], row["event_id"]) for row in rows})
    # A copy too many is possible when both look in the same instant; it bears the same id.
    assert len(rows) < 16


def test_long_events_are_sent(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('trackCustom', 'Long', {text: 'ß'.repeat(40000)}, {eventID: 'long'})")
    row = site.wait_for(2)[1]
    assert ("fetch", "ß" * 40000) == (row["extra"]["rqm"], row["custom_data"]["text"])


def test_a_strict_policy_with_a_nonce_is_enough(site: ShopSite, context: BrowserContext) -> None:
    site.headers["content-security-policy"] = (
        "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; connect-src 'self'"
    )
    site.page = site.page_with("").replace("<script", '<script nonce="abc"')
    _, said = open_page(context, site.origin())
    assert "fetch" == site.wait_for(1)[0]["extra"]["rqm"]
    assert [] == said


def test_where_only_images_may_be_loaded_an_image_reports(
    site: ShopSite, context: BrowserContext
) -> None:
    site.headers["content-security-policy"] = (
        "default-src 'none'; script-src 'unsafe-inline' 'self'; img-src 'self'"
    )
    page, _ = open_page(context, site.origin())
    assert "GET" == site.wait_for(1)[0]["extra"]["rqm"]
    wait_for(lambda: waiting(page) == 0)


def test_without_fetch_an_image_reports(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.page_with("").replace(
        "<!-- Doublet", "<script>delete window.fetch</script><!--"
    )
    open_page(context, site.origin())
    assert "GET" == site.wait_for(1)[0]["extra"]["rqm"]
