"""The guide as it is written leads to "verified", in Chromium: sites made of pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from doublet.recipes import PLATFORMS
from tests.guide.server import GuideServer
from tests.guide.walk import SHARES, walk, ways

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("platform", "goal"), ways("sites"))
def test_the_guide_leads_to_verified(
    server: GuideServer, browser: Browser, platform: str, goal: str, tmp_path: Path
) -> None:
    with browser.new_context() as context:
        walk(server, context, platform, goal, tmp_path / "site")


def test_every_platform_and_goal_is_walked() -> None:
    walked = [way for share in SHARES for way in ways(share)]
    assert sorted(walked) == sorted((p.key, goal) for p in PLATFORMS for goal in p.goals)
