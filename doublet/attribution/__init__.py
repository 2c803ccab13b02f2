"""Attribution: how conversions are shared out among the touches before them.

The heuristics give each touch a share by its place or age. The data-driven models weigh channels by
what all paths say, those included that ended without a conversion. All work on `Paths`.
"""

from __future__ import annotations

from doublet.attribution.heuristics import (
    first_touch,
    last_touch,
    linear,
    position_based,
    time_decay,
)
from doublet.attribution.markov import Markov, markov
from doublet.attribution.paths import Paths
from doublet.attribution.shapley import CHANNELS_MAX, Shapley, shapley

__all__ = [
    "CHANNELS_MAX",
    "Markov",
    "Paths",
    "Shapley",
    "first_touch",
    "last_touch",
    "linear",
    "markov",
    "position_based",
    "shapley",
    "time_decay",
]
