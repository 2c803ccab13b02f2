"""Reports of conversions as pictures: Vega-Lite specifications with the rows and a title."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from doublet.reports import as_percent
from doublet.reports.campaigns import CampaignRow, CampaignsReport, default_result
from doublet.reports.cohorts import CohortsReport, following
from doublet.reports.credits import CreditsReport
from doublet.reports.differences import DifferenceRow, DifferencesReport
from doublet.reports.funnels import FunnelReport
from doublet.reports.leads import duration
from doublet.reports.new_returning import NewReturningReport
from doublet.reports.paths import PathsReport
from doublet.reports.refunds import RefundRow, RefundsReport
from doublet.reports.server_extra import ServerExtraReport
from doublet.reports.time_to_conversion import TimeReport, span_label
from doublet.reports.window_changes import WindowsReport
from doublet.reports.windows import DEFAULT
from doublet.web.chart import chart_file

BARS_MAX = 12
_BARS_IN_ALL, _ROWS_MIN = 30, 4
_COHORTS_MAX = 18
_PERIODS_MAX = 18
_PANELS_MAX = 4
_WIDTH = 640
_BAR_HEIGHT = 30
_TICKS_MAX = 8
_LABEL_MAX = 60
Values = list[dict[str, Any]]


class Picture(NamedTuple):
    """What is drawn: the specification's name, its rows, its title, and its size. `extent` is the
    height, or that of a step where the rows make it."""

    chart: str
    title: str
    subtitle: str
    values: Values
    extent: int | dict[str, int]
    width: int = _WIDTH
    grey: tuple[str, ...] = ()
    """Series that stand back."""
    axis: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    """What the axis of time has of its own."""


def specification(name: str, report: Any, scheme: str, *, is_file: bool = False) -> dict[str, Any]:
    """The picture of a report (see `doublet.reports.registry`) in a colour scheme, `light` or
    `dark`. In a file it has a background and a margin of its own."""
    picture = _PICTURES[name](report)
    chart = picture.chart if picture.values else "nothing"
    made: dict[str, Any] = copy.deepcopy(chart_file(f"{chart}.vl.json"))
    schemes = chart_file("schemes.json")
    config = copy.deepcopy(schemes[scheme])
    made["title"] = {"text": picture.title, "subtitle": picture.subtitle}
    if picture.values:
        sized = made.get("spec", made)
        sized |= {"width": picture.width, "height": picture.extent}
        made["data"] = {**made["data"], "values": picture.values}
        if picture.axis:
            made["encoding"]["x"]["axis"] |= picture.axis
        _colour(made, picture, config)
    if is_file:
        made |= {"padding": 24, "background": {"light": "#ffffff", "dark": "#14181f"}[scheme]}
    return {**made, "config": config}


def _colour(made: dict[str, Any], picture: Picture, config: dict[str, Any]) -> None:
    """Give each series its colour, in the order in which they come; one alone needs no legend."""
    series = list(dict.fromkeys(row["series"] for row in picture.values if "series" in row))
    palette = [*config["range"]["category"], "#7a8699", "#8a5aa8", "#3d8b6d", "#b5495b"]
    colours = iter(palette)
    greyed = config["axis"]["domainColor"]
    scale = {
        "domain": series,
        "range": [greyed if name in picture.grey else next(colours, greyed) for name in series],
    }
    for layer in _layers(made):
        colour = layer.get("encoding", {}).get("color")
        if colour and colour.get("field") == "series":
            colour["scale"] = scale
            if len(series) < 2:
                colour["legend"] = None


def _layers(made: dict[str, Any]) -> Iterable[dict[str, Any]]:
    inner = made.get("spec", made)
    layers: list[dict[str, Any]] = inner.get("layer", [inner])
    return layers


# --- words -----------------------------------------------------------------------------------


def _count(number: int | Decimal) -> str:
    text = f"{number:,.1f}" if isinstance(number, Decimal) else f"{number:,d}"
    return text.removesuffix(".0")


def _money(value: Decimal, currency: str) -> str:
    return f"{value:,.0f} {currency}" if abs(value) >= 100 else f"{value:,.2f} {currency}"


def _shown(text: str) -> str:
    """What others chose, in a line of the picture."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= _LABEL_MAX else f"{plain[: _LABEL_MAX - 1]}…"


def _ad_label(row: CampaignRow | RefundRow) -> str:
    """What people call a channel, campaign, ad set or ad."""
    if not row.is_attributed:
        return "Not attributed"
    names = (
        (row.ad_id, row.ad_name),
        (row.adset_id, row.adset_name),
        (row.campaign_id, row.campaign_name),
    )
    for id_, name in names:
        if id_:
            return _shown(name or id_)
    return f"{_shown(row.channel)} (no id)" if row.channel else "All channels"


