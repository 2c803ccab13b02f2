"""Impressions become examples with what attribution says came of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from doublet.delivery.examples import AdKey, Examples
from doublet.delivery.training import Goal, read
from doublet.engine.duckdb import DuckDBEngine
from doublet.rates import Rates

ACCOUNT = "act_100000000000001"
PIXEL = "1000000000000001"
START = 1_790_000_000
GOALS = (Goal("s1", "Purchase"), Goal("s2", "Lead", PIXEL), Goal("s3", ""))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def key(*parts: object) -> int:
    digest = hashlib.md5("|".join(map(str, (ACCOUNT, *parts))).encode()).hexdigest()
    return int(digest[:15], 16)


class World:
    """The lake's two files and the table of conversions, with only the columns that are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chosen: list[tuple[Any, ...]] = []
        self._touched: list[tuple[Any, ...]] = []
        self.engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "scratch")
        with self.engine.transaction() as transaction:
            transaction.run(
                "create table conversions (account_id varchar, pixel_id varchar,"
                " event_name varchar, event_time bigint, anchor_at timestamptz,"
                " value decimal(18, 4), currency varchar, browser_copies integer,"
                " click_time bigint, click_key bigint, view_time bigint, view_key bigint)"
            )

    def show(
        self,
        name: str,
        after: float,
        adset: str = "s1",
        features: tuple[str, ...] = (),
        **more: Any,
    ) -> None:
        account = more.get("account", ACCOUNT)
        row = (account, name, 1, at(after), f"a-{adset}", adset, "c1", 0.25, list(features))
        policy = more.get("policy", "prior")
        self._chosen.append((*row, policy, more.get("is_test", False)))
        if more.get("is_seen", True):
            self._touch(f"{name}.1.v", "view", after + 1, None, account)

    def click(self, name: str, after: float) -> None:
        self._touch(f"{name}.1.c", "click", after, f"click-{name}", ACCOUNT)

    def _touch(
        self, touch_id: str, kind: str, after: float, click_id: str | None, account: str
    ) -> None:
        touch_key = len(self._touched) + 1
        row = (account, touch_id, touch_key, kind, at(after), "doublet", click_id, False)
        self._touched.append(row)

    def convert(
        self,
        after: int,
        click: tuple[str, int] | None = None,
        view: tuple[int, int] | None = None,
        event_name: str = "Purchase",
        value: str | None = "20",
        **more: Any,
    ) -> None:
        """`click` and `view`: the last of each that it has, and the second it was at."""
        row = (
            *(ACCOUNT, more.get("pixel_id", PIXEL), event_name, START + after),
            at(more.get("received", after)),
            *(value, more.get("currency", "EUR"), more.get("browser_copies", 1)),
            *((START + click[1], key("click", f"click-{click[0]}")) if click else (None, None)),
            *((START + view[1], key("logged", view[0])) if view else (None, None)),
        )
        names = [f"v{n}" for n in range(len(row))]
        with self.engine.transaction() as transaction:
            marks = ", ".join(f"${name}" for name in names)
            transaction.run(
                f"insert into conversions values ({marks})", dict(zip(names, row, strict=True))
            )

    def _write(self, name: str, columns: str, rows: list[tuple[Any, ...]]) -> str:
        path = self._folder / f"{name}.parquet"
        with duckdb.connect() as files:
            files.execute(f"create table {name} ({columns})")
            marks = ", ".join("?" for _ in rows[0])
            files.executemany(f"insert into {name} values ({marks})", rows)
            files.execute(f"copy {name} to '{path}'")
        return str(path)

    def read(self, **more: Any) -> Examples:
        chosen = self._write(
            "chosen",
            "account_id varchar, decision_id varchar, position integer, decided_at timestamptz,"
            " ad_id varchar, adset_id varchar, campaign_id varchar, propensity double,"
            " features varchar[], policy varchar, is_test boolean",
            self._chosen,
        )
        touched = self._write(
            "touched",
            "account_id varchar, touch_id varchar, touch_key bigint, kind varchar,"
            " touched_at timestamptz, platform varchar, click_id varchar, is_test boolean",
            self._touched,
        )
        span = {"since": START, "until": START + 1e7} | more
        rates = Rates("EUR")
        return read(self.engine, ACCOUNT, [chosen], [touched], GOALS, rates, **span)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.close()


