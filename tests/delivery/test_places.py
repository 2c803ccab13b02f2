"""Places of the market: what was asked for is drawn, alike for every way to bid."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from doublet.demo.market.parameters import read_market
from doublet.demo.market.places import QUARTERS, Places, daily_shares, read_places

SMALL = msgspec.structs.replace(read_places(), persons=4000)


def world(correlation: float = 0.0, seed: int = 1) -> Places:
    return Places(SMALL, read_market(), correlation, seed)


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.5])
def test_clicks_and_actions_have_the_means_and_the_correlation_asked_for(
    correlation: float,
) -> None:
    seen = []
    for seed in range(8):
        made = world(correlation, seed)
        assert made.clicks.mean() == pytest.approx(SMALL.click_share)
        assert made.actions.mean() == pytest.approx(SMALL.action_share)
        logits = [np.log(p / (1 - p)).ravel() for p in (made.clicks, made.actions)]
        seen.append(np.corrcoef(*logits)[0, 1])
    assert np.mean(seen) == pytest.approx(correlation, abs=0.1)


def test_what_is_known_of_a_shopper_is_told_as_features() -> None:
    made = world()
    person = int(np.flatnonzero(made.known[:, 0] & ~made.known[:, -1])[0])
    features = made.features(person)
    assert "aud:0" in features
    assert "device:desktop" == features[-1]
    assert len(features) == 1 + made.known[person, :-1].sum()


def test_every_way_meets_the_same_places_in_order() -> None:
    first, second = list(world().day(3)), list(world().day(3))
    assert QUARTERS == len(first)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.persons, other.persons)
        assert np.array_equal(one.rivals, other.rivals)
        assert (np.diff(one.at) >= 0).all()
        begin = one.number * 900
        assert ((begin <= one.at) & (one.at < begin + 900)).all()
    count = sum(len(each.persons) for each in first)
    assert count == pytest.approx(SMALL.persons * SMALL.places_per_day, rel=0.05)
    double = sum(len(each.persons) for each in world().day(3, traffic=2.0))
    assert double == pytest.approx(2 * count, rel=0.05)
    assert daily_shares().sum() == pytest.approx(1)


def test_browsers_of_the_first_audiences_tell_less_and_servers_do_not() -> None:
    made = world()
    among = made.known[:, :2].any(axis=1)
    assert made.browser_tells[among].mean() < 0.8 * made.browser_tells[~among].mean()
    assert made.server_tells[among].mean() == pytest.approx(
        made.server_tells[~among].mean(), rel=0.1
    )


def test_a_correlation_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        world(1.5)
