"""The auction against a plain one; prices that nobody can complain about; exact propensities."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.delivery.auction import (
    OUT,
    Placed,
    price_per_impression,
    round_units,
    run_auction,
    total_values,
    worst_costs,
)
from doublet.delivery.explore import Explorer

AMOUNTS = st.integers(0, 40).map(float)
ADS = st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(0, 4), st.booleans()), max_size=12)
"""Value, quality, ad set, whether it is cold."""


def placed_plainly(
    totals: list[float], ad_sets: list[float], places: int
) -> list[tuple[int, float]]:
    """The same by sorting: ad and runner-up of each place."""
    best: dict[float, int] = {}
    for ad in sorted(range(len(totals)), key=lambda ad: (-totals[ad], ad)):
        if totals[ad] > OUT:
            best.setdefault(ad_sets[ad], ad)
    order = list(best.values())
    ups = [*(totals[ad] for ad in order), OUT][1:]
    return list(zip(order, ups, strict=True))[:places]


@given(ADS, st.integers(0, 5), AMOUNTS)
def test_places_go_by_total_value_to_different_ad_sets(
    ads: list[tuple[float, float, int, bool]], places: int, floor: float
) -> None:
    values, qualities, ad_sets, _ = (
        (list(each) for each in zip(*ads, strict=True)) if ads else 4 * [[]]
    )
    totals = total_values(np.array(values), np.array(qualities), floor)
    placed = run_auction(totals, np.array(ad_sets, np.int64), places)
    expected = placed_plainly(totals.tolist(), ad_sets, places)
    assert expected == [(each.ad, each.runner_up) for each in placed]
    for each in placed:
        price = price_per_impression(values[each.ad], qualities[each.ad], each.runner_up, floor)
        assert floor <= price <= values[each.ad]
        # With any less it would have come behind the runner-up, or below the floor.
        assert price == floor or price + qualities[each.ad] == each.runner_up


def test_a_better_quality_makes_an_impression_cheaper() -> None:
    assert 15 == price_per_impression(value=30, quality=5, runner_up=20)
    assert 20 == price_per_impression(value=30, quality=0, runner_up=20)
    assert 3 == price_per_impression(value=30, quality=25, runner_up=20, floor=3)


def test_nobody_below_the_floor_is_placed() -> None:
    totals = total_values(np.array([4.9, 5.0]), np.array([100.0, 0.0]), floor=5)
    assert [Placed(1, 1.0, False, OUT)] == run_auction(totals, np.array([0, 1]), 2)


def test_without_ads_there_are_no_places() -> None:
    assert [] == run_auction(np.array([]), np.array([], np.int64), 3)
    assert [] == run_auction(np.array([OUT]), np.array([0]), 3)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1), st.floats(0, 0.9999999))
def test_no_cost_is_above_the_worst(
    value: float, runner_up: float, click_rate: float, chance: float
) -> None:
    rate = max(click_rate, 1e-3)
    price = price_per_impression(value, 0, runner_up)
    worst = worst_costs(np.array([value, value]), np.array([rate, rate]), np.array([False, True]))
    assert round_units(price, chance) <= worst[0]
    assert round_units(price / rate, chance) <= worst[1]


def test_rounding_keeps_sums() -> None:
    rng = np.random.default_rng(1)
    prices = rng.lognormal(0, 1, 20_000)
    total = sum(round_units(float(price), float(rng.random())) for price in prices)
    # Each rounding errs by at most half a unit of standard deviation.
    assert prices.sum() == pytest.approx(total, abs=4 * 0.5 * len(prices) ** 0.5)


# --- exploration -----------------------------------------------------------------------------

TOTALS = np.array([9.0, 8.0, 5.0, 4.0, 3.0, OUT])
AD_SETS = np.array([0, 1, 1, 2, 3, 4])
COLD = np.array([False, True, False, True, True, True])


def test_stated_propensities_are_the_true_frequencies() -> None:
    rng = np.random.default_rng(7)
    explorer = Explorer(COLD, 0.3, rng)
    seen: Counter[tuple[int, ...]] = Counter()
    stated: dict[tuple[int, ...], float] = {}
    for _ in range(40_000):
        page: tuple[int, ...] = ()
        for each in run_auction(TOTALS, AD_SETS, 3, explorer):
            page += (each.ad,)
            seen[page] += 1
            # One history, one probability.
            assert stated.setdefault(page, each.propensity) == each.propensity
    seen[()] = 40_000
    for page, propensity in stated.items():
        times = seen[page[:-1]]
        error = (propensity * (1 - propensity) / times) ** 0.5
        assert propensity == pytest.approx(seen[page] / times, abs=4.5 * error)
    whole: dict[tuple[int, ...], float] = defaultdict(lambda: 1.0)
    for page in stated:
        if len(page) == 3:
            for n in (1, 2, 3):
                whole[page] *= stated[page[:n]]
    assert 1 == pytest.approx(sum(whole.values()))


@given(ADS, st.integers(1, 4), st.integers(0, 99))
def test_exploring_breaks_no_rule_of_the_auction(
    ads: list[tuple[float, float, int, bool]], places: int, seed: int
) -> None:
    totals = np.array([value - 3 if value > 2 else OUT for value, *_ in ads])
    ad_sets = np.array([each[2] for each in ads], np.int64)
    cold = np.array([each[3] for each in ads], bool)
    rng = np.random.default_rng(seed)
    placed = run_auction(totals, ad_sets, places, Explorer(cold, 0.5, rng))
    chosen = [each.ad for each in placed]
    sets = ad_sets[chosen].tolist()
    assert len(sets) == len(set(sets)) == min(places, len(set(ad_sets[totals > OUT].tolist())))
    for n, each in enumerate(placed):
        assert totals[each.ad] > OUT
        assert 0 < each.propensity <= 1
        assert not each.is_explored or cold[each.ad]
        left = [float(totals[ad]) for ad in range(len(ads)) if ad_sets[ad] not in sets[: n + 1]]
        assert max(left, default=OUT) == each.runner_up


def test_an_explored_ad_pays_at_most_its_own_value() -> None:
    explorer = Explorer(np.array([False, True]), 0.999, np.random.default_rng(1))
    (placed,) = run_auction(np.array([9.0, 4.0]), np.array([0, 1]), 1, explorer)
    assert Placed(1, 0.999, True, 9.0) == placed
    assert 4 == price_per_impression(4, 0, placed.runner_up)
