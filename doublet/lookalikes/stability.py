"""Drift: how far the behaviour of a population has moved since a lookalike was made.

The population stability index of one number is the sum over its tenths at training of
(now - then) * ln(now / then), where `then` and `now` are the shares of persons in a tenth (Siddiqi,
Credit Risk Scorecards, 2006, chapter 6: below 0.1 nothing has changed, above 0.25 much has).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from doublet.engine import Engine
from doublet.lookalikes.features import SAMPLE_PERSONS, Known, Reader, spread, stack
from doublet.lookalikes.spec import LookalikeSpec

DRIFT_MAX = 0.25
RETRAIN_S = 3 * 86_400
"""A lookalike in use is made anew after so long (as Meta's are), or when it has drifted."""
_NOT_WATCHED = {"first_age", "view_price"}
"""Everyone grows older, and prices are not known of all."""
_LEAST_SHARE = 1e-4


class Bins(msgspec.Struct, frozen=True):
    """One number's tenths at training: inner edges, and the share of persons in each."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Drift(msgspec.Struct, frozen=True):
    """The index of each number, the largest and its name; whether it is time to train again."""

    largest: float
    name: str
    by_name: dict[str, float]
    is_retraining_due: bool


def psi(then: Sequence[float], now: Sequence[float]) -> float:
    """The population stability index of two lists of shares.

    >>> round(psi([0.5, 0.5], [0.4, 0.6]), 4), psi([0.5, 0.5], [0.5, 0.5])
    (0.0405, 0.0)
    """
    before = np.maximum(np.asarray(then, float), _LEAST_SHARE)
    after = np.maximum(np.asarray(now, float), _LEAST_SHARE)
    return float(((after - before) * np.log(after / before)).sum())


def reference(known: Known) -> dict[str, Bins]:
    """What later states of the population are compared with."""
    made = {}
    for place, name in enumerate(known.names):
        if name in _NOT_WATCHED or not len(known.ids):
            continue
        numbers = known.dense[:, place]
        edges = np.unique(np.quantile(numbers, np.arange(1, 10) / 10, method="lower"))
        made[name] = Bins(tuple(float(edge) for edge in edges), tuple(_shares(numbers, edges)))
    return made


def _shares(numbers: NDArray[Any], edges: Any) -> list[float]:
    places = np.searchsorted(np.asarray(edges, np.float32), numbers, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return [round(float(share), 6) for share in counts / max(len(numbers), 1)]


def drift(
    engine: Engine,
    account_id: str,
    spec: LookalikeSpec,
    then: dict[str, Bins],
    trained_at: int,
    now_s: int,
    ignored: tuple[str, ...] = (),
) -> Drift:
    """Compare the population of now with the one that a lookalike was made of (its `figures`'
    `reference`, `trained_at` and `ignored`)."""
    reader = Reader(engine, account_id, ignored)
    people = reader.people(now_s, spec)
    asked = spread(people.ids[people.is_in], SAMPLE_PERSONS)
    known = stack([part for part, _ in reader.known(now_s, asked, ())])
    by_name = {}
    for name, bins in then.items():
        if name in known.names and len(known.ids):
            now = _shares(known.column(name), bins.edges)
            by_name[name] = round(psi(bins.shares, now), 4)
    largest = max(by_name, key=lambda name: by_name[name], default="")
    most = by_name.get(largest, 0.0)
    is_due = most > DRIFT_MAX or now_s - trained_at >= RETRAIN_S
    return Drift(most, largest, by_name, is_due)
