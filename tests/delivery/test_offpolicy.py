"""Off-policy estimates are right where the truth is known, and intervals hold it."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from doublet.delivery import calibration, offpolicy
from doublet.delivery.examples import Numbers
from doublet.delivery.offpolicy import Logged, check, estimate

ARMS, KINDS = 5, 4


class Bandit:
    """Kinds of contexts, arms with known mean rewards, a policy that serves and another."""

    def __init__(self, seed: int = 1) -> None:
        chance = np.random.default_rng(seed)
        self.means = chance.uniform(0.05, 0.4, (KINDS, ARMS))
        self.serving = chance.dirichlet(np.full(ARMS, 3.0), KINDS)
        self.other = chance.dirichlet(np.full(ARMS, 0.7), KINDS)

    @property
    def truth(self) -> float:
        return float((self.means * self.other).sum(axis=1).mean())

    def log(
        self,
        count: int,
        seed: int,
        model: Numbers | None = None,
        propensity_off: float = 1.0,
        per_person: int = 1,
    ) -> Logged:
        """`per_person` decisions in a row are of one person, and have the same reward."""
        chance = np.random.default_rng(seed)
        kind = chance.integers(KINDS, size=count // per_person).repeat(per_person)
        steps = self.serving.cumsum(axis=1)[kind]
        draw = chance.random(len(kind) // per_person).repeat(per_person)
        arm = (draw[:, None] > steps).sum(axis=1).clip(max=ARMS - 1)
        luck = chance.random(len(kind) // per_person).repeat(per_person)
        reward = (luck < self.means[kind, arm]).astype(np.float64)
        p = self.serving[kind, arm] ** propensity_off
        m = None if model is None else model[kind, arm]
        v = None if model is None else (model * self.other).sum(axis=1)[kind]
        person = np.arange(len(kind)) // per_person if per_person > 1 else None
        return Logged(reward, p, self.other[kind, arm], m, v, person)


def test_the_examples_are_right() -> None:
    results = [doctest.testmod(module) for module in (offpolicy, calibration)]
    assert 0 == sum(result.failed for result in results)
    assert all(result.attempted for result in results)


def test_estimates_come_to_the_truth_with_enough_decisions() -> None:
    bandit = Bandit()
    told = estimate(bandit.log(200_000, 1, bandit.means), draws=50)
    for name in ("ips", "snips", "dr"):
        one = told.named(name)
        assert bandit.truth == pytest.approx(one.value, abs=4 * one.error)
        assert one.error < 0.01


def test_doubly_robust_needs_only_the_model_or_only_the_propensities() -> None:
    bandit = Bandit()
    wrong = np.full_like(bandit.means, 0.9)
    by_propensity = estimate(bandit.log(200_000, 2, wrong), draws=50).named("dr")
    assert bandit.truth == pytest.approx(by_propensity.value, abs=4 * by_propensity.error)
    by_model = estimate(bandit.log(200_000, 2, bandit.means, 0.5), draws=50)
    assert bandit.truth == pytest.approx(by_model.named("dr").value, abs=0.005)
    assert abs(by_model.named("ips").value - bandit.truth) > 0.02


def test_intervals_hold_the_truth_as_often_as_they_say_and_a_good_model_makes_them_narrow() -> None:
    bandit, seeds = Bandit(3), 300
    inside = {"ips": 0, "snips": 0, "dr": 0}
    errors: dict[str, list[float]] = {name: [] for name in inside}
    for seed in range(seeds):
        told = estimate(bandit.log(2_000, seed, bandit.means), seed, draws=200)
        for name in inside:
            one = told.named(name)
            inside[name] += one.low <= bandit.truth <= one.high
            errors[name].append((one.value - bandit.truth) ** 2)
    for hits in inside.values():
        # 95 % of 300, give or take three standard errors and what 200 draws miss.
        assert 0.90 <= hits / seeds <= 0.99
    assert np.mean(errors["dr"]) < 0.95 * np.mean(errors["ips"])


def test_decisions_of_one_person_count_as_one() -> None:
    bandit = Bandit()
    many = bandit.log(20_000, 4, per_person=10)
    clustered = estimate(many, draws=200).named("snips")
    apart = estimate(many._replace(cluster=None), draws=200).named("snips")
    assert clustered.value == pytest.approx(apart.value)
    assert 10**0.5 == pytest.approx(clustered.error / apart.error, rel=0.25)


def test_weights_above_the_limit_are_cut_and_told() -> None:
    log = Logged(np.ones(4), np.array([0.001, 0.5, 0.5, 0.5]), np.full(4, 0.5))
    told = estimate(log, weight_max=10.0)
    assert 0.25 == told.cut_share
    assert (10 + 3) / 4 == pytest.approx(told.named("ips").value)
    assert (10 + 3) ** 2 / (100 + 3) == pytest.approx(told.effective)


@pytest.mark.parametrize("propensity", [0.0, -0.1])
def test_a_decision_without_propensity_is_refused(propensity: float) -> None:
    with pytest.raises(ValueError, match="propensity"):
        estimate(Logged(np.ones(1), np.array([propensity]), np.ones(1)))


def test_a_policy_that_earns_less_is_refused_and_one_that_earns_more_is_not() -> None:
    bandit = Bandit()
    for pick, is_fine in (
        (bandit.means.argmax(axis=1), True),
        (bandit.means.argmin(axis=1), False),
    ):
        bandit.other = np.full((KINDS, ARMS), 0.02)
        bandit.other[np.arange(KINDS), pick] = 1 - 0.02 * (ARMS - 1)
        verdict = check(bandit.log(20_000, 5))
        assert is_fine == verdict.is_accepted
    assert "of what the policy in use does" in verdict.reasons[0]


def test_a_policy_that_does_what_was_never_done_cannot_be_judged() -> None:
    log = Logged(np.ones(1_000), np.full(1_000, 0.5), np.zeros(1_000))
    verdict = check(log._replace(target=np.where(np.arange(1_000) < 10, 1.0, 0.0)))
    assert not verdict.is_accepted
    assert "10 decisions" in verdict.reasons[0]
