"""`/stats`: copies counted by hour and kind, filtered and in pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from facebook_business.adobjects.adspixelstatsresult import AdsPixelStatsResult

from doublet.graph import routes
from doublet.reports.pixels import AGGREGATIONS
from tests.dashboard import PUBLIC_URL, Site
from tests.factories import HOUR, NOON, SECOND, make_record
from tests.graph.test_nodes import get, read

PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
IN_APP = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/470.0.0]"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0"
)
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5; rv:127.0) Gecko/20100101 Firefox/127.0"
SPAN = {"start_time": str(NOON // SECOND - 3600), "end_time": str(NOON // SECOND + 5 * 3600)}
"""From an hour before the events until after the last of them."""


def copies(site: Site) -> list[bytes]:
    """Five events of four hours: one of both sides with a repeat, the others of one side."""
    shop = site.ours
    common: dict[str, Any] = {
        "account_id": shop.account.account_id,
        "pixel_id": shop.pixel_id,
        "event_name": "PageView",
        "custom_data": None,
    }
    bought: dict[str, Any] = {
        **common,
        "event_name": "Purchase",
        "event_id": "order.1",
        "event_time": NOON // SECOND,
        "event_source_url": "https://Shop.example/thanks?a=1#top",
        "custom_data": {"value": 10, "currency": "EUR", "shelf": "b"},
    }
    page = "https://blog.example/post?utm_source=x"
    seen = [
        (NOON, "browser", {**bought, "user_data": _visitor(PHONE)}),
        (NOON + SECOND, "server", bought),
        (NOON + 2 * SECOND, "server", bought),
        (NOON + HOUR, "browser", {**common, "event_id": "v1", "user_data": _visitor(IPHONE)}),
        (NOON + HOUR + SECOND, "browser", {**common, "event_id": "v2", "event_source_url": page}),
        (NOON + 2 * HOUR, "browser", {**common, "event_id": "v3", "user_data": _visitor(EDGE)}),
        (NOON + 4 * HOUR, "browser", {**common, "event_id": "v4", "user_data": _visitor(MAC)}),
    ]
    seen[4][2]["user_data"] = _visitor(IN_APP)
    return [make_record(at, source, **fields) for at, source, fields in seen]


def _visitor(user_agent: str) -> dict[str, str]:
    return {
        "client_ip_address": "203.0.113.7",
        "client_user_agent": user_agent,
        "fbp": "fb.1.1596403881668.1116446470",
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all questions of this module, which change nothing."""
    folder: Path = tmp_path_factory.mktemp("stats")
    made = Site(folder)
    made.app.router.routes[:0] = routes(
        made.catalog, made.pipeline.engine, PUBLIC_URL, folder / "rates"
    )
    made.pipeline.append(copies(made))
    made.pipeline.refresh()
    yield made
    made.close()


def stats(site: Site, **parameters: str) -> list[dict[str, Any]]:
    """All rows of one page."""
    rows = read(site, f"/v25.0/{site.ours.pixel_id}/stats", **{**SPAN, **parameters})["data"]
    assert isinstance(rows, list)
    return rows


def totals(site: Site, **parameters: str) -> dict[str, int]:
    """The counts of all hours together."""
    found: dict[str, int] = {}
    for row in stats(site, **parameters):
        for each in row["data"]:
            found[each["value"]] = found.get(each["value"], 0) + each["count"]
    return found


def test_an_hour_has_one_row_in_the_accounts_zone(shop: Site) -> None:
    page_view = [{"value": "PageView", "count": 1}]
    assert [
        ("2026-05-28T22:00:00+0200", "event", [{"value": "Purchase", "count": 3}]),
        ("2026-05-28T23:00:00+0200", "event", [{"value": "PageView", "count": 2}]),
        ("2026-05-29T00:00:00+0200", "event", page_view),
        ("2026-05-29T02:00:00+0200", "event", page_view),
    ] == [(row["start_time"], row["aggregation"], row["data"]) for row in stats(shop)]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("event", {"Purchase": 3, "PageView": 4}),
        ("event_total_counts", {"Purchase": 3, "PageView": 4}),
        ("event_value_count", {"Purchase": 3}),
        ("event_source", {"BROWSER": 5, "SERVER": 2}),
        ("event_processing_results", {"Processed": 5, "Deduplicated": 2}),
        ("pixel_fire", {"pixel_fire": 7}),
        ("host", {"shop.example": 6, "blog.example": 1}),
        (
            "url",
            {
                "https://Shop.example/thanks": 3,
                "https://shop.example/thanks": 3,
                "https://blog.example/post": 1,
            },
        ),
        ("had_pii", {"true": 3, "false": 4}),
        ("match_keys", {"em": 3, "client_ip_address": 7, "client_user_agent": 7, "fbp": 7}),
        ("custom_data_field", {"value": 3, "currency": 3, "shelf": 3}),
        ("device_type", {"mobile_android_phone": 3, "mobile_iphone": 2, "desktop": 2}),
        ("device_os", {"Android": 3, "iOS": 2, "Windows": 1, "Mac OS X": 1}),
        ("browser_type", {"Chrome": 3, "Safari": 1, "Facebook": 1, "Edge": 1, "Firefox": 1}),
        ("event_detection_method", {}),
        ("url_by_rule", {}),
    ],
)
def test_copies_are_counted_by(shop: Site, aggregation: str, expected: dict[str, int]) -> None:
    assert expected == totals(shop, aggregation=aggregation)


