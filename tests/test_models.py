"""Deduplication: which copies are one event, which is kept, what the merged event holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet import models
from tests.factories import HOUR, NOON, SECOND, Pipeline, make_record, sha256


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def _only(pipeline: Pipeline) -> dict[str, Any]:
    (row,) = pipeline.events()
    return row


@pytest.mark.parametrize(
    ("copies", "kept", "rule", "delay_s"),
    [
        ([("browser", 0)], "browser", "only", None),
        ([("server", 0)], "server", "only", None),
        ([("browser", 0), ("server", 2)], "browser", "first", 2.0),
        ([("server", 0), ("browser", 2)], "browser", "browser_preferred", -2.0),
        ([("server", 0), ("browser", 300)], "browser", "browser_preferred", -300.0),
        ([("server", 0), ("browser", 301)], "server", "first", -301.0),
        ([("browser", 0), ("server", 172800)], "browser", "first", 172800.0),
        ([("server", 0), ("server", 1), ("browser", 9)], "browser", "browser_preferred", -9.0),
        ([("server", 0), ("server", 1)], "server", "first", None),
    ],
)
def test_copies_with_one_id_are_one_event(
    pipeline: Pipeline,
    copies: list[tuple[str, int]],
    kept: str,
    rule: str,
    delay_s: float | None,
) -> None:
    pipeline.append([make_record(NOON + at * SECOND, source) for source, at in copies])
    pipeline.refresh()
    row = _only(pipeline)
    assert (kept, rule, delay_s) == (row["kept_source"], row["kept_rule"], row["delay_s"])
    assert len(copies) == row["browser_copies"] + row["server_copies"]
    assert Decimal("10.5") == row["value"]


def test_a_copy_after_48_hours_is_an_event_of_its_own(pipeline: Pipeline) -> None:
    times = [0, 47 * HOUR, 49 * HOUR, 97 * HOUR + 1, 145 * HOUR + 2]
    pipeline.append([make_record(NOON + at) for at in times])
    pipeline.refresh()
    start = datetime.fromtimestamp(NOON / 1e6, UTC)
    expected = [timedelta(0), timedelta(hours=49), timedelta(hours=97, microseconds=1)]
    # 145 h + 2 µs is 48 h + 1 µs after the third anchor.
    expected.append(timedelta(hours=145, microseconds=2))
    assert expected == [row["anchor_at"] - start for row in pipeline.events()]


def test_a_late_copy_changes_the_event_it_belongs_to(pipeline: Pipeline) -> None:
    pipeline.append([make_record(NOON, "server")])
    pipeline.refresh()
    pipeline.append([make_record(NOON + 30 * HOUR, "browser")])
    assert models.Refreshed(1, 1) == pipeline.refresh()
    row = _only(pipeline)
    assert (1, 1) == (row["browser_copies"], row["server_copies"])


def test_value_and_currency_come_from_one_copy(pipeline: Pipeline) -> None:
    # A name other than Purchase, which may come without a value or a currency.
    yen, dollars, both = ({"value": 1000}, {"currency": "USD"}, {"value": 7.5, "currency": "EUR"})
    pipeline.append(
        [
            make_record(NOON, event_name="Lead", custom_data=yen),
            make_record(NOON + SECOND, event_name="Lead", custom_data=both),
            make_record(NOON + 2 * SECOND, event_name="Lead", custom_data=dollars),
        ]
    )
    pipeline.refresh()
    assert (Decimal("7.5"), "EUR") == (_only(pipeline)["value"], _only(pipeline)["currency"])


def test_events_without_an_id_are_never_joined(pipeline: Pipeline) -> None:
    pipeline.append([make_record(NOON + i, event_id=None) for i in range(3)])
    pipeline.refresh()
    assert 3 == len(pipeline.events())


def test_pixels_and_names_keep_events_apart(pipeline: Pipeline) -> None:
    pipeline.append(
        [
            make_record(NOON),
            make_record(NOON + 1, pixel_id="1000000000000002", account_id="act_2"),
            make_record(NOON + 2, event_name="Lead"),
        ]
    )
    pipeline.refresh()
    assert 3 == len(pipeline.events())


def test_the_merged_event_holds_what_both_copies_know(pipeline: Pipeline) -> None:
    browser = make_record(
        NOON,
        "browser",
        user_data={"fbp": "fb.1.1780000000000.1", "client_user_agent": "B", "em": [sha256("b")]},
        custom_data={"value": 12, "currency": "EUR", "content_ids": ["1"]},
        event_source_url="https://shop.example/browser",
    )
    server = make_record(
        NOON + SECOND,
        "server",
        user_data={"em": [sha256("a"), sha256("b")], "client_user_agent": "S", "fbc": None},
        custom_data={"value": 10, "currency": "USD", "order_id": "7", "profit": 3},
    )
    pipeline.append([browser, server])
    pipeline.refresh()
    row = _only(pipeline)
    assert sorted([sha256("a"), sha256("b")]) == row["user_data"]["em"]
    assert ("B", "fb.1.1780000000000.1") == (
        row["user_data"]["client_user_agent"],
        row["user_data"]["fbp"],
    )
    expected = {"value": 12, "currency": "EUR", "content_ids": ["1"], "order_id": "7", "profit": 3}
    assert expected == json.loads(row["custom_data"])
    assert (Decimal(12), "EUR", "7") == (row["value"], row["currency"], row["order_id"])
    assert "https://shop.example/browser" == row["event_source_url"]


# --- properties ------------------------------------------------------------------------------

_copies = st.lists(
    st.tuples(
        st.sampled_from(["browser", "server"]),
        st.integers(1, 3),
        st.one_of(
            st.integers(0, 400 * SECOND),
            st.integers(0, 200 * HOUR),
            st.sampled_from([0, 300 * SECOND, 300 * SECOND + 1, 48 * HOUR, 48 * HOUR + 1]),
        ),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda copy: copy[2],
)


def _expected(copies: list[tuple[str, int, int]]) -> list[tuple[Any, ...]]:
    """The conventions, written a second time as plainly as possible."""
    rows = []
    for key in {copy[1] for copy in copies}:
        chain: list[tuple[str, int]] = []
        chains = [chain]
        for source, _, at in sorted((c for c in copies if c[1] == key), key=lambda c: c[2]):
            if chain and at > chain[0][1] + 48 * HOUR:
                chain = []
                chains.append(chain)
            chain.append((source, at))
        for chain in chains:
            early = [c for c in chain if c[0] == "browser" and c[1] <= chain[0][1] + 300 * SECOND]
            kept = early[0] if early else chain[0]
            sides = [sum(c[0] == side for c in chain) for side in ("browser", "server")]
            rows.append((f"order.{key}", chain[0][1], kept, *sides))
    return sorted(rows)


def _actual(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    def micros(moment: datetime) -> int:
        return round((moment - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1)) - NOON

    return sorted(
        (
            row["event_id"],
            micros(row["anchor_at"]),
            (row["kept_source"], micros(row["kept_received_at"])),
            row["browser_copies"],
            row["server_copies"],
        )
        for row in pipeline.events()
    )


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(copies=_copies, order=st.randoms(use_true_random=False), parts=st.integers(1, 4))
def test_tables_depend_only_on_what_arrived_when(
    copies: list[tuple[str, int, int]], order: Any, parts: int
) -> None:
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder), rows_max=3)
        shuffled = list(copies)
        order.shuffle(shuffled)
        for part in range(parts):
            records = [
                make_record(NOON + at, source, event_id=f"order.{key}")
                for source, key, at in sorted(shuffled[part::parts], key=lambda copy: copy[2])
            ]
            if records:
                pipeline.append(records, slot=part)
                pipeline.refresh()
        assert _expected(copies) == _actual(pipeline)
        before = pipeline.events(), pipeline.table("copies", "log_slot, log_offset")
        pipeline.rebuild(5)
        assert before == (pipeline.events(), pipeline.table("copies", "log_slot, log_offset"))
        pipeline.close()


def test_compaction_changes_no_table(pipeline: Pipeline) -> None:
    for i in range(20):
        pipeline.append([make_record(NOON + i * SECOND, event_id=f"order.{i % 7}")])
        pipeline.refresh()
    before = pipeline.events()
    assert 20 == len(pipeline.lake.events.files())
    pipeline.compact()
    assert 1 == len(models.seen_files(pipeline.engine)) == len(pipeline.lake.events.files())
    assert models.Refreshed(0, 0) == pipeline.refresh()
    # Files that somebody else compacted look new; their rows are recognised.
    with pipeline.engine.transaction() as tx:
        tx.run("delete from lake_files")
    assert 0 == pipeline.refresh().copies
    assert before == pipeline.events()
    pipeline.append([make_record(NOON + HOUR, "browser", event_id="order.3")])
    pipeline.refresh()
    pipeline.rebuild(100)
    assert 7 == len(pipeline.events())
    pipeline.lake.clean_up(0)
    pipeline.append([make_record(NOON + HOUR + 1, "browser", event_id="order.4")])
    pipeline.refresh()
    assert 7 == len(pipeline.events())


def test_one_id_for_a_thousand_events_counts_all_and_costs_fifty(pipeline: Pipeline) -> None:
    values = [{"value": n, "currency": "USD"} for n in range(1000)]
    pipeline.append([make_record(NOON + n, custom_data=values[n]) for n in range(1000)])
    pipeline.refresh()
    pipeline.append([make_record(NOON + HOUR, user_data={"em": [sha256("late")]})])
    pipeline.refresh()
    row = _only(pipeline)
    assert (0, 1001) == (row["browser_copies"], row["server_copies"])
    assert (Decimal(0), "first") == (row["value"], row["kept_rule"])
    assert datetime.fromtimestamp((NOON + HOUR) / 1e6, UTC) == row["last_received_at"]
    assert [sha256("mary@example.com")] == row["user_data"]["em"]


def test_loading_goes_on_while_tables_are_made_anew(pipeline: Pipeline) -> None:
    for n in range(6):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"order.{n}")])
        pipeline.refresh()
    counted: list[int] = []

    @contextmanager
    def turn() -> Iterator[None]:
        yield
        counted.append(len(pipeline.events()))
        later = NOON + (60 + len(counted)) * SECOND
        pipeline.append([make_record(later, "browser", event_id=f"order.{len(counted) % 9}")])
        pipeline.refresh()

    models.rebuild(pipeline.engine, pipeline.lake, pipeline.rules, 2, turn=turn)
    assert 5 < len(counted)
    assert sorted(counted) == counted
    assert len(pipeline.lake.events.files()) == len(models.seen_files(pipeline.engine))
    tables = pipeline.events(), pipeline.table("copies", "all")
    assert 6 + len(counted) == len(tables[1])
    pipeline.rebuild(100)
    assert tables == (pipeline.events(), pipeline.table("copies", "all"))


def test_a_rebuild_that_was_cut_off_leaves_all_as_it_was(pipeline: Pipeline) -> None:
    for n in range(6):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"order.{n}")])
        pipeline.refresh()
    before = pipeline.events()
    turns = iter(range(4))

    @contextmanager
    def turn() -> Iterator[None]:
        if next(turns, None) is None:
            raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        models.rebuild(pipeline.engine, pipeline.lake, pipeline.rules, 2, turn=turn)
    assert before == pipeline.events()
    names = "select table_name from duckdb_tables() where table_name like '%_building'"
    assert [] != pipeline.engine.query(names)
    assert not models.prepare(pipeline.engine, pipeline.rules)
    assert [] == pipeline.engine.query(names)
    pipeline.rebuild(100)
    assert before == pipeline.events()


def test_changed_model_texts_make_the_tables_anew(pipeline: Pipeline) -> None:
    pipeline.append([make_record()])
    pipeline.refresh()
    assert not models.prepare(pipeline.engine, pipeline.rules)
    with pipeline.engine.transaction() as tx:
        tx.run("update model_state set fingerprint = 'older'")
    assert models.prepare(pipeline.engine, pipeline.rules)
    pipeline.refresh()
    assert 1 == len(pipeline.events())
