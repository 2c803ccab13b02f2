from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doublet.audiences import members as module
from doublet.audiences.members import CHANGES_KEPT_S, Moved, make_tables, pick, refresh, sizes
from doublet.engine.duckdb import DuckDBEngine
from tests.audiences.members import EVER, NOW, changes, having, members
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline
from tests.persons.touching import em, fbp, make
from tests.test_consent import hit

CARTED = having("AddToCart", 3600, but_not="Purchase")
VIEWED = having("ViewContent", EVER)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    made.close()


def load(pipeline: Pipeline, *records: bytes) -> None:
    pipeline.append(list(records))
    pipeline.refresh()


def test_a_buyer_leaves_the_cart_audience(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("AddToCart", number=2, fbp=fbp(2)))
    done = refresh(pipeline.engine, [CARTED, VIEWED], NOW)
    assert 2 == len(members(pipeline, CARTED))
    assert (CARTED.audience_id, VIEWED.audience_id) == done.built
    # Who is in from the beginning joined nothing.
    assert [] == changes(pipeline)
    load(pipeline, make("Purchase", SECOND, fbp=fbp(1)))
    assert (1, 0, 1) == refresh(pipeline.engine, [CARTED, VIEWED], NOW + 1)[:3]
    assert 1 == len(members(pipeline, CARTED))
    assert [(CARTED.audience_id, False)] == changes(pipeline)
    assert {CARTED.audience_id: 1} == sizes(pipeline.engine)


def test_nobody_is_looked_at_twice(pipeline: Pipeline) -> None:
    load(pipeline, make("ViewContent", fbp=fbp(1)))
    refresh(pipeline.engine, [VIEWED], NOW)
    assert Moved(0, 0, 0) == refresh(pipeline.engine, [VIEWED], NOW + 1)


def test_an_old_event_lets_go_though_nothing_arrives(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    refresh(pipeline.engine, [CARTED], NOW)
    assert Moved(0, 0, 0) == refresh(pipeline.engine, [CARTED], NOW + 3599)
    assert Moved(1, 0, 1) == refresh(pipeline.engine, [CARTED], NOW + 3600)
    assert set() == members(pipeline, CARTED)


def test_persons_who_turn_out_to_be_one_are_one_member(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("AddToCart", number=2, em=em("mary")))
    refresh(pipeline.engine, [CARTED], NOW)
    assert 2 == len(members(pipeline, CARTED))
    # Of the one who signs in it becomes known that she had bought.
    load(pipeline, make("Purchase", -SECOND, em=em("mary")))
    refresh(pipeline.engine, [CARTED], NOW)
    assert 1 == len(members(pipeline, CARTED))
    load(pipeline, make("PageView", SECOND, fbp=fbp(1), em=em("mary")))
    refresh(pipeline.engine, [CARTED], NOW + 1)
    assert set() == members(pipeline, CARTED)


def test_a_changed_definition_is_made_for_all(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("ViewContent", number=2, fbp=fbp(2)))
    first = having("AddToCart", EVER)
    refresh(pipeline.engine, [first], NOW)
    other = having("ViewContent", EVER)._replace(audience_id=first.audience_id, fingerprint="2")
    refresh(pipeline.engine, [other], NOW)
    assert 1 == len(members(pipeline, other))
    assert [(first.audience_id, False), (first.audience_id, True)] == changes(pipeline)


def test_an_audience_that_is_no_more_leaves_nothing(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    refresh(pipeline.engine, [CARTED, VIEWED], NOW)
    refresh(pipeline.engine, [VIEWED], NOW)
    for name in ("members", "due", "changes"):
        assert [] == pipeline.table(f"audience_{name}", "all"), name


def test_withdrawn_consent_leaves_every_audience_until_given_again(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1), em=em("mary")))
    refresh(pipeline.engine, [CARTED, VIEWED], NOW)
    load(pipeline, _consenting("denied", 1))
    refresh(pipeline.engine, [CARTED, VIEWED], NOW + 1)
    assert set() == members(pipeline, CARTED)
    # A visit that says nothing of consent gives none.
    load(pipeline, make("ViewContent", 2 * SECOND, fbp=fbp(1)))
    refresh(pipeline.engine, [CARTED, VIEWED], NOW + 2)
    assert set() == members(pipeline, VIEWED)
    load(pipeline, _consenting("granted", 3))
    refresh(pipeline.engine, [CARTED, VIEWED], NOW + 3)
    assert 1 == len(members(pipeline, CARTED))
    assert 1 == len(members(pipeline, VIEWED))


def _consenting(state: str, at: int) -> bytes:
    """A page view of the browser that says so."""
    consent = {"ad_user_data": state, "ad_storage": state}
    return hit(NOON + at * SECOND, consent, f"page.{at}", ev="PageView", fbp=fbp(1))


