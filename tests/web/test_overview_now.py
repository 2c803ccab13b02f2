"""What the first page says of now: today against a week before, the state, what to do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from doublet.health import Health
from doublet.reports import OverviewRow
from doublet.reports.diagnostics import DiagnosticRow
from doublet.reports.today import sum_of, today
from doublet.web.status import Known, RelayState, next_action
from tests.dashboard import Site
from tests.factories import HOUR, NOON
from tests.server import wait_for

OK = Health("ok", 0.5, 0.5)
NO_RELAY = RelayState(0, 0, 0, 0.0)
LATE = datetime(2026, 5, 28, 21, 0, tzinfo=UTC)


def _purchases(browser: int, server: int, both: int) -> list[OverviewRow]:
    """An overview with this many purchases that the browser, the server and both have seen."""
    events = browser + server - both
    sides = (events, both, browser - both, server - both)
    return [OverviewRow("Purchase", browser, server, *sides, {})]


def test_today_counts_by_the_clocks_of_the_account_and_by_this_time(site: Site) -> None:
    week = 7 * 24 * HOUR
    money = {"custom_data": {"value": 10, "currency": "EUR"}}
    # NOON is 22:26 of 28 May in Berlin; the day there began 22 hours before.
    for event_id, at in (
        ("before", NOON - week),
        ("later", NOON - week + HOUR),
        ("next day", NOON - week + 2 * HOUR),
        ("yesterday", NOON - 23 * HOUR),
        ("morning", NOON - 22 * HOUR),
        ("now", NOON),
    ):
        site.received = at
        site.add(site.ours, ("server", event_id), event_time=at // 1_000_000, **money)
    site.add(site.theirs, ("server", "theirs"), event_time=NOON // 1_000_000, **money)
    (row,) = today(site.pipeline.engine, site.ours.account, LATE - timedelta(minutes=30))
    assert (2, 1, 2) == (row.today, row.week_before, row.week_before_whole)
    assert ("EUR", Decimal(20), Decimal(10), Decimal(20)) == (
        row.currency,
        row.today_value,
        row.week_before_value,
        row.week_before_whole_value,
    )
    change = sum_of([row], only="Purchase", value=True)
    assert Decimal(1) == change.share
    assert sum_of([row], only="Lead").share is None


def test_todays_figures_have_twins(filled: Site) -> None:
    assert [] == filled.get("/today.json", filled.ours).json()
    (names,) = filled.get("/today.csv", filled.ours).text.splitlines()
    assert names.startswith("event_name,currency,today,week_before,week_before_whole")


def _known(*faults: DiagnosticRow) -> Known:
    return Known(LATE, list(faults), [])


FAULT = DiagnosticRow(
    "s2s_hot",
    "Hot IP address",
    "high",
    "Purchase",
    8,
    10,
    0.8,
    LATE,
    LATE,
    [],
    "Send the visitor's.",
)


@pytest.mark.parametrize(
    ("rows", "health", "relay", "alerts", "known", "title", "path"),
    [
        ([], OK, NO_RELAY, 2, None, "Bring the first event here", "/setup"),
        (
            _purchases(5, 5, 5),
            Health("degraded", 1.0, 1.0, "The disk is nearly full."),
            NO_RELAY,
            2,
            None,
            "Look at the server",
            "/overview",
        ),
        (_purchases(5, 5, 5), OK, NO_RELAY, 1, None, "Look at the open alert", "/alerts"),
        (
            _purchases(5, 5, 5),
            OK,
            RelayState(2, 1, 3, 9.0),
            0,
            None,
            "Mend a destination",
            "/relay",
        ),
        (
            _purchases(5, 5, 5),
            OK,
            RelayState(2, 0, 3, 0.0),
            0,
            None,
            "Replay what an ad platform did not take",
            "/relay",
        ),
        (
            _purchases(5, 0, 0),
            OK,
            NO_RELAY,
            0,
            None,
            "Report purchases from the server too",
            "/setup",
        ),
        (_purchases(0, 5, 0), OK, NO_RELAY, 0, None, "Put the pixel on the site too", "/setup"),
        (
            _purchases(9, 9, 2),
            OK,
            NO_RELAY,
            0,
            None,
            "Give both sides the same event id",
            "/quality",
        ),
        (
            _purchases(5, 5, 5),
            OK,
            NO_RELAY,
            0,
            _known(FAULT),
            "Mend: Hot IP address",
            "/quality",
        ),
        (_purchases(5, 5, 5), OK, NO_RELAY, 0, None, "Wait a moment", "/quality"),
        (_purchases(5, 5, 5), OK, NO_RELAY, 0, _known(), "Nothing needs doing", "/quality"),
    ],
)
def test_what_is_broken_goes_before_what_could_be_better(
    rows: list[OverviewRow],
    health: Health,
    relay: RelayState,
    alerts: int,
    known: Known | None,
    title: str,
    path: str,
) -> None:
    action = next_action(rows, health, relay, alerts, known)
    assert (title, path) == (action.title, action.path)


def test_the_page_says_what_the_status_says(filled: Site) -> None:
    def status() -> dict[str, object]:
        return dict(filled.get("/status.json", filled.ours).json())

    wait_for(lambda: status()["faults"] is not None, what="the faults are known")
    found = status()
    page = filled.get("/overview", filled.ours).text
    action = found["next"]
    assert isinstance(action, dict)
    assert action["title"] in page
    assert "none open" in page
    assert "has no destination yet" in page
    refused = filled.get(f"/status.json?pixel={filled.ours.pixel_id}", filled.ours)
    assert 400 == refused.status_code
