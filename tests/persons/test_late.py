"""What comes in later refreshes leaves the tables as a rebuild makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept import Arrival, accept_events, accept_hit, read_request
from doublet.accept.hits import read_hit
from doublet.normalize import identifier_key
from doublet.refusal import Refusal
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline, make_event, make_record
from tests.persons.test_persons import decide
from tests.persons.touching import em, fbp, make, make_touch, tables

OTHER = "act_100000000000002"


def step(pipeline: Pipeline, *records: bytes) -> None:
    pipeline.append(list(records))
    pipeline.refresh()


def check(pipeline: Pipeline) -> None:
    """That a rebuild changes nothing."""
    found = tables(pipeline)
    pipeline.rebuild(100_000)
    anew = tables(pipeline)
    for name in found:
        if name != "lake_files":
            assert found[name] == anew[name], name
    pipeline.close()


def test_persons_whom_a_decision_keeps_apart(tmp_path: Path) -> None:
    by_key = sorted("abcdefgh", key=lambda name: identifier_key(ACCOUNT, f"em={em(name)[0]}"))
    a, b, e = by_key[:3]
    pipeline = Pipeline(tmp_path)
    step(pipeline, decide(f"em={em(a)[0]}", f"em={em(b)[0]}", 0))
    step(pipeline, make("Lead", 1 * SECOND, em=em(a) + em(b)))
    step(pipeline, make("Lead", 2 * SECOND, em=em(e)))
    step(pipeline, make("Lead", 3 * SECOND, em=em(b) + em(e)))
    check(pipeline)


def test_another_view_in_the_same_second(tmp_path: Path) -> None:
    shown: dict[str, Any] = {"ad_id": "a1", "campaign_id": "c", "experiment": "x", "em": em("m")}
    pipeline = Pipeline(tmp_path)
    step(pipeline, make("Lead", em=em("m")))
    step(pipeline, make_touch("view", SECOND, number=1, **shown))
    step(pipeline, make_touch("view", SECOND, number=2, received_at=NOON + 3 * SECOND, **shown))
    assert 2 == len(pipeline.table("touchpoints", "all"))
    check(pipeline)


def test_a_click_that_another_account_has_logged_too(tmp_path: Path) -> None:
    logged = make_touch("click", SECOND, click_id="X", ad_id="a1")
    theirs = {**json.loads(logged), "account_id": OTHER, "received_at": NOON + 3}
    pipeline = Pipeline(tmp_path)
    step(pipeline, logged)
    landed = make_record(
        NOON + 2 * SECOND,
        event_name="Lead",
        user_data={"em": em("m")},
        event_source_url="https://shop.example/?fbclid=X",
        account_id=OTHER,
        pixel_id="1000000000000002",
    )
    step(pipeline, landed)
    step(pipeline, msgspec.json.encode(theirs))
    (lead,) = pipeline.table("conversions", "all")
    assert "a1" == lead["click_ad_id"]
    check(pipeline)


def test_a_click_that_two_have_shown_who_are_one(tmp_path: Path) -> None:
    url = "https://shop.example/?fbclid=X&ad_id=a1"
    pipeline = Pipeline(tmp_path)
    step(pipeline, make("ViewContent", 0, fbp=fbp(1)))
    step(
        pipeline,
        make("ViewContent", 50 * SECOND, fbp=fbp(2), url=url),
        make("Purchase", 80 * SECOND, fbp=fbp(2)),
        make("ViewContent", 100 * SECOND, fbp=fbp(1), url=url),
    )
    step(
        pipeline,
        make("Lead", 200 * SECOND, fbp=fbp(1), em=em("m")),
        make("Lead", 201 * SECOND, fbp=fbp(2), em=em("m")),
    )
    (bought,) = [r for r in pipeline.table("conversions", "all") if r["event_name"] == "Purchase"]
    assert (NOON // SECOND + 50, "a1") == (bought["click_time"], bought["click_ad_id"])
    check(pipeline)


def test_spellings_of_one_number_are_one_neighbour(tmp_path: Path) -> None:
    spelled = ["0171 1234567", "+49 171 1234567", "01711234567", "0049 171/1234567"]
    pipeline = Pipeline(tmp_path)
    for n, number in enumerate(spelled):
        event = make_event(
            event_name="Lead",
            event_id=f"lead.{n}",
            event_time=NOON // SECOND + n,
            user_data={"em": ["mary@example.com"], "ph": [number]},
        )
        at = Arrival(ACCOUNT, PIXEL, "server", NOON + n * SECOND, 0, phone_country="DE")
        request = read_request(msgspec.json.encode({"data": [event]}))
        assert not isinstance(request, Refusal)
        records = accept_events(request, at)
        assert isinstance(records, list), records
        step(pipeline, *records)
    assert 1 == len({row["root_id"] for row in pipeline.table("persons", "all")})
    assert not [row for row in pipeline.table("identifiers", "all") if row["is_shared"]]
    assert any(row["is_variant"] for row in pipeline.table("profile_identifiers", "all"))
    check(pipeline)


@pytest.mark.parametrize("dpo", ["LDU", ""])
def test_a_browser_limits_its_data_too(tmp_path: Path, dpo: str) -> None:
    pairs = {"id": PIXEL, "ev": "Lead", "dl": "https://shop.example/", "fbp": fbp(1), "dpo": dpo}
    hit = read_hit([*pairs.items(), ("ts", str(NOON // 1000))])
    record = accept_hit(hit, Arrival(ACCOUNT, PIXEL, "browser", NOON, 0))
    assert isinstance(record, bytes)
    pipeline = Pipeline(tmp_path)
    step(pipeline, record)
    assert (not dpo) == bool(pipeline.table("profiles", "all"))
    check(pipeline)
