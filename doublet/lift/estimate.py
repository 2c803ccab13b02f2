"""From the sums of two arms to an effect with its interval.

All intervals are of 95 % and made the same way: each arm's mean gets limits of its own, and these
are combined ("MOVER": Zou and Donner, Construction of confidence limits about effect measures,
Statistics in Medicine 27, 2008), for ratios by their logarithms. A share's limits are Wilson's,
which makes the difference Newcombe's interval (Statistics in Medicine 17, 1998, method 10). The
limits of a mean number or value lie on the logarithmic scale, as what persons buy is skewed: with a
tenth held out, Welch's and Fieller's intervals miss seven and ten times as often on one side as on
the other, these about twice at worst (`bench/lift.py --others`). The functions take numbers or
numpy arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

CONVERTERS_MIN = 20
"""With fewer converters in either arm no figure is given: below, intervals are not exact."""
LEVEL = 0.95

Figures = Any
"""A number, or a numpy array of them."""


class Moments(NamedTuple):
    """What an estimate needs of one arm: persons, the sum of their outcomes, of the squares."""

    persons: Figures
    total: Figures
    squares: Figures

    @property
    def mean(self) -> Figures:
        """The mean outcome of a person."""
        return self.total / self.persons

    @property
    def variance(self) -> Figures:
        """The variance of the outcome between persons."""
        return (self.squares - self.total * self.mean) / (self.persons - 1)


class Limits(NamedTuple):
    """A figure and the ends of its interval."""

    figure: Figures
    low: Figures
    high: Figures


class Effect(msgspec.Struct):
    """What the ads did to one outcome: means per person in both arms, their difference, what that
    makes for all who were shown the ads (`incremental`), and `lift`, the difference as a share of
    the held-out mean. Each with the ends of its 95 % interval."""

    held_out_mean: float
    shown_mean: float
    per_person: float
    per_person_low: float
    per_person_high: float
    incremental: float
    incremental_low: float
    incremental_high: float
    lift: float
    lift_low: float
    lift_high: float

    @property
    def is_shown(self) -> bool:
        """Whether both intervals leave zero out; it is rare that only one of them does."""
        low, high = (
            min(self.per_person_low, self.lift_low),
            max(self.per_person_high, self.lift_high),
        )
        return low > 0 or high < 0


def share_limits(arm: Moments) -> Limits:
    """Wilson's limits of a share (Journal of the American Statistical Association 22, 1927)."""
    import numpy as np
    from scipy.special import ndtri

    quantile = ndtri(0.5 + LEVEL / 2)
    share, extra = arm.mean, quantile**2 / arm.persons
    middle = (share + extra / 2) / (1 + extra)
    half = np.sqrt(extra * share * (1 - share) + extra**2 / 4) / (1 + extra)
    return Limits(share, middle - half, middle + half)


def mean_limits(arm: Moments, observations: Figures) -> Limits:
    """Limits of a positive mean on the logarithmic scale; Student's quantile for that many
    `observations`."""
    import numpy as np
    from scipy.special import stdtrit

    mean = arm.mean
    quantile = stdtrit(observations - 1, 0.5 + LEVEL / 2)
    # Rounding may leave less than none, where all have spent the same.
    variance = np.maximum(arm.variance, 0)
    factor = np.exp(quantile * np.sqrt(variance / arm.persons) / mean)
    return Limits(mean, mean / factor, mean * factor)


def difference(held_out: Limits, shown: Limits) -> Limits:
    """Shown minus held out, from the limits of each."""
    import numpy as np

    figure = shown.figure - held_out.figure
    below = np.hypot(shown.figure - shown.low, held_out.high - held_out.figure)
    above = np.hypot(shown.high - shown.figure, held_out.figure - held_out.low)
    return Limits(figure, figure - below, figure + above)


def ratio(held_out: Limits, shown: Limits) -> Limits:
    """Shown as a multiple of held out, from the limits of each; all must be above zero."""
    import numpy as np

    figure = shown.figure / held_out.figure
    below = np.hypot(np.log(shown.figure / shown.low), np.log(held_out.high / held_out.figure))
    above = np.hypot(np.log(shown.high / shown.figure), np.log(held_out.figure / held_out.low))
    return Limits(figure, figure * np.exp(-below), figure * np.exp(above))


def share_effect(held_out: Moments, shown: Moments) -> Effect:
    """The effect on the share of persons who convert; both arms must have some."""
    return _effect(share_limits(held_out), share_limits(shown), shown.persons)


def number_effect(held_out: Moments, shown: Moments) -> Effect:
    """The effect on how many conversions a person has."""
    without = mean_limits(held_out, held_out.persons)
    return _effect(without, mean_limits(shown, shown.persons), shown.persons)


def value_effect(
    held_out: Moments, shown: Moments, held_out_converters: int, shown_converters: int
) -> Effect:
    """The effect on what a person spends. Only converters tell how much purchases differ, hence
    the quantile of as many observations."""
    without = mean_limits(held_out, held_out_converters)
    return _effect(without, mean_limits(shown, shown_converters), shown.persons)


def _effect(held_out: Limits, shown: Limits, persons: int) -> Effect:
    apart, times = difference(held_out, shown), ratio(held_out, shown)
    return Effect(
        float(held_out.figure),
        float(shown.figure),
        *(float(value) for value in apart),
        *(float(value) * persons for value in apart),
        *(float(value) - 1 for value in times),
    )


class Mismatch(msgspec.Struct):
    """Whether as many persons are held out as were to be: the share that is, the one that was
    `expected`, and the chance of so large a distance (Pearson's chi-squared test)."""

    share: float
    expected: float
    p_value: float

    @property
    def is_mismatch(self) -> bool:
        """Whether the arms cannot be compared: something other than the draw chose them."""
        return self.p_value < MISMATCH_P


MISMATCH_P = 0.001
"""One sound experiment in a thousand is called mismatched (as Fabijan and others, "Diagnosing
Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019, recommend: a low limit)."""


def mismatch(held_out: int, shown: int, expected: float) -> Mismatch:
    """Compare the sizes of the arms with the share that was to be held out, between 0 and 1;
    at least one person must be there."""
    from scipy.special import chdtrc

    persons = held_out + shown
    distance = (held_out - persons * expected) ** 2 / (persons * expected * (1 - expected))
    return Mismatch(held_out / persons, expected, float(chdtrc(1, distance)))
