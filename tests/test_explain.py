"""The story of an event: complete, true, and without anybody's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.catalog import Account
from doublet.explain import Story, explain
from tests.factories import (
    ACCOUNT,
    HOUR,
    NOON,
    PIXEL,
    SECOND,
    Pipeline,
    make_order,
    make_record,
    sha256,
)

SHOP = Account(ACCOUNT, "Shop", "Europe/Berlin", "USD")


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def only(pipeline: Pipeline, event_id: str) -> Story:
    """The one event that has a copy with this id."""
    (story,) = explain(pipeline.engine, SHOP, event_id)
    return story


def test_a_story_tells_each_copy_its_rule_and_what_differs(pipeline: Pipeline) -> None:
    mary, john = sha256("mary@example.com"), sha256("john@example.com")
    price = {"value": 10, "currency": "USD", "order_id": "1001", "num_items": 1}
    pipeline.append(
        [
            make_record(NOON, user_data={"em": [mary]}, custom_data=price),
            make_record(
                NOON + 2 * SECOND,
                "browser",
                user_data={"em": [john], "fbp": "fb.1.1780000000000.7"},
                custom_data=price | {"value": 12, "num_items": 2},
            ),
            make_record(NOON + 30 * HOUR, event_id="again", custom_data=price),
        ]
    )
    pipeline.refresh()
    story = only(pipeline, "order.1")
    assert story == only(pipeline, "again")
    assert ["first", "event_id", "order_id"] == [copy.rule for copy in story.copies]
    assert [False, True, False] == [copy.is_kept for copy in story.copies]
    assert [0.0, 2.0, 108000.0] == [copy.delay_s for copy in story.copies]
    fields = {difference.field for difference in story.differences}
    assert {"event_id", "event_time", "value", "custom_data.num_items", "user_data.em"} == fields
    text = "\n".join(story.sentences)
    assert "1. On 2026-05-28 at 22:26:40 (Europe/Berlin) a copy of the server came" in text
    assert "2 s after the first, with em, fbp." in text
    assert (
        "Kept is the browser's copy, for it came within 5 minutes of the first (number 2)" in text
    )
    assert "Copies disagree on value: 1 says 10.00, 2 says 12.00, 3 says 10.00" in text
    assert "30 h after the first" in text
    assert "(rule order_id)" in text
    assert "value of 12.00 USD" in text
    assert "It is of order 1001." in text
    for secret in (mary, john, "fb.1."):
        assert secret not in text


def test_a_lone_copy_and_a_foreign_one(pipeline: Pipeline) -> None:
    foreign = make_record(NOON, account_id="act_2", pixel_id="1000000000000002", event_id="theirs")
    pipeline.append([make_record(NOON + 1, event_id="mine"), foreign])
    pipeline.refresh()
    assert "It is the only copy of this event." in only(pipeline, "mine").sentences
    assert [] == explain(pipeline.engine, SHOP, "theirs")
    assert [] == explain(pipeline.engine, SHOP, "mine", pixel_id="1000000000000002")
    assert 1 == len(explain(pipeline.engine, SHOP, "mine", pixel_id=PIXEL))


def test_an_id_that_began_anew_tells_both_events(pipeline: Pipeline) -> None:
    pipeline.append([make_record(NOON), make_record(NOON + 49 * HOUR)])
    pipeline.refresh()
    first, second = explain(pipeline.engine, SHOP, "order.1")
    assert first.event_time < second.event_time


def test_ids_that_hold_an_address_are_found_as_they_were_sent(pipeline: Pipeline) -> None:
    pipeline.append([make_record(event_id="jo@example.com")])
    pipeline.refresh()
    assert sha256("jo@example.com") == only(pipeline, "jo@example.com").event_id


def test_a_store_s_event_is_found_by_its_id(pipeline: Pipeline) -> None:
    pipeline.append([make_record(action_source="physical_store", event_id="till.7")])
    pipeline.refresh()
    assert "first" == only(pipeline, "till.7").copies[0].rule


def test_of_very_many_copies_the_kept_one_is_told(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doublet.explain.copies.COPIES_MAX", 2)
    servers = [make_record(NOON + n) for n in range(4)]
    pipeline.append([*servers, make_record(NOON + SECOND, "browser")])
    pipeline.refresh()
    story = only(pipeline, "order.1")
    assert [("server", False), ("browser", True)] == [(c.source, c.is_kept) for c in story.copies]
    assert "3 more copies came; they are not told one by one." in story.sentences


def test_messages_about_orders_leave_stories_alone(pipeline: Pipeline) -> None:
    pipeline.append([make_record(), make_order("cancelled")])
    pipeline.refresh()
    assert "first" == only(pipeline, "order.1").copies[0].rule