def test_every_aggregation_of_the_sdk_is_known() -> None:
    names = vars(AdsPixelStatsResult.Aggregation)
    assert {name for name in names if not name.startswith("_")} == set(AGGREGATIONS)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"event_source": "WEB_ONLY"}, {"Purchase": 1, "PageView": 4}),
        ({"event_source": "SERVER_ONLY"}, {"Purchase": 2}),
        ({"event": "Purchase"}, {"Purchase": 3}),
        ({"event": "Nothing"}, {}),
        ({"start_time": str(NOON // SECOND + 1)}, {"PageView": 4}),
        ({"end_time": str(NOON // SECOND + 3600)}, {"Purchase": 3}),
        ({"start_time": "2026-05-28T21:00:00Z"}, {"PageView": 4}),
        ({"start_time": "2026-05-28T23:00:00+0200"}, {"PageView": 4}),
        ({"start_time": "2026-05-28T23:00:00 0200"}, {"PageView": 4}),
        ({"start_time": "2026-05-29"}, {"PageView": 2}),
        ({"start_time": "0"}, {"Purchase": 3, "PageView": 4}),
        ({"start_time": "0", "end_time": "0"}, {}),
        ({"end_time": "2026-05-28 23:00"}, {"Purchase": 3}),
    ],
)
def test_copies_are_chosen_by(
    shop: Site, parameters: dict[str, str], expected: dict[str, int]
) -> None:
    assert expected == totals(shop, **parameters)


def test_pages_follow_each_other_without_gap_or_repeat(shop: Site) -> None:
    path = f"/v25.0/{shop.ours.pixel_id}/stats"
    asked: Any = {**SPAN, "access_token": shop.ours.token, "limit": 1, "fields": "start_time"}
    address: str | None = None
    hours: list[str] = []
    while len(hours) < 10:
        answer = shop.client.get(address or path, params=None if address else asked).json()
        hours += [row["start_time"] for row in answer["data"]]
        assert all({"start_time"} == set(row) for row in answer["data"])
        address = answer["paging"].get("next")
        if address is None:
            break
    assert [row["start_time"] for row in stats(shop)] == hours


def test_a_day_of_hours_is_a_page(site: Site) -> None:
    records = [
        make_record(
            NOON + n * HOUR,
            account_id=site.ours.account.account_id,
            pixel_id=site.ours.pixel_id,
            event_id=str(n),
        )
        for n in range(26)
    ]
    site.pipeline.append(records)
    site.pipeline.refresh()
    path = f"/v25.0/{site.ours.pixel_id}/stats"
    span = {"start_time": NOON // SECOND, "end_time": NOON // SECOND + 10**6}
    first = read(site, path, **span)
    rest = site.client.get(first["paging"]["next"], headers=site.ours.headers).json()
    assert (24, 2) == (len(first["data"]), len(rest["data"]))
    whole = read(site, path, **span, aggregation="event_total_counts")
    assert [[{"value": "Purchase", "count": 26}]] == [row["data"] for row in whole["data"]]
    assert "next" not in whole["paging"]


def test_the_last_seven_days_are_asked_for_unless_said_otherwise(site: Site) -> None:
    now = int(datetime.now(UTC).timestamp()) * SECOND
    shop: Any = {"account_id": site.ours.account.account_id, "pixel_id": site.ours.pixel_id}
    days = (1, 6, 8)
    site.pipeline.append(
        [
            make_record(now - day * 24 * HOUR, event_id=str(day), **shop)
            for day in sorted(days)[::-1]
        ]
    )
    site.pipeline.refresh()
    found = read(site, f"/{site.ours.pixel_id}/stats")["data"]
    assert 2 == sum(each["count"] for row in found for each in row["data"])


def test_a_silent_pixel_has_no_rows(site: Site) -> None:
    assert {"data": []} == read(site, f"/v25.0/{site.ours.pixel_id}/stats")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"aggregation": "country"}, "(#100) aggregation must be one of {browser_type, "),
        ({"event_source": "web"}, "(#100) event_source must be WEB_ONLY or SERVER_ONLY"),
        ({"start_time": "last week"}, "(#100) start_time must be Unix seconds or ISO 8601"),
        ({"start_time": "9" * 18}, "(#100) start_time must be Unix seconds or ISO 8601"),
        ({"start_time": "0001-01-01"}, "(#100) start_time must be Unix seconds or ISO 8601"),
        ({"end_time": "9999-12-31"}, "(#100) end_time must be Unix seconds or ISO 8601"),
        ({"after": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5"}, "(#100) after is no cursor of an earlier"),
        ({"start_time": "2", "end_time": "1"}, "(#100) end_time is before start_time"),
        ({"after": "eA"}, "(#100) after is no cursor of an earlier answer"),
        ({"after": "_w"}, "(#100) after is no cursor of an earlier answer"),
        ({"limit": "many"}, "(#100) limit must be a number from 1 to 1000"),
        ({"fields": "count"}, "(#100) Tried accessing nonexisting field (count) on node type"),
    ],
)
def test_a_wrong_parameter_is_named(shop: Site, parameters: dict[str, str], message: str) -> None:
    found = get(shop, f"/v25.0/{shop.ours.pixel_id}/stats", **parameters)
    error = found.json()["error"]
    assert (400, 100) == (found.status_code, error["code"])
    assert error["message"].startswith(message)
    assert [list(parameters)[-1:]] == error["error_data"]["blame_field_specs"]
