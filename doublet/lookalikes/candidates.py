"""Ways to order persons by how much they are like a seed.

The simple ones: `random`; `popularity`, the most active first; `rfm`, recency, frequency and money
(Hughes, Strategic Database Marketing, 1994) as the mean of three ranks; `neighbours`, how near the
most similar persons of the seed are; `logistic`, logistic regression on the numbers of
`features.sql`. The rich ones know tastes too: `tastes`, logistic regression on numbers and items;
`boosting`, boosted trees on the numbers and the log-odds that items alone give, made for each
person by a model that has not seen that person; `blend`, the mean of both ranks. scikit-learn is
loaded only when something is fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doublet.lookalikes.features import Known

SIMPLE = ("random", "popularity", "rfm", "neighbours", "logistic")
RICH = ("tastes", "boosting", "blend")
ALL = (*SIMPLE, *RICH)

SEEDS_COMPARED_MAX = 500
NEIGHBOURS = 10
_FOLDS = 3
_ROWS_AT_ONCE = 20_000

Numbers = NDArray[np.float64]
Scorer = Callable[[Known], Numbers]
"""Scores of persons, one each: the higher, the more like the seed."""


class Lesson(NamedTuple):
    """Persons to learn from: `is_seed` and how much each counts."""

    known: Known
    is_seed: NDArray[np.bool_]
    weights: Numbers


def fit(lesson: Lesson, chance: Any, names: Sequence[str] = ALL) -> dict[str, Scorer]:
    """Those of `names`, learned from a lesson."""
    made: dict[str, Scorer] = {}
    if {"tastes", "blend"} & set(names):
        made["tastes"] = _fit_tastes(lesson)
    if {"boosting", "blend"} & set(names):
        made["boosting"] = _fit_boosting(lesson, chance)
    if "blend" in names:
        made["blend"] = _blend(made["tastes"], made["boosting"], lesson.known)
    if "logistic" in names:
        made["logistic"] = _fit_logistic(lesson)
    if "neighbours" in names:
        made["neighbours"] = _fit_neighbours(lesson, chance)
    made["rfm"] = _fit_rfm(lesson)
    made["popularity"] = lambda known: known.column("events").astype(np.float64)
    made["random"] = lambda known: np.asarray(chance.random(len(known.ids)))
    return {name: made[name] for name in names}


def _fit_rfm(lesson: Lesson) -> Scorer:
    """Ranks are places among the persons of the lesson."""
    columns = {"recency": -1.0, "days": 1.0, "spent": 1.0}
    among = {name: np.sort(sign * lesson.known.column(name)) for name, sign in columns.items()}

    def score(known: Known) -> Numbers:
        total = np.zeros(len(known.ids))
        for name, sign in columns.items():
            numbers = sign * known.column(name)
            for side in ("left", "right"):
                total += np.searchsorted(among[name], numbers, side)
        return total / (2 * len(columns) * len(lesson.is_seed))

    return score


class _Scale:
    """Numbers made comparable: logarithms, centred and scaled as in the lesson. `rfm` and
    `popularity` come on top, as ranks on a larger scale, so that a regression that has little to
    go by goes by them."""

    def __init__(self, lesson: Lesson) -> None:
        known = lesson.known
        self._rfm = _fit_rfm(lesson)
        self._popularity = np.sort(known.column("events"))
        logs = self._logs(known)
        self._centre = logs.mean(axis=0)
        spread = logs.std(axis=0)
        self._spread = np.where(spread > 1e-6, spread, 1.0)

    @staticmethod
    def _logs(known: Known) -> Numbers:
        return np.asarray(np.log1p(np.maximum(known.dense, 0)), dtype=np.float64)

    def __call__(self, known: Known) -> Numbers:
        scaled = np.clip((self._logs(known) - self._centre) / self._spread, -5, 5)
        place = np.searchsorted(self._popularity, known.column("events")) / len(self._popularity)
        return np.column_stack([scaled, 10 * (self._rfm(known) - 0.5), 10 * (place - 0.5)])


class _Interest:
    """Rows of items of length 1: rare items count more, repeats less."""

    def __init__(self, known: Known) -> None:
        met = np.bincount(known.tastes.indices, minlength=known.tastes.shape[1])
        self._rarity = np.log((1 + len(known.ids)) / (1 + met)).astype(np.float32)

    def __call__(self, known: Known) -> Any:
        shown = known.tastes.copy()
        shown.data = np.log1p(shown.data) * self._rarity[shown.indices]
        row = np.repeat(np.arange(shown.shape[0]), np.diff(shown.indptr))
        length = np.sqrt(np.bincount(row, shown.data**2, shown.shape[0]))
        shown.data /= np.maximum(length, 1e-9)[row].astype(np.float32)
        return shown


def _fit_logistic(lesson: Lesson) -> Scorer:
    scale = _Scale(lesson)
    model = _regression(scale(lesson.known), lesson)
    return lambda known: np.asarray(model.decision_function(scale(known)))


def _fit_tastes(lesson: Lesson) -> Scorer:
    from scipy.sparse import csr_matrix, hstack

    scale, interest = _Scale(lesson), _Interest(lesson.known)

    def seen(known: Known) -> Any:
        return hstack([csr_matrix(scale(known)), interest(known)], format="csr")

    model = _regression(seen(lesson.known), lesson)
    return lambda known: np.asarray(model.decision_function(seen(known)))


def _regression(seen: Any, lesson: Lesson, strength: float = 0.01) -> Any:
    from sklearn.linear_model import LogisticRegression

    with _calm():
        return LogisticRegression(C=strength, max_iter=200).fit(
            seen, lesson.is_seed, sample_weight=lesson.weights
        )


def _fit_boosting(lesson: Lesson, chance: Any) -> Scorer:
    from sklearn.ensemble import HistGradientBoostingClassifier

    interest = _Interest(lesson.known)
    items = interest(lesson.known)
    fold = chance.integers(_FOLDS, size=len(lesson.is_seed))
    liking = np.zeros(len(lesson.is_seed))
    has_items = items.shape[1] > 0
    for one in range(_FOLDS if has_items else 0):
        others = fold != one
        part = Lesson(lesson.known, lesson.is_seed[others], lesson.weights[others])
        model = _regression(items[others], part, 1.0)
        liking[~others] = model.decision_function(items[~others])
    whole = _regression(items, lesson, 1.0) if has_items else None
    trees = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=60,
        max_leaf_nodes=6,
        min_samples_leaf=50,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=int(chance.integers(1 << 31)),
    )
    with _calm():
        trees.fit(
            np.column_stack([lesson.known.dense, liking]),
            lesson.is_seed,
            sample_weight=lesson.weights,
        )

    def score(known: Known) -> Numbers:
        liked = np.zeros(len(known.ids))
        if whole is not None:
            liked = whole.decision_function(interest(known))
        return np.asarray(trees.decision_function(np.column_stack([known.dense, liked])))

    return score


def _blend(one: Scorer, other: Scorer, known: Known) -> Scorer:
    """The mean of the ranks that two give, each by where a score stands among those of `known`."""
    sorted_one, sorted_other = np.sort(one(known)), np.sort(other(known))

    def score(asked: Known) -> Numbers:
        return np.asarray(_rank(one(asked), sorted_one) + _rank(other(asked), sorted_other)) / 2

    return score


def _rank(scores: Numbers, among: Numbers) -> Numbers:
    """Log-odds of the place, so that the top, where lookalikes are, is spread out."""
    place = (np.searchsorted(among, scores) + 0.5) / (len(among) + 1)
    tie = np.arctan(scores) * 1e-9
    return np.asarray(np.log(place / (1 - place)) + tie)


def _fit_neighbours(lesson: Lesson, chance: Any) -> Scorer:
    """The mean cosine of the angles to the nearest of some of the seed."""
    scale = _Scale(lesson)
    places = np.flatnonzero(lesson.is_seed)
    if len(places) > SEEDS_COMPARED_MAX:
        share = lesson.weights[places] / lesson.weights[places].sum()
        places = chance.choice(places, SEEDS_COMPARED_MAX, replace=False, p=share)
    seeds = _unit(scale(lesson.known.rows(places)))
    nearest = min(NEIGHBOURS, len(seeds))

    def score(known: Known) -> Numbers:
        found = np.empty(len(known.ids))
        for start in range(0, len(found), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            near = _unit(scale(Known(known.ids[part], known.dense[part], None, known.names)))
            cosines = near @ seeds.T
            top = np.partition(cosines, len(seeds) - nearest, axis=1)[:, -nearest:]
            found[part] = top.mean(axis=1)
        return found

    return score


def _unit(rows: Numbers) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-9), np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Where all that is fitted and scored uses one thread.

    Several wait for each other by spinning: beside other work on two cores that took five times as
    long as one (`bench/lookalikes.py --speed`).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@contextmanager
def _calm() -> Iterator[None]:
    """A fit that has not quite converged is judged by what it finds, like all others."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
