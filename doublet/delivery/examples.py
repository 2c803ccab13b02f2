"""What rates are learned from: one example per impression, as columns.

A feature is a text, `kind:value`, such as `aud:123` or `place:home`: about twenty per impression,
each at most once. Columns keep a million impressions in about 150 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int32]


class AdKey(NamedTuple):
    """An ad, with what it belongs to."""

    ad_id: str
    adset_id: str
    campaign_id: str


class Example(NamedTuple):
    """One impression. Times are Unix seconds, None for what has not come; `value` is in units, of
    all that came of it. `propensity` is the probability with which this ad was chosen."""

    features: Sequence[str]
    ad: AdKey
    decided_at: float
    clicked_at: float | None = None
    acted_at: float | None = None
    value: float = 0.0
    propensity: float = 1.0


@dataclass(frozen=True)
class Examples:
    """Impressions as columns of one length n. The features of row i are
    `words[places[starts[i] : starts[i + 1]]]`, its ad is `ads[ad[i]]`; a time that has not come is
    not a number."""

    words: tuple[str, ...]
    starts: NDArray[np.int64]
    places: Places
    ads: tuple[AdKey, ...]
    ad: Places
    decided_at: Numbers
    clicked_at: Numbers
    acted_at: Numbers
    value: Numbers
    propensity: Numbers

    def __len__(self) -> int:
        return len(self.ad)

    @property
    def clicked(self) -> NDArray[np.bool_]:
        """Which impressions were clicked."""
        return ~np.isnan(self.clicked_at)

    @property
    def acted(self) -> NDArray[np.bool_]:
        """Which impressions led to the action that was wanted."""
        return ~np.isnan(self.acted_at)

    @classmethod
    def of(cls, rows: Iterable[Example]) -> Examples:
        """Columns of rows.

        >>> ad = AdKey("1", "2", "3")
        >>> two = Examples.of([Example(("place:home",), ad, 5.0), Example((), ad, 6.0, 9.0)])
        >>> len(two), two.words, two.clicked.tolist()
        (2, ('place:home',), [False, True])
        """
        words: dict[str, int] = {}
        ads: dict[AdKey, int] = {}
        ends, places, ad, numbers = [0], [], [], []
        for row in rows:
            places += [words.setdefault(word, len(words)) for word in row.features]
            ends.append(len(places))
            ad.append(ads.setdefault(row.ad, len(ads)))
            times = (row.decided_at, row.clicked_at, row.acted_at)
            numbers.append(
                [np.nan if time is None else time for time in times] + [row.value, row.propensity]
            )
        columns = np.array(numbers, np.float64).reshape(-1, 5).T.copy()
        return cls(
            tuple(words),
            np.array(ends, np.int64),
            np.array(places, np.int32),
            tuple(ads),
            np.array(ad, np.int32),
            *columns,
        )

    def take(self, wanted: NDArray[Any]) -> Examples:
        """Some rows, by places or by a mask; words and ads stay as they are."""
        rows = np.flatnonzero(wanted) if wanted.dtype == np.bool_ else wanted
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return replace(
            self,
            starts=starts,
            places=self.places[np.repeat(self.starts[rows], counts) + within],
            **{
                name: getattr(self, name)[rows]
                for name in ("ad", "decided_at", "clicked_at", "acted_at", "value", "propensity")
            },
        )

    def known_at(self, now: float) -> Examples:
        """What was known at a moment: impressions until then, without the clicks and actions that
        came later."""
        known = self.take(self.decided_at <= now)
        is_acted = known.acted_at <= now
        return replace(
            known,
            clicked_at=np.where(known.clicked_at <= now, known.clicked_at, np.nan),
            acted_at=np.where(is_acted, known.acted_at, np.nan),
            value=np.where(is_acted, known.value, 0.0),
        )

    def features(self, row: int) -> tuple[str, ...]:
        """The features of one impression."""
        return tuple(
            self.words[place] for place in self.places[self.starts[row] : self.starts[row + 1]]
        )
