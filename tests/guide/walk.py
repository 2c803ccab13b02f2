"""Walks through the guide's page as a person does: reads the pieces off it, puts them into a site
of the platform's shape, has it checked, makes the test, and waits for "verified"."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import BrowserContext, Page, expect

from doublet.catalog import Setup
from doublet.recipes import Piece
from tests.guide.server import GuideServer
from tests.guide.webhooks import deliver
from tests.sites import SITES, demo_site
from tests.sites.shops import ShopifySite

SHARES = {
    "shops": ("shopify", "woocommerce", "bigcommerce"),
    "sites": ("webflow", "html", "wordpress", "gtm"),
    "frameworks": ("nextjs", "django", "flask", "fastapi"),
}
"""Platforms by the test module that walks them, so that two processes share the way."""


def ways(share: str) -> list[tuple[str, str]]:
    """Platform and goal of each way of a share."""
    return [way for way in SITES if way[0] in SHARES[share]]


class Seen(NamedTuple):
    """What a person takes from the page."""

    page: Page
    setup: Setup
    access_token: str
    pieces: list[Piece]


def begin(server: GuideServer, context: BrowserContext, platform: str, goal: str) -> Seen:
    """Sign in, answer, and read what the page says."""
    page = context.new_page()
    page.goto(f"{server.url}/setup?access_token={server.access_token}")
    for question, answer in (("platform", platform), ("goal", goal), ("place", "local")):
        page.locator(f"input[name={question}][value={answer}]").check()
    page.get_by_label("The site's address").fill("http://127.0.0.1:8080/")
    page.get_by_role("button", name="Write the code").click()
    token = page.locator("#access-token").inner_text()
    setup = server.catalog.setups.one(page.url.rpartition("/")[2].partition("#")[0])
    return Seen(page, setup, token, pieces_of(page))


def pieces_of(page: Page) -> list[Piece]:
    """The pieces of code as they stand there, exactly."""
    found = []
    for each in page.locator("#step-pieces .piece").all():
        key = (each.get_attribute("id") or "").removeprefix("piece-pieces-")
        code = each.locator("pre")
        name = each.locator("p > code")
        found.append(
            Piece(
                key,
                code.get_attribute("aria-label") or "",
                each.locator(".hint").inner_text(),
                code.get_attribute("data-language") or "",
                code.text_content() or "",
                name.inner_text() if name.count() else "",
            )
        )
    return found


def _report(page: Page, event_id: str, access_token: str) -> None:
    """What the page says for platforms without a server of the site's own."""
    command = page.locator("#piece-server-curl code").text_content() or ""
    assert "EVENT_ID" in command
    subprocess.run(
        ["bash", "-euc", command.replace("EVENT_ID", event_id)],
        check=True,
        capture_output=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "DOUBLET_ACCESS_TOKEN": access_token},
    )


def walk(
    server: GuideServer, context: BrowserContext, platform: str, goal: str, folder: Path
) -> Page:
    """All of it; the page that says "verified"."""
    seen = begin(server, context, platform, goal)
    page = seen.page
    with demo_site(platform, goal, seen.pieces, folder, seen.access_token) as site:
        if isinstance(site, ShopifySite):
            site.publishes_views = True
        page.locator("#site_url").fill(f"{site.url}/")
        page.get_by_role("button", name="Change it").click()
        expect(page.locator("h1")).to_have_text(f"Set up {site.url}/")
        page.get_by_role("button", name="Check the site").click()
        expect(page.locator("#check-pair.passed")).to_be_visible()
        wrong = page.locator("#progress .failed").all_inner_texts()
        assert [] == wrong
        shop = context.new_page()
        with shop.expect_response(f"{server.url}/px"):
            shop.goto(page.locator("#test a").first.get_attribute("href") or "")
        event_id = (site.buy if goal == "purchases" else site.submit)(shop)
        if seen.setup.shop_id:
            deliver(server, page, seen.setup, site.order())
        elif page.locator("#piece-server-curl").count():
            _report(page, event_id, seen.access_token)
        expect(page.locator("#verified")).to_contain_text("Verified on", timeout=90_000)
        expect(page.locator("#check-test_one")).to_contain_text(event_id)
    return page