def _unique(labels: Iterable[str]) -> list[str]:
    """Labels of rows, each different: rows of one label would be drawn as one."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found


def _no_rates(names: Sequence[str]) -> str:
    return f" · without {', '.join(map(_shown, names))}, for lack of a rate" if names else ""


# --- one function per report -----------------------------------------------------------------


def _campaigns(report: CampaignsReport) -> Picture:
    models = list(dict.fromkeys(result.model for result in report.total.results))
    rows_max = min(BARS_MAX, max(_ROWS_MIN, _BARS_IN_ALL // len(models)))
    rows = [row for row in report.rows if row.is_attributed][:rows_max]
    values: Values = []
    for label, row in zip(_unique(map(_ad_label, rows)), rows, strict=True):
        if len(models) == 1:
            result = default_result(row)
            roas = f" · ROAS {result.roas:.2f}" if result.roas is not None else ""
            value = result.value or Decimal(0)
            spent = _money(row.spend, report.currency) if row.spend else ""
            bars = [
                ("Spend", row.spend, spent),
                ("Value", value, _money(value, report.currency) + roas),
            ]
        else:
            first: dict[str, Decimal] = {}
            for result in row.results:
                first.setdefault(result.model, result.conversions or Decimal(0))
            bars = [(name.replace("_", " "), n, _count(n)) for name, n in first.items()]
        values += [
            {"label": label, "series": series, "amount": float(amount), "text": text}
            for series, amount, text in bars
        ]
    drawn = default_result(report.total) if len(models) == 1 else report.total.results[0]
    window = drawn.window
    setting = report.setting if window == "default" else window
    level = report.level.replace("adset", "ad set")
    title = f"Spend and value by {level}"
    if len(models) > 1:
        title = f"Conversions by {level} and model"
    shown = len(rows) < sum(row.is_attributed for row in report.rows)
    first_rows = f" · the first {len(rows)}" if shown else ""
    return Picture(
        "grouped",
        title,
        f"{setting}{first_rows}{_no_rates(report.without_rate)}",
        values,
        {"step": 17},
    )


_CLICK_WINDOWS = {"1d_click": "1 day", "7d_click": "7 days", "28d_click": "28 days"}


def _windows(report: WindowsReport) -> Picture:
    rows = [row for row in report.rows if row.is_attributed][:BARS_MAX]
    values: Values = [
        {
            "label": label,
            "series": _CLICK_WINDOWS[result.window],
            "amount": float(result.conversions or 0),
            "text": _count(result.conversions or Decimal(0)),
        }
        for label, row in zip(_unique(map(_ad_label, rows)), rows, strict=True)
        for result in row.results
        if result.window in _CLICK_WINDOWS
    ]
    level = report.level.replace("adset", "ad set")
    subtitle = f"by {level}, last click{_no_rates(report.without_rate)}"
    title = "Conversions that clicks claim within 1, 7 and 28 days"
    return Picture("grouped", title, subtitle, values, {"step": 17})


def _credits(report: CreditsReport) -> Picture:
    window = report.rows[0].window if report.rows else ""
    sums: dict[str, dict[str, Decimal]] = {}
    for row in report.rows:
        if row.window == window and row.kind is not None:
            campaign = row.campaign_name or row.campaign_id
            label = f"{row.channel}, {campaign}" if campaign else str(row.channel)
            by_model, model = sums.setdefault(_shown(label), {}), row.model.replace("_", " ")
            by_model[model] = by_model.get(model, Decimal(0)) + row.share
    most = sorted(sums.items(), key=lambda pair: -max(pair[1].values()))[:BARS_MAX]
    models = list(dict.fromkeys(row.model.replace("_", " ") for row in report.rows))
    values = [
        {
            "label": label,
            "series": model,
            "amount": float(by_model.get(model, 0)),
            "text": _count(round(by_model.get(model, Decimal(0)), 1)),
        }
        for label, by_model in most
        for model in models
    ]
    setting = report.setting if window in ("", DEFAULT) else window
    first_rows = "" if report.is_complete else " · the first conversions only"
    subtitle = f"{setting}{first_rows}{_no_rates(report.without_rate)}"
    return Picture("grouped", "Conversions by campaign", subtitle, values, {"step": 17})


def _paths(report: PathsReport) -> Picture:
    rows = [row for row in report.rows if row.path is not None][:BARS_MAX]
    labels = [" → ".join(map(_shown, row.path or ())) or "No touch known" for row in rows]
    values = [
        {
            "label": label,
            "series": "Conversions",
            "layer": 0,
            "amount": row.conversions,
            "text": f"{row.conversions:,} · {as_percent(row.conversions, report.conversions)}",
        }
        for label, row in zip(_unique(labels), rows, strict=True)
    ]
    subtitle = f"{report.conversions:,} conversions, {report.touched:,} of them after a touch"
    return Picture("bars", "Paths to conversion", subtitle, values, {"step": _BAR_HEIGHT})


def _lags(report: TimeReport) -> Picture:
    halves = {of.from_touch: duration(of.p50_s) for of in report.quantiles}
    values: Values = [
        {
            "panel": f"After the {row.from_touch} touch: half within {halves[row.from_touch]}",
            "span": span_label(row.lower_s, row.upper_s),
            "conversions": row.conversions,
            "text": as_percent(row.conversions, report.touched),
        }
        for row in report.rows
    ]
    subtitle = f"{report.touched:,} conversions after a touch, {report.untouched:,} without one"
    return Picture("lags", "Time to conversion", subtitle, values, 130, 720)


def _funnels(report: FunnelReport) -> Picture:
    channels = list(dict.fromkeys(row.channel for row in report.rows))
    is_split = channels not in ([], [None])
    values: Values = []
    for row in report.rows:
        if row.channel in channels[:_PANELS_MAX]:
            channel = _shown(row.channel or "No click") if is_split else "Persons"
            values.append(
                {
                    "label": f"{row.step}. {_shown(row.event_name)}",
                    "series": channel,
                    "amount": row.persons,
                    "text": f"{row.persons:,} · {as_percent(Decimal(str(row.share or 0)), 1)}",
                }
            )
    values.sort(key=lambda value: int(value["label"].partition(".")[0]))
    done = as_percent(report.completed, report.persons)
    subtitle = f"{report.persons:,} persons took the first step; {done} of them took all"
    step = {"step": 20 if is_split else 38}
    return Picture("grouped", "Funnel", subtitle, values, step, grey=("No click",))


def _cohorts(report: CohortsReport) -> Picture:
    cohorts = list(dict.fromkeys(row.cohort for row in report.rows))[-_COHORTS_MAX:]
    rows = [row for row in report.rows if row.cohort in cohorts and 0 < row.period <= _PERIODS_MAX]
    is_monthly = all(cohort.day == 1 for cohort in cohorts)
    day = "%b %Y" if is_monthly else "%-d %b %Y"
    most = max((row.share or 0 for row in rows), default=0)
    values: Values = [
        {
            "label": f"{row.cohort:{day}} ({row.persons:,})",
            "period": f"+{row.period}",
            "share": row.share,
            "retained": row.retained,
            "text": as_percent(row.retained, row.persons) + ("" if row.is_complete else "*"),
            "is_strong": (row.share or 0) > 0.4 * most,
        }
        for row in rows
    ]
    is_open = any(not row.is_complete for row in rows)
    subtitle = "Customers by first purchase: the share of them who bought in each "
    subtitle += f"{'month' if is_monthly else 'week'} after it{' (* not over yet)' * is_open}"
    columns = len({value["period"] for value in values})
    return Picture(
        "cohorts", "Cohorts", subtitle, values, {"step": 28}, max(200, min(_WIDTH, 70 * columns))
    )


def _customers(report: NewReturningReport) -> Picture:
    starts = [row.starts for row in report.rows]
    gaps = [(b - a).days for a, b in pairwise(starts)]
    by = "day"
    if gaps and min(gaps) >= 7:
        by = "month" if all(day.day == 1 for day in starts) else "week"
    values: Values = []
    for row in report.rows:
        counts = (row.new_orders, row.returning_orders, row.unknown_orders)
        for layer, (series, orders) in enumerate(
            zip(("New", "Returning", "Nobody known"), counts, strict=True)
        ):
            values.append(
                {
                    "start": _clock_ms(row.starts),
                    "end": _clock_ms(following(row.starts, by)),
                    "day": f"{row.starts:%-d %b %Y}",
                    "series": series,
                    "layer": layer,
                    "orders": orders,
                }
            )
    known = f" · known since {report.known_since:%-d %b %Y}" if report.known_since else ""
    subtitle = (
        f"{report.new_orders:,} purchases of new customers, {report.returning_orders:,} of "
        f"returning ones{known}"
    )
    marked = starts[:: -(-len(starts) // _TICKS_MAX) or 1]
    return Picture(
        "customers",
        f"Purchases per {by}",
        subtitle,
        values,
        220,
        820,
        ("Nobody known",),
        {"values": [_clock_ms(start) for start in marked]},
    )


def _clock_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _server_extra(report: ServerExtraReport) -> Picture:
    rows = report.rows[:BARS_MAX]
    labels = [
        _shown(row.event_name or row.campaign_name or row.campaign_id or row.channel or "No ad")
        for row in rows
    ]
    values: Values = []
    for label, row in zip(_unique(labels), rows, strict=True):
        parts = {
            "A browser saw it too": row.conversions - row.extra,
            "Server only, an ad claims it": row.extra_attributed,
            "Server only, no ad claims it": row.extra_unattributed,
        }
        text = f"+{row.extra:,} · {as_percent(row.extra, row.conversions)}"
        values += _stack(label, parts, text)
    subtitle = (
        f"{report.extra:,} of {report.conversions:,} conversions, worth "
        f"{_money(report.extra_value, report.currency)}{_no_rates(report.without_rate)}"
    )
    title = "Conversions that only the server reported"
    return Picture(
        "bars", title, subtitle, values, {"step": _BAR_HEIGHT}, grey=("A browser saw it too",)
    )


def _stack(label: str, parts: Mapping[str, int | Decimal], text: str) -> Values:
    return [
        {"label": label, "series": series, "layer": layer, "amount": float(amount), "text": text}
        for layer, (series, amount) in enumerate(parts.items())
    ]


def _refunds(report: RefundsReport) -> Picture:
    rows = report.rows[:BARS_MAX]
    values: Values = []
    for label, row in zip(_unique(map(_ad_label, rows)), rows, strict=True):
        parts = {
            "Net": row.net,
            "Refunded": row.refunds,
            "Cancelled": row.cancelled,
        }
        share = as_percent(row.refunds + row.cancelled, row.gross)
        values += _stack(label, parts, f"{_money(row.net, report.currency)} net · {share} back")
    total = report.total
    subtitle = (
        f"{_money(total.gross, report.currency)} gross, {_money(total.net, report.currency)} net"
        f"{_no_rates(report.without_rate)}"
    )
    title = f"What is left of purchases by {report.level.replace('adset', 'ad set')}"
    return Picture("bars", title, subtitle, values, {"step": _BAR_HEIGHT})


_REASONS = {
    "window": "Other window",
    "view_through": "Views",
    "time_zone": "Time zone",
    "deduplication": "Deduplication",
    "unattributed": "Unattributed here",
    "unexplained": "Unexplained",
}


def _differences(report: DifferencesReport) -> Picture:
    values: Values = []
    for row in report.rows[:_PANELS_MAX]:
        values += _steps(row)
    settings = f"{report.setting} here, {report.platform_setting} there"
    if report.setting == report.platform_setting:
        settings = f"{report.setting} on both sides"
    subtitle = (
        f"Conversions ({_shown(report.action_type)}), {settings}{_no_rates(report.without_rate)}"
    )
    title = "From what is counted here to what the platform reports"
    return Picture("differences", title, subtitle, values, {"step": 26}, grey=("Total",))


def _steps(row: DifferenceRow) -> Values:
    """Bars from our figure to theirs, each beginning where the one before it ends."""
    panel = _shown(row.platform)
    if row.campaign_id:
        panel = f"{panel}, {_shown(row.campaign_name or row.campaign_id)}"

    def bar(label: str, series: str, start: Decimal, end: Decimal, text: str) -> dict[str, Any]:
        return {
            "panel": panel,
            "label": label,
            "series": series,
            "from": float(start),
            "to": float(end),
            "end": float(max(start, end)),
            "text": text,
        }

    at = row.ours
    found = [bar("Counted here", "Total", Decimal(0), at, _count(at))]
    for part in row.parts:
        series = "More there" if part.conversions >= 0 else "Fewer there"
        if part.part == "unexplained":
            series = "Unexplained"
        sign = "+" if part.conversions > 0 else ""
        text = sign + _count(part.conversions).replace("-", "\N{MINUS SIGN}")
        found.append(bar(_REASONS[part.part], series, at, at + part.conversions, text))
        at += part.conversions
    return [*found, bar("Reported there", "Total", Decimal(0), row.theirs, _count(row.theirs))]


_PICTURES: dict[str, Callable[[Any], Picture]] = {
    "campaigns": _campaigns,
    "windows": _windows,
    "credits": _credits,
    "paths": _paths,
    "time_to_conversion": _lags,
    "funnels": _funnels,
    "cohorts": _cohorts,
    "new_returning": _customers,
    "server_extra": _server_extra,
    "refunds": _refunds,
    "differences": _differences,
}
