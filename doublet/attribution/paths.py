"""Paths: what people touched, in order, and how often that ended with a conversion or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Paths:
    """Many paths in flat arrays.

    Path p consists of the channels `codes[starts[p]:starts[p + 1]]`, numbers of places in
    `channels`, the oldest touch first. `conversions` and `losses` count how often it ended with a
    conversion and without one, `ages` has for each touch the days from it to the end of its path;
    where nobody knows them, the touches of a path lie a day apart.
    """

    def __init__(
        self,
        paths: Sequence[Sequence[str]],
        conversions: Sequence[float] | Any,
        losses: Sequence[float] | Any | None = None,
        ages: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Empty paths are left out. Raises ValueError when lengths differ or counts are below 0."""
        import numpy as np

        if len(conversions) != len(paths) or (losses is not None and len(losses) != len(paths)):
            raise ValueError("Each path needs its count of conversions, and of losses if any.")
        number: dict[str, int] = {}
        kept = [n for n, path in enumerate(paths) if len(path)]
        codes = [number.setdefault(channel, len(number)) for n in kept for channel in paths[n]]
        self.channels: tuple[str, ...] = tuple(sorted(number))
        order = np.empty(len(number), np.int64)
        for place, channel in enumerate(self.channels):
            order[number[channel]] = place
        self.codes: Ints = order[np.array(codes, np.int64)] if codes else np.empty(0, np.int64)
        lengths = np.array([len(paths[n]) for n in kept], np.int64)
        self.starts: Ints = np.concatenate(([0], np.cumsum(lengths)))
        self.lengths: Ints = lengths
        self.conversions: Floats = np.asarray(conversions, np.float64)[kept]
        zeros = np.zeros(len(paths))
        self.losses: Floats = np.asarray(zeros if losses is None else losses, np.float64)[kept]
        if (self.conversions < 0).any() or (self.losses < 0).any():
            raise ValueError("A path cannot have been walked less than never.")
        self.ages: Floats
        if ages is None:
            counted = np.repeat(self.starts[1:], lengths) - 1 - np.arange(len(self.codes))
            self.ages = counted.astype(np.float64)
        else:
            if any(len(ages[n]) != len(paths[n]) for n in kept):
                raise ValueError("Each touch needs its age.")
            self.ages = np.array([age for n in kept for age in ages[n]], np.float64)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def owners(self) -> Ints:
        """The path that each touch is of."""
        import numpy as np

        return np.repeat(np.arange(len(self)), self.lengths)

    def credit(self, shares: Floats) -> dict[str, float]:
        """The conversions of each channel, where `shares` has each touch's share of one conversion
        of its path."""
        import numpy as np

        weights = shares * np.repeat(self.conversions, self.lengths)
        totals = np.bincount(self.codes, weights, len(self.channels))
        return dict(zip(self.channels, totals.tolist(), strict=True))

    def masks(self) -> Ints:
        """The set of channels of each path, as bits: that of `channels[i]` is 1 << i."""
        import numpy as np

        return np.bitwise_or.reduceat(np.int64(1) << self.codes, self.starts[:-1])

    def without_repeats(self) -> Paths:
        """The same with touches of one channel that follow one another made one, the last."""
        import numpy as np

        last = np.ones(len(self.codes), bool)
        if len(self.codes) > 1:
            last[:-1] = (self.codes[1:] != self.codes[:-1]) | (self.owners[1:] != self.owners[:-1])
        made = Paths.__new__(Paths)
        made.channels, made.codes, made.ages = self.channels, self.codes[last], self.ages[last]
        made.lengths = np.bincount(self.owners[last], minlength=len(self))
        made.starts = np.concatenate(([0], np.cumsum(made.lengths)))
        made.conversions, made.losses = self.conversions, self.losses
        return made
