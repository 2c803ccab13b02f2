"""Heuristics: shares by rule, whatever the data say.

Each returns the conversions of each channel; the shares of a path's touches add up to one, so the
totals add up to all conversions of paths that have a touch. With the touches of a path numbered
1 … n, the oldest first, touch i gets the share that the docstring says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doublet.attribution.paths import Paths

if TYPE_CHECKING:
    from doublet.attribution.paths import Floats

HALF_LIFE_DAYS = 7.0
FIRST_SHARE = LAST_SHARE = 0.4


def last_touch(paths: Paths) -> dict[str, float]:
    """All to the touch n."""
    import numpy as np

    shares = np.zeros(len(paths.codes))
    shares[paths.starts[1:] - 1] = 1.0
    return paths.credit(shares)


def first_touch(paths: Paths) -> dict[str, float]:
    """All to touch 1."""
    import numpy as np

    shares = np.zeros(len(paths.codes))
    shares[paths.starts[:-1]] = 1.0
    return paths.credit(shares)


def linear(paths: Paths, *, distinct: bool = False) -> dict[str, float]:
    """1 / n each. With `distinct` each *channel* of the path gets the same, however often it was
    touched."""
    import numpy as np

    if not distinct:
        return paths.credit(1.0 / np.repeat(paths.lengths, paths.lengths))
    size = len(paths.channels)
    pairs = np.unique(paths.owners * size + paths.codes)
    owners, codes = pairs // size, pairs % size
    counts = np.bincount(owners, minlength=len(paths))
    totals = np.bincount(codes, (paths.conversions / counts)[owners], size)
    return dict(zip(paths.channels, totals.tolist(), strict=True))


def time_decay(paths: Paths, half_life: float = HALF_LIFE_DAYS) -> dict[str, float]:
    """w_i / Σ w with w_i = 2^(−age_i / half-life), both in days: a touch one half-life older gets
    half as much. Raises ValueError unless the half-life is above 0."""
    import numpy as np

    if half_life <= 0:
        raise ValueError("The half-life is a number of days above 0.")
    # Counted from the youngest touch of a path, so that old paths do not vanish.
    youngest = np.minimum.reduceat(paths.ages, paths.starts[:-1]) if len(paths) else paths.ages
    weights = np.exp2((np.repeat(youngest, paths.lengths) - paths.ages) / half_life)
    return paths.credit(_shares(paths, weights))


def position_based(
    paths: Paths, first: float = FIRST_SHARE, last: float = LAST_SHARE
) -> dict[str, float]:
    """`first` to touch 1, `last` to touch n, the rest in equal parts to those between. Of two
    touches the rest goes to both in the proportion of their shares; a single one gets all. Raises
    ValueError unless both are at least 0 and together above 0 and at most 1."""
    import numpy as np

    if min(first, last) < 0 or not 0 < first + last <= 1:
        raise ValueError("The shares of first and last touch lie between 0 and 1 together.")
    n = np.repeat(paths.lengths, paths.lengths)
    shares = (1.0 - first - last) / np.maximum(n - 2, 1)
    shares[paths.starts[:-1]] = np.where(paths.lengths > 2, first, first / (first + last))
    shares[paths.starts[1:] - 1] = np.where(paths.lengths > 2, last, last / (first + last))
    shares[paths.starts[:-1][paths.lengths == 1]] = 1.0
    return paths.credit(shares)


def _shares(paths: Paths, weights: Floats) -> Floats:
    import numpy as np

    if not len(paths):
        return weights
    sums: Floats = np.add.reduceat(weights, paths.starts[:-1])
    shares: Floats = weights / np.repeat(sums, paths.lengths)
    return shares
