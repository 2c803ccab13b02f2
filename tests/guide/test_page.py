"""The guide's pages where a visitor must agree first, without script, and on a small screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.guide.plain_site import PlainSite
from tests.guide.server import GuideServer
from tests.guide.walk import begin

pytestmark = pytest.mark.browser

CONSENT = """
<script>
  let listen = () => {};
  window.__tcfapi = (command, version, listener) => {
    if (command === "addEventListener") listen = listener;
  };
  window.agree = () => listen({
    eventStatus: "useractioncomplete", listenerId: 1, gdprApplies: true,
    purpose: { consents: { 1: true, 3: true, 4: true, 7: true } },
  }, true);
</script>
"""


def test_a_visit_that_agrees_verifies_what_a_consent_tool_holds_back(
    server: GuideServer, browser: Browser
) -> None:
    site = PlainSite(server.port)
    setup, token = server.begin(f"{site.origin()}/")
    site.clean(setup.pixel_id)
    site.show(server.url, before=CONSENT)
    try:
        told = server.client.post(f"/setup/{setup.setup_id}/check.json").json()
        found = {each["check"]: each for each in told["findings"]}
        assert ("noted", "consent_holds") == (found["consent"]["state"], found["consent"]["fault"])
        assert {"passed", "noted", "skipped"} == {each["state"] for each in told["findings"]}
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(f"{site.origin()}/?test_event_code={setup.test_code}")
            page.evaluate("fbq('track', 'Purchase', {value: 1, currency: 'EUR'}, {eventID: 'c.1'})")
            with page.expect_response(f"{server.url}/px"):
                page.evaluate("agree()")
            server.wait_for(setup, "test_browser", "passed")
        server.server_event(setup, token, "Purchase", "c.1", value=1, currency="EUR")
        server.wait_for(setup, "test_one", "passed")
        assert server.client.get(f"/setup/{setup.setup_id}.json").json()["verified_at"]
    finally:
        site.close()


def test_the_pages_work_without_script_on_a_small_screen(
    server: GuideServer, browser: Browser
) -> None:
    site = PlainSite(server.port)
    site.page = "<!doctype html><title>Shop</title>"
    small = ViewportSize(width=360, height=740)
    try:
        with browser.new_context(java_script_enabled=False, viewport=small) as context:
            page = begin(server, context, "html", "leads").page
            page.locator("#site_url").fill(f"{site.origin()}/")
            page.get_by_role("button", name="Change it").click()
            expect(page.locator("h1")).to_have_text(f"Set up {site.origin()}/")
            page.get_by_role("button", name="Check the site").click()
            # The page comes again by itself until there is something to say.
            expect(page.locator("#check-snippet.failed")).to_contain_text("into the head")
            page.get_by_role("button", name="Make a link").click()
            page.goto(page.locator("#share-link").inner_text())
            expect(page.locator("#what")).to_have_text("Not verified yet")
        with browser.new_context(viewport=small) as context:
            page = begin(server, context, "woocommerce", "purchases").page
            assert 360 == page.evaluate("document.documentElement.scrollWidth")
            page.goto(f"{server.url}/setup")
            assert 360 == page.evaluate("document.documentElement.scrollWidth")
    finally:
        site.close()
