"""Reports: what they count, whose days they keep, and their forms for programs."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot

from doublet.catalog import Account
from doublet.reports import (
    CurrencyRow,
    OverviewRow,
    TimelineRow,
    as_csv,
    as_json,
    bounds,
    overview,
    report_sql,
    timeline,
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


def test_json_has_money_as_numbers() -> None:
    rows = [OverviewRow("Purchase", 1, 2, 3, 4, 5, 6, {"USD": Decimal("1234567890.1200")})]
    assert {"USD": 1234567890.12} == json.loads(as_json(rows))[0]["value"]


@pytest.mark.parametrize("name", ["overview", "timeline"])
def test_reports_are_read_by_spark_too(name: str) -> None:
    """Every output column is cast, so that both engines give the same types."""
    statement = sqlglot.parse_one(report_sql(name), read="duckdb")
    assert isinstance(statement, sqlglot.exp.Select)
    assert all(isinstance(column.unalias(), sqlglot.exp.Cast) for column in statement.selects)
    assert statement.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
