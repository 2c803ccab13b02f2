"""Reports: what they count, whose days they keep, and their forms for programs."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.catalog import Account
from doublet.reports import (
    CurrencyRow,
    OverviewRow,
    TimelineRow,
    as_csv,
    as_json,
    as_percent,
    bounds,
    marked_events,
    overview,
    report_sql,
    timeline,
)
from doublet.reports.coverage import (
    CoverageCurrencyRow,
    CoverageRow,
    coverage,
    coverage_by_currency,
)
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record

DAY_S = 86_400


def account(time_zone: str = "UTC") -> Account:
    return Account(ACCOUNT, "Shop", time_zone, "USD")


def at(moment: str, zone: str) -> int:
    """Wall-clock time in a zone as µs since 1970; a trailing 2 means the second of two."""
    text, fold = (moment[:-2], 1) if moment.endswith(" 2") else (moment, 0)
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(local.timestamp()) * SECOND


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def _fill(pipeline: Pipeline, *copies: tuple[int, str, str], **fields: Any) -> None:
    """Copies (received at, source, event id), written and modelled."""
    ordered = sorted(copies)
    pipeline.append(
        [make_record(moment, source, event_id=id_, **fields) for moment, source, id_ in ordered]
    )
    pipeline.refresh()


def _fill_years(pipeline: Pipeline, times: list[int]) -> None:
    """An event at each of these Unix seconds, all received within a moment, so that years of
    them do not become thousands of folders."""
    records = [
        json.loads(make_record(NOON + n, "browser", event_id=str(n))) | {"event_time": time}
        for n, time in enumerate(times)
    ]
    pipeline.append([json.dumps(record).encode() for record in records])
    pipeline.refresh()


def _counts(rows: list[TimelineRow]) -> list[tuple[str, int, int, int]]:
    return [(r.start.isoformat(), r.both, r.browser_only, r.server_only) for r in rows]


def test_the_timeline_counts_events_by_who_saw_them(pipeline: Pipeline) -> None:
    _fill(
        pipeline,
        (NOON, "browser", "1"),
        (NOON + SECOND, "server", "1"),
        (NOON + SECOND, "server", "1"),
        (NOON + 2 * SECOND, "browser", "2"),
        (NOON + 60 * SECOND, "server", "3"),
    )
    expected = [("2026-05-28T20:26:40+00:00", 1, 1, 0), ("2026-05-28T20:27:40+00:00", 0, 0, 1)]
    rows = timeline(pipeline.engine, account())
    assert expected == _counts(rows)
    assert [5, 5] == [(row.end - row.start).seconds for row in rows]
    assert [2, 1] == [row.events for row in rows]


@pytest.mark.parametrize(
    ("span_s", "width_s"),
    [
        (0, 5),
        (15 * 60, 5),
        (15 * 60 + 1, 60),
        (3 * 3600 + 1, 900),
        (2 * DAY_S + 1, 3600),
        (8 * DAY_S + 1, DAY_S),
        (191 * DAY_S, 7 * DAY_S),
        (4000 * DAY_S, 28 * DAY_S),
    ],
)
def test_spans_grow_with_the_time_between_first_and_last_event(
    pipeline: Pipeline, span_s: int, width_s: int
) -> None:
    _fill_years(pipeline, [NOON // SECOND, NOON // SECOND + span_s])
    rows = timeline(pipeline.engine, account("Asia/Kathmandu"))
    assert {width_s} == {int((row.end - row.start).total_seconds()) for row in rows}
    assert 2 == sum(row.events for row in rows)
    assert all(row.start.weekday() == 0 for row in rows if width_s >= 7 * DAY_S)


@pytest.mark.parametrize("days", [0.01, 0.12, 1.9, 7.9, 189, 1300, 4000])
def test_there_are_never_many_rows(pipeline: Pipeline, days: float) -> None:
    pick = random.Random(7)
    span_s = int(days * DAY_S)
    _fill_years(pipeline, [NOON // SECOND + pick.randrange(span_s) for _ in range(3000)])
    rows = timeline(pipeline.engine, account("America/New_York"))
    assert 90 <= len(rows) <= 205
    assert 3000 == sum(row.browser_only for row in rows)
    assert all(a.end <= b.start for a, b in pairwise(rows))


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Chatham", "UTC"])
def test_days_are_those_of_the_account(pipeline: Pipeline, zone: str) -> None:
    moments = ["2026-05-01T00:00:00", "2026-05-01T23:59:59", "2026-05-02T00:00:00"]
    moments.append("2026-05-20T12:00:00")
    _fill(pipeline, *((at(text, zone), "server", text) for text in moments))
    rows = timeline(pipeline.engine, account(zone))
    assert ["2026-05-01", "2026-05-02", "2026-05-20"] == [str(row.start.date()) for row in rows]
    assert [2, 1, 1] == [row.events for row in rows]
    assert {0} == {row.start.hour + row.start.minute for row in rows}
    day = date(2026, 5, 1)
    only = timeline(pipeline.engine, account(zone), since=day, until=day)
    assert 2 == sum(row.events for row in only)
    (row,) = overview(pipeline.engine, account(zone), since=day, until=day)
    assert 2 == row.events


def test_the_hour_that_comes_twice_is_one_row(pipeline: Pipeline) -> None:
    zone = "Europe/Berlin"
    moments = ["2026-10-25T02:30:00", "2026-10-25T02:30:00 2", "2026-10-25T03:30:00"]
    moments.append("2026-10-22T00:00:00")
    _fill(pipeline, *((at(text, zone), "server", text) for text in moments))
    rows = timeline(pipeline.engine, account(zone))
    expected = ["2026-10-22T00:00:00+02:00", "2026-10-25T02:00:00+02:00"]
    expected.append("2026-10-25T03:00:00+01:00")
    assert expected == [row.start.isoformat() for row in rows]
    assert [1, 2, 1] == [row.events for row in rows]


def test_filters_and_accounts_hold_for_the_timeline(pipeline: Pipeline) -> None:
    test = json.loads(make_record(NOON, event_id="test")) | {"is_test": True}
    pipeline.append(
        [
            make_record(NOON, event_id="1"),
            make_record(NOON + 1, event_id="2", event_name="Lead"),
            make_record(NOON + 2, event_id="3", pixel_id="1000000000000002"),
            make_record(NOON + 3, event_id="4", account_id="act_2", pixel_id="1000000000000003"),
            json.dumps(test).encode(),
        ]
    )
    pipeline.refresh()

    def events(**filters: Any) -> int:
        return sum(row.events for row in timeline(pipeline.engine, account(), **filters))

    assert 3 == events()
    assert 1 == events(event_name="Lead")
    assert 1 == events(pixel_id="1000000000000002")
    assert 0 == events(pixel_id="1000000000000003")
    assert 0 == events(since=date(2026, 5, 29))
    assert [] == timeline(pipeline.engine, account(), until=date(1970, 1, 1))


def test_bounds_take_every_day_of_the_calendar() -> None:
    east = account("Pacific/Kiritimati")
    start, end = bounds(east, date.min, date.max)
    assert start is not None
    assert start < 0
    assert end is None
    day = date(2026, 3, 29)
    start, end = bounds(account("Europe/Berlin"), day, day)
    assert start is not None
    assert end is not None
    assert 23 * 3600 == end - start


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_of_a_csv_is_a_formula(start: str) -> None:
    name = f'{start}HYPERLINK("http://evil.example","x")'
    rows = [CurrencyRow(name, "USD", 1, 0, 1, 0, 1, 0, Decimal("-2.5000"))]
    (_, cells) = list(csv.reader(io.StringIO(as_csv(rows, CurrencyRow), newline="")))
    assert f"'{name}" == cells[0]
    assert "-2.5000" == cells[-1]


def test_csv_has_a_row_per_currency_and_always_a_line_of_names() -> None:
    rows = [
        CurrencyRow("a,b", "USD", 1, 2, 3, 4, 5, 6, Decimal("1.5")),
        CurrencyRow("c", None, 1, 2, 3, 4, 5, 6, None),
    ]
    expected = (
        "event_name,currency,browser,server,events,both,browser_only,server_only,value\r\n"
        '"a,b",USD,1,2,3,4,5,6,1.5\r\nc,,1,2,3,4,5,6,\r\n'
    )
    assert expected == as_csv(rows, CurrencyRow)
    names = "start,end,events,both,browser_only,server_only\r\n"
    assert names == as_csv([], TimelineRow)
    row = TimelineRow(
        datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC), 1, 1, 0, 0
    )
    line = "2026-05-01T00:00:00+00:00,2026-05-02T00:00:00+00:00,1,1,0,0\r\n"
    assert names + line == as_csv([row], TimelineRow)


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (1, 3, "33.3 %"),
        (1, 2, "50 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "> 99.9 %"),
        (0, 0, "0 %"),
        (Decimal("12.5"), Decimal("10"), "125 %"),
    ],
)
def test_a_share_is_never_all_or_nothing_unless_it_is(part: int, whole: int, shown: str) -> None:
    assert shown == as_percent(part, whole)


def test_json_has_money_as_numbers() -> None:
    rows = [OverviewRow("Purchase", 1, 2, 3, 4, 5, 6, {"USD": Decimal("1234567890.1200")})]
    assert {"USD": 1234567890.12} == json.loads(as_json(rows))[0]["value"]


# --- coverage --------------------------------------------------------------------------------


def _only(row: CoverageRow) -> tuple[int, ...]:
    return row.events, row.both, row.browser_only, row.server_only


def _alone(row: CoverageRow) -> tuple[int, int, int]:
    return row.browser_alone, row.server_alone, row.added


def test_coverage_says_what_each_side_alone_would_have_reported(pipeline: Pipeline) -> None:
    _fill(
        pipeline,
        (NOON, "browser", "1"),
        (NOON + 1, "server", "1"),
        (NOON + 2, "server", "1"),
        (NOON + 3, "browser", "2"),
        (NOON + 4, "browser", "2"),
        (NOON + 5, "server", "3"),
        (NOON + 6, "server", "4"),
    )
    (row,) = coverage(pipeline.engine, account())
    assert (4, 1, 1, 2) == _only(row)
    # The repeats of one side are no events of it: 2 and 3, not 3 and 4.
    assert (2, 3, 5) == _alone(row)
    assert (0.5, 0.25, 0.25) == (
        row.browser_missed_share,
        row.server_missed_share,
        row.overcount_share,
    )
    value = row.value["USD"]
    assert [Decimal(text) for text in ("42", "21", "31.5", "52.5")] == [
        value.value,
        value.browser_alone,
        value.server_alone,
        value.added,
    ]
    assert (0.5, 0.25, 0.25) == (
        value.browser_missed_share,
        value.server_missed_share,
        value.overcount_share,
    )


def test_coverage_keeps_currencies_apart_and_counts_events_without_value(
    pipeline: Pipeline,
) -> None:
    euros = {"value": 5, "currency": "EUR"}
    _fill(pipeline, (NOON, "server", "1"), (NOON + 1, "browser", "1"), custom_data=euros)
    _fill(pipeline, (NOON + 2, "server", "2"))
    _fill(pipeline, (NOON + 3, "browser", "3"), event_name="Lead", custom_data={"value": 0})
    _fill(pipeline, (NOON + 4, "browser", "4"), event_name="Lead", custom_data=None)
    lead, purchase = coverage(pipeline.engine, account())
    assert ("Lead", "Purchase") == (lead.event_name, purchase.event_name)
    assert {"EUR", "USD"} == purchase.value.keys()
    assert (Decimal(10), 1.0) == (
        purchase.value["EUR"].added,
        purchase.value["EUR"].overcount_share,
    )
    assert (Decimal(0), 1.0) == (
        purchase.value["USD"].browser_alone,
        purchase.value["USD"].browser_missed_share,
    )
    assert ((2, 0, 2, 0), {}) == (_only(lead), lead.value)
    cells = list(csv.DictReader(io.StringIO(_coverage_csv(pipeline))))
    assert [("Lead", ""), ("Purchase", "EUR"), ("Purchase", "USD")] == [
        (row["event_name"], row["currency"]) for row in cells
    ]
    assert ["", "10.0000", "10.5000"] == [row["added_value"] for row in cells]
    assert ["", "1.0", "0.0"] == [row["overcount_value_share"] for row in cells]


def _coverage_csv(pipeline: Pipeline, **filters: Any) -> str:
    rows = coverage_by_currency(pipeline.engine, account(), **filters)
    return as_csv(rows, CoverageCurrencyRow)


def test_a_share_of_nothing_is_none(pipeline: Pipeline) -> None:
    _fill(pipeline, (NOON, "server", "1"), custom_data={"value": 0, "currency": "USD"})
    (row,) = coverage(pipeline.engine, account())
    assert 1.0 == row.browser_missed_share
    assert row.value["USD"].browser_missed_share is None
    assert [] == coverage(pipeline.engine, account(), event_name="Lead")


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Chatham", "UTC"])
def test_coverage_by_day_has_the_days_of_the_account(pipeline: Pipeline, zone: str) -> None:
    _fill(
        pipeline,
        (at("2026-05-01T00:00:00", zone), "server", "1"),
        (at("2026-05-01T23:59:59", zone), "browser", "2"),
        (at("2026-05-02T00:00:00", zone), "browser", "3"),
    )
    rows = coverage(pipeline.engine, account(zone), by_day=True)
    first, second = date(2026, 5, 1), date(2026, 5, 2)
    expected = [(first, (2, 0, 1, 1)), (second, (1, 0, 1, 0))]
    assert expected == [(row.day, _only(row)) for row in rows]
    (only,) = coverage(pipeline.engine, account(zone), by_day=True, since=second)
    assert (second, 1) == (only.day, only.events)
    (total,) = coverage(pipeline.engine, account(zone))
    assert (None, 3) == (total.day, total.events)


def test_filters_and_accounts_hold_for_coverage(pipeline: Pipeline) -> None:
    test = json.loads(make_record(NOON, event_id="test")) | {"is_test": True}
    pipeline.append(
        [
            make_record(NOON, event_id="1"),
            make_record(NOON + 1, event_id="2", event_name="Lead"),
            make_record(NOON + 2, event_id="3", pixel_id="1000000000000002"),
            make_record(NOON + 3, event_id="4", account_id="act_2", pixel_id="1000000000000003"),
            json.dumps(test).encode(),
        ]
    )
    pipeline.refresh()

    def events(**filters: Any) -> int:
        return sum(row.events for row in coverage(pipeline.engine, account(), **filters))

    assert 3 == events()
    assert 1 == events(event_name="Lead")
    assert 1 == events(pixel_id="1000000000000002")
    assert 0 == events(pixel_id="1000000000000003")
    assert 0 == events(since=date(2026, 5, 29))
    assert 0 == events(until=date(1970, 1, 1), by_day=True)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    copies=st.lists(
        st.tuples(
            st.sampled_from(["browser", "server"]),
            st.sampled_from(["Purchase", "Lead"]),
            st.sampled_from("abcdef"),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_coverage_is_what_sets_of_events_say(
    tmp_path_factory: pytest.TempPathFactory, copies: list[tuple[str, str, str, int]]
) -> None:
    """All copies of an event bear its day, so that sets of names know the answer."""
    pipeline = Pipeline(tmp_path_factory.mktemp("coverage"))
    try:
        seen: dict[str, set[tuple[str, str]]] = {"browser": set(), "server": set()}
        days = {(name, id_): day for _, name, id_, day in reversed(copies)}
        records = []
        for n, (source, name, id_, _) in enumerate(copies):
            seen[source].add((name, id_))
            time_s = NOON // SECOND + days[name, id_] * DAY_S
            fields: dict[str, Any] = {"event_id": id_, "event_name": name, "event_time": time_s}
            records.append(make_record(NOON + 4 * DAY_S * SECOND + n, source, **fields))
        if records:
            pipeline.append(records)
        pipeline.refresh()
        rows = coverage(pipeline.engine, account(), by_day=True)
        assert [(row.event_name, row.day) for row in rows] == sorted(
            {(name, date(2026, 5, 28 + day)) for (name, _), day in days.items()}
        )
        for row in rows:
            sides = [
                {
                    e
                    for e in events
                    if e[0] == row.event_name and date(2026, 5, 28 + days[e]) == row.day
                }
                for events in seen.values()
            ]
            browser, server = sides
            expected = (browser | server, browser & server, browser - server, server - browser)
            assert tuple(map(len, expected)) == _only(row)
            assert (len(browser), len(server), len(browser) + len(server)) == _alone(row)
        total = coverage(pipeline.engine, account())
        assert sum(row.events for row in rows) == sum(row.events for row in total)
        assert sum(row.added for row in rows) == sum(row.added for row in total)
    finally:
        pipeline.close()


@pytest.mark.parametrize(
    "name",
    [
        *("overview", "timeline", "coverage", "marked", "quality", "diagnostics"),
        *("timeline_span", "timeline_ends", "timeline_events", "dedupe_keys"),
        *("pixel_facts", "pixel_stats"),
    ],
)
def test_reports_are_read_by_spark_too(name: str) -> None:
    """Every output column is cast, so that both engines give the same types."""
    statement = sqlglot.parse_one(report_sql(name), read="duckdb")
    assert isinstance(statement, sqlglot.exp.Select)
    assert all(isinstance(column.unalias(), sqlglot.exp.Cast) for column in statement.selects)
    assert statement.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)


@pytest.mark.parametrize("mark", ["automatic", "bot"])
def test_marked_hits_count_only_when_asked_for_or_confirmed_by_a_server(
    pipeline: Pipeline, mark: str
) -> None:
    records = [
        json.loads(make_record(NOON + n, source, event_id=id_))
        for n, (source, id_) in enumerate(
            [("browser", "plain"), ("browser", "marked"), ("browser", "both"), ("server", "both")]
        )
    ]
    for record in records[1:3]:
        record["flags"] = [mark, "missing_ts"]
    pipeline.append([json.dumps(record).encode() for record in records])
    pipeline.refresh()
    assert 1 == marked_events(pipeline.engine, account())
    for report in (overview, timeline, coverage):
        for with_marked, events in ((False, 2), (True, 3)):
            rows: Any = report(pipeline.engine, account(), with_marked=with_marked)
            assert events == sum(row.events for row in rows)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *((name, "not is_marked") for name in ("overview", "overview_events", "timeline")),
        *((name, "not is_marked") for name in ("timeline_span",)),
        *((name, "not is_marked") for name in ("timeline_ends", "timeline_events", "coverage")),
        *((name, "not is_marked") for name in ("quality", "dedupe_keys", "links")),
        *(
            (name, "server_copies > 0 or not coalesce(list_has_any(flags, $marks), false)")
            for name in ("pixel_stats", "diagnostics")
        ),
    ],
)
def test_reports_leave_out_marked_events_by_one_rule(name: str, rule: str) -> None:
    assert rule in re.sub(r"\s+", " ", report_sql(name))
