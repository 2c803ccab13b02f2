"""A row of insights as Graph writes it: all figures as texts, actions as lists of entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from doublet.catalog import Account, ReportRules
from doublet.graph.insights.names import BREAKDOWNS
from doublet.reports.actions import action_types
from doublet.reports.insights_rows import InsightsRow, Tally
from doublet.reports.periods import Period

RESULT_FIELDS = frozenset(
    {
        *("actions", "action_values", "conversions", "conversion_values"),
        *("cost_per_action_type", "cost_per_conversion", "purchase_roas"),
        *("website_purchase_roas", "mobile_app_purchase_roas", "unique_actions"),
        *("unique_conversions", "cost_per_unique_action_type", "cost_per_unique_conversion"),
    }
)
"""Fields that need conversions."""

UNIQUE_FIELDS = frozenset(name for name in RESULT_FIELDS if "unique" in name)
"""Fields that count persons."""

DELIVERY_FIELDS = frozenset(
    {
        *("impressions", "clicks", "spend", "reach", "ctr", "cpc", "cpm", "cpp", "frequency"),
        *("inline_link_clicks", "inline_link_click_ctr", "cost_per_inline_link_click", "actions"),
        *("cost_per_action_type", "cost_per_conversion", "purchase_roas"),
        *("website_purchase_roas", "mobile_app_purchase_roas", "cost_per_unique_action_type"),
        "cost_per_unique_conversion",
    }
)
"""Fields that need impressions, clicks or spend."""

REACH_FIELDS = frozenset({"reach", "frequency", "cpp"})

_ROAS = {
    "purchase_roas": "omni_purchase",
    "website_purchase_roas": "offsite_conversion.fb_pixel_purchase",
    "mobile_app_purchase_roas": "app_custom_event.fb_mobile_purchase",
}
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PLACES = Decimal("0.000001")

Types = dict[str, dict[str, Tally]]
"""Tallies by action type and key."""
Numbers = dict[str, Mapping[str, Decimal | int | None]]
"""Numbers by action type and key."""


def as_text(number: Decimal | int) -> str:
    """A figure with at most six decimal places, without zeros at its end.

    >>> as_text(Decimal("12.5000")), as_text(Decimal(1000)), as_text(Decimal(1) / 3)
    ('12.5', '1000', '0.333333')
    """
    if isinstance(number, int):
        return str(number)
    text = f"{number.quantize(_PLACES, context=_EXACT):f}"
    return text.rstrip("0").rstrip(".")


class Figures:
    """What one row says, for answers, filters and orders alike. `names` are those of objects, by
    level and id."""

    def __init__(
        self, row: InsightsRow, period: Period, names: Mapping[tuple[str, str], str]
    ) -> None:
        self.row = row
        self.period = period
        self._names = names
        self._types: Types | None = None

    @property
    def types(self) -> Types:
        """The conversions by action type, each under all of its names."""
        if self._types is None:
            self._types = {}
            for kind, results in self.row.results.items():
                for name in action_types(kind.event_name, kind.channel, kind.custom_id):
                    if (mine := self._types.get(name)) is None:
                        self._types[name] = dict(results)
                        continue
                    for key, tally in results.items():
                        mine[key] = mine.get(key, Tally()).plus(*tally)
        return self._types

    @property
    def persons(self) -> dict[str, dict[str, int]]:
        """How many persons converted, by action type and key."""
        found: dict[str, dict[str, set[int]]] = {}
        for kind, persons in self.row.persons.items():
            for name in action_types(kind.event_name, kind.channel, kind.custom_id):
                for key, ids in persons.items():
                    found.setdefault(name, {}).setdefault(key, set()).update(ids)
        return {name: {key: len(ids) for key, ids in keys.items()} for name, keys in found.items()}

    def part(self, level: str, part: str) -> str | None:
        """The id or name of a row's campaign, ad set or ad."""
        object_id: str | None = getattr(self.row.place, f"{level}_id")
        if part == "id" or object_id is None:
            return object_id
        return self._names.get((level, object_id))

    def breakdown(self, name: str) -> str:
        """Where a row belongs of a breakdown; `unknown` where nothing told."""
        value = getattr(self.row.place, BREAKDOWNS[name])
        if value is None:
            return "unknown"
        return f"{value:02}:00:00 - {value:02}:59:59" if isinstance(value, int) else str(value)

    def metric(self, name: str) -> Decimal | None:
        """A figure, or that of an action type (`actions:purchase`); None where it is not known."""
        name, _, action_type = name.partition(":")
        if action_type:
            return self._of_type(name, action_type)
        row = self.row
        impressions, clicks = Decimal(row.impressions), Decimal(row.clicks)
        reach = None if row.reach is None else Decimal(row.reach)
        counts = {"impressions": impressions, "clicks": clicks, "inline_link_clicks": clicks}
        known: dict[str, Decimal | None] = {**counts, "spend": row.spend, "reach": reach}
        if name in known:
            return known[name]
        return {
            "ctr": _ratio(clicks * 100, impressions),
            "inline_link_click_ctr": _ratio(clicks * 100, impressions),
            "cpc": _ratio(row.spend, clicks),
            "cost_per_inline_link_click": _ratio(row.spend, clicks),
            "cpm": _ratio(_times(row.spend, 1000), impressions),
            "cpp": _ratio(_times(row.spend, 1000), reach),
            "frequency": _ratio(impressions, reach),
        }.get(name)

    def _of_type(self, name: str, action_type: str) -> Decimal | None:
        is_click = action_type == "link_click"
        tally = self.types.get(action_type, {}).get("value", Tally())
        count = Decimal(self.row.clicks if is_click else tally.conversions)
        if name in ("actions", "conversions"):
            return count
        if name in ("action_values", "conversion_values"):
            return tally.value
        return _ratio(self.row.spend, count)


