"""What platforms report of their conversions, as rows of ad_days hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from doublet.reports.asked import Setting

ZERO = Decimal(0)
UNIT = Decimal("0.0001")
"""Values are told in whole ones of these."""

Key = tuple[str, str | None]
"""Platform and campaign."""


class Figures(NamedTuple):
    """Conversions and their value."""

    conversions: Decimal = ZERO
    value: Decimal = ZERO

    def __add__(self, other: tuple[Any, ...]) -> Figures:
        return Figures(self.conversions + other[0], self.value + other[1])

    def __sub__(self, other: tuple[Any, ...]) -> Figures:
        return Figures(self.conversions - other[0], self.value - other[1])


class Reported(NamedTuple):
    """What a platform reports of a campaign: all, and what of it came by views."""

    total: Figures
    views: Figures | None
    """None where a platform tells no windows."""
    is_valued: bool = True
    """Whether the value of all its conversions is known."""


def read_reported(
    told: Iterable[Mapping[str, Any]], action_type: str, theirs: Setting
) -> tuple[dict[Key, Reported], set[str]]:
    """What is reported of the action, by platform and campaign, in the account's currency; and the
    currencies that have no rate."""
    found: dict[Key, Reported] = {}
    unconverted = set()
    for row in told:
        actions = msgspec.json.decode(row["reported"])
        windows = actions.get(action_type) if isinstance(actions, dict) else None
        if not isinstance(windows, dict):
            continue
        rate = row["rate"]
        figures = {
            name: Figures(_number(of, "count"), (_number(of, "value") * (rate or 0)))
            for name, of in windows.items()
            if isinstance(of, dict)
        }
        if rate is None and any(_number(of, "value") for of in windows.values()):
            unconverted.add(row["currency"] or "(none)")
        day = _of_day(figures, theirs)._replace(is_valued=_is_valued(windows, rate))
        key = (row["platform"], row["campaign_id"])
        before = found.get(key)
        if before is None:
            found[key] = day
            continue
        views = before.views
        if day.views is not None:
            views = day.views if views is None else views + day.views
        is_valued = before.is_valued and day.is_valued
        found[key] = Reported(before.total + day.total, views, is_valued)
    return {key: _rounded(reported) for key, reported in found.items()}, unconverted


def _is_valued(windows: Mapping[str, Any], rate: Decimal | None) -> bool:
    """Whether each count has a value, and a rate where that is not zero."""
    told = [of for of in windows.values() if isinstance(of, dict)]
    if rate is None and any(_number(of, "value") for of in told):
        return False
    return all(of.get("value") is not None for of in told if _number(of, "count"))


def _of_day(figures: Mapping[str, Figures], theirs: Setting) -> Reported:
    """The total under the platform's own setting, and what of it came by views."""
    none = Figures()
    names = ("1d_view",) * bool(theirs.view_days) + ("1d_ev",) * bool(theirs.engaged_view_days)
    parts = [figures.get(name, none) for name in names]
    views = Figures(sum((p.conversions for p in parts), ZERO), sum((p.value for p in parts), ZERO))
    clicks = figures.get(f"{theirs.click_days}d_click", none)
    total = figures.get("value", clicks + views)
    # A window is absent where it is zero; without any window, nothing is known of them.
    tells_windows = any(name != "value" for name in figures)
    return Reported(total, views if tells_windows else None)


def _number(of: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(of.get(name) or 0)) if isinstance(of, dict) else ZERO
    except InvalidOperation:
        return ZERO
    return number if number.is_finite() else ZERO


def _rounded(reported: Reported) -> Reported:
    def exact(figures: Figures) -> Figures:
        return Figures(figures.conversions, figures.value.quantize(UNIT))

    views = reported.views
    return reported._replace(
        total=exact(reported.total), views=None if views is None else exact(views)
    )
