"""For each platform and goal, the guide as it is written leads to "verified", in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.guide.server import GuideServer
from tests.guide.walk import walk
from tests.sites import SITES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideServer]:
    running = GuideServer(tmp_path_factory.mktemp("walk"))
    yield running
    running.close()


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "goal"), sorted(SITES))
def test_the_guide_leads_to_verified(
    server: GuideServer, browser: Browser, platform: str, goal: str, tmp_path: Path
) -> None:
    with browser.new_context() as context:
        walk(server, context, platform, goal, tmp_path / "site")
