"""Intervals of lift that are usual, and not used. Apart from `bench/lift.py`, which measures them.

All need no more than an arm's sums. Resampling (the bootstrap) would need each person's outcome,
and is left out for that reason.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from doublet.lift.estimate import LEVEL, Limits, Moments
from tests.lifting import Arms, Array

_Z = float(ndtri(0.5 + LEVEL / 2))


def other_intervals(arms: Arms) -> dict[str, Limits]:
    """By what each is of and its name."""
    held_out, shown = arms.held_out, arms.shown
    return {
        "per person by Wald": _normal(held_out, shown, _Z),
        "per person by Welch": _normal(held_out, shown, _student(held_out, shown)),
        "lift by logarithm": _logarithm(held_out, shown),
        "lift by Fieller": _fieller(held_out, shown),
    }


def _error(arm: Moments) -> Array:
    """The variance of its mean."""
    return arm.variance / arm.persons


def _normal(held_out: Moments, shown: Moments, quantile: Array | float) -> Limits:
    figure = shown.mean - held_out.mean
    half = quantile * np.sqrt(_error(held_out) + _error(shown))
    return Limits(figure, figure - half, figure + half)


def _student(held_out: Moments, shown: Moments) -> Array:
    """Student's quantile for Welch's degrees of freedom."""
    parts = [(_error(arm), arm.persons - 1) for arm in (held_out, shown)]
    freedom = sum(e for e, _ in parts) ** 2 / sum(e**2 / n for e, n in parts)
    return stdtrit(freedom, 0.5 + LEVEL / 2)


def _logarithm(held_out: Moments, shown: Moments) -> Limits:
    """The delta method, of the ratio's logarithm."""
    figure = shown.mean / held_out.mean
    relative = [_error(arm) / arm.mean**2 for arm in (held_out, shown)]
    factor = np.exp(_Z * np.sqrt(relative[0] + relative[1]))
    return Limits(figure, figure / factor, figure * factor)


def _fieller(held_out: Moments, shown: Moments) -> Limits:
    """Fieller's interval of a ratio; without bounds where the lower mean may be zero."""
    a = held_out.mean**2 - _Z**2 * _error(held_out)
    b = held_out.mean * shown.mean
    c = shown.mean**2 - _Z**2 * _error(shown)
    half = np.sqrt(np.maximum(b**2 - a * c, 0))
    bounded = np.where(a > 0, a, np.nan)
    low = np.nan_to_num((b - half) / bounded, nan=-np.inf)
    high = np.nan_to_num((b + half) / bounded, nan=np.inf)
    return Limits(shown.mean / held_out.mean, low, high)
