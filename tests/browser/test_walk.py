"""Every page with the demo's data in a real browser: its figures are those of its twin, axe-core
finds no serious fault, the console stays silent, it fits a phone, and it works without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from doublet.web.page import ATTRIBUTION, PAGES
from tests.browser.stage import Stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path(__file__).parents[2] / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
NOT_IN_THE_NAVIGATION = (
    *("/order?order_id=S-1", "/event?event_id=relayed", "/audience?id=AUDIENCE"),
    *("/payload", "/reconcile"),
)
WALK = (
    *(each.path for _, pages in PAGES for each in pages),
    *(path for path, _ in ATTRIBUTION[1:]),
    *NOT_IN_THE_NAVIGATION,
)
WITHOUT_TWIN = {
    "/payload": "a form; POST /v1/check is its twin",
    "/reconcile": "a form; POST /v1/reconcile is its twin",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("walk"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def signed_in(stage: Stage, browser: Browser) -> Iterator[Page]:
    """A page of a visitor who has signed in with the account's token."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield _sign_in(context, stage)


def _sign_in(context: BrowserContext, stage: Stage) -> Page:
    page = context.new_page()
    page.goto(f"{stage.url}/overview?access_token={stage.token}")
    return page


def _number(text: str) -> Decimal:
    """The number at the beginning of a cell; a dash is nothing."""
    found = re.match(r"-?[\d,]+(?:\.\d+)?", text.strip())
    return Decimal(found[0].replace(",", "")) if found else Decimal(0)


def _rows(page: Page, title: str) -> list[list[str]]:
    """The texts of a table's cells, by the title of its caption."""
    table = page.locator("table", has=page.locator(".caption-title", has_text=re.compile(title)))
    return [
        [cell.strip() for cell in row.locator("th, td").all_inner_texts()]
        for row in table.first.locator("tbody tr").all()
    ]


# --- figures ----------------------------------------------------------------------------------


def _overview(page: Page, stage: Stage) -> None:
    rows = stage.get("/overview.json").json()
    assert sum(row["events"] for row in rows) == _number(page.locator(".figure").first.inner_text())
    shown = _rows(page, "By event name")
    assert [row["event_name"] for row in rows] == [cells[0] for cells in shown]
    names = ("browser", "server", "events", "both", "browser_only", "server_only")
    for row, cells in zip(rows, shown, strict=True):
        assert [row[name] for name in names] == [_number(cell) for cell in cells[1:7]]
    today = stage.get("/today.json").json()
    cells = _rows(page, "Today against")[0]
    assert sum(row["today"] for row in today) == _number(cells[1])
    status = stage.get("/status.json").json()
    assert status["next"]["title"] in page.locator(".next").inner_text()
    assert 1 == status["alerts"]


def _orders(page: Page, stage: Stage) -> None:
    report = stage.get("/orders.json").json()
    assert round(report["net_converted"], 2) == float(
        _number(page.locator(".figure").first.inner_text())
    )
    for row, cells in zip(reversed(report["rows"]), _rows(page, "By day"), strict=True):
        assert row["orders"] == _number(cells[2])
        assert round(row["net"], 2) == float(_number(cells[6]))
    latest = stage.get("/latest_orders.json").json()
    shown = _rows(page, "Newest orders")
    assert [row["order_id"] for row in latest[: len(shown)]] == [cells[0] for cells in shown]
    assert min(15, len(latest)) == len(shown)


def _leads(page: Page, stage: Stage) -> None:
    report = stage.get("/leads.json").json()
    assert report["leads"] == _number(page.locator(".figure").first.inner_text())
    assert "qualified" in page.locator("main").inner_text()


def _events(page: Page, stage: Stage) -> None:
    rows = stage.get("/events.json").json()["rows"]
    shown = _rows(page, "Newest first")
    assert len(rows) == len(shown) > 0
    sides = {"both": "Both", "browser_only": "Browser only", "server_only": "Server only"}
    for row, cells in zip(rows, shown, strict=True):
        assert cells[0].startswith(row["event_name"])
        assert sides[row["seen_by"]] == cells[2]
        assert round(row["value"] or 0, 2) == float(_number(cells[3]))


def _event(page: Page, stage: Stage) -> None:
    # The stand-in for Meta is a pixel of the same account, so that it has the event too.
    stories = stage.get("/event.json?event_id=relayed").json()
    told = [sentence for story in stories for sentence in story["sentences"]]
    assert told == [text.strip() for text in page.locator(".story li").all_inner_texts()]
    (relayed,) = [each for story in stories for each in story["relayed"]]
    assert relayed["name"] in page.locator("main").inner_text()


