"""The guide as it is written leads to "verified", in Chromium: sites made with frameworks."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.guide.server import GuideServer
from tests.guide.walk import walk, ways

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("platform", "goal"), ways("frameworks"))
def test_the_guide_leads_to_verified(
    server: GuideServer, browser: Browser, platform: str, goal: str, tmp_path: Path
) -> None:
    with browser.new_context() as context:
        walk(server, context, platform, goal, tmp_path / "site")
