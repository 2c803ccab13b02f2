"""Follows docs/setup.md as it is written: what a page shows is put into the files that it names."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.server import DoubletProcess, free_port, is_listening, wait_for

DOC = Path(__file__).parents[2] / "docs" / "setup.md"
STEPS_MAX = 10

Picture = Callable[[Page, str], None]
"""Takes a picture of a page under a name."""


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a kind in the part that is followed."""
    text = DOC.read_text("utf-8").partition("## Your own site")[0]
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for of, body in found if of == kind]


def step_numbers() -> list[int]:
    """The numbers of the steps."""
    text = DOC.read_text("utf-8").partition("## Your own site")[0]
    return [int(number) for number in re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE)]


@contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_listening(port), what=f"somebody listens on {port}")
        yield
    finally:
        process.kill()
        process.wait()


def piece(page: Page, title: str) -> str:
    """The code of a piece, as a person would copy it."""
    return page.get_by_label(title, exact=True).locator("code").inner_text()


def follow(
    browser: Browser, folder: Path, picture: Picture, ports: tuple[int, int, int] | None = None
) -> str:
    """All ten steps, server, demo shop and site on these ports; the text of the shared page."""
    port, shop_port, site_port = ports or (free_port(), free_port(), free_port())
    arguments = (f"--data={folder / 'data'}", f"--port={port}", f"--shop-port={shop_port}")
    # 1. What `make run` runs.
    with DoubletProcess(folder, "demo", "--seconds=0", "--shoppers=0", *arguments) as demo:
        told = demo.wait_until(
            lambda: re.search(r"Dashboard\s+(\S+)", demo.stderr), what="the addresses"
        )
        assert told
        with browser.new_context(viewport={"width": 1080, "height": 860}) as context:
            page = context.new_page()
            page.goto(told[1])
            page.get_by_role("link", name="Set up").click()
            _answer(page, site_port, picture)
            token = page.locator("#access-token").inner_text()
            _shoot(page, "#token", "setup_pieces", picture)
            _write_site(page, folder / "site")
            # 6.
            (serve,) = [text for text in blocks("") if "http.server" in text]
            assert "python3 -m http.server 8080 --directory site" == serve.strip()
            command = [sys.executable, "-m", "http.server", str(site_port)]
            command += ["--bind", "127.0.0.1", "--directory", str(folder / "site")]
            with _process(command, site_port):
                _check(page, picture)
                _buy(page)
                _report(page, port, token)
                return _share(page, browser, picture)


def _answer(page: Page, site_port: int, picture: Picture) -> None:
    expect(page.get_by_role("heading", name="Set up a site")).to_be_visible()
    page.get_by_label("Any site in HTML").check()
    page.get_by_label("Sell").check()
    page.get_by_label("Doublet and site are on this machine").check()
    page.get_by_label("The site's address").fill(f"http://127.0.0.1:{site_port}/")
    picture(page, "setup_questions")
    page.get_by_role("button", name="Write the code").click()


def _shoot(page: Page, selector: str, name: str, picture: Picture) -> None:
    page.locator(selector).scroll_into_view_if_needed()
    page.evaluate("s => document.querySelector(s).scrollIntoView()", selector)
    picture(page, name)


def _write_site(page: Page, folder: Path) -> None:
    """Steps 4 and 5."""
    index, thanks = blocks("html")
    base = piece(page, "The pixel's base code")
    purchase = piece(page, "The Purchase")
    for place, value in (
        ("ORDER_ID", "1001"),
        ("PRODUCT_ID", "candle"),
        ("VALUE", "24.90"),
        ("PRICE", "24.90"),
    ):
        assert place in purchase
        purchase = purchase.replace(place, value)
    folder.mkdir()
    for name, text in (("index.html", index), ("thanks.html", thanks)):
        text = text.replace("<!-- The pixel's base code -->", base)
        (folder / name).write_text(text.replace("<!-- The Purchase -->", purchase))


def _check(page: Page, picture: Picture) -> None:
    page.get_by_role("button", name="Check the site").click()
    expect(page.locator("#check-pair.passed")).to_be_visible()
    assert 0 == page.locator("#progress .failed").count()
    _shoot(page, "#checks", "setup_checks", picture)


def _buy(page: Page) -> None:
    with page.expect_popup() as opened:
        page.locator("#test a").first.click()
    shop = opened.value
    shop.get_by_role("link", name="Buy one").click()
    expect(shop.get_by_role("heading")).to_have_text("Thank you for order 1001")
    # The guide's page waits, and says by itself what has come.
    expect(page.locator("#check-test_browser.passed")).to_be_visible()


def _report(page: Page, port: int, token: str) -> None:
    (curl,) = [text for text in blocks("") if text.startswith("curl")]
    pixel = re.search(r"pixel (\d+)", page.locator(".heading").inner_text())
    assert pixel
    for place, value in (("PIXEL", pixel[1]), ("TOKEN", token), ("8700", str(port))):
        curl = curl.replace(place, value)
    subprocess.run(["bash", "-euc", curl], check=True, timeout=30, stdout=subprocess.DEVNULL)
    expect(page.locator("#verified")).to_contain_text("Verified on")


def _share(page: Page, browser: Browser, picture: Picture) -> str:
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#share-link").inner_text()
    with browser.new_context(viewport={"width": 1080, "height": 860}) as context:
        shared = context.new_page()
        shared.goto(link)
        expect(shared.locator("#verified")).to_be_visible()
        picture(shared, "setup_verified")
        return shared.locator("main").inner_text()


def in_scratch(browser: Browser, picture: Picture) -> str:
    """All steps in a folder that is removed, on the ports that the page names."""
    with tempfile.TemporaryDirectory() as name:
        return follow(browser, Path(name), picture, (8700, 8701, 8080))
