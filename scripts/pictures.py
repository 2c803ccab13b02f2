"""Take the pictures of docs/setup.md by following it: `PYTHONPATH=. python scripts/pictures.py`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.guide.newcomer import in_scratch

DOCS = Path(__file__).parent.parent / "docs"


def _take(page: Page, name: str) -> None:
    page.screenshot(path=DOCS / f"{name}.png", full_page=name == "setup_questions")
    print(f"{name}.png")


def main() -> None:
    """Follow the page in Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        in_scratch(browser, _take)
        browser.close()


if __name__ == "__main__":
    main()
