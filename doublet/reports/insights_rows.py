"""What insights are asked for and made of: levels, windows, places, tallies, rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from doublet.reports.periods import Period

LEVELS = ("account", "campaign", "adset", "ad")
"""From the coarsest to the finest; their number is the depth."""

WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_ev", "1d_view")
"""Keys of a result besides `value`, which is what the account's setting credits: its click window,
engaged-view window and view window, exactly. The view window leaves out what the setting credits to
a click or an engaged view, the engaged-view window what it credits to a click."""

FIRST = "_first_conversion"
"""Ends the keys that count only the first conversion of its kind after a touch."""
ALL = "_all_conversions"
"""Ends the keys that count all conversions."""


class Question(NamedTuple):
    """What is asked: rows per period and object of a level, of one object or of all, perhaps by
    hour of the day, platform and placement; and which figures are needed."""

    periods: Sequence[Period]
    level: str = "account"
    campaign_id: str | None = None
    adset_id: str | None = None
    ad_id: str | None = None
    by_hour: bool = False
    by_platform: bool = False
    by_placement: bool = False
    delivery: bool = True
    reach: bool = False
    results: bool = True
    persons: bool = False
    windows: Sequence[str] = WINDOWS
    """Which keys of results are needed besides `value`."""


class Kind(NamedTuple):
    """A kind of conversion: an event name, or a custom conversion, and where it happens (a channel
    of doublet.reports.actions)."""

    event_name: str
    custom_id: str | None
    channel: str


class Tally(NamedTuple):
    """So many conversions and their value in the account's currency."""

    conversions: int = 0
    value: Decimal = Decimal(0)

    def plus(self, conversions: int, value: Decimal) -> Tally:
        """With these added."""
        return Tally(self.conversions + conversions, self.value + value)


Results = dict[str, Tally]
"""By `value` and the keys of WINDOWS, with ALL or FIRST behind them where these were asked; a key
without conversions is absent."""


class Place(NamedTuple):
    """What a row is of: the period, by number, and the ids as far as the level goes; None where
    nobody told. Hour, platform and placement only where they were asked."""

    period: int
    campaign_id: str | None = None
    adset_id: str | None = None
    ad_id: str | None = None
    hour: int | None = None
    platform: str | None = None
    placement: str | None = None


@dataclass
class InsightsRow:
    """One row. `spend` is in the account's currency, None where no source told any; `reach` is None
    where it is not known, for it adds up over nothing. `persons` are those who converted, by the
    same keys as `results`, where they were asked for."""

    place: Place
    impressions: int = 0
    clicks: int = 0
    spend: Decimal | None = None
    reach: int | None = None
    results: dict[Kind, Results] = field(default_factory=dict)
    persons: dict[Kind, dict[str, set[int]]] = field(default_factory=dict)

    def add(self, other: InsightsRow) -> None:
        """Count the other row here too; what adds up over nothing is then unknown."""
        self.impressions += other.impressions
        self.clicks += other.clicks
        self.spend = sum_of(self.spend, other.spend)
        self.reach = None
        for kind, results in other.results.items():
            mine = self.results.setdefault(kind, {})
            for key, tally in results.items():
                mine[key] = mine.get(key, Tally()).plus(*tally)
        for kind, persons in other.persons.items():
            for key, ids in persons.items():
                self.persons.setdefault(kind, {}).setdefault(key, set()).update(ids)


def sum_of(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The sum of what is known; None where nothing is."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
