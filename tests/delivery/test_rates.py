"""Scores are what effects add up to, for ads with and without a past, and survive a file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from doublet.delivery.delay import probability
from doublet.delivery.examples import AdKey, Example, Examples
from doublet.delivery.rates import (
    Calibration,
    Crosses,
    Ladder,
    Model,
    Names,
    Part,
    Scorer,
    predict,
)
from doublet.errors import CorruptError

NAMES = Names(("place:home", "aud:7"), ("c1",), ("s1", "s2"), ("a1", "a2"))
KNOWN = AdKey("a1", "s1", "c1")
NEW = AdKey("a9", "s1", "c1")
STRANGE = AdKey("a9", "s9", "c9")


def ladder(base: float, *rungs: list[float]) -> Ladder:
    campaigns, adsets, ads = map(np.array, rungs)
    return Ladder(base, campaigns, adsets, ads, np.zeros(3))


def cross(word: int, other: int, weight: float) -> Crosses:
    return Crosses(
        np.array([word], np.int32),
        np.array([other], np.int32),
        np.array([weight], np.float32),
        np.zeros(2),
    )


def model() -> Model:
    click = Part(
        ladder(-4.0, [0.5], [0.25, -1.0], [0.125, 2.0]),
        np.array([1.0, -0.5]),
        cross(0, 0, 0.75),
        cross(1, 0, -0.25),
        Calibration.none(),
    )
    action = Part.flat(0.1)
    view = Ladder(
        0.001, np.array([0.002]), np.array([0.003, 0.004]), np.array([0.005, 0.006]), np.zeros(3)
    )
    value = Ladder(
        10.0, np.array([20.0]), np.array([30.0, 40.0]), np.array([50.0, 60.0]), np.zeros(3)
    )
    prior = Model.prior("m1")
    return replace(
        prior, names=NAMES, goals=("Lead", ""), click=click, action=action, view=view, value=value
    )


def test_a_score_is_the_sum_of_its_effects() -> None:
    scores = Scorer(model(), [KNOWN, NEW, STRANGE]).score(("place:home", "aud:7", "aud:unknown"))
    logits = [
        -4 + 0.5 + 0.25 + 0.125 + (1 + 0.75) + (-0.5 - 0.25),
        -4 + 0.5 + 0.25 + (1 + 0.75) - 0.5,
        -4 + 1 - 0.5,
    ]
    p = probability(np.array(logits))
    assert scores.p_click == pytest.approx(p, rel=1e-6)
    assert scores.p_action == pytest.approx(
        p * 0.1 + (1 - p) * np.array([0.005, 0.003, 0.001]), rel=1e-6
    )
    assert scores.value == pytest.approx(scores.p_action * np.array([50.0, 30.0, 10.0]))
    assert np.float64 == scores.p_click.dtype


def test_what_has_no_past_has_what_is_kept_for_the_unknown() -> None:
    plain = model()
    effects = replace(plain.click.effects, unknown=np.array([0.1, 0.2, 0.3]))
    by_adset = replace(plain.click.by_adset, unknown=np.array([0.5, 0.7]))
    kept = replace(plain, click=replace(plain.click, effects=effects, by_adset=by_adset))
    scores = Scorer(kept, [NEW, STRANGE, KNOWN]).score(("aud:7",))
    logits = [-4 + 0.5 + 0.25 + 0.3 - 0.5 + 0.7, -4 + 0.6 - 0.5 + 0.7]
    assert probability(np.array(logits)) == pytest.approx(scores.p_click[:2], rel=1e-6)
    known = -4 + 0.5 + 0.25 + 0.125 - 0.5 + 0.7 - 0.25
    assert probability(known) == pytest.approx(scores.p_click[2], rel=1e-6)


def test_nothing_learned_gives_base_rates_to_every_ad() -> None:
    scorer = Scorer(Model.prior(p_click=0.01, p_action=0.05, value=40_000), [KNOWN, STRANGE])
    for features in ((), ("place:home",)):
        scores = scorer.score(features)
        assert [0.01, 0.01] == pytest.approx(scores.p_click)
        assert [0.0005, 0.0005] == pytest.approx(scores.p_action)
        assert [20.0, 20.0] == pytest.approx(scores.value)


def test_a_goal_is_calibrated_by_its_own_and_others_by_that_of_all() -> None:
    leads = Calibration(
        ("", "Lead"),
        np.array([1.0, 0.5]),
        np.array([0.0, 1.0]),
        np.array([0, 2, 2]),
        np.array([-6.0, 0.0]),
        np.array([-3.0, 0.0]),
    )
    bent = replace(model(), click=replace(model().click, calibration=leads))
    plain = Scorer(model(), [KNOWN, STRANGE]).score(("place:home",)).p_click
    scores = Scorer(bent, [KNOWN, STRANGE]).score(("place:home",))
    logits = np.log(plain / (1 - plain))
    assert probability(logits[0] * 0.5 + 1) == pytest.approx(scores.p_click[0], rel=1e-6)
    assert probability(logits[1] * 0.5) == pytest.approx(scores.p_click[1], rel=1e-6)


def test_examples_are_predicted_as_decisions_are_scored() -> None:
    rows = [
        Example(("place:home", "aud:7"), KNOWN, 1.0),
        Example((), STRANGE, 2.0),
        Example(("aud:8", "aud:7"), NEW, 3.0),
        Example((), KNOWN, 4.0),
    ]
    many = predict(model(), Examples.of(rows))
    for n, row in enumerate(rows):
        one = Scorer(model(), [row.ad]).score(row.features)
        assert [numbers[n] for numbers in many] == pytest.approx([float(x[0]) for x in one])


def test_an_explanation_adds_up_to_the_score() -> None:
    scorer = Scorer(model(), [NEW, KNOWN])
    parts = scorer.explain(("aud:7", "place:home", "aud:8"), 1)
    assert ["ad", "aud:7", "place:home"] == [part.what for part in parts]
    score = scorer.score(("aud:7", "place:home"))
    assert probability(sum(part.click for part in parts)) == pytest.approx(score.p_click[1])


def test_a_saved_model_is_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "m1.npz"
    model().save(path)
    again = Model.load(path)
    assert NAMES == again.names
    assert ("Lead", "") == again.goals
    assert "m1" == again.version
    before, after = (Scorer(each, [KNOWN, NEW]).score(("aud:7",)) for each in (model(), again))
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but nothing else", b"{}"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(CorruptError):
        Model.load(path)


def test_a_part_of_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.npz"
    np.savez(path, format=np.array("doublet rates 1"), version=np.array("m1"))
    with pytest.raises(CorruptError):
        Model.load(path)


def test_scoring_loads_no_more_than_numpy() -> None:
    code = (
        "import sys, doublet.delivery.rates;"
        "print(*sorted({'scipy', 'sklearn', 'duckdb', 'deltalake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
