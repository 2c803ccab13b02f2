"""A collector for the sites of recipes, a pixel for each test, and a visitor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from doublet.recipes import Goal, Piece, Site, recipe
from tests.collector import Collector
from tests.sites import DemoSite, demo_site


class Stage:
    """A running collector, and what it stored of one pixel."""

    def __init__(self, collector: Collector, folder: Path) -> None:
        self._collector = collector
        self._found: list[dict[str, Any]] = []
        self.folder = folder
        pixel, self.token = collector.catalog.create_pixel(collector.account, "Recipe")
        address = f"http://127.0.0.1:{collector.port}"
        self.site = Site(pixel.pixel_id, address, "EUR", "shp_123456789012")

    def pieces(self, platform: str, goal: Goal) -> tuple[Piece, ...]:
        """A recipe for this pixel."""
        return recipe(platform, goal, self.site)

    def demo(self, platform: str, goal: Goal) -> AbstractContextManager[DemoSite]:
        """A site with that recipe."""
        pieces = self.pieces(platform, goal)
        return demo_site(platform, goal, pieces, self.folder / "site", self.token)

    def events(self, *names: str, count: int = 0) -> list[dict[str, Any]]:
        """The stored events of these names, once there are `count`, in order of receipt."""
        give_up_at = time.monotonic() + 20
        while True:
            new = self._collector.new_records()
            self._found += [r for r in new if r["pixel_id"] == self.site.pixel_id]
            events = [r for r in self._found if r["event_name"] in names]
            if len(events) >= count or time.monotonic() > give_up_at:
                told = [(r["event_name"], r["source"], r["event_id"]) for r in self._found]
                assert not count or len(events) == count, told
                return events
            time.sleep(0.05)

    def pair(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The browser's and the server's copy of the one event of that name."""
        copies = {r["source"]: r for r in self.events(name, count=2)}
        assert {"browser", "server"} == set(copies)
        return copies["browser"], copies["server"]


@pytest.fixture(scope="module")
def _collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture
def stage(_collector: Collector, tmp_path: Path) -> Stage:
    """A pixel of its own on a running collector."""
    return Stage(_collector, tmp_path)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor without a past, on a page whose errors fail the test."""
    context = browser.new_context()
    wrong: list[str] = []
    made = context.new_page()
    made.on("pageerror", lambda error: wrong.append(str(error)))
    yield made
    context.close()
    assert [] == wrong
