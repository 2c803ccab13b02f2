"""Whose consent an event has: its own copies', otherwise its person's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doublet.accept import Arrival, accept_hit, read_hit
from doublet.catalog import Account
from doublet.consent import consent_of
from doublet.explain import Story, explain
from tests.factories import ACCOUNT, HOUR, NOON, PIXEL, SECOND, Pipeline, make_record, sha256

SHOP = Account(ACCOUNT, "Shop", "Europe/Berlin", "USD")
GRANTED = {"ad_storage": "granted", "ad_user_data": "granted", "source": "tcf"}
DENIED = {"ad_storage": "granted", "ad_user_data": "denied", "source": "tcf"}
FBP = "fb.1.1780000000000.7"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def hit(
    received_at: int,
    consent: dict[str, str],
    event_id: str = "order.1",
    account_id: str = ACCOUNT,
    **fields: str,
) -> bytes:
    """The record of a browser's Purchase that says what was consented to."""
    pairs = {
        "id": PIXEL,
        "ev": "Purchase",
        "eid": event_id,
        "ts": str(received_at // 1000),
        "fbp": FBP,
        "cd[value]": "10.5",
        "cd[currency]": "USD",
        **{f"cs[{key}]": word for key, word in consent.items()},
        **fields,
    }
    pixel_id = PIXEL if account_id == ACCOUNT else "1000000000000002"
    arrival = Arrival(account_id, pixel_id, "browser", received_at, 0)
    record = accept_hit(read_hit(pairs.items()), arrival)
    assert isinstance(record, bytes), record
    return record


def only(pipeline: Pipeline, event_id: str) -> Story:
    """The one event with this id."""
    (story,) = explain(pipeline.engine, SHOP, event_id)
    return story


@pytest.mark.parametrize("browser_at", [0, 10 * SECOND, HOUR], ids=["first", "later", "after all"])
@pytest.mark.parametrize("server_extra", [None, "https://shop.example/cart"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_copy_of_the_server_has_the_word_of_its_event(
    pipeline: Pipeline, browser_at: int, server_extra: str | None, at_once: bool
) -> None:
    records = {
        5 * SECOND: make_record(NOON + 5 * SECOND, referrer_url=server_extra),
        browser_at: hit(NOON + browser_at, GRANTED),
    }
    for _, record in sorted(records.items()):
        pipeline.append([record])
        if not at_once:
            pipeline.refresh()
    pipeline.refresh()
    (event,) = pipeline.events()
    assert GRANTED == json.loads(event["consent"])
    story = only(pipeline, "order.1")
    assert (GRANTED, "event") == (story.consent, story.consent_of)
    assert "Consent: ad_storage granted, ad_user_data granted (tcf)." in story.sentences
    pipeline.rebuild(2)
    assert [event] == pipeline.events()


def test_the_first_word_of_an_event_stands_in_any_order_of_loading(tmp_path: Path) -> None:
    records = [
        hit(NOON, {}),
        hit(NOON + SECOND, GRANTED),
        make_record(NOON + 2 * SECOND),
        hit(NOON + 3 * SECOND, DENIED),
    ]
    found = set()
    for number, cuts in enumerate(itertools.product([False, True], repeat=3)):
        pipeline = Pipeline(tmp_path / str(number))
        for record, cut in zip(records, (*cuts, True), strict=True):
            pipeline.append([record])
            if cut:
                pipeline.refresh()
        (event,) = pipeline.events()
        found.add(event["consent"])
        pipeline.close()
    assert {json.dumps(GRANTED, separators=(",", ":"))} == found


@pytest.mark.parametrize(
    "user_data",
    [
        {"fbp": FBP},
        {"em": [sha256("mary@example.com")]},
        {"ph": [sha256("49301234567")]},
        {"external_id": [sha256("user-42")]},
    ],
    ids=lambda user_data: next(iter(user_data)),
)
def test_an_event_of_the_server_alone_has_its_persons_last_word_by_then(
    pipeline: Pipeline, user_data: dict[str, Any]
) -> None:
    key = next(iter(user_data))
    more = {} if key == "fbp" else {f"ud[{key}]": user_data[key][0], "fbp": "fb.1.1780000000000.8"}
    pipeline.append(
        [
            hit(NOON, DENIED, "visit.1", **more),
            hit(NOON + HOUR, GRANTED, "visit.2", **more),
            make_record(NOON + 2 * HOUR, event_id="order.2", user_data=user_data),
            make_record(NOON + HOUR // 2, event_id="order.1", user_data=user_data),
            # What is said later changes nothing that was before.
            hit(NOON + 3 * HOUR, DENIED, "visit.3", **more),
        ]
    )
    pipeline.refresh()
    later, earlier = only(pipeline, "order.2"), only(pipeline, "order.1")
    assert (GRANTED, "person") == (later.consent, later.consent_of)
    assert (DENIED, "person") == (earlier.consent, earlier.consent_of)
    assert any("its person's last word" in sentence for sentence in later.sentences)


def test_a_word_of_no_purpose_hides_no_denial(pipeline: Pipeline) -> None:
    pipeline.append(
        [
            hit(NOON, DENIED, "visit.1"),
            hit(NOON + HOUR, {"gpc": "1"}, "visit.2"),
            hit(NOON + HOUR + SECOND, DENIED, "visit.2"),
            hit(NOON + HOUR + 2 * SECOND, {"gpc": "1"}, "visit.3"),
            make_record(NOON + 2 * HOUR, event_id="order.2", user_data={"fbp": FBP}),
        ]
    )
    pipeline.refresh()
    found = {story: only(pipeline, story) for story in ("visit.2", "visit.3", "order.2")}
    assert {
        name: (DENIED, whose)
        for name, whose in zip(found, ("event", "person", "person"), strict=True)
    } == {name: (story.consent, story.consent_of) for name, story in found.items()}


def test_nobody_has_the_word_of_others(pipeline: Pipeline) -> None:
    pipeline.append(
        [
            hit(NOON, GRANTED, "visit.1"),
            hit(NOON, GRANTED, "visit.2", "act_100000000000002", fbp="fb.1.1780000000000.9"),
            make_record(NOON + HOUR, event_id="other", user_data={"fbp": "fb.1.1780000000000.9"}),
            make_record(
                NOON + HOUR, event_id="nobody", user_data={"client_ip_address": "192.0.2.1"}
            ),
        ]
    )
    pipeline.refresh()
    for event in pipeline.events():
        found = consent_of(pipeline.engine, event)
        assert (event["event_id"] in ("visit.1", "visit.2")) == (found is not None)
