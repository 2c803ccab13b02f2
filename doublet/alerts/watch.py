"""What the alerts look at: series per pixel, read from the models, and which of them are unusual.

A window of half an hour, an hour or six is compared with the same window of earlier weeks. Counts
come from the receipt of copies, so that loading late or all at once changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple

from doublet.alerts.bands import WEEKS_MIN, Band, usual_count, usual_share, variation_of
from doublet.engine import Engine

STEP_S = 300
"""Counts are per five minutes of receipt, UTC."""

WEEKS = 4
WINDOWS_S = (1_800, 7_200, 21_600)
"""A large site's outage shows in the first; a small one's needs the longer ones."""

SHARE_WINDOW_S = 21_600
SETTLED_S = 1_800
"""Second copies have this much time before a share is looked at."""

EXPECTED_MIN = 20.0
RISE_MIN = 2.0
SHARE_CHANGE_MIN = 0.1
CASES_MIN = 50
_WEEK_S = 7 * 86_400
_DAY_S = 86_400


class Series(NamedTuple):
    """What is looked at: one event name of one pixel from one source. `measure` is volume,
    deduplication, freshness or matching."""

    measure: str
    pixel_id: str
    event_name: str
    source: str


class Finding(NamedTuple):
    """A series that left its band: what is seen in the `window_s` up to `at`, and what is usual.
    Counts for the volume, shares from 0 to 1 for everything else."""

    series: Series
    at: datetime
    window_s: int
    seen: float
    band: Band

    @property
    def is_low(self) -> bool:
        """Below the band, not above it."""
        return self.seen < self.band.lowest


class Steps:
    """Counts by number of the five-minute step since 1970, which are summed over any stretch."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        """`counts` of at least one step; steps without any may be missing."""
        self.begun = min(counts)
        inside = range(self.begun, max(counts) + 1)
        self._totals = [0, *accumulate(counts.get(step, 0) for step in inside)]

    def between(self, first: int, last: int) -> int:
        """Over a half-open range of steps."""
        longest = len(self._totals) - 1
        begin, end = (min(max(step - self.begun, 0), longest) for step in (first, last))
        return self._totals[end] - self._totals[begin]


class Share(NamedTuple):
    """How often something held, and in how many cases."""

    hits: Steps
    cases: Steps

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Hits and cases over a half-open range of steps."""
        return self.hits.between(first, last), self.cases.between(first, last)


def look(
    volumes: Mapping[Series, Steps], shares: Mapping[Series, Share], now: datetime
) -> list[Finding]:
    """All series that are unusual at `now`; at most one finding for each."""
    end = int(now.timestamp()) // STEP_S
    settled = end - SETTLED_S // STEP_S
    findings = [look_at_volume(series, counts, end) for series, counts in volumes.items()]
    findings += [look_at_share(series, share, settled) for series, share in shares.items()]
    return [finding for finding in findings if finding is not None]


def look_at_volume(series: Series, counts: Steps, end: int) -> Finding | None:
    """Whether there are too few or too many copies in one of the windows up to the step `end`."""
    week = _WEEK_S // STEP_S
    ago = [n * week for n in range(1, WEEKS + 1) if end - (n + 1) * week >= counts.begun]
    if len(ago) < WEEKS_MIN:
        return None
    level = _level(counts, end, ago)
    spread = variation_of([_hours(counts, end - steps) for steps in ago])
    for window_s in WINDOWS_S:
        steps = window_s // STEP_S
        seen = counts.between(end - steps, end)
        earlier = [counts.between(end - back - steps, end - back) for back in ago]
        band = usual_count(earlier, level, spread)
        if band is None or band.expected < EXPECTED_MIN:
            continue
        if seen < band.lowest or seen > max(band.highest, RISE_MIN * band.expected):
            return Finding(series, _moment(end), window_s, seen, band)
    return None


def _level(counts: Steps, end: int, ago: Sequence[int]) -> float:
    """How busy the day before the last six hours was, as a ratio to the same day of earlier weeks.

    What is unusual now must not count as usual; hence the gap.
    """
    last = end - WINDOWS_S[-1] // STEP_S
    first = last - _DAY_S // STEP_S
    earlier = sum(counts.between(first - back, last - back) for back in ago) / len(ago)
    return counts.between(first, last) / earlier if earlier >= EXPECTED_MIN else 1.0


def _hours(counts: Steps, end: int) -> list[int]:
    """Counts of the week before a step, by hour."""
    hour = 3600 // STEP_S
    return [counts.between(end - (n + 1) * hour, end - n * hour) for n in range(7 * 24)]


def look_at_share(series: Series, share: Share, end: int) -> Finding | None:
    """Whether the share of the window up to the step `end` is unusual."""
    week, steps = _WEEK_S // STEP_S, SHARE_WINDOW_S // STEP_S
    hits, cases = share.between(end - steps, end)
    if cases < CASES_MIN:
        return None
    ends = [end - n * week for n in range(1, WEEKS + 1)]
    earlier = [share.between(last - steps, last) for last in ends]
    band = usual_share([week for week in earlier if week[1] >= CASES_MIN], cases)
    seen = hits / cases
    if band is None or abs(seen - band.expected) < SHARE_CHANGE_MIN:
        return None
    if band.lowest <= seen <= band.highest:
        return None
    return Finding(series, _moment(end), SHARE_WINDOW_S, seen, band)


def _moment(step: int) -> datetime:
    return datetime.fromtimestamp(step * STEP_S, UTC)


# --- reading ---------------------------------------------------------------------------------


def read_volumes(engine: Engine, now: datetime) -> dict[Series, Steps]:
    """Copies per five minutes of the last weeks."""
    found: dict[Series, dict[int, int]] = defaultdict(dict)
    for row in engine.query(_sql("volumes"), {"since": _since(now)}):
        series = Series("volume", row["pixel_id"], row["event_name"], row["source"])
        found[series][row["step"]] = row["copies"]
    return {series: Steps(counts) for series, counts in found.items()}


def read_shares(engine: Engine, now: datetime) -> dict[Series, Share]:
    """Hits and cases per five minutes of the last weeks, for each measure that is a share."""
    hits: dict[Series, dict[int, int]] = defaultdict(dict)
    cases: dict[Series, dict[int, int]] = defaultdict(dict)
    for row in engine.query(_sql("shares"), {"since": _since(now)}):
        series = Series(row["measure"], row["pixel_id"], row["event_name"], "server")
        hits[series][row["step"]] = row["hits"]
        cases[series][row["step"]] = row["cases"]
    return {series: Share(Steps(hits[series]), Steps(cases[series])) for series in cases}


@cache
def _sql(name: str) -> str:
    return files("doublet.alerts").joinpath(f"{name}.sql").read_text("utf-8")


def _since(now: datetime) -> datetime:
    """The weeks that are compared, and the day before the first of them."""
    return now - timedelta(days=7 * WEEKS + 2)