def test_an_impression_is_an_example_with_its_features_and_ad(world: World) -> None:
    world.show("d1", 10.5, features=("aud:1", "place:home"))
    world.show("d2", 20, "s2")
    found = world.read()
    assert [("aud:1", "place:home"), ()] == [found.features(row) for row in range(2)]
    assert (AdKey("a-s1", "s1", "c1"), AdKey("a-s2", "s2", "c1")) == found.ads
    assert [START + 10.5, START + 20] == found.decided_at.tolist()
    assert [0.25, 0.25] == found.propensity.tolist()
    assert not found.clicked.any()
    assert not found.acted.any()


def test_a_click_and_the_action_it_was_the_last_one_before_belong_to_its_impression(
    world: World,
) -> None:
    for n in (1, 2):
        world.show(f"d{n}", 10 * n)
        world.click(f"d{n}", 10 * n + 5)
    world.convert(500, click=("d2", 25), value="12.50")
    world.convert(900, click=("d2", 25), value="7.50")
    found = world.read()
    assert [True, True] == found.clicked.tolist()
    assert [START + 15, START + 25] == found.clicked_at.tolist()
    assert [False, True] == found.acted.tolist()
    assert START + 500 == found.acted_at[1]
    assert [0, 200_000] == found.value.tolist()


def test_only_the_goal_of_the_ad_set_is_its_action(world: World) -> None:
    for n, adset in enumerate(("s1", "s2", "s2", "s3"), 1):
        world.show(f"d{n}", n, adset)
        world.click(f"d{n}", n + 1)
    world.convert(100, click=("d1", 2), event_name="Lead")
    world.convert(100, click=("d2", 3), event_name="Lead")
    world.convert(100, click=("d3", 4), event_name="Lead", pixel_id="2")
    world.convert(100, click=("d4", 5))
    assert [False, True, False, False] == world.read().acted.tolist()


def test_a_view_has_what_no_click_claims(world: World) -> None:
    world.show("d1", 10)
    world.show("d2", 20)
    world.click("d2", 25)
    world.convert(500, view=(1, 11))
    world.convert(600, click=("d2", 25), view=(1, 11))
    world.convert(90_000, view=(1, 11))
    found = world.read()
    assert [START + 500, START + 600] == found.acted_at.tolist()
    assert [200_000, 200_000] == found.value.tolist()


def test_an_action_after_the_window_does_not_count(world: World) -> None:
    world.show("d1", 10)
    world.click("d1", 15)
    world.convert(15 + 7 * 86_400, click=("d1", 15))
    assert not world.read().acted.any()
    assert world.read(click_s=8 * 86_400).acted.all()


def test_an_action_has_come_when_it_is_known(world: World) -> None:
    world.show("d1", 10)
    world.click("d1", 15)
    world.convert(100, click=("d1", 15), received=40_000)
    found = world.read()
    assert START + 40_000 == found.acted_at[0]
    assert not found.known_at(START + 20_000).acted.any()


def test_the_server_s_own_conversions_can_be_left_out(world: World) -> None:
    for n in (1, 2):
        world.show(f"d{n}", 10 * n)
        world.click(f"d{n}", 10 * n + 5)
    world.convert(500, click=("d1", 15), browser_copies=0)
    world.convert(500, click=("d2", 25))
    assert [True, True] == world.read().acted.tolist()
    assert [False, True] == world.read(browser_only=True).acted.tolist()


def test_what_was_not_seen_or_is_another_s_or_a_test_is_no_example(world: World) -> None:
    world.show("d1", 10)
    world.show("d2", 20, is_seen=False)
    world.show("d3", 30, is_test=True)
    world.show("d4", 40, account="act_2")
    world.show("d5", -5)
    assert [START + 10] == world.read().decided_at.tolist()


def test_what_other_models_chose_can_be_left_out(world: World) -> None:
    world.show("d1", 10)
    world.show("d2", 20, policy="m2")
    assert [START + 20] == world.read(policy="m2").decided_at.tolist()


def test_values_of_currencies_without_a_rate_are_nothing(world: World) -> None:
    world.show("d1", 10)
    world.click("d1", 15)
    world.convert(100, click=("d1", 15), currency="XXX")
    found = world.read()
    assert found.acted.all()
    assert 0 == found.value[0]


def test_without_files_there_is_nothing(world: World) -> None:
    none = read(world.engine, ACCOUNT, [], [], GOALS, Rates("EUR"), since=0, until=1)
    assert 0 == len(none)
    assert np.float64 == none.decided_at.dtype
