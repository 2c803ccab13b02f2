"""Before the test: how many persons it needs, or what it can show.

The test is whether the interval of `doublet.lift.estimate` leaves zero out. On the logarithmic
scale a mean's variance is dispersion / (mean · persons), where dispersion is variance over mean:
1 - share for whether a person converts, 1 for a Poisson number, more where some persons buy much
more than others. Needed are (z₁₋α/₂ + z_power)² · (sum of both variances) / log(1 + lift)² persons,
as for a ratio of rates (Zhu and Lakkis, Statistics in Medicine 33, 2014). Checked by simulation.
"""

from __future__ import annotations

from math import ceil, exp, log
from typing import NamedTuple

from doublet.lift.estimate import LEVEL

POWER = 0.8
_LIFT_MAX = 1000.0


class Plan(NamedTuple):
    """What is known beforehand: the mean outcome of a held-out person, its dispersion (variance
    over mean), the share held out (between 0 and 1, neither of them), the power wanted."""

    mean: float
    dispersion: float
    held_out_share: float
    power: float = POWER


def persons_needed(plan: Plan, lift: float) -> int:
    """How many persons with an opportunity both arms need together, so that with `plan.power` a
    true lift (0.1 is 10 %; above -1, not 0) is shown."""
    return ceil(_factor(plan.power) * _variance(plan, lift) / log(1 + lift) ** 2)


def lift_detectable(plan: Plan, persons: int) -> float | None:
    """The smallest lift above zero that so many persons show with `plan.power`; None when even a
    thousandfold one would not be."""

    def is_enough(lift: float) -> bool:
        return persons_needed(plan, lift) <= persons

    low, high = 0.0, log(1 + _LIFT_MAX)
    if not is_enough(_LIFT_MAX):
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(exp(middle) - 1) else (middle, high)
    return exp(high) - 1


def _factor(power: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + LEVEL / 2) + ndtri(power)) ** 2


def _variance(plan: Plan, lift: float) -> float:
    """Of the logarithm of the ratio, times the number of all persons."""
    held_out = plan.dispersion / (plan.mean * plan.held_out_share)
    shown = plan.dispersion / (plan.mean * (1 + lift) * (1 - plan.held_out_share))
    return held_out + shown
