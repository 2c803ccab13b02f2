"""The newcomer's path of docs/setup.md, and that the page tells all that is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from doublet.guide.guide import TITLES
from tests.guide.newcomer import DOC, STEPS_MAX, follow, step_numbers


@pytest.mark.browser
@pytest.mark.slow
def test_ten_steps_lead_from_make_run_to_a_verified_purchase(
    browser: Browser, tmp_path: Path
) -> None:
    assert list(range(1, STEPS_MAX + 1)) == step_numbers()
    pictures: list[str] = []

    def picture(page: Page, name: str) -> None:
        pictures.append(name)
        assert (DOC.parent / f"{name}.png").exists()

    told = follow(browser, tmp_path, picture)
    assert "a purchase of the site came from browser and server and counts once" in told
    shown = DOC.read_text("utf-8")
    assert pictures == [name for name in pictures if f"]({name}.png)" in shown]
    assert shown.count(".png)") == len(pictures)


def test_every_check_is_documented() -> None:
    shown = DOC.read_text("utf-8")
    assert [] == [title for title, _ in TITLES.values() if f"| {title} |" not in shown]
