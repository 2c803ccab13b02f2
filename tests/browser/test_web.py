"""The dashboard in a real browser, under its own strict policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from doublet.catalog import Role
from tests.dashboard import Shop, Site
from tests.server import wait_for

pytestmark = pytest.mark.browser


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def filled(site: Site) -> Site:
    site.fill()
    return site


def _open(context: BrowserContext, url: str, shop: Shop) -> tuple[Page, list[str]]:
    """The page of a shop, opened with its token, and what its console says."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{url}/overview?access_token={shop.token}")
    assert f"{url}/overview" == page.url
    return page, said


def test_the_page_draws_the_chart_and_updates_by_itself(filled: Site, browser: Browser) -> None:
    with browser.new_context() as context:
        page, said = _open(context, filled.url, filled.ours)
        marks = page.locator("#chart svg .mark-rect path")
        expect(marks.first).to_be_visible(timeout=30_000)
        before = marks.count()
        expect(page.locator("#age")).to_contain_text("Updated")
        page.focus("#since")
        page.evaluate("window.scrollTo(0, 50)")
        filled.add(filled.ours, ("server", "7"), event_name="Lead")
        row = page.locator("#rows tr", has_text="Lead")
        expect(row.locator("td").nth(2)).to_have_text("1", timeout=15_000)
        wait_for(lambda: marks.count() > before, what="a new mark")
        assert "since" == page.evaluate("document.activeElement.id")
        assert 50 == page.evaluate("scrollY")
        marks.first.hover()
        expect(page.locator("#vg-tooltip-element")).to_contain_text("Browser only")
        assert [] == said


def test_the_first_event_replaces_the_first_steps(site: Site, browser: Browser) -> None:
    with browser.new_context() as context:
        page, said = _open(context, site.url, site.ours)
        expect(page.locator("#first")).to_have_text("Waiting for the first event")
        site.add(site.ours, ("browser", "1"))
        expect(page.locator("#chart svg .mark-rect path").first).to_be_visible(timeout=30_000)
        assert 0 == page.locator("#first").count()
        assert [] == said


def test_the_page_says_when_the_server_is_gone_and_back(filled: Site, browser: Browser) -> None:
    with browser.new_context() as context:
        page, _ = _open(context, filled.url, filled.ours)
        expect(page.locator("#freshness")).to_have_class(re.compile("live"))
        context.set_offline(True)
        expect(page.locator("#age")).to_contain_text("cannot be reached", timeout=15_000)
        expect(page.locator("#announcement")).to_contain_text("cannot be reached")
        context.set_offline(False)
        expect(page.locator("#announcement")).to_have_text("Connected again.", timeout=15_000)


def test_where_the_chart_cannot_be_drawn_its_picture_is_shown(
    filled: Site, browser: Browser
) -> None:
    with browser.new_context() as context:
        context.route("**/static/vega.js*", lambda route: route.abort())
        page, _ = _open(context, filled.url, filled.ours)
        image = page.locator("#chart img")
        expect(image).to_be_visible(timeout=15_000)
        expect(page.locator("#freshness")).to_have_class(re.compile("live"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_script_the_chart_is_an_image(filled: Site, browser: Browser, scheme: Any) -> None:
    plain = browser.new_context(java_script_enabled=False, color_scheme=scheme)
    with plain as context:
        page, _ = _open(context, filled.url, filled.ours)
        image = page.locator("#chart img")
        expect(image).to_be_visible()
        assert scheme in image.evaluate("image => image.currentSrc + 'light'")
        assert image.evaluate("image => image.complete && image.naturalWidth > 100")
        expect(page.locator("#age")).to_contain_text("As of")


def test_a_person_signs_in_with_the_keyboard(filled: Site, browser: Browser) -> None:
    password = "correct horse battery"
    filled.user("anna", Role.READ_ONLY)
    filled.catalog.users.set_password("anna", password)
    with (
        browser.new_context(viewport={"width": 360, "height": 740}) as context,
    ):
        page = context.new_page()
        page.goto(f"{filled.url}/overview?since=2026-05-01")
        expect(page.locator("input[name=user_name]")).to_be_focused()
        page.keyboard.type("anna")
        page.keyboard.press("Tab")
        page.keyboard.type(password)
        page.keyboard.press("Enter")
        expect(page.locator("#rows th").first).to_have_text("Purchase")
        assert f"{filled.url}/overview?since=2026-05-01" == page.url
        assert 360 == page.evaluate("document.documentElement.scrollWidth")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.get_by_role("link", name="Menu").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        # The other way in, for who has only a token.
        page.get_by_text("Use an access token").click()
        page.get_by_label("Access token").fill(filled.ours.token)
        page.keyboard.press("Enter")
        expect(page.locator("#rows th").first).to_have_text("Purchase")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_on_quality_fits_and_is_reached_from_the_first_page(
    filled: Site, browser: Browser, width: int
) -> None:
    with browser.new_context(viewport={"width": width, "height": 740}) as context:
        page, said = _open(context, filled.url, filled.ours)
        assert width == page.evaluate("document.documentElement.scrollWidth")
        if width < 1024:
            page.get_by_role("link", name="Menu").click()
        page.get_by_role("link", name="Quality").click()
        expect(page.locator("h1")).to_have_text("Quality")
        page.goto(f"{filled.url}/quality?since=2026-05-20&until=2026-05-30")
        expect(page.get_by_role("heading", name="Quality")).to_be_visible()
        assert width == page.evaluate("document.documentElement.scrollWidth")
        page.get_by_role("link", name="Purchase").first.click()
        expect(page.locator("main [aria-current]")).to_have_text("Purchase")
        assert [] == said


def test_a_link_on_another_site_asks_before_it_opens_an_account(
    filled: Site, browser: Browser
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{filled.url.replace('127.0.0.1', 'evil.example')}/static/doublet.svg")
        page.evaluate(
            "address => { location.href = address }",
            f"{filled.url}/overview?access_token={filled.ours.token}",
        )
        expect(page.locator("h1")).to_have_text("Open this account?")
        assert [] == context.cookies()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("h1")).to_have_text("Overview")
        assert [True] == [cookie["httpOnly"] for cookie in context.cookies()]
