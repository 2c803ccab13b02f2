"""Lookalikes: people who are like those of an audience, ordered by a model that is judged first.

`make_lookalike` gives the person ids and the figures that chose the model; `drift` says when to
make it anew. Both read the table `behaviours` alone.
"""

from __future__ import annotations

from doublet.lookalikes.make import Figures, Lookalike, make_lookalike
from doublet.lookalikes.spec import (
    LookalikeSpec,
    LookalikeSpecError,
    NobodyLeftError,
    SeedTooSmallError,
    parse_spec,
)
from doublet.lookalikes.stability import Drift, drift

__all__ = [
    "Drift",
    "Figures",
    "Lookalike",
    "LookalikeSpec",
    "LookalikeSpecError",
    "NobodyLeftError",
    "SeedTooSmallError",
    "drift",
    "make_lookalike",
    "parse_spec",
]
