"""The reports of conversions as tables for people, and what is to be said beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich.markup import escape

from doublet.cli.options import err, literal, out
from doublet.cli.report import money, print_figures
from doublet.reports import as_percent
from doublet.reports.campaigns import CampaignRow, CampaignsReport
from doublet.reports.cohorts import CohortsReport
from doublet.reports.credit import LEVELS
from doublet.reports.credits import CreditsReport
from doublet.reports.differences import DifferencesReport
from doublet.reports.funnels import FunnelReport
from doublet.reports.leads import duration
from doublet.reports.new_returning import NewReturningReport
from doublet.reports.paths import PathsReport
from doublet.reports.refunds import RefundRow, RefundsReport
from doublet.reports.server_extra import ServerExtraReport
from doublet.reports.time_to_conversion import TimeReport, span_label
from doublet.reports.window_changes import WindowsReport

_ROWS_MAX = 200
_UNSEEN = "not observable"


def print_answer(name: str, answer: Any) -> None:
    """Print a report of `doublet.reports.registry` that has rows, and its notes below."""
    for note in _PRINTERS[name](answer):
        err.print(escape(note))
    if getattr(answer, "without_rate", None):
        names = ", ".join(answer.without_rate)
        err.print(
            escape(
                f"Not in money, for lack of a rate: {names}. `doublet rates import` takes rates."
            )
        )


def _share(share: float | None) -> str:
    """A share (0–1) as people read it."""
    return "–" if share is None else as_percent(Decimal(str(share)), 1)


def _number(number: Decimal | int | None) -> str:
    if number is None:
        return _UNSEEN
    return f"{number:,.2f}".removesuffix(".00") if isinstance(number, Decimal) else f"{number:,}"


def _ids(row: CampaignRow | RefundRow, level: str) -> list[str]:
    """The names of a row, from channel to ad, as many as the level has."""
    names = [row.channel, row.campaign_name or row.campaign_id]
    names += [row.adset_name or row.adset_id, row.ad_name or row.ad_id]
    wanted = LEVELS.index(level)
    if not row.is_attributed:
        return ["(not attributed)", *[""] * max(0, wanted - 1)]
    if wanted == 0:
        return ["(attributed)"]
    return [literal(name or "(no id)") for name in names[:wanted]]


def _titles(level: str) -> list[str]:
    titles = ["channel", "campaign", "ad set", "ad"]
    return titles[: max(1, LEVELS.index(level))]


def _campaigns(report: CampaignsReport) -> Iterator[str]:
    columns = [(result.model, result.window) for result in report.total.results]
    models = {model for model, _ in columns}
    names = [w if len(models) == 1 else f"{m.replace('_', ' ')} {w}" for m, w in columns]
    titles = [*_titles(report.level), "impressions", "clicks", "spend", *names]
    titles += ["value", "per action", "ROAS"]

    def cells(row: CampaignRow, first: Sequence[str]) -> list[str]:
        whole = row.results[0]
        cost = "–" if whole.cost_per_action is None else money(whole.cost_per_action)
        roas = "–" if whole.roas is None else f"{whole.roas:,.2f}"
        return [
            *first,
            f"{row.impressions:,}",
            f"{row.clicks:,}",
            money(row.spend),
            *(_number(result.conversions) for result in row.results),
            money(whole.value or Decimal(0)),
            cost,
            roas,
        ]

    shown = report.rows[:_ROWS_MAX]
    rows = [cells(row, _ids(row, report.level)) for row in shown]
    width = len(_titles(report.level))
    rows.append(cells(report.total, ["total", *[""] * (width - 1)]))
    print_figures(titles, rows, width, anyway=True)
    model, window = columns[0]
    yield (
        f"Money is in {report.currency}; value, cost per action and ROAS are of {window} by "
        f"{model.replace('_', ' ')}; default is {report.setting}."
    )
    if len(shown) < len(report.rows):
        yield f"{len(report.rows) - len(shown):,} more rows: --csv prints all."
    if report.attributed:
        yield (
            f"{_share(report.with_ad_share)} of the attributed conversions name an ad. A click id "
            "names none: put ad_id={{ad.id}} into the ads' URL parameters."
        )
    if report.not_observable:
        yield (
            f"Views are not observable where it says so, of {', '.join(report.not_observable)}: no "
            "log here says who saw these ads."
        )


def _windows(report: WindowsReport) -> Iterator[str]:
    titles = [*_titles(report.level), *(result.window for result in report.claimed.results)]
    width = len(_titles(report.level))
    rows = [
        [*_ids(row, report.level), *(_number(result.conversions) for result in row.results)]
        for row in report.rows[:_ROWS_MAX]
    ]
    claimed = [_number(result.conversions) for result in report.claimed.results]
    rows.append(["claimed by ads", *[""] * (width - 1), *claimed])
    print_figures(titles, rows, width, anyway=True)
    yield from (change.meaning for change in report.changes)


def _credits(report: CreditsReport) -> Iterator[str]:
    has_models = len({row.model for row in report.rows}) > 1
    has_windows = len({row.window for row in report.rows}) > 1
    rows = []
    for row in report.rows[:_ROWS_MAX]:
        ad = row.ad_name or row.ad_id or row.adset_name or row.adset_id
        parts = (row.channel, row.campaign_name or row.campaign_id, ad)
        named = literal(", ".join(filter(None, parts)) or "(not attributed)")
        model = [row.model.replace("_", " ")] if has_models else []
        window = [row.window] if has_windows else []
        touched = "" if row.touched_at is None else f"{row.touched_at:%Y-%m-%d %H:%M}"
        rows.append(
            [
                f"{row.event_at:%Y-%m-%d %H:%M}",
                literal(row.event_name),
                literal(row.order_id or row.event_id or ""),
                *model,
                *window,
                (row.kind or "").replace("_", " "),
                touched,
                named,
                _share(float(row.share)),
                money(row.value),
            ]
        )
    titles = ["UTC", "conversion", "order or event", *(["model"] if has_models else [])]
    titles += ["window"] if has_windows else []
    titles += ["touch", "UTC", "of", "share", f"value in {report.currency}"]
    print_figures(titles, rows, len(titles) - 2, anyway=True)
    if len(report.rows) > _ROWS_MAX:
        yield f"{len(report.rows):,} rows in all; --csv and --parquet have them."
    if not report.is_complete:
        yield "There are later conversions too: raise --limit, or ask for fewer days."


def _paths(report: PathsReport) -> Iterator[str]:
    rows = []
    for row in report.rows[:_ROWS_MAX]:
        label = " → ".join(map(literal, row.path or [])) or "(no touch known)"
        if row.path is None:
            label = f"({row.paths:,} other paths)"
        shares = [_share(row.share), money(row.value), _share(row.value_share)]
        rows.append([label, f"{row.conversions:,}", *shares])
    rows.append(["total", f"{report.conversions:,}", "", money(report.value), ""])
    titles = ["path", "conversions", "share", f"value in {report.currency}", "share of value"]
    print_figures(titles, rows, 1, anyway=True)
    yield f"{report.touched:,} of {report.conversions:,} conversions came after a touch."


def _times(report: TimeReport) -> Iterator[str]:
    by_span: dict[tuple[int, int], list[str]] = {}
    for row in report.rows:
        cells = by_span.setdefault((row.lower_s, row.upper_s), [])
        cells += [f"{row.conversions:,}", _share(row.share), money(row.value)]
    rows = [[span_label(*span), *cells] for span, cells in by_span.items()]
    titles = ["after"]
    for touch in ("first", "last"):
        titles += [f"{touch} touch", "share", f"value in {report.currency}"]
    print_figures(titles, rows, 1, anyway=True)
    for of in report.quantiles:
        yield (
            f"After the {of.from_touch} touch: half within {duration(of.p50_s)}, 90 % within "
            f"{duration(of.p90_s)}."
        )
    yield f"{report.untouched:,} conversions came without a touch."


def _funnels(report: FunnelReport) -> Iterator[str]:
    is_split = any(row.channel for row in report.rows)
    rows = [
        [
            *([literal(row.channel or "(no click)")] if is_split else []),
            f"{row.step}. {literal(row.event_name)}",
            f"{row.persons:,}",
            _share(row.share),
            _share(row.share_of_previous),
            f"{row.lost:,}",
            duration(row.median_s) if row.step > 1 else "",
        ]
        for row in report.rows[:_ROWS_MAX]
    ]
    titles = ["step", "persons", "of all", "of step before", "lost after", "half within"]
    print_figures([*(["channel"] if is_split else []), *titles], rows, 1 + is_split, anyway=True)
    yield f"{report.completed:,} of {report.persons:,} persons took all steps."
    if report.without_person:
        yield (
            f"{report.without_person:,} events of the first step belong to nobody known and are "
            "left out."
        )


def _cohorts(report: CohortsReport) -> Iterator[str]:
    periods = max(row.period for row in report.rows)
    cohorts = list(dict.fromkeys(row.cohort for row in report.rows))
    by_key = {(row.cohort, row.period): row for row in report.rows}
    rows = []
    for cohort in cohorts[-_ROWS_MAX:]:
        own = [by_key.get((cohort, period)) for period in range(periods + 1)]
        last = [row for row in own if row is not None][-1]
        cells = ["" if row is None else _share(row.share) for row in own[1:13]]
        rows.append([str(cohort), f"{last.persons:,}", *cells, money(last.lifetime_value)])
    titles = ["first purchase from", "persons"]
    titles += [f"+{period}" for period in range(1, min(periods, 12) + 1)]
    titles.append(f"{report.currency} per person")
    print_figures(titles, rows, 1, anyway=True)
    yield "Shares are of the cohort, who bought in the period; the last column is net until today."
    yield from _history(report.known_since)
    if report.purchases_without_person:
        yield f"{report.purchases_without_person:,} purchases have no person and are left out."


def _history(known_since: Any) -> Iterator[str]:
    if known_since is not None:
        yield (
            f"The first purchase that is known was on {known_since}; whoever bought before that "
            "counts as new."
        )


def _customers(report: NewReturningReport) -> Iterator[str]:
    rows = [
        [
            str(row.starts),
            *(f"{n:,}" for n in (row.new_orders, row.returning_orders, row.unknown_orders)),
            _share(row.new_share),
            *(money(v) for v in (row.new_value, row.returning_value, row.unknown_value)),
        ]
        for row in report.rows[-_ROWS_MAX:]
    ]
    counts = (report.new_orders, report.returning_orders, report.unknown_orders)
    values = (report.new_value, report.returning_value, report.unknown_value)
    rows.append(["total", *(f"{n:,}" for n in counts), "", *map(money, values)])
    titles = ["from", "new", "returning", "unknown", "new of known"]
    titles += [f"{who} in {report.currency}" for who in ("new", "returning", "unknown")]
    print_figures(titles, rows, 1, anyway=True)
    yield from _history(report.known_since)


def _server_extra(report: ServerExtraReport) -> Iterator[str]:
    rows = []
    for row in report.rows[:_ROWS_MAX]:
        campaign = row.campaign_name or row.campaign_id
        label = row.event_name or row.channel or "(no ad)"
        counts = (row.conversions, row.extra, row.extra_attributed, row.extra_unattributed)
        rows.append(
            [
                literal(f"{label}, {campaign}" if campaign else label),
                *(f"{n:,}" for n in counts),
                _share(row.share),
                money(row.extra_value),
            ]
        )
    counts = (report.conversions, report.extra, report.extra_attributed, report.extra_unattributed)
    rows.append(["total", *(f"{n:,}" for n in counts), "", money(report.extra_value)])
    titles = ["", "conversions", "server only", "an ad claims", "no ad claims", "share"]
    print_figures([*titles, f"their value in {report.currency}"], rows, 1, anyway=True)
    yield f"The browser alone would have missed {report.extra:,} of {report.conversions:,}."


def _refunds(report: RefundsReport) -> Iterator[str]:
    def cells(row: RefundRow, first: Sequence[str]) -> list[str]:
        sums = (row.gross, row.refunds, row.cancelled, row.net)
        counts = (f"{row.orders:,}", f"{row.returned_orders:,}")
        return [*first, *counts, *map(money, sums), _share(row.returned_share)]

    rows = [cells(row, _ids(row, report.level)) for row in report.rows[:_ROWS_MAX]]
    width = len(_titles(report.level))
    rows.append(cells(report.total, ["total", *[""] * (width - 1)]))
    titles = [*_titles(report.level), "orders", "with refund or cancelled", "gross", "refunds"]
    print_figures([*titles, "cancelled", "net", "back"], rows, width, anyway=True)
    yield f"Money is in {report.currency}; last touch, {report.setting}."
    if report.total.without_ledger:
        yield (
            f"{report.total.without_ledger:,} purchases bear no order_id, so that nothing is known "
            "of their refunds."
        )


def _differences(report: DifferencesReport) -> Iterator[str]:
    for row in report.rows[:_ROWS_MAX]:
        campaign = row.campaign_name or row.campaign_id
        name = row.platform
        if report.level == "campaign":
            name = f"{name}, {campaign or '(no id)'}"
        rows = [["counted here", _number(row.ours), money(row.ours_value), ""]]
        for part in row.parts:
            words = part.part.replace("_", "-") if part.part == "view_through" else part.part
            meaning = part.meaning if part.conversions or part.value else ""
            value = "" if part.value is None else f"{part.value:+,.2f}"
            figures = [f"{part.conversions:+,f}", value]
            figures = [figure if figure.strip("+-0.") or not figure else "0" for figure in figures]
            rows.append([f"  {words.replace('_', ' ')}", *figures, meaning])
        theirs_value = "not told" if row.theirs_value is None else money(row.theirs_value)
        rows.append(["reported there", _number(row.theirs), theirs_value, ""])
        out.print(f"[bold]{literal(name)}[/bold], {row.first_day} to {row.last_day}")
        titles = ["", "conversions", f"value in {report.currency}", "what that is"]
        _print_parts(titles, rows)
    yield f"Ours: {report.setting}, last touch. Theirs: {report.platform_setting}."
    yield "Compared are the days from the first to the last that each platform told of."


def _print_parts(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table()
    for n, title in enumerate(titles):
        table.add_column(title, justify="right" if n in (1, 2) else "left", no_wrap=n < 3)
    for row in rows:
        table.add_row(*row)
    out.print(table)


_PRINTERS: dict[str, Callable[[Any], Iterator[str]]] = {
    "campaigns": _campaigns,
    "windows": _windows,
    "credits": _credits,
    "paths": _paths,
    "time_to_conversion": _times,
    "funnels": _funnels,
    "cohorts": _cohorts,
    "new_returning": _customers,
    "server_extra": _server_extra,
    "refunds": _refunds,
    "differences": _differences,
}
