"""What was planted in a stream of impressions is found again."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from doublet.delivery.delay import WINDOW_S
from doublet.delivery.examples import AdKey, Example, Examples
from doublet.delivery.fitting import fit
from doublet.delivery.rates import Model, Scorer, predict
from tests.delivery.stream import DAY_S, Ground, Stream, stream

GROUND = Ground(
    campaigns=3,
    adsets=2,
    ads=3,
    persons=3_000,
    days=10,
    impressions=2_500,
    held_out_times=10,
    click_base=-3,
)


@cache
def seen(seed: int = 1) -> Stream:
    return stream(GROUND, seed)


@cache
def learned(seed: int = 1) -> Model:
    known = seen(seed)
    return fit(
        known.examples,
        known.ends_at,
        goals=known.goals,
        version="m1",
    )


def error(guess: np.ndarray, truth: np.ndarray) -> float:
    """The mean loss of probabilities where the true ones are known, above the least possible."""
    loss = -(truth * np.log(guess / truth) + (1 - truth) * np.log((1 - guess) / (1 - truth)))
    return float(loss.mean())


def test_clicks_of_days_to_come_are_foreseen_better_than_by_the_base_rate() -> None:
    known, held = seen(), ~seen().is_past
    guess = predict(learned(), known.examples.take(held)).p_click
    base = np.full(held.sum(), known.examples.clicked[known.is_past].mean())
    assert error(guess, known.p_click[held]) < 0.6 * error(base, known.p_click[held])


def test_a_cold_ad_has_the_rates_of_its_ad_set() -> None:
    known = seen()
    adset = AdKey("new", "s1.0", "c1")
    old = [ad for ad in known.examples.ads if ad.adset_id == "s1.0"]
    scores = Scorer(learned(), [adset, *old, AdKey("new", "new", "c1"), AdKey("n", "n", "n")])
    p_click = scores.score(("place:home", "device:phone")).p_click
    # It may be a little above all others, since nobody knows yet how it differs.
    assert 0.9 * min(p_click[1:-2]) < p_click[0] < 1.1 * max(p_click[1:-2])
    assert len({float(p) for p in (p_click[0], p_click[-2], p_click[-1])}) == 3


def test_actions_that_have_not_come_do_not_make_rates_too_low() -> None:
    chance, ad, now = np.random.default_rng(1), AdKey("a1", "s1", "c1"), 10 * DAY_S
    rows = []
    for at in np.sort(chance.random(20_000)) * now:
        acted_at = (
            at + min(chance.exponential(2 * DAY_S), WINDOW_S) if chance.random() < 0.2 else None
        )
        rows.append(Example((), ad, at, at, acted_at))
    found = {}
    for is_on in (True, False):
        model = fit(Examples.of(rows), now, is_delay_corrected=is_on)
        found[is_on] = float(Scorer(model, [ad]).score(()).p_action[0])
    # The standard error of 0.2 is 0.003 if all actions are known.
    assert 0.2 == pytest.approx(found[True], abs=0.008)
    assert found[False] < 0.17


def test_ads_with_a_short_past_are_not_held_for_worse_than_they_are() -> None:
    off = []
    for seed in range(1, 7):
        known = seen(seed)
        held = known.examples.take(~known.is_past)
        is_cold = np.array([ad.ad_id.endswith(".2") for ad in held.ads])[held.ad]
        guess, truth = predict(learned(seed), held).p_click, known.p_click[~known.is_past]
        off.append(float(np.log(guess[is_cold].sum() / truth[is_cold].sum())))
    # Six cold ads each time, whose own effects have a deviation of 0.3: 0.05 for the mean of all.
    assert 0 == pytest.approx(np.mean(off), abs=0.1)


def test_only_what_was_known_counts() -> None:
    known = seen()
    past = known.examples.take(known.is_past).known_at(known.ends_at)
    again = fit(past, known.ends_at, goals=known.goals, version="m1")
    ads = known.examples.ads
    one, other = (Scorer(each, ads).score(("aud:3", "hour:7")) for each in (again, learned()))
    assert np.array_equal(one.p_action, other.p_action)
    assert (len(past), int(past.clicked.sum())) == (learned().impressions, learned().clicks)


def test_the_same_examples_and_seed_give_the_same_model() -> None:
    known = seen()
    few = known.examples.take(np.arange(0, 20_000, 2))
    one, other = (Scorer(fit(few, known.ends_at, seed=5), few.ads).score(()) for _ in range(2))
    assert np.array_equal(one.p_click, other.p_click)


def test_values_of_rare_ads_are_near_those_of_their_ad_set() -> None:
    ads = [AdKey("a1", "s1", "c1"), AdKey("a2", "s1", "c1"), AdKey("a3", "s2", "c1")]
    rows = [Example((), ads[0], n, n, n + 1.0, value=100.0) for n in range(200)]
    rows += [Example((), ads[1], 300.0, 300.0, 301.0, value=10_000.0)]
    rows += [Example((), ads[2], n, n, n + 1.0, value=500.0) for n in range(200)]
    model = fit(Examples.of(rows), 1e9)
    value = Scorer(model, [*ads, AdKey("a4", "s2", "c1")]).means(np.arange(4, dtype=np.int32))[1]
    assert 100 < value[0] < 160
    assert value[0] < value[1] < 1_100
    assert 450 < value[3] < 510


def test_actions_without_a_click_are_counted_as_such() -> None:
    ad = AdKey("a1", "s1", "c1")
    rows = [
        Example((), ad, float(n), None, n + 60.0 if n % 50 == 0 else None) for n in range(5_000)
    ]
    model = fit(Examples.of(rows), 30 * DAY_S)
    scores = Scorer(model, [ad]).score(())
    assert 0.02 == pytest.approx(scores.p_action[0], rel=0.1)


def test_without_examples_the_prior_remains() -> None:
    prior = Model.prior(p_click=0.01, p_action=0.1, value=3.0)
    ad = AdKey("a1", "s1", "c1")
    nothing = fit(Examples.of([]), 5.0, prior=prior, version="m2")
    assert "m2" == nothing.version
    assert [0.01] == pytest.approx(Scorer(nothing, [ad]).score(()).p_click)
    one = fit(Examples.of([Example(("place:home",), ad, 1.0)] * 20), 5e5, prior=prior)
    p_click = Scorer(one, [ad]).score(("place:home",)).p_click[0]
    assert 0.002 < p_click < 0.01


def test_sampling_unclicked_impressions_leaves_rates_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = seen()
    past = known.examples.take(known.is_past)
    monkeypatch.setattr("doublet.delivery.fitting.UNCLICKED_MIN", 5_000)
    monkeypatch.setattr("doublet.delivery.fitting.UNCLICKED_PER_CLICK", 8)
    sampled = predict(fit(past, known.ends_at), past).p_click
    whole = predict(learned(), past).p_click
    assert whole.mean() == pytest.approx(sampled.mean(), rel=0.03)
    assert np.corrcoef(np.log(whole), np.log(sampled))[0, 1] > 0.95