def _order(page: Page, stage: Stage) -> None:
    ledger = stage.get("/order.json?order_id=S-1").json()
    assert round(ledger["rows"][0]["net"], 2) == float(
        _number(page.locator(".figure").first.inner_text())
    )


def _quality(page: Page, stage: Stage) -> None:
    rows = stage.get("/quality.json").json()
    shown = _rows(page, "^Match quality")
    assert [row["event_name"] for row in rows] == [cells[0].split("\n")[0] for cells in shown]
    for row, cells in zip(rows, shown, strict=True):
        if row["score"] is not None:
            assert str(row["score"]) in cells[1]


def _refused(page: Page, stage: Stage) -> None:
    causes = stage.get("/refused.json").json()
    for cause, cells in zip(causes, _rows(page, "Causes"), strict=True):
        assert cells[0].startswith(cause["message"])
        assert cause["requests"] == _number(cells[1])


def _relay(page: Page, stage: Stage) -> None:
    rows = stage.get("/relay.json").json()
    for row, cells in zip(rows, _rows(page, "Destinations"), strict=True):
        assert row["name"] == cells[0].split("\n")[0]
        names = ("sent", "ready", "waiting", "failed", "withheld")
        assert [row[name] for name in names] == [_number(cell) for cell in cells[1:6]]


def _alerts(page: Page, stage: Stage) -> None:
    (alert,) = stage.get("/alerts.json").json()
    assert alert["sentence"] in page.locator("main").inner_text()


def _test_events(page: Page, stage: Stage) -> None:
    rows = stage.get("/test_events.json").json()
    assert len(rows) == page.locator("#rows tr").count()
    assert rows[0]["message"] in page.locator("#rows").inner_text()


def _attribution(page: Page, stage: Stage) -> None:
    rows = stage.get("/campaigns.json?level=campaign").json()["rows"]
    main = page.locator("main").inner_text()
    spent = [row for row in rows if row["spend"]]
    assert spent
    for row in spent:
        assert f"{row['spend']:,.2f}" in main
        assert row["campaign_name"].strip() in main


def _paths(page: Page, stage: Stage) -> None:
    rows = stage.get("/paths.json").json()["rows"]
    shown = page.locator("main").inner_text()
    assert rows
    for row in rows[:5]:
        assert f"{row['conversions']:,}" in shown


def _words_of(address: str) -> Callable[[Page, Stage], None]:
    """That at least the report is there, and the page shows no empty state."""

    def look(page: Page, stage: Stage) -> None:
        assert 200 == stage.get(f"{address}.json").status_code
        assert page.locator("main").inner_text().strip()

    return look


def _persons(page: Page, stage: Stage) -> None:
    merges = stage.get("/persons.json").json()["merges"]
    main = page.locator("main").inner_text()
    assert bool(merges) != ("No persons were merged yet" in main)
    shown = _rows(page, "turned out to be one")
    assert min(20, len(merges)) == len(shown)
    for row, cells in zip(merges, shown, strict=False):
        assert [row["person_id"], row["merged_into"]] == cells[1:3]
        assert row["restated_conversions"] == _number(cells[4])


def _audiences(page: Page, stage: Stage) -> None:
    rows = stage.get("/audiences.json").json()
    shown = {cells[0].split("\n")[0]: cells for cells in _rows(page, "Audiences")}
    assert {row["name"] for row in rows} == set(shown)
    for row in rows:
        assert row["members"] == _number(shown[row["name"]][1])
    assert "current" in page.locator("main").inner_text()


def _audience(page: Page, stage: Stage) -> None:
    story = stage.get(f"/audience.json?id={stage.audience_id}").json()
    members = story["audience"]["members"]
    assert members == _number(page.locator(".figure").first.inner_text())
    shown = [[cells[0], _number(cells[1])] for cells in _rows(page, "Reach")]
    assert [[each["kind"], each["members"]] for each in story["reach"]] == shown
    shown = [[cells[0], _number(cells[2])] for cells in _rows(page, "Overlap")]
    assert [[each["name"], each["shared"]] for each in story["overlap"]] == shown


