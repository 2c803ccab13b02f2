"""Take the pictures of the docs: `PYTHONPATH=. python scripts/pictures.py [setup|dashboard]`.

Those of docs/setup.md by following it, those of the dashboard of the demo with all that its tests
shows beside it. With a folder behind `dashboard` every page goes there, light and dark, on a wide
screen and a phone."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.stage import Stage
from tests.browser.test_walk import WALK
from tests.guide.newcomer import in_scratch

DOCS = Path(__file__).parent.parent / "docs"
SHOPPERS = 400
WIDE = {"width": 1280, "height": 860}
TALL = {"width": 1280, "height": 1400}
PHONE = {"width": 390, "height": 844}
DASHBOARD = {
    "overview": ("/overview", "light", TALL),
    "dashboard_dark": ("/overview", "dark", WIDE),
    "dashboard_event": ("", "light", TALL),
    "dashboard_attribution": ("/attribution", "light", TALL),
    "dashboard_audience": ("/audience?id=AUDIENCE", "light", TALL),
    "dashboard_phone": ("/overview", "light", PHONE),
}
"""What each picture shows; without an address the story of an order that both sides reported."""
_READY_MS = 1500


def _take(page: Page, name: str) -> None:
    page.screenshot(path=DOCS / f"{name}.png", full_page=name == "setup_questions")
    print(f"{name}.png")


def _dashboard(browser: Browser, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        stage = Stage(Path(scratch), shoppers=SHOPPERS)
        try:
            if folder is None:
                asked = "/events.json?event_name=Purchase&seen_by=both&limit=1"
                (row,) = stage.get(asked).json()["rows"]
                for name, (path, scheme, size) in DASHBOARD.items():
                    address = path or f"/event?copy={row['copy']}"
                    _picture(browser, stage, address, scheme, size, DOCS / f"{name}.png")
                return
            folder.mkdir(parents=True, exist_ok=True)
            for path in WALK:
                word = path.strip("/").partition("?")[0]
                for scheme in ("light", "dark"):
                    for kind, size in (("wide", WIDE), ("phone", PHONE)):
                        file = folder / f"{word}-{kind}-{scheme}.png"
                        _picture(browser, stage, path, scheme, size, file, full_page=True)
        finally:
            stage.close()


def _picture(
    browser: Browser,
    stage: Stage,
    path: str,
    scheme: Any,
    size: Any,
    file: Path,
    *,
    full_page: bool = False,
) -> None:
    with browser.new_context(
        viewport=size, color_scheme=scheme, device_scale_factor=1.5
    ) as context:
        page = context.new_page()
        page.goto(f"{stage.url}/overview?access_token={stage.token}")
        page.goto(stage.address(path))
        if path == "/overview":
            expect(page.locator("#chart svg").first).to_be_visible()
        page.wait_for_timeout(_READY_MS)
        page.screenshot(path=file, full_page=full_page)
    print(file.name)


def main(what: str = "", folder: str = "") -> None:
    """Take them in Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        if what in ("", "setup"):
            in_scratch(browser, _take)
        if what in ("", "dashboard"):
            _dashboard(browser, Path(folder) if folder else None)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
