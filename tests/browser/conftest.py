"""Fixtures of the pixel's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.shop_site import ShopSite


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopSite]:
    made = ShopSite(tmp_path_factory.mktemp("shop"))
    yield made
    made.close()


@pytest.fixture
def site(_site: ShopSite) -> ShopSite:
    """A shop with a pixel of its own."""
    _site.clean()
    return _site


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor without a past."""
    visitor = browser.new_context()
    yield visitor
    visitor.close()
