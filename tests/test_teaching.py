"""Models are learned from what was seen, tried, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.delivery.book import Reader, Share, model_file
from doublet.delivery.calibration import Verdict
from doublet.delivery.records import touch_records
from doublet.delivery.serving import FRESH_IMPRESSIONS, TRIAL_SHARE
from doublet.teaching import Teaching, read_serving, write_serving
from tests.test_delivering import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def teaching(world: World) -> Iterator[Teaching]:
    made = Teaching(world.freshener, world.settings)
    yield made
    made.stop()


def show(world: World, count: int) -> None:
    """So many impressions, of which every fifth is clicked."""
    records: list[bytes] = []
    for n in range(count):
        if n % 50 == 0:
            world.now += 1
            world.desk.take(world.desk.prepare(world.now))
        for link in world.ask(f"fb.1.1780000000000.{n}", records.extend):
            at = int(world.now * 1e6)
            records += touch_records(link, "view", at)
            records += touch_records(link, "click", at) if n % 5 == 0 else []
    world.append(records)
    world.round()


def test_enough_impressions_make_a_model_that_serves_a_small_share(
    world: World, teaching: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    ad = world.campaign()
    world.ready()
    teaching.look(world.now)
    assert read_serving(world.folder, ad.account_id).shares() == ()
    show(world, FRESH_IMPRESSIONS + 20)
    teaching.look(world.now)
    serving = read_serving(world.folder, ad.account_id)
    assert serving.impressions >= FRESH_IMPRESSIONS
    assert serving.trial
    assert model_file(world.folder, serving.trial).exists()
    world.now += 60
    world.round()
    reader = Reader(world.folder)
    assert reader.refresh()
    (account,) = reader.book.accounts
    assert (Share("", 1 - TRIAL_SHARE), Share(serving.trial, TRIAL_SHARE)) == account.models
    world.desk.take(world.desk.prepare(world.now))
    policies = [_policy(world, ad.account_id) for _ in range(300)]
    assert {"prior", serving.trial} == set(policies)
    assert 5 < policies.count(serving.trial) < 80
    # The trial knows by now that a fifth click, where prior rates say one in two hundred.
    shelf = world.desk._shelves[ad.account_id, serving.trial]
    assert shelf.scorer.score(("device:unknown",)).p_click[0] > 0.1
    _falls_back(world, teaching, ad.account_id, monkeypatch)


def _policy(world: World, account_id: str) -> str:
    shelf = world.desk.shelf_of(account_id)
    assert shelf is not None
    return shelf.policy


def _falls_back(
    world: World, teaching: Teaching, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Verdict:
        return Verdict(False, ("an action costs 3.00 times as much",))

    monkeypatch.setattr("doublet.delivery.serving.watch", refuse)
    before = read_serving(world.folder, account_id)
    teaching.look(world.now)
    after = read_serving(world.folder, account_id)
    assert ("", before.trial) == (after.trial, after.refused)
    world.now += 60
    world.round()
    world.desk.take(world.desk.prepare(world.now))
    assert {"prior"} == {_policy(world, account_id) for _ in range(50)}


def test_a_model_that_is_gone_leaves_prior_rates(world: World) -> None:
    ad = world.campaign()
    serving = read_serving(world.folder, ad.account_id)
    gone = msgspec.structs.replace(serving, stable=f"{ad.account_id}-1")
    write_serving(world.folder, ad.account_id, gone)
    world.ready()
    assert "prior" == _policy(world, ad.account_id)
    assert len(world.ask()) == 1
