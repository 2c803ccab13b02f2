"""Persons in the warehouse: from the records of the log to who is who, and back again."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.models.ads import forget_touches
from doublet.models.forget import note_places, take_out
from tests.factories import ACCOUNT, NOON, Pipeline, sha256
from tests.persons.touching import DAY, em, fbc, fbp, make, make_touch, persons_of, tables


def ids(*names: str) -> list[str]:
    return sorted(names)


def decide(a: str, b: str, at: int, *, revoked: bool = False) -> bytes:
    """The record of a decision that two identifiers are not one person's."""
    return msgspec.json.encode(
        {
            "record_type": "decision",
            "account_id": ACCOUNT,
            "source": "server",
            "received_at": NOON + at,
            "decision_id": f"{a}.{b}",
            "kind": "unmerge",
            "identifier_a": a,
            "identifier_b": b,
            "reason": "Two sisters.",
            "is_revoked": revoked,
        }
    )


def test_what_one_event_carries_is_one_persons(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make("ViewContent", 0, fbp=fbp(1)),
            make("ViewContent", 1, fbp=fbp(2)),
            make("Lead", 2, fbp=fbp(1), em=em("mary")),
        ]
    )
    pipeline.refresh()
    assert persons_of(pipeline) == [ids("Lead.2.0", "ViewContent.0.0"), ids("ViewContent.1.0")]
    pipeline.append([make("Purchase", DAY, fbp=fbp(2), em=em("mary"))])
    pipeline.refresh()
    assert [len(each) for each in persons_of(pipeline)] == [4]
    (merged,) = [row for row in pipeline.table("persons", "first_at") if row["merged_into"]]
    (whole,) = [row for row in pipeline.table("persons", "first_at") if not row["merged_into"]]
    assert merged["merged_into"] == merged["root_id"] == whole["person_id"]
    # By the profile of the purchase, when that was received.
    (profile,) = pipeline.engine.query(
        "select profile_key, anchor_at from record_profiles inner join events_deduplicated "
        "using (pixel_id, event_key, anchor_at) where event_name = 'Purchase'"
    )
    assert (merged["merged_by"], merged["merged_at"]) == tuple(profile.values())
    pipeline.close()


def test_address_and_browser_are_nobody(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append([make("Lead", 0), make("Lead", 1)])
    pipeline.refresh()
    assert [] == pipeline.table("persons", "person_id")
    assert [None, None] == [row["person_id"] for row in pipeline.table("conversions", "event_time")]
    pipeline.close()


def test_a_click_joins_only_what_carries_nothing_else(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make("Lead", 0, fbc=fbc("IwAR1")),
            make("Purchase", 1, fbc=fbc("IwAR1")),
            make("Purchase", 2, fbc=fbc("IwAR1"), em=em("mary")),
        ]
    )
    pipeline.refresh()
    assert persons_of(pipeline) == [ids("Lead.0.0", "Purchase.1.0"), ids("Purchase.2.0")]
    assert all(row["click_time"] for row in pipeline.table("conversions", "anchor_at"))
    pipeline.close()


@pytest.mark.parametrize(
    "more",
    [
        {"data_processing_options": ["LDU"]},
        {"data_processing_options": ["LDU"], "data_processing_options_country": 1},
    ],
)
@pytest.mark.parametrize("said_first", [True, False])
def test_limited_data_use_in_any_copy_is_nobody(
    tmp_path: Path, more: dict[str, Any], said_first: bool
) -> None:
    pipeline = Pipeline(tmp_path)
    copies = [make("Lead", 0, em=em("mary"), more=more), make("Lead", 0, em=em("mary"))]
    pipeline.append(copies if said_first else copies[::-1])
    pipeline.append([make("Lead", 1, em=em("mary"))])
    pipeline.refresh()
    assert [None, True] == [
        row["person_id"] and True for row in pipeline.table("conversions", "anchor_at")
    ]
    pipeline.close()