def _ratio(part: Decimal | None, whole: Decimal | int | None) -> Decimal | None:
    return None if part is None or not whole else _EXACT.divide(part, Decimal(whole))


def _times(number: Decimal | None, factor: int) -> Decimal | None:
    return None if number is None else number * factor


def graph_row(
    figures: Figures,
    account: Account,
    rules: ReportRules,
    fields: Iterable[str],
    windows: Sequence[str],
    breakdowns: Sequence[str],
    wanted_types: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields that are asked of a row, without those that are not known. `wanted_types` are the
    action types that entries are of; None: all."""
    found: dict[str, Any] = {
        "date_start": figures.period.since.isoformat(),
        "date_stop": figures.period.until.isoformat(),
    }
    found |= {name: figures.breakdown(name) for name in breakdowns}
    for field in fields:
        value = _field(figures, account, rules, field, windows)
        if isinstance(value, list) and wanted_types is not None:
            value = [entry for entry in value if entry["action_type"] in wanted_types]
        if value is not None and value != []:
            found[field] = value
    return found


def _field(
    figures: Figures, account: Account, rules: ReportRules, field: str, windows: Sequence[str]
) -> Any:
    if field in RESULT_FIELDS:
        return _entries(figures, field, windows)
    of_account = {
        "account_id": account.account_id.removeprefix("act_"),
        "account_name": account.name,
        "account_currency": account.currency,
        "attribution_setting": attribution_setting(rules),
    }
    if field in of_account:
        return of_account[field]
    level, _, part = field.rpartition("_")
    if level in ("campaign", "adset", "ad") and part in ("id", "name"):
        return figures.part(level, part)
    number = figures.metric(field)
    return None if number is None else as_text(number)


def attribution_setting(rules: ReportRules) -> str:
    """How Meta writes an attribution setting: `1d_view_7d_click_1d_ev`."""
    parts = (
        (rules.view_days, "view"),
        (rules.click_days, "click"),
        (rules.engaged_view_days, "ev"),
    )
    return "_".join(f"{days}d_{kind}" for days, kind in parts if days)


def _entries(figures: Figures, field: str, windows: Sequence[str]) -> list[dict[str, str]]:
    spend = figures.row.spend
    if field in _ROAS:
        tallies = figures.types.get(_ROAS[field], {})
        if not spend or not tallies:
            return []
        ratios = {key: _ratio(tally.value, spend) for key, tally in tallies.items()}
        return _entry(_ROAS[field], ratios, windows)
    entries = []
    for action_type, numbers in sorted(_numbers(figures, field).items()):
        entries += _entry(action_type, numbers, windows)
    if field in ("actions", "cost_per_action_type") and figures.row.clicks:
        clicks = Decimal(figures.row.clicks)
        number = clicks if field == "actions" else _ratio(spend, clicks)
        entries += _entry("link_click", {"value": number}, ())
    return entries


def _numbers(figures: Figures, field: str) -> Numbers:
    """The numbers of a list, by action type and key."""
    found: Numbers = {}
    if field in UNIQUE_FIELDS:
        found.update(figures.persons)
    elif field in ("action_values", "conversion_values"):
        for name, tallies in figures.types.items():
            found[name] = {key: tally.value for key, tally in tallies.items()}
    else:
        for name, tallies in figures.types.items():
            found[name] = {key: tally.conversions for key, tally in tallies.items()}
    if field.startswith("cost_per_"):
        spend = figures.row.spend
        return {
            name: {key: _ratio(spend, number) for key, number in numbers.items()}
            for name, numbers in found.items()
        }
    return found


def _entry(
    action_type: str, numbers: Mapping[str, Decimal | int | None], windows: Sequence[str]
) -> list[dict[str, str]]:
    """The entry of an action type, with the keys that are not zero; none where all are."""
    keys = ("value", *windows)
    known = {key: numbers.get(key) for key in keys}
    shown = {key: as_text(number) for key, number in known.items() if number}
    return [{"action_type": action_type, **shown}] if shown else []


def has_happened(figures: Figures, windows: Sequence[str]) -> bool:
    """Whether anything is in a row that its reader asked for."""
    row = figures.row
    if row.impressions or row.clicks or row.spend:
        return True
    keys = ("value", *windows)
    return any(results.keys() & keys for results in row.results.values())
