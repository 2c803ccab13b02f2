"""Consent: nothing is sent or stored without it, and every event says what was granted."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.shop_site import ShopSite, cookies, open_page
from tests.server import wait_for

pytestmark = pytest.mark.browser

TRACK = "fbq('init',PIXEL);fbq('track','Lead',{},{eventID:'c'})"

TCF = """window.__tcfapi = (command, version, callback) => { window.cmp = callback; };
window.choose = (consents, status) => cmp({gdprApplies: true, purpose: {consents},
    eventStatus: status || 'useractioncomplete'}, true);"""


def nothing_happened(site: ShopSite, context: BrowserContext, page: Page) -> bool:
    """Whether neither the collector nor the browser holds anything of the visit."""
    page.wait_for_timeout(300)
    kept = page.evaluate("localStorage.length + sessionStorage.length")
    return site.rows() == [] and cookies(context) == {} and kept == 0


def consent_of(row: dict[str, Any]) -> dict[str, str]:
    """What an event says was granted."""
    return dict(row["extra"].get("consent") or {})


def test_revoked_before_init_sends_and_stores_nothing_until_granted(
    site: ShopSite, context: BrowserContext
) -> None:
    site.page = site.bare_page("fbq('consent','revoke');" + TRACK)
    page, said = open_page(context, f"{site.origin()}/?fbclid=x&gclid=y&test_event_code=T")
    assert nothing_happened(site, context, page)
    page.evaluate("history.pushState({}, '', '/second')")
    at = page.evaluate("Date.now()")
    page.wait_for_timeout(1000)
    page.evaluate("fbq('consent', 'grant')")
    rows = sorted(site.wait_for(2), key=lambda row: str(row["event_name"]))
    # Each as it was when it happened.
    assert ("c", f"{site.origin()}/?fbclid=x&gclid=y&test_event_code=T") == (
        rows[0]["event_id"],
        rows[0]["event_source_url"],
    )
    assert rows[0]["event_time"] <= at // 1000
    assert {"_fbp", "_fbc"} == cookies(context).keys()
    assert "y" == rows[0]["extra"]["touch"]["gclid"]
    assert ("granted", "fbq") == tuple(consent_of(rows[0])[key] for key in ("ad_storage", "source"))
    assert [] == said


def test_revoked_again_holds_what_follows(site: ShopSite, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate("fbq('consent', 'revoke'); fbq('track', 'Lead')")
    page.wait_for_timeout(300)
    site.wait_for(1)
    page.evaluate("fbq('consent', 'grant')")
    assert "Lead" == site.wait_for(2)[1]["event_name"]


def test_a_tcf_tool_is_waited_for_and_read(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(TRACK, before=TCF)
    page, _ = open_page(context, site.origin())
    assert nothing_happened(site, context, page)
    page.evaluate("choose({}, 'cmpuishown')")
    page.evaluate("choose({})")
    assert nothing_happened(site, context, page)
    page.evaluate("choose({1: true, 7: true, 3: true})")
    (row,) = site.wait_for(1)
    assert {
        "ad_storage": "granted",
        "ad_user_data": "granted",
        "ad_personalization": "denied",
        "source": "tcf",
    } == consent_of(row)


def test_a_tcf_tool_where_no_consent_is_needed(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(TRACK, before=TCF)
    page, _ = open_page(context, site.origin())
    page.evaluate("cmp({gdprApplies: false, eventStatus: 'tcloaded'}, true)")
    assert "granted" == consent_of(site.wait_for(1)[0])["ad_personalization"]


def test_google_consent_mode_is_read_and_followed(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(
        TRACK,
        before="""window.dataLayer = []; function gtag() { dataLayer.push(arguments); }
        gtag('consent', 'default', {ad_storage: 'denied', region: ['DE']});
        gtag('consent', 'default', {ad_storage: 'denied', analytics_storage: 'denied'});""",
    )
    page, _ = open_page(context, site.origin())
    assert nothing_happened(site, context, page)
    page.evaluate("gtag('event', 'x'); gtag('consent', 'update', {ad_storage: 'granted'})")
    (row,) = site.wait_for(1)
    assert {"ad_storage": "granted", "analytics_storage": "denied", "source": "gcm"} == consent_of(
        row
    )
    assert 4 == page.evaluate("dataLayer.length")


def test_a_later_no_outweighs_an_earlier_yes(site: ShopSite, context: BrowserContext) -> None:
    """Also where both were said before the script came, and a default after an update."""
    site.page = site.bare_page(
        TRACK,
        before="""window.dataLayer = []; function gtag() { dataLayer.push(arguments); }
        gtag('consent', 'default', {ad_storage: 'granted'});
        gtag('consent', 'update', {ad_storage: 'denied'});
        gtag('consent', 'default', {ad_storage: 'granted'}); Object.freeze(dataLayer);""",
    )
    page, said = open_page(context, site.origin())
    assert nothing_happened(site, context, page)
    assert [] == said


def test_what_waits_is_not_sent_after_a_no(site: ShopSite, context: BrowserContext) -> None:
    site.outage = 503
    page, _ = open_page(context, site.origin())
    page.evaluate("localStorage.clear(); Storage.prototype.setItem = () => { throw 1; }; 0")
    page.evaluate("fbq('track', 'Lead')")
    wait_for(lambda: site.turned_away >= 2)
    page.evaluate("fbq('consent', 'revoke')")
    site.outage = 0
    page.goto("about:blank")
    page.wait_for_timeout(500)
    assert [] == [row for row in site.rows() if row["event_name"] == "Lead"]


def test_gpp_opt_outs_are_carried_and_hold_nothing(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(
        TRACK,
        before="""window.__gpp = (command, callback) => callback({pingData: {parsedSections:
            {usca: [{SaleOptOut: 1, SharingOptOut: 2}, {Gpc: true}]}}}, true);""",
    )
    open_page(context, site.origin())
    assert {"ad_user_data": "denied", "ad_personalization": "denied", "source": "gpp"} == (
        consent_of(site.wait_for(1)[0])
    )


def test_shopify_customer_privacy_is_read(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page(
        TRACK,
        before="""window.allowed = false; window.Shopify = {customerPrivacy: {
            marketingAllowed: () => allowed, saleOfDataAllowed: () => false,
            analyticsProcessingAllowed: () => true}};""",
    )
    page, _ = open_page(context, site.origin())
    assert nothing_happened(site, context, page)
    page.evaluate("allowed = true; document.dispatchEvent(new Event('visitorConsentCollected'))")
    assert {
        "ad_storage": "granted",
        "ad_user_data": "granted",
        "ad_personalization": "denied",
        "analytics_storage": "granted",
        "source": "shopify",
    } == consent_of(site.wait_for(1)[0])


def test_the_sites_own_word_outweighs_its_tool(site: ShopSite, context: BrowserContext) -> None:
    site.page = site.bare_page("fbq('consent','grant');" + TRACK, before=TCF)
    open_page(context, site.origin())
    assert "granted" == consent_of(site.wait_for(1)[0])["ad_storage"]


def test_global_privacy_control_is_told_and_honoured_where_set(
    site: ShopSite, context: BrowserContext
) -> None:
    context.add_init_script(
        "Object.defineProperty(navigator, 'globalPrivacyControl', {get: () => true})"
    )
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('set', 'globalPrivacyControl', true); fbq('track', 'Lead')")
    page.evaluate("fbq('dataProcessingOptions', []); fbq('track', 'Contact')")
    rows = {row["event_name"]: row["extra"] for row in site.wait_for(3)}
    assert {True} == {extra["consent"]["gpc"] for extra in rows.values()}
    assert (None, "LDU", "") == tuple(
        rows[name].get("dpo") for name in ("PageView", "Lead", "Contact")
    )
