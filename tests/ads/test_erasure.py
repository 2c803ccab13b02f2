"""Ad touches of a person: found, exported, made anonymous everywhere; gone when they are old."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from doublet import models
from doublet.person import Found, Records, Wish, find
from doublet.person.anonymous import anonymous_touch
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.ads.messages import make_touch
from tests.factories import ACCOUNT, HOUR, NOON, SECOND, Pipeline, make_record, sha256

EM = f"em={sha256('ada@private.example')}"
ADA: dict[str, Any] = {"user_data": {"em": "ada@private.example"}, "click_id": None}
OTHER_ACCOUNT = "act_100000000000002"
MADID = "38400000-8cf0-11bd-b23e-10b96e40000d"
GCLID = "Cj0KCQiA-of-ada-4711"
DAY = 24 * HOUR


def look(pipeline: Pipeline, *given: str, **how: bool) -> Found:
    """What a pipeline's lake holds of a person."""
    records = Records(duckdb.connect(), pipeline.lake, ACCOUNT)
    return find(records, given, datetime(2100, 1, 1, tzinfo=UTC), **how)


def their_touches(pipeline: Pipeline, found: Found) -> set[str]:
    """The ids of the touches that were found."""
    paths = [file.path for file in pipeline.lake.ad_touches.files()]
    rows = duckdb.execute(
        "select log_slot, log_offset, touch_id from read_parquet($paths)", {"paths": paths}
    ).fetchall()
    return {touch_id for slot, offset, touch_id in rows if (slot, offset) in found.touches}


def lay(pipeline: Pipeline, *records: Callable[[int], bytes]) -> None:
    """Append records, each received a second after the one before, and load them."""
    pipeline.append([record(NOON + n * SECOND) for n, record in enumerate(records)])
    pipeline.refresh()


def a_touch(touch_id: str, account_id: str = ACCOUNT, **fields: Any) -> Callable[[int], bytes]:
    def make(received_at: int) -> bytes:
        return make_touch(received_at, account_id, touch_id=touch_id, **fields)

    return make


def an_event(event_id: str, **fields: Any) -> Callable[[int], bytes]:
    def make(received_at: int) -> bytes:
        return make_record(received_at, event_id=event_id, **fields)

    return make


@pytest.fixture
def pipeline(tmp_path: Path) -> Any:
    made = Pipeline(tmp_path)
    yield made
    made.close()


def test_a_person_is_followed_through_touches_and_events(pipeline: Pipeline) -> None:
    both = {"em": "ada@private.example", "madid": MADID}
    lay(
        pipeline,
        a_touch("by-mail", **ADA),
        a_touch("both", user_data=both, click_id=None),
        a_touch("by-device", user_data={"madid": MADID}, click_id=None),
        a_touch("bob", user_data={"em": "bob@private.example"}, click_id=None),
        a_touch("elsewhere", OTHER_ACCOUNT, **ADA),
        an_event("by-device", user_data={"madid": MADID}),
    )
    found = look(pipeline, EM)
    assert {"by-mail", "both", "by-device"} == their_touches(pipeline, found)
    assert (1, 3) == (len(found.copies), found.figures()["touches"])
    assert {"by-mail", "both"} == their_touches(pipeline, look(pipeline, EM, exact=True))


@pytest.mark.parametrize(
    "event",
    [
        {"event_source_url": f"https://shop.example/?gclid={GCLID}&a=b"},
        {"custom_data": {"value": 1, "currency": "EUR", "click_id": GCLID}},
        {"user_data": {"em": "ada@private.example", "fbc": f"fb.1.1780000000000.{GCLID}"}},
    ],
)
def test_a_click_without_a_person_is_theirs_whose_event_bears_its_id(
    pipeline: Pipeline, event: dict[str, Any]
) -> None:
    bob: dict[str, Any] = {"user_data": {"em": "bob@private.example"}}
    lay(
        pipeline,
        an_event("order", **{"user_data": {"em": "ada@private.example"}, **event}),
        a_touch("click", click_id=GCLID),
        a_touch("another", click_id="Cj0-another"),
        # The address with the click id in it was passed on to Ada.
        a_touch("bobs", click_id=GCLID, kind="view", **bob),
    )
    assert {"click"} == their_touches(pipeline, look(pipeline, EM))


