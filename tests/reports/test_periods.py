"""Periods of whole days: presets, steps, and where days begin and end in seconds."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from facebook_business.adobjects.adsinsights import AdsInsights
from hypothesis import example, given
from hypothesis import strategies as st

from doublet.errors import SenderError
from doublet.reports.periods import (
    PRESETS,
    Period,
    check_period,
    midnight_s,
    preset,
    spans,
    steps,
)

TUESDAY = date(2026, 3, 10)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"),
    *("Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Asia/Beirut"),
    *("America/Havana", "Africa/Casablanca", "Asia/Gaza"),
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(2001, 1, 1), date(2037, 1, 1))


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("today", "2026-03-10", "2026-03-10"),
        ("yesterday", "2026-03-09", "2026-03-09"),
        ("last_3d", "2026-03-07", "2026-03-09"),
        ("last_7d", "2026-03-03", "2026-03-09"),
        ("last_14d", "2026-02-24", "2026-03-09"),
        ("last_28d", "2026-02-10", "2026-03-09"),
        ("last_30d", "2026-02-08", "2026-03-09"),
        ("last_90d", "2025-12-10", "2026-03-09"),
        ("this_month", "2026-03-01", "2026-03-10"),
        ("last_month", "2026-02-01", "2026-02-28"),
        ("this_quarter", "2026-01-01", "2026-03-10"),
        ("last_quarter", "2025-10-01", "2025-12-31"),
        ("this_year", "2026-01-01", "2026-03-10"),
        ("last_year", "2025-01-01", "2025-12-31"),
        ("this_week_mon_today", "2026-03-09", "2026-03-10"),
        ("this_week_sun_today", "2026-03-08", "2026-03-10"),
        ("last_week_mon_sun", "2026-03-02", "2026-03-08"),
        ("last_week_sun_sat", "2026-03-01", "2026-03-07"),
        ("maximum", "2024-02-29", "2026-03-10"),
        ("data_maximum", "2024-02-29", "2026-03-10"),
    ],
)
def test_presets_are_the_days_that_their_names_say(name: str, since: str, until: str) -> None:
    expected = Period(date.fromisoformat(since), date.fromisoformat(until))
    assert expected == preset(name, TUESDAY, date(2024, 2, 29))


def test_the_presets_are_those_of_the_official_library() -> None:
    theirs = {value for key, value in vars(AdsInsights.DatePreset).items() if key[0] != "_"}
    assert theirs == set(PRESETS)
    with pytest.raises(SenderError, match=r"date_preset must be one of \{today, "):
        preset("last_5d", TUESDAY)


@given(st.sampled_from(PRESETS), days)
def test_every_preset_is_a_period_that_ends_by_today(name: str, today: date) -> None:
    since, until = preset(name, today)
    assert since <= until <= today


@given(days, st.integers(0, 800), st.sampled_from(["1", "7", "28", "90", "monthly", "all_days"]))
def test_steps_follow_one_another_and_are_the_whole(since: date, more: int, step: str) -> None:
    period = Period(since, since + timedelta(more))
    found = steps(period, step)
    assert (period.since, period.until) == (found[0].since, found[-1].until)
    for one, following in itertools.pairwise(found):
        assert one.until + timedelta(1) == following.since
        if step == "monthly":
            assert 1 == following.since.day
        else:
            assert int(step) == (one.until - one.since).days + 1


@pytest.mark.parametrize("step", ["0", "91", "-1", "weekly", "", "1.5", "٣"])
def test_a_step_that_is_none_is_refused(step: str) -> None:
    with pytest.raises(SenderError, match="from 1 to 90, monthly or all_days"):
        steps(Period(TUESDAY, TUESDAY), step)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(SenderError, match="swap them"):
        check_period(TUESDAY, TUESDAY - timedelta(1))
    with pytest.raises(SenderError, match="2000-01-01"):
        check_period(date(1, 1, 1), TUESDAY)


@given(zones, days, st.integers(0, 40), st.booleans())
@example(ZoneInfo("Pacific/Apia"), date(2011, 12, 29), 3, True)
@example(ZoneInfo("America/Havana"), date(2025, 11, 1), 2, True)
@example(ZoneInfo("Australia/Lord_Howe"), date(2026, 4, 4), 2, True)
def test_spans_fill_their_period_without_gaps(
    zone: ZoneInfo, since: date, more: int, hourly: bool
) -> None:
    period = Period(since, since + timedelta(more))
    found = spans([period], zone, hourly=hourly)
    assert midnight_s(since, zone) == found[0].since_s
    assert midnight_s(period.until + timedelta(1), zone) == found[-1].until_s
    for one, following in itertools.pairwise(found):
        assert one.until_s == following.since_s
    for part in found:
        assert part.since_s < part.until_s
        assert (0, 0) == (part.since_s % 900, part.until_s % 900)


@given(zones, days, st.integers(0, 86_400 * 3))
def test_every_moment_is_in_the_span_that_clocks_show(
    zone: ZoneInfo, since: date, offset_s: int
) -> None:
    period = Period(since - timedelta(1), since + timedelta(5))
    moment_s = midnight_s(since, zone) + offset_s
    local = datetime.fromtimestamp(moment_s, UTC).astimezone(zone)
    for hourly in (False, True):
        (found,) = [
            part
            for part in spans([period], zone, hourly=hourly)
            if part.since_s <= moment_s < part.until_s
        ]
        assert local.date() == found.day
        assert (local.hour if hourly else None) == found.hour


def test_days_with_a_change_of_clocks_are_shorter_or_longer() -> None:
    zone = ZoneInfo("Europe/Berlin")
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    lengths = [part.until_s - part.since_s for part in spans([Period(spring, spring)], zone)]
    lengths += [part.until_s - part.since_s for part in spans([Period(autumn, autumn)], zone)]
    assert [23 * 3600, 25 * 3600] == lengths
    hours = [part.hour for part in spans([Period(spring, spring)], zone, hourly=True)]
    assert [0, 1, *range(3, 24)] == hours
