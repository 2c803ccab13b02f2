"""What brought a person: clicks, visits and views, and which of them a conversion has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.factories import HOUR, NOON, SECOND, Pipeline
from tests.persons.touching import DAY, em, fbc, fbp, make, make_touch

T = NOON // SECOND
D = 86_400


def made(folder: Path, records: list[bytes]) -> Pipeline:
    pipeline = Pipeline(folder)
    pipeline.append(records)
    pipeline.refresh()
    return pipeline


def points(pipeline: Pipeline, *columns: str) -> list[tuple[Any, ...]]:
    rows = pipeline.table("touchpoints", "touched_time, kind")
    return [tuple(row[name] for name in columns) for row in rows]


def last(pipeline: Pipeline, kind: str = "click") -> list[int | None]:
    """Of each conversion, how many seconds after NOON its last touch of a kind was."""
    rows = pipeline.table("conversions", "event_time")
    return [row[f"{kind}_time"] and row[f"{kind}_time"] - T for row in rows]


def test_a_click_id_is_one_click_however_often_it_is_shown(tmp_path: Path) -> None:
    url = (
        "https://shop.example/p?fbclid=IwAR1&utm_source=facebook&utm_medium=cpc&utm_id=61&ad_id=77"
    )
    pipeline = made(
        tmp_path,
        [
            make("PageView", 5 * SECOND, fbp=fbp(1), url=url),
            make("ViewContent", 9 * SECOND, fbp=fbp(1), fbc=fbc("IwAR1", 3 * SECOND), url=url),
            # With an appendix, as newer libraries write it.
            make("Purchase", DAY, fbp=fbp(1), fbc=fbc("IwAR1", 4 * SECOND) + ".AQYBAgIA"),
        ],
    )
    columns = ("touched_time", "click_id", "platform", "channel", "campaign_id", "ad_id", "origin")
    assert points(pipeline, *columns) == [
        (T + 3, "IwAR1", "meta", "facebook / cpc", "61", "77", "url")
    ]
    assert last(pipeline) == [3, 3]
    pipeline.close()


@pytest.mark.parametrize(
    ("query", "platform", "channel", "is_ad", "ids"),
    [
        ("gclid=Cj0K1&gad_campaignid=2222222222", "google", "google", True, ("2222222222", None)),
        ("ttclid=E.C.P1", "tiktok", "tiktok", True, (None, None)),
        ("msclkid=abc", "microsoft", "microsoft", True, (None, None)),
        ("utm_source=ig&utm_medium=paid_social", "meta", "ig / paid_social", True, (None, None)),
        ("utm_source=News+A&utm_medium=email", None, "News A / email", False, (None, None)),
        ("fbclid=Iw2&utm_source=fb&utm_medium=social", "meta", "fb / social", False, (None, None)),
        ("utm_source=x&utm_campaign=120210000000000&utm_content=120210000000001", "x", "x", True,
         ("120210000000000", "120210000000001")),
        ("utm_source=fb&utm_medium=cpc&ad_id=%7B%7Bad.id%7D%7D&utm_id={{campaign.id}}", "meta",
         "fb / cpc", True, (None, None)),
        ("gclid={gclid}&utm_source=google&utm_medium=cpc", "google", "google / cpc", True,
         (None, None)),
        ("ttclid=__CLICKID__&campaign_id=__CAMPAIGN_ID__&utm_source=tiktok&utm_medium=paid&"
         "utm_campaign=__CAMPAIGN_NAME__", "tiktok", "tiktok / paid", True, (None, None)),
        ("utm_source=%FF%zz&utm_medium=cpc", None, "%FF%zz / cpc", True, (None, None)),
    ],
)  # fmt: skip
def test_an_address_says_where_a_visit_comes_from(
    tmp_path: Path,
    query: str,
    platform: str | None,
    channel: str,
    is_ad: bool,
    ids: tuple[str | None, str | None],
) -> None:
    pipeline = made(tmp_path, [make("Lead", fbp=fbp(1), url=f"https://shop.example/?{query}#top")])
    columns = ("platform", "channel", "is_ad", "campaign_id", "ad_id")
    assert points(pipeline, *columns) == [(platform, channel, is_ad, *ids)]
    assert last(pipeline) == [0 if is_ad else None]
    pipeline.close()


@pytest.mark.parametrize("query", ["gclid={gclid}", "gclid=%7Bgclid%7D", "ttclid=__CLICKID__"])
def test_what_nobody_has_filled_in_is_no_click(tmp_path: Path, query: str) -> None:
    pipeline = made(tmp_path, [make("Lead", fbp=fbp(1), url=f"https://shop.example/?{query}")])
    assert [] == points(pipeline, "platform")
    pipeline.close()


def test_a_visit_lasts_until_half_an_hour_passes(tmp_path: Path) -> None:
    url = "https://shop.example/?utm_source=a&utm_medium=cpc"
    minutes = (0, 20, 45, 90, 100)
    pipeline = made(
        tmp_path, [make("PageView", m * 60 * SECOND, fbp=fbp(1), url=url) for m in minutes]
    )
    assert points(pipeline, "touched_time") == [(T,), (T + 90 * 60,)]
    pipeline.close()


@pytest.mark.parametrize("made_ms", [946684799999, (NOON + DAY) // 1000])
def test_a_clock_that_cannot_be_right_is_not_believed(tmp_path: Path, made_ms: int) -> None:
    pipeline = made(tmp_path, [make("Lead", fbp=fbp(1), fbc=f"fb.1.{made_ms:013d}.IwAR1")])
    assert points(pipeline, "touched_time") == [(T,)]
    pipeline.close()


def test_an_ad_log_names_the_ad_of_a_click(tmp_path: Path) -> None:
    log = make_touch("click", -2 * SECOND, click_id="IwAR1", campaign_id="1", ad_id="11")
    pipeline = made(tmp_path, [make("Purchase", fbp=fbp(1), fbc=fbc("IwAR1"))])
    assert points(pipeline, "campaign_id", "ad_id", "origin") == [(None, None, "click_id")]
    pipeline.append([log])
    pipeline.refresh()
    columns = ("touched_time", "campaign_id", "ad_id", "origin")
    assert points(pipeline, *columns) == [(T - 2, "1", "11", "ad_log")]
    (row,) = pipeline.table("conversions", "event_time")
    assert (row["click_campaign_id"], row["click_ad_id"]) == ("1", "11")
    pipeline.close()


def test_windows_count_from_the_conversion_back(tmp_path: Path) -> None:
    pipeline = made(
        tmp_path,
        [
            make_touch("view", 0, em=em("mary"), ad_id="1"),
            make_touch("engaged_view", 0, em=em("mary"), ad_id="2"),
            make("Lead", 0, fbp=fbp(1), em=em("mary"), fbc=fbc("IwAR1")),
            make("Purchase", DAY - SECOND, em=em("mary")),
            make("Purchase", DAY, em=em("mary")),
            make("Purchase", 7 * DAY - SECOND, em=em("mary")),
            make("Purchase", 28 * DAY - SECOND, em=em("mary")),
            make("Purchase", 28 * DAY, em=em("mary")),
        ],
    )
    assert last(pipeline) == [0, 0, 0, 0, 0, None]
    assert last(pipeline, "ev") == [0, 0, None, None, None, None]
    assert last(pipeline, "view") == [0, 0, 0, 0, None, None]
    pipeline.close()


def test_a_later_touch_counts_for_what_comes_after_it_alone(tmp_path: Path) -> None:
    pipeline = made(tmp_path, [make("Purchase", HOUR, em=em("mary"))])
    assert last(pipeline) == [None]
    pipeline.append(
        [
            make_touch("click", 2 * HOUR, em=em("mary")),
            make_touch("held_out", 3 * HOUR, em=em("mary")),
            make_touch("click", 0, received_at=NOON + 40 * DAY, em=em("mary")),
        ]
    )
    pipeline.refresh()
    assert last(pipeline) == [0]
    assert 2 == len(pipeline.table("touchpoints", "all"))
    pipeline.close()


@pytest.mark.parametrize(("days", "is_restated"), [(27, True), (29, False)])
def test_a_merge_restates_what_is_young_and_leaves_what_is_old(
    tmp_path: Path, days: int, is_restated: bool
) -> None:
    pipeline = made(
        tmp_path,
        [
            make("PageView", 0, fbp=fbp(1), fbc=fbc("IwAR1")),
            make("Purchase", HOUR, em=em("mary")),
        ],
    )
    assert last(pipeline) == [None]
    pipeline.append([make("Lead", HOUR + days * DAY, 0, fbp=fbp(1), em=em("mary"))])
    pipeline.refresh()
    purchase, lead = pipeline.table("conversions", "event_time")
    assert (purchase["click_time"] == T) is is_restated
    assert (purchase["restated_time"] is not None) is is_restated
    if is_restated:
        assert purchase["restated_time"] == lead["event_time"]
        (cause,) = pipeline.engine.query("select * from persons where merged_into is not null")
        assert cause["merged_by"] == lead["profile_key"]
    # What was bought since belongs to the one person.
    assert (lead["click_time"] is None) is (days > 28)
    pipeline.close()


def test_imported_history_is_joined_as_it_is_known_now(tmp_path: Path) -> None:
    old = {"event_time": T - 6 * D}
    pipeline = made(
        tmp_path,
        [
            make("Purchase", 1, em=em("mary"), more=old),
            make("PageView", 2, fbp=fbp(1), fbc=fbc("IwAR1", -6 * DAY - HOUR), more=old),
            make("Lead", 3, fbp=fbp(1), em=em("mary")),
        ],
    )
    purchase, _ = pipeline.table("conversions", "event_time")
    assert purchase["click_time"] == T - 6 * D - 3600
    pipeline.close()


def test_checks_and_marked_hits_are_no_conversions(tmp_path: Path) -> None:
    pipeline = made(
        tmp_path,
        [make("Lead", 0, fbp=fbp(1)), make("PageView", 1, fbp=fbp(1))],
    )
    assert ["Lead"] == [row["event_name"] for row in pipeline.table("conversions", "event_time")]
    pipeline.close()
