"""The page of test events in a real browser, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server import RunningServer, wait_for
from tests.test_live import PLANTED, hit, kill_worker, send

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path) as made:
        yield made


def test_events_appear_by_themselves_and_change_their_status(
    server: RunningServer, browser: Browser
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{server.url}/test_events?code=PAGE&access_token={server.access_token}")
        expect(page.locator("#none")).to_contain_text("PAGE")
        expect(page.locator("#state")).to_have_text("Live")
        hostile = "<img src=x onerror=alert(1)>"
        send(server, "PAGE", event_id="page.1", event_name=hostile)
        row = page.locator("#rows tr", has_text="page.1")
        expect(row).to_contain_text(hostile)
        expect(row.locator(".status")).to_have_text("Processed")
        row.locator("summary").click()
        hit(server, ev=hostile, eid="page.1", test_event_code="PAGE")
        expect(row.locator(".deduplicated")).to_have_count(1)
        expect(row).to_have_count(2)
        # What was opened stays open.
        expect(page.locator("#rows details[open]")).to_have_count(1)
        send(server, event_time=5)
        refused = page.locator("#rows tr", has_text="event_too_old")
        expect(refused).to_contain_text("Send events within 7 days")
        expect(page.locator("#none")).to_have_count(0)
        assert not any(value in page.content() for value in PLANTED)
        assert [] == said


def test_the_page_goes_on_when_the_worker_was_killed(
    server: RunningServer, browser: Browser
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/test_events?access_token={server.access_token}")
        expect(page.locator("#state")).to_have_text("Live")
        kill_worker(server)
        expect(page.locator("#state")).to_contain_text("broken off")
        hit(server, ev="Lead", eid="killed.1", test_event_code="ANY")
        _sees(page, "killed.1")
        expect(page.locator("#state")).to_have_text("Live")


def _sees(page: Page, text: str) -> None:
    expect(page.locator("#rows tr", has_text=text)).to_be_visible(timeout=30_000)


def test_the_page_tells_its_news_without_a_script(server: RunningServer, browser: Browser) -> None:
    send(server, "PLAIN", event_id="plain.1")
    asked = f"code=PLAIN&access_token={server.access_token}"
    twin, url = (f"{server.url}/test_events{suffix}?{asked}" for suffix in (".json", ""))
    wait_for(lambda: httpx.get(twin).json(), what="the twin shows it")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(url)
        _sees(page, "plain.1")
    assert 401 == httpx.get(f"{server.url}/test_events").status_code