def _delivery(page: Page, stage: Stage) -> None:
    rows = stage.get("/delivery.json").json()
    shown = _rows(page, "Campaigns, ad sets and ads")
    assert [row["name"] for row in rows] == [cells[0].split("\n")[0].strip() for cells in shown]
    assert {"campaign", "adset", "ad"} == {row["level"] for row in rows}
    for row, cells in zip(rows, shown, strict=True):
        assert (row["budget"] or 0) == _number(cells[2])
        assert (row["impressions"] or 0) == _number(cells[4])
        assert (row["results"] or 0) == _number(cells[7])


def _settings(page: Page, stage: Stage) -> None:
    main = page.locator("main").inner_text()
    for pixel in stage.catalog.pixels():
        assert pixel.name in main
        assert pixel.pixel_id in main
    assert stage.token not in page.content()


def _changes(page: Page, stage: Stage) -> None:
    found = stage.get("/changes.json").json()
    rows = found["rows"] if isinstance(found, dict) else found
    assert len(rows) == len(page.locator("tbody tr").all())


FIGURES: dict[str, Callable[[Page, Stage], None]] = {
    "/overview": _overview,
    "/orders": _orders,
    "/order": _order,
    "/leads": _leads,
    "/events": _events,
    "/event": _event,
    "/quality": _quality,
    "/refused": _refused,
    "/relay": _relay,
    "/alerts": _alerts,
    "/test_events": _test_events,
    "/attribution": _attribution,
    "/paths": _paths,
    "/time_to_conversion": _words_of("/time_to_conversion"),
    "/windows": _words_of("/windows"),
    "/lift": _words_of("/lift"),
    "/differences": _words_of("/differences"),
    "/persons": _persons,
    "/setup": _words_of("/setup"),
    "/audiences": _audiences,
    "/audience": _audience,
    "/delivery": _delivery,
    "/settings": _settings,
    "/changes": _changes,
}


def _compare(page: Page, stage: Stage, figures: Callable[[Page, Stage], None]) -> None:
    """What arrives between the page and its twin makes them differ; then both are read again."""
    for _ in range(2):
        try:
            return figures(page, stage)
        except AssertionError:
            page.reload()
    return figures(page, stage)


@pytest.mark.parametrize("path", WALK)
def test_a_page_shows_what_its_twin_says(stage: Stage, signed_in: Page, path: str) -> None:
    name = path.partition("?")[0]
    said: list[str] = []
    signed_in.on("console", lambda message: said.append(message.text))
    signed_in.on("pageerror", lambda error: said.append(str(error)))
    answer = signed_in.goto(stage.address(path))
    assert answer is not None
    assert 200 == answer.status
    assert name in FIGURES or name in WITHOUT_TWIN, "say here how its figures are compared"
    if name in FIGURES:
        _compare(signed_in, stage, FIGURES[name])
    assert [] == said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*WALK, "/profile", "/login-page"])
def test_axe_finds_no_serious_fault(stage: Stage, browser: Browser, path: str, scheme: Any) -> None:
    if not AXE.exists():
        pytest.fail("axe-core is not installed: make node")
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page() if path == "/login-page" else _sign_in(context, stage)
        page.goto(stage.address("/overview" if path == "/login-page" else path))
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        grave = [
            (fault["id"], fault["impact"], [node["html"][:200] for node in fault["nodes"][:3]])
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert [] == grave


@pytest.mark.parametrize("path", WALK)
def test_a_page_fits_a_phone_and_works_without_scripts(
    stage: Stage, browser: Browser, path: str
) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}
    with browser.new_context(**phone, java_script_enabled=False) as context:
        page = _sign_in(context, stage)
        answer = page.goto(stage.address(path))
        assert answer is not None
        assert 200 == answer.status
        name = path.partition("?")[0]
        if name in FIGURES and name not in ("/test_events",):
            FIGURES[name](page, stage)
        page.get_by_role("link", name="Menu").click()
        page.locator(".side").get_by_role("link", name="Overview").click()
        assert page.url.startswith(f"{stage.url}/overview")
    with browser.new_context(**phone) as context:
        page = _sign_in(context, stage)
        page.goto(stage.address(path))
        assert 360 == page.evaluate("document.documentElement.scrollWidth")


def test_all_pages_are_reached_from_the_navigation(stage: Stage, signed_in: Page) -> None:
    signed_in.goto(f"{stage.url}/overview")
    for _, pages in PAGES:
        for each in pages:
            signed_in.locator(".side").get_by_role("link", name=each.title, exact=True).click()
            assert signed_in.url.startswith(f"{stage.url}{each.path}")
            assert each.title == signed_in.locator(".side [aria-current]").inner_text().strip()
