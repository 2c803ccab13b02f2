"""The feed itself: what it remembers, what it replays, its bounds and its words."""

from __future__ import annotations

import ast
import asyncio
import doctest
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doublet import accept
from doublet.accept import MARKS
from doublet.accept.flags import FLAGS, advise
from doublet.live.feed import (
    REMEMBERED_MAX,
    Ear,
    Feed,
    Wish,
    read_positions,
    write_positions,
)
from doublet.live.listening import Gap, Listener, Message
from doublet.live.rows import read_row
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline, make_record


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    made.close()


def _feed(pipeline: Pipeline) -> Feed:
    return Feed(pipeline.folder / "log", lambda: {PIXEL: ACCOUNT}, lambda *_: {}, lambda: 0)


def _records_now(count: int, **fields: Any) -> list[bytes]:
    now = time.time_ns() // 1000
    return [make_record(now + n, event_id=f"{n:05}", **fields) for n in range(count)]


def _look(feed: Feed) -> None:
    while feed.look():
        pass


def test_a_slow_listener_is_told_how_much_it_missed(pipeline: Pipeline) -> None:
    feed = _feed(pipeline)
    ear = Ear(Wish(ACCOUNT, everything=True), lambda: None)
    feed.open(ear)
    pipeline.append(_records_now(REMEMBERED_MAX + 70))
    _look(feed)
    part = feed.take(ear)
    assert (70, REMEMBERED_MAX) == (part.missed, len(part.entries))
    assert "00070" == part.entries[0].row.event_id
    assert ([], 0) == feed.take(ear)[:2]


def test_the_rest_is_replayed_from_the_log_exactly(pipeline: Pipeline) -> None:
    feed = _feed(pipeline)
    wish = Wish(ACCOUNT, everything=True)
    ear = Ear(wish, lambda: None)
    feed.open(ear)
    for slot in (0, 1, 0, 2, 1):
        pipeline.append(_records_now(40), slot=slot)
    _look(feed)
    part = feed.take(ear)
    assert 200 == len(part.entries)
    everything = [entry.place for entry in part.entries]
    for at in (0, 39, 40, 123, 199):
        since = part.entries[at].positions
        replayed = [entry.place for entry in feed.replay(wish, since, part.positions) if entry]
        assert sorted(everything[at + 1 :]) == sorted(replayed)


def test_what_is_remembered_has_a_bound_for_many_accounts(pipeline: Pipeline) -> None:
    feed = _feed(pipeline)
    heard = "act_200000000000000"
    feed.open(Ear(Wish(heard, everything=True), lambda: None))
    pipeline.append(_records_now(1, account_id=heard))
    others = [f"act_3{n:014}" for n in range(200)]
    pipeline.append([_records_now(1, account_id=account_id)[0] for account_id in others])
    _look(feed)
    remembered = [
        account_id
        for account_id in [heard, *others]
        if feed.recent(Wish(account_id, everything=True))
    ]
    assert heard in remembered
    assert others[-1] in remembered
    assert len(remembered) <= 120


def test_of_an_erased_person_nothing_is_remembered_but_that_there_was_an_event(
    pipeline: Pipeline,
) -> None:
    feed = _feed(pipeline)
    wish = Wish(ACCOUNT, everything=True)
    ear = Ear(wish, lambda: None)
    feed.open(ear)
    long = {"custom_data": {"value": 1, "currency": "EUR", "x": "y" * 20_000}}
    for fields in (long, {}, {}):
        pipeline.append(_records_now(2, **fields))
    _look(feed)
    places = [row.place for row in reversed(feed.recent(wish))]
    feed.forget(set(places[1:4]))
    rows = [entry.row for entry in feed.take(ear).entries]
    assert ["00000", None, None, None, "00000", "00001"] == [row.event_id for row in rows]
    assert places == [row.place for row in rows]
    erased = rows[1]
    assert (None, {}, ()) == (erased.event_source_url, erased.custom_data, erased.user_data_keys)
    assert ["erased"] == [advice.flag for advice in erased.warnings]


def test_large_custom_data_is_left_out_and_said(pipeline: Pipeline) -> None:
    (record,) = _records_now(1, custom_data={"value": 1, "currency": "EUR", "x": "y" * 20_000})
    pipeline.append([record])
    feed = _feed(pipeline)
    _look(feed)
    (row,) = feed.recent(Wish(ACCOUNT, everything=True))
    assert {} == row.custom_data
    assert ["custom_data_not_shown"] == [advice.flag for advice in row.warnings]


def test_a_line_is_read_whatever_its_flags_are() -> None:
    line = b'{"log_offset":7,' + make_record()[1:]
    assert (7, ["em"]) == ((row := read_row(line, 3)).log_offset, row.user_data_keys)
    assert row.happened_at is None
    line = b'{"log_offset":8,' + make_record(NOON, event_time=NOON // SECOND - 3600)[1:]
    happened_at = read_row(line, 3).happened_at
    assert happened_at is not None
    assert NOON / SECOND - 3600 == happened_at.timestamp()
    assert "It is marked unheard_of." == advise("unheard_of").says


@pytest.mark.parametrize("text", ["", "-", "0-", "0", "a-1", "0-1.", "0-1-2", "0-²", "0-1." * 9000])
def test_other_texts_are_no_positions(text: str) -> None:
    assert read_positions(text) is None


def test_positions_are_read_as_they_were_written() -> None:
    for positions in ({0: 0}, {0: 1_795_611_031_654_448, 17: 5}):
        assert positions == read_positions(write_positions(positions))


def test_every_flag_has_words() -> None:
    flags = set(MARKS)
    for path in (Path(__file__).parents[2] / "doublet" / "accept").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_fault = node.func.attr == "fault"
                is_flag = node.func.attr == "append" and "flags" in ast.unparse(node.func.value)
                if (is_fault or is_flag) and isinstance(node.args[-1], ast.Constant):
                    flags.add(str(node.args[-1].value))
    assert "missing_ts" in flags
    assert "unknown_user_data" in flags
    assert set() == flags - FLAGS.keys()
    assert 0 == doctest.testmod(accept.flags).failed


def test_a_listener_is_told_when_the_log_was_freed_meanwhile(pipeline: Pipeline) -> None:
    feed = _feed(pipeline)
    wish = Wish(ACCOUNT, everything=True)
    ear = Ear(wish, lambda: None)
    feed.open(ear)
    for _ in range(3):
        pipeline.append(_records_now(5))
        pipeline.log.close_segments()
    _look(feed)
    entries = feed.take(ear).entries
    first, last = entries[0].positions, entries[-1].positions
    assert not feed.has_lost(first)
    assert pipeline.log.delete(last, time.time() + 60)
    assert feed.has_lost(first)
    assert not feed.has_lost(last)

    async def listen() -> list[Message]:
        told = []
        async for message in Listener(feed, wish, first).messages():
            told.append(message)
            if message.content is None:
                break
        return told

    told = asyncio.run(listen())
    assert isinstance(told[0].content, Gap)
    assert told[0].content.missed is None
    assert write_positions(last) == told[-1].position