def test_what_is_erased_is_anonymous_in_log_lake_and_warehouse(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    writing = Pipeline(tmp_path / "made")
    now = time.time_ns() // 1000 - HOUR
    writing.append(
        [
            make_touch(now, touch_id="t1", ad_id="a1", cost=1, currency="EUR", **ADA),
            make_touch(now + 1, touch_id="t2", click_id=GCLID, touched_at=now // SECOND),
            make_touch(now + 2, touch_id="bob", user_data={"em": "bob@private.example"}),
            make_record(
                now + 3,
                event_id="e1",
                user_data={"em": "ada@private.example"},
                event_source_url=f"https://shop.example/?gclid={GCLID}",
            ),
        ]
    )
    writing.close()
    shutil.copytree(tmp_path / "made" / "log", tmp_path / "log")
    shutil.rmtree(tmp_path / "made")
    freshener = Freshener(settings)
    freshener.freshen()
    wish = Wish(ACCOUNT, frozenset({EM}))
    exported = freshener.export_person(wish)
    assert {"t1", "t2"} == {row["touch_id"] for row in exported if row["table"] == "ad_touches"}
    assert 3 == sum(row["records"] for row in exported if row["table"] == "log")
    persons = freshener.engine.query("select count(*) as n from persons")[0]["n"]
    freshener.ask_to_erase(wish)
    freshener.erase()
    (erasure,) = freshener.erasures.all()
    assert ("done", 1, 2) == (erasure.state, erasure.erased_copies, erasure.erased_touches)
    rows = freshener.engine.query(
        "select touch_id, ad_id, click_id, user_data is null as is_nobodys, cost, flags from "
        f"read_parquet('{tmp_path}/lake/ad_touches/received_date=*/*.parquet') order by log_offset"
    )
    assert [("erased", "a1", None, True, ["erased"]), ("erased", None, None, True, ["erased"])] == [
        (row["touch_id"], row["ad_id"], row["click_id"], row["is_nobodys"], row["flags"])
        for row in rows[:2]
    ]
    assert ("bob", False) == (rows[2]["touch_id"], rows[2]["is_nobodys"])
    after = freshener.engine.query("select count(*) as n from persons")[0]["n"]
    shown = freshener.engine.query("select * from touches where origin = 'ad_log'")
    freshener.rebuild()
    again = freshener.engine.query("select * from touches where origin = 'ad_log'")
    assert sorted(map(str, shown)) == sorted(map(str, again))
    assert after < persons
    freshener.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    hashed = (sha256("ada@private.example"), GCLID)
    assert [] == [trace for trace in hashed if trace.encode() in stored]
    assert sha256("bob@private.example").encode() in stored


def test_the_shortest_record_stays_as_short() -> None:
    for record in (
        make_touch(click_id="1", touch_id="1"),
        make_touch(user_data={"fbp": "fb.1.1.1"}, click_id=None, touch_id="1"),
        make_touch(click_id="1", touch_id="long-enough-for-a-flag"),
    ):
        anonymous = anonymous_touch(record)
        assert len(anonymous) <= len(record)
        found = msgspec.json.decode(anonymous)
        assert ("erased", None, None) == (
            found["touch_id"],
            found.get("click_id"),
            found.get("user_data"),
        )
        assert found["touch_key"] == msgspec.json.decode(record)["touch_key"]


def test_touches_are_kept_as_long_as_events(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, retention_events_d=10)
    now = time.time_ns() // 1000
    records = [
        make_touch(now - 30 * DAY, touch_id="old", touched_at=(now - 30 * DAY) // SECOND),
        make_touch(now - 11 * DAY, touch_id="again", touched_at=(now - 11 * DAY) // SECOND),
        make_touch(now - 9 * DAY, touch_id="again", touched_at=(now - 11 * DAY) // SECOND),
        make_touch(now - HOUR, touch_id="young", touched_at=(now - HOUR) // SECOND),
    ]
    writing = Pipeline(tmp_path / "made")
    writing.append(records)
    writing.close()
    shutil.copytree(tmp_path / "made" / "log", tmp_path / "log")
    freshener = Freshener(settings)
    freshener.freshen()
    count = "select count(*) as n from touches where origin = 'ad_log'"
    assert 3 == freshener.engine.query(count)[0]["n"]
    freshener.tidy()
    kept = freshener.engine.query("select * from touches where origin = 'ad_log'")
    assert 2 == len(kept)
    freshener.rebuild()
    again = freshener.engine.query("select * from touches where origin = 'ad_log'")
    assert sorted(map(str, kept)) == sorted(map(str, again))
    assert models.seen_files(freshener.engine)
    freshener.close()
