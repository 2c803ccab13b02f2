"""Removal effects in a Markov chain of channels.

A walk begins at *start*, goes from channel to channel with the transition probabilities that all
paths together show, and ends at *conversion* or at *null*. The removal effect of a channel is the
part of all conversions that is lost when whoever comes to it goes to null instead (Anderl, Becker,
von Wangenheim, Schumann: Mapping the customer journey, International Journal of Research in
Marketing 33, 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from doublet.attribution.paths import Paths

if TYPE_CHECKING:
    from doublet.attribution.paths import Floats, Ints


class Markov(NamedTuple):
    """`conversions`: all of them, shared out in proportion to the removal effects; `effects`: of
    each channel, between 0 and 1; `probability`: that a walk ends with a conversion."""

    conversions: dict[str, float]
    effects: dict[str, float]
    probability: float


def markov(paths: Paths, order: int = 1) -> Markov:
    """Fit the chain and remove each channel.

    With Q the transitions among states, s those from start, c those to conversion, a walk converts
    with probability P = s (I − Q)⁻¹ c. Without a channel, P' is the same over the states that do
    not hold it, and the effect is 1 − P' / P. For order 1 no system need be solved again: with
    x = s (I − Q)⁻¹, y = (I − Q)⁻¹ c and d the diagonal of (I − Q)⁻¹, P − P' = x_i y_i / d_i, the
    chance ever to come to i times the chance to convert from there. In order k a state is the
    channels of the last k touches. Raises ValueError for an order below 1.
    """
    import numpy as np

    if order < 1:
        raise ValueError("The order is the number of touches that a state holds, at least 1.")
    total = float(paths.conversions.sum())
    if not total:
        return Markov(dict.fromkeys(paths.channels, 0.0), dict.fromkeys(paths.channels, 0.0), 0.0)
    if order == 1:
        lost, probability = _first_order(paths)
    else:
        lost, probability = _higher_order(paths, order)
    effects = np.clip(lost / probability, 0.0, 1.0)
    conversions = total * effects / effects.sum()
    return Markov(
        dict(zip(paths.channels, conversions.tolist(), strict=True)),
        dict(zip(paths.channels, effects.tolist(), strict=True)),
        probability,
    )


def _first_order(paths: Paths) -> tuple[Floats, float]:
    import numpy as np
    from scipy.sparse.linalg import splu

    states, rows = paths.codes, len(paths.channels)
    matrix, start, end = _chain(paths, states, rows)
    solver = splu(matrix)
    x = solver.solve(start, trans="T")
    y = solver.solve(end)
    d, unit = np.empty(rows), np.zeros(rows)
    for n in range(rows):
        unit[n] = 1.0
        d[n] = solver.solve(unit)[n]
        unit[n] = 0.0
    return x * y / d, float(start @ y)


def _higher_order(paths: Paths, order: int) -> tuple[Floats, float]:
    import numpy as np
    from scipy.sparse.linalg import splu

    size = len(paths.channels) + 1
    places = np.arange(len(paths.codes)) - np.repeat(paths.starts[:-1], paths.lengths)
    held = np.zeros((len(paths.codes), order), np.int64)
    for back in range(order):
        earlier = places >= back
        held[earlier, back] = paths.codes[np.flatnonzero(earlier) - back] + 1
    keys = held @ size ** np.arange(order)
    _, first, states = np.unique(keys, return_index=True, return_inverse=True)
    channels_of = held[first]
    matrix, start, end = _chain(paths, states, len(first))
    probability = float(start @ splu(matrix).solve(end))
    lost = np.empty(len(paths.channels))
    for channel in range(len(paths.channels)):
        kept = np.flatnonzero(~(channels_of == channel + 1).any(axis=1))
        without = 0.0
        if len(kept):
            part = matrix[kept][:, kept].tocsc()
            without = float(start[kept] @ splu(part).solve(end[kept]))
        lost[channel] = probability - without
    return lost, probability


def _chain(paths: Paths, states: Ints, rows: int) -> tuple[Any, Floats, Floats]:
    """I − Q as a sparse matrix, the transitions from start, and those to conversion."""
    import numpy as np
    from scipy.sparse import coo_matrix, identity

    weights = np.repeat(paths.conversions + paths.losses, paths.lengths)
    is_last = np.zeros(len(states), bool)
    is_last[paths.starts[1:] - 1] = True
    leaving = np.bincount(states, weights, rows)
    # A state that nobody walks through leads nowhere.
    leaving[leaving == 0] = 1.0
    froms = np.flatnonzero(~is_last)
    moves = coo_matrix(
        (weights[froms] / leaving[states[froms]], (states[froms], states[froms + 1])), (rows, rows)
    )
    begins = np.bincount(states[paths.starts[:-1]], paths.conversions + paths.losses, rows)
    ends = np.bincount(states[paths.starts[1:] - 1], paths.conversions, rows)
    return (
        (identity(rows, format="csc") - moves.tocsc()).tocsc(),
        begins / begins.sum(),
        ends / leaving,
    )