def test_a_kiosk_joins_nobody_and_takes_back_what_it_joined(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    names = ["ann", "ben", "cid", "dan", "eve"]
    for n, name in enumerate(names):
        pipeline.append([make("Lead", n * DAY, fbp=fbp(7), em=em(name))])
        pipeline.refresh()
        whole = len({row["root_id"] for row in pipeline.table("persons", "person_id")})
        assert whole == (1 if n < 3 else n + 1)
    (shared,) = pipeline.engine.query("select kind from identifiers where is_shared")
    assert shared["kind"] == "fbp"
    pipeline.close()


def test_a_decision_parts_persons_for_good_and_can_be_revoked(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    ann, bea = f"em={em('ann')[0]}", f"em={em('bea')[0]}"
    pipeline.append(
        [
            make("Lead", 0, fbp=fbp(1), em=em("ann")),
            make("Lead", DAY, fbp=fbp(1), em=em("bea")),
            make("Purchase", 2 * DAY, em=em("bea"), external_id=[sha256("7")]),
        ]
    )
    pipeline.refresh()
    assert [3] == [len(each) for each in persons_of(pipeline)]
    pipeline.append([decide(ann, bea, 3 * DAY)])
    pipeline.refresh()
    # The browser stays with whom it was first seen with.
    assert persons_of(pipeline) == [
        ids("Lead.0.0", f"Lead.{DAY}.0"),
        ids(f"Purchase.{2 * DAY}.0"),
    ]
    pipeline.append([make("Purchase", 4 * DAY, em=em("bea"), fbp=fbp(1))])
    pipeline.refresh()
    parted = tables(pipeline)
    pipeline.rebuild(2)
    assert parted == tables(pipeline)
    assert 2 == len({row["root_id"] for row in pipeline.table("persons", "person_id")})
    pipeline.append([decide(ann, bea, 5 * DAY, revoked=True)])
    pipeline.refresh()
    assert [4] == [len(each) for each in persons_of(pipeline)]
    pipeline.close()


def test_a_decision_may_be_the_first_that_a_process_hears_of(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append([make("Lead", 0, em=em("ann") + em("bea"))])
    pipeline.refresh()
    pipeline.close()
    again = Pipeline(tmp_path)
    again.append([decide(f"em={em('ann')[0]}", f"em={em('bea')[0]}", DAY)])
    again.refresh()
    assert 2 == len({row["root_id"] for row in again.table("persons", "person_id")})
    again.close()


def story(seed: int) -> list[bytes]:
    """Events and ad touches of some people who share browsers now and then."""
    chance = random.Random(seed)
    records: list[tuple[int, bytes]] = []
    for n in range(70):
        at = int(chance.random() * 40 * DAY)
        user: dict[str, Any] = {}
        if chance.random() < 0.7:
            user["fbp"] = fbp(chance.randrange(12))
        if chance.random() < 0.4:
            user["em"] = em(str(chance.randrange(9)))
        if chance.random() < 0.15:
            user["ph"] = [sha256(f"1555{chance.randrange(4):07d}")]
        kind = chance.random()
        if kind < 0.2:
            what = chance.choice(["click", "view", "engaged_view", "held_out"])
            if what == "click":
                user["click_id"] = f"IwAR{chance.randrange(6)}"
            records.append(
                (
                    at,
                    make_touch(what, at, number=n, campaign_id="1", experiment="e", **user),
                )
            )
            continue
        if chance.random() < 0.3:
            user["fbc"] = fbc(f"IwAR{chance.randrange(6)}", at - chance.randrange(DAY))
        url = None
        if chance.random() < 0.3:
            url = f"https://shop.example/?utm_source=fb&utm_medium=cpc&utm_id={chance.randrange(3)}"
        name = chance.choice(["PageView", "ViewContent", "Purchase"])
        records.append((at, make(name, at, n, url=url, **user)))
    return [record for _, record in sorted(records, key=lambda each: each[0])]


@pytest.mark.parametrize("seed", range(6))
def test_a_rebuild_gives_the_same_tables(tmp_path: Path, seed: int) -> None:
    pipeline = Pipeline(tmp_path)
    records = story(seed)
    for n in range(0, len(records), 9):
        pipeline.append(records[n : n + 9])
        pipeline.refresh()
    grown = tables(pipeline)
    assert grown["touchpoints"]
    assert any(row["click_time"] for row in grown["conversions"])
    assert any(row["merged_into"] for row in grown["persons"])
    for rows_max in (5, 100_000):
        pipeline.rebuild(rows_max)
        assert grown == tables(pipeline)
    pipeline.close()


def test_what_is_forgotten_leaves_no_person(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    records = story(3)
    pipeline.append(records[:40])
    pipeline.refresh()
    before = tables(pipeline)
    pipeline.append([make("Lead", 41 * DAY, fbp=fbp(99), em=em("zoe"), fbc=fbc("IwAR9"))])
    pipeline.refresh()
    assert before != tables(pipeline)
    (place,) = pipeline.engine.query(
        "select log_slot, log_offset from copies where fbp like '%.99'"
    )
    with pipeline.engine.transaction() as tx:
        note_places(tx, [(place["log_slot"], place["log_offset"])])
        take_out(tx)
    after = tables(pipeline)
    assert before == after
    pipeline.close()


def test_an_ad_touch_that_is_forgotten_leaves_no_touchpoint(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append([make("Purchase", DAY, 0, em=em("mary"))])
    pipeline.refresh()
    before = tables(pipeline)
    pipeline.append(
        [
            make_touch("click", 0, received_at=NOON + 2 * DAY, em=em("mary")),
            make_touch("click", 0, received_at=NOON + 3 * DAY, em=em("mary")),
        ]
    )
    pipeline.refresh()
    assert 1 == len(pipeline.table("touchpoints", "all"))
    # Of the copies of one touch the other one stands when the first is forgotten.
    (touch,) = pipeline.table("touches", "all")
    pipeline.lake.ad_touches.drop_before((touch["anchor_at"] + timedelta(days=1)).date())
    forget_touches(pipeline.engine, pipeline.lake, [(touch["log_slot"], touch["log_offset"])])
    (other,) = pipeline.table("touches", "all")
    assert touch["anchor_at"] + timedelta(days=1) == other["anchor_at"]
    pipeline.lake.ad_touches.drop_before((touch["anchor_at"] + timedelta(days=2)).date())
    forget_touches(pipeline.engine, pipeline.lake, [(other["log_slot"], other["log_offset"])])
    after = tables(pipeline)
    for name in ("copies", "touches", "touchpoints", "persons", "conversions", "profiles"):
        assert before[name] == after[name]
    pipeline.close()