def test_numbers_of_changes_only_rise(pipeline: Pipeline) -> None:
    load(pipeline, make("PageView", fbp=fbp(9)))
    refresh(pipeline.engine, [CARTED], NOW)
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    refresh(pipeline.engine, [CARTED], NOW)
    assert [1] == [row["change_id"] for row in pipeline.table("audience_changes", "all")]
    load(pipeline, make("AddToCart", number=2, fbp=fbp(2)))
    refresh(pipeline.engine, [CARTED], NOW + 3599)
    refresh(pipeline.engine, [CARTED], NOW + CHANGES_KEPT_S + 7200)
    assert [3, 4] == [row["change_id"] for row in pipeline.table("audience_changes", "change_id")]


def test_a_lookalike_keeps_its_places(pipeline: Pipeline) -> None:
    with pipeline.engine.transaction() as tx:
        make_tables(tx)
        pick(tx, "7", [30, 10, 20])
        pick(tx, "7", [20, 10])
    rows = pipeline.table("lookalike_picks", "place")
    assert [("7", 20, 1), ("7", 10, 2)] == [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("seed", range(6))
def test_refreshing_comes_to_the_same_as_making_anew(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random visits of few persons, some of whom turn out to be one, over hours of a clock that
    moves on; after each step all audiences are also made from nothing."""
    if seed % 2:
        # Also by the way that is taken when most persons changed.
        monkeypatch.setattr(module, "_FULL_MIN", 3)
    luck = random.Random(seed)
    pipeline = Pipeline(tmp_path / "steps")
    definitions = [
        CARTED,
        VIEWED,
        having("ViewContent", 5000, but_not="AddToCart"),
        having("PageView", 60),
    ]
    now = NOW
    for step in range(12):
        records = [_visit(luck, now, step * 10 + n) for n in range(luck.randint(0, 5))]
        if records:
            load(pipeline, *records)
        refresh(pipeline.engine, definitions, now)
        by_steps = {each.audience_id: members(pipeline, each) for each in definitions}
        with pipeline.engine.transaction() as tx:
            kept = tx.run("select * from audience_builds")
            tx.run("update audience_builds set fingerprint = ''")
        assert len(definitions) == len(kept)
        refresh(pipeline.engine, definitions, now)
        anew = {each.audience_id: members(pipeline, each) for each in definitions}
        assert anew == by_steps
        now += luck.choice([1, 30, 1000, 4000])
    pipeline.close()


def _visit(luck: random.Random, now: int, number: int) -> bytes:
    who: dict[str, Any] = {"fbp": fbp(luck.randint(1, 6))}
    if luck.random() < 0.3:
        who["em"] = em(f"person{luck.randint(1, 3)}")
    name = luck.choice(["PageView", "ViewContent", "ViewContent", "AddToCart", "Purchase"])
    at = (now - NOW) * SECOND - luck.randint(0, 300) * SECOND
    return make(name, at, number, **who)


def test_what_is_of_another_account_is_in_no_audience(pipeline: Pipeline) -> None:
    more = {"account_id": "act_200000000000002", "pixel_id": "2000000000000002"}
    load(pipeline, make("AddToCart", fbp=fbp(1), more=more))
    refresh(pipeline.engine, [CARTED], NOW)
    assert ACCOUNT == CARTED.account_id
    assert set() == members(pipeline, CARTED)


def test_one_that_fails_for_who_changed_keeps_nobody_else_waiting(pipeline: Pipeline) -> None:
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    broken = CARTED._replace(audience_id="broken")
    refresh(pipeline.engine, [broken, CARTED, VIEWED], NOW)

    def fail(events: str) -> tuple[str, dict[str, Any]]:
        return (
            f"select error('no memory') as person_id, true as is_in, 1 as due_s from {events}",
            {},
        )

    broken = broken._replace(sql=fail)
    load(pipeline, make("ViewContent", SECOND, 2, fbp=fbp(1)))
    done = refresh(pipeline.engine, [broken, CARTED, VIEWED], NOW + 1)
    assert ("broken",) == done.failed
    assert {CARTED.audience_id, VIEWED.audience_id} == set(done.built)
    assert 1 == len(members(pipeline, VIEWED))
    # While it rests, the others follow, and nothing is written without news.
    load(pipeline, make("Purchase", 2 * SECOND, fbp=fbp(1)))
    done = refresh(pipeline.engine, [broken, CARTED, VIEWED], NOW + 2, ["broken"])
    assert ((), ()) == (done.built, done.failed)
    assert set() == members(pipeline, CARTED)
    assert isinstance(pipeline.engine, DuckDBEngine)
    before = pipeline.engine.changes
    refresh(pipeline.engine, [broken, CARTED, VIEWED], NOW + 3, ["broken"])
    assert before == pipeline.engine.changes
