"""What changes with the window: the conversions that ads claim under each, and the differences."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import SettingAsked
from doublet.reports.campaigns import (
    CampaignResult,
    CampaignResultRow,
    CampaignRow,
    CampaignsAsked,
    campaigns,
    claimed_by,
    flat_rows,
)
from doublet.reports.credit import Level
from doublet.reports.paths import share
from doublet.reports.windows import DEFAULT, all_windows

ZERO = Decimal(0)
_CLICKS = ((1, 7), (7, 28))


class WindowsAsked(SettingAsked, frozen=True, kw_only=True):
    """`level` is what has a row of its own."""

    level: Level = "campaign"


class WindowChange(msgspec.Struct):
    """What ads claim more under the window `after` than under `before`, all of them together: how
    many conversions, of what value, which share (0–1) of those before; and the same as a sentence.
    All are None where the window is of views that nobody here has seen."""

    before: str
    after: str
    conversions: Decimal | None
    value: Decimal | None
    share: float | None
    meaning: str


class WindowsReport(msgspec.Struct):
    """The rows as in the report `campaigns`, by the last touch, with a result per window; `claimed`
    is the sum of what any ad claims; what each wider window adds to the one before it."""

    level: str
    setting: str
    currency: str
    rows: list[CampaignRow]
    claimed: CampaignRow
    changes: list[WindowChange]
    not_observable: list[str]
    without_rate: list[str]


def window_changes(
    engine: Engine, account: Account, rates: Rates, asked: WindowsAsked
) -> WindowsReport:
    """All windows side by side. Without rows when nothing was delivered or converted."""
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    report = campaigns(engine, account, rates, CampaignsAsked(**fields))
    columns = [("last_touch", window) for window in all_windows(asked.attribution)]
    claimed = claimed_by(report.rows, columns)
    return WindowsReport(
        level=report.level,
        setting=report.setting,
        currency=report.currency,
        rows=report.rows,
        claimed=claimed,
        changes=list(_changes(claimed, report.currency)) if report.rows else [],
        not_observable=report.not_observable,
        without_rate=report.without_rate,
    )


def window_rows(report: WindowsReport) -> list[CampaignResultRow]:
    """The rows, one per result."""
    return flat_rows(report.rows)


def _changes(claimed: CampaignRow, currency: str) -> Iterator[WindowChange]:
    by_window = {result.window: result for result in claimed.results}
    for days, more_days in _CLICKS:
        before, after = by_window[f"{days}d_click"], by_window[f"{more_days}d_click"]
        added = (after.conversions or ZERO) - (before.conversions or ZERO)
        value = (after.value or ZERO) - (before.value or ZERO)
        when = f"between {_days(days)} and {_days(more_days)} after the last click on an ad"
        if added:
            words = (
                f"Clicks claim {_number(added)} more{_of(added, before.conversions)} when they "
                f"count for {_days(more_days)} in place of {_days(days)}, worth {value:,.2f} "
                f"{currency}: so many came {when}."
            )
        else:
            words = (
                f"Nothing changes between {_days(days)} and {_days(more_days)}: no conversion "
                f"came {when}."
            )
        of_before = share(added, before.conversions or ZERO)
        yield WindowChange(before.window, after.window, added, value, of_before, words)
    yield from _views(by_window, currency)


def _views(by_window: dict[str, CampaignResult], currency: str) -> Iterator[WindowChange]:
    """What the setting leaves to views, beside all that it lets ads claim."""
    views, whole = by_window["1d_view"], by_window[DEFAULT]
    if not views.is_observable:
        words = (
            "What views add is not known here: no log tells who saw these ads without a click. "
            "An ad log with views would (doublet ads import)."
        )
        yield WindowChange("clicks", "1d_view", None, None, None, words)
        return
    added, value = views.conversions or ZERO, views.value or ZERO
    clicks = (whole.conversions or ZERO) - added
    words = "Views add nothing to what clicks claim under the setting."
    if added:
        words = (
            f"Views of the last day add {_number(added)}{_of(added, clicks)}, worth {value:,.2f} "
            f"{currency}: these persons saw an ad and had not clicked on any."
        )
    yield WindowChange("clicks", "1d_view", added, value, share(added, clicks), words)


def _days(number: int) -> str:
    return "one day" if number == 1 else f"{number} days"


def _number(number: Decimal) -> str:
    return f"{number:,.1f}".removesuffix(".0")


def _of(part: Decimal, whole: Decimal | None) -> str:
    """The part as percent of what was there before, if anything was."""
    return f" (+{100 * part / whole:.0f} %)" if whole else ""
