"""Campaigns: what each cost and brought, under several models and windows side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account, ReportRules
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rates import Rates
from doublet.reports import report_sql
from doublet.reports.conversions import ask, conversion_parameters, without_rate
from doublet.reports.credit import LEVELS, Level, ModelsAsked, credited, titles
from doublet.reports.insights import earliest_day, insights
from doublet.reports.insights_rows import InsightsRow, Question
from doublet.reports.paths import share
from doublet.reports.periods import EARLIEST, Period
from doublet.reports.windows import DEFAULT, Window

ZERO = Decimal(0)
_LEVEL_NAMES: tuple[str, ...] = LEVELS
_CENT = Decimal("0.0001")


class CampaignsAsked(ModelsAsked, frozen=True, kw_only=True):
    """`level` is what has a row of its own; `channel`, `campaign_id` and `adset_id` leave only the
    rows beneath them."""

    level: Level = "campaign"
    channel: str | None = None
    campaign_id: str | None = None
    adset_id: str | None = None

    @property
    def beneath(self) -> dict[str, str]:
        """The names that a row must have, by field."""
        names = ("channel", "campaign_id", "adset_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        ModelsAsked.check(self)
        for name in self.beneath:
            level = name.removesuffix("_id")
            if LEVELS.index(self.level) < _LEVEL_NAMES.index(level):
                raise SenderError(
                    f"Rows of level {self.level} have no {name}.", f"Choose the level {level}."
                )


class CampaignResult(msgspec.Struct):
    """What a row brought under one model and window: conversions (parts of them where a model
    shares them out), their value, what each cost, and value by spend (ROAS). Where the window is of
    views and nobody outside can see them, nothing is known: `is_observable` is false, and all
    figures are None."""

    model: str
    window: str
    is_observable: bool
    conversions: Decimal | None
    value: Decimal | None
    cost_per_action: Decimal | None
    roas: float | None


class CampaignRow(msgspec.Struct):
    """One channel, campaign, ad set or ad: what was delivered, and its results, one per model and
    window in the order that was asked for. An id is None where touches name none. Of the row that
    is not attributed, no touch claims the conversions. Money is the account's."""

    is_attributed: bool
    channel: str | None
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    impressions: int
    clicks: int
    spend: Decimal
    results: list[CampaignResult]


class CampaignResultRow(msgspec.Struct):
    """One result of a CampaignRow. What was delivered is repeated in each."""

    is_attributed: bool
    channel: str | None
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    model: str
    window: str
    impressions: int
    clicks: int
    spend: Decimal
    is_observable: bool
    conversions: Decimal | None
    value: Decimal | None
    cost_per_action: Decimal | None
    roas: float | None


class CampaignsReport(msgspec.Struct):
    """The rows by spend, the unattributed last, and the total, which is the sum of all of them; its
    cost per action and ROAS are of all conversions, whoever claims them. Of the `attributed`
    conversions of the first model and window, those `with_ad` name an ad: a click id names none,
    only parameters of an address or an ad log do. What is not observable was not seen by any log
    here: Meta, for one, tells nobody who saw an ad. `not_observable` names the channels of which
    some rows are so; a log of one campaign says nothing of the others."""

    level: str
    setting: str
    currency: str
    rows: list[CampaignRow]
    total: CampaignRow
    attributed: Decimal
    with_ad: Decimal
    with_ad_share: float | None
    not_observable: list[str]
    without_rate: list[str]


class _Key(NamedTuple):
    is_attributed: bool
    channel: str | None = None
    campaign_id: str | None = None
    adset_id: str | None = None
    ad_id: str | None = None


def campaigns(
    engine: Engine, account: Account, rates: Rates, asked: CampaignsAsked
) -> CampaignsReport:
    """What each campaign cost and brought. Without rows when nothing was delivered or converted."""
    windows = asked.windows()
    given = conversion_parameters(account, rates, asked) | {"depth": LEVELS.index(asked.level)}
    sums: dict[_Key, dict[tuple[str, str], tuple[Decimal, Decimal]]] = {}
    attributed = with_ad = ZERO
    first = (asked.model[0], windows[0].name)
    for row in credited(engine, given, "campaigns", asked.model, windows, is_summed=True):
        key = _key(row)
        if not _is_beneath(key, asked):
            continue
        result = (row["model"], row["window_name"])
        sums.setdefault(key, {})[result] = (_whole(row["conversions"]), row["value"])
        if row["is_attributed"] and result == first:
            attributed += row["conversions"]
            with_ad += row["with_ad"]
    delivered = {
        key: row
        for key, row in _delivered(engine, account, rates, asked).items()
        if _is_beneath(key, asked)
    }
    names = titles(engine, given)
    seen = {(row["platform"], row["campaign_id"]) for row in ask(engine, given, "seen_views")}
    columns = [(model, window) for model in asked.model for window in windows]
    depth = LEVELS.index(asked.level)
    rows = [
        _row(key, depth, delivered.get(key), sums.get(key, {}), columns, seen, names)
        for key in {**delivered, **sums}
    ]
    rows.sort(key=_order)
    total = total_of(rows, columns)
    unconverted = {row["currency"] for row in ask(engine, given, "unconverted_spend")}
    return CampaignsReport(
        level=asked.level,
        setting=str(asked.attribution),
        currency=account.currency,
        rows=rows,
        total=total,
        attributed=_whole(attributed),
        with_ad=_whole(with_ad),
        with_ad_share=share(with_ad, attributed),
        not_observable=sorted(
            {
                row.channel or "all channels"
                for row in rows
                if row.is_attributed and any(not result.is_observable for result in row.results)
            }
        ),
        without_rate=sorted({*unconverted, *without_rate(engine, given)}),
    )


def result_rows(report: CampaignsReport) -> list[CampaignResultRow]:
    """The rows, one per result."""
    return flat_rows(report.rows)


def flat_rows(rows: Sequence[CampaignRow]) -> list[CampaignResultRow]:
    """Rows of campaigns, one per result."""
    return [
        CampaignResultRow(
            **{
                name: getattr(result if name in result.__struct_fields__ else row, name)
                for name in CampaignResultRow.__struct_fields__
            }
        )
        for row in rows
        for result in row.results
    ]


def _key(row: dict[str, Any]) -> _Key:
    ids = (row["channel"], row["campaign_id"], row["adset_id"], row["ad_id"])
    return _Key(row.get("is_attributed", True), *ids)


def _is_beneath(key: _Key, asked: CampaignsAsked) -> bool:
    return all(getattr(key, name) == value for name, value in asked.beneath.items())


def _whole(number: Decimal) -> Decimal:
    """Without decimals where there are none to tell."""
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def _delivered(
    engine: Engine, account: Account, rates: Rates, asked: CampaignsAsked
) -> dict[_Key, InsightsRow]:
    """What insights tell of delivery. A campaign has one channel, that of its platform, however a
    log calls it."""
    tomorrow = datetime.now(ZoneInfo(account.time_zone)).date() + timedelta(days=1)
    since = max(asked.since or earliest_day(engine, account), EARLIEST)
    until = min(asked.until or tomorrow, tomorrow)
    if until < since:
        return {}
    level = asked.level if asked.level in ("adset", "ad") else "campaign"
    question = Question([Period(since, until)], level, by_platform=True, results=False)
    limits = {"account_id": account.account_id}
    known = engine.query(report_sql("campaign_platforms"), limits)
    platforms = {row["campaign_id"]: row["platform"] for row in known}
    found: dict[_Key, InsightsRow] = {}
    depth = LEVELS.index(asked.level)
    for row in insights(engine, account, ReportRules(), rates, question):
        place = row.place
        channel = platforms.get(place.campaign_id) or place.platform or "unknown"
        parts = (channel, place.campaign_id, place.adset_id, place.ad_id)
        key = _Key(True, *(part if n < depth else None for n, part in enumerate(parts)))
        found.setdefault(key, InsightsRow(place)).add(row)
    return found


def _row(
    key: _Key,
    depth: int,
    delivered: InsightsRow | None,
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]],
    columns: Sequence[tuple[str, Window]],
    seen: Collection[tuple[str, str | None]],
    names: dict[tuple[str, str], str],
) -> CampaignRow:
    spend = (delivered.spend if delivered else None) or ZERO
    is_blind = key.is_attributed and not _has_views(key, depth, seen)
    results = []
    for model, window in columns:
        conversions, value = sums.get((model, window.name), (ZERO, ZERO))
        # Where views have brought something, somebody has seen them.
        if is_blind and window.kind != "any" and not conversions:
            results.append(CampaignResult(model, window.name, False, None, None, None, None))
        else:
            money = (None, None) if not key.is_attributed else costs(spend, conversions, value)
            results.append(
                CampaignResult(model, window.name, True, conversions, value, money[0], money[1])
            )
    return CampaignRow(
        **key._asdict(),
        campaign_name=names.get(("campaign", key.campaign_id or "")),
        adset_name=names.get(("adset", key.adset_id or "")),
        ad_name=names.get(("ad", key.ad_id or "")),
        impressions=delivered.impressions if delivered else 0,
        clicks=delivered.clicks if delivered else 0,
        spend=spend,
        results=results,
    )


def _has_views(key: _Key, depth: int, seen: Collection[tuple[str, str | None]]) -> bool:
    """Whether a log tells who saw ads: any of the account or the channel, otherwise those of the
    campaign, since a log of one campaign says nothing of the others."""
    if depth < LEVELS.index("campaign"):
        return any(key.channel in (None, platform) for platform, _ in seen)
    if key.campaign_id is None:
        return (key.channel, None) in seen
    return any(key.campaign_id == campaign_id for _, campaign_id in seen)


def costs(
    spend: Decimal, conversions: Decimal, value: Decimal
) -> tuple[Decimal | None, float | None]:
    """What an action cost, and the value by spend; None where nothing was spent or done."""
    cost = (spend / conversions).quantize(_CENT) if spend > 0 and conversions > 0 else None
    return cost, round(float(value / spend), 4) if spend > 0 else None


def _order(row: CampaignRow) -> tuple[Any, ...]:
    most = max((result.conversions or ZERO for result in row.results), default=ZERO)
    ids = (row.channel, row.campaign_id, row.adset_id, row.ad_id)
    return (not row.is_attributed, -row.spend, -most, *(part or "" for part in ids))


def total_of(rows: Sequence[CampaignRow], columns: Sequence[tuple[str, Window]]) -> CampaignRow:
    """The sum of rows whose results are of these models and windows."""
    spend = sum((row.spend for row in rows), ZERO)

    def results() -> Iterator[CampaignResult]:
        for n, (model, window) in enumerate(columns):
            own = [row.results[n] for row in rows]
            conversions = sum((result.conversions or ZERO for result in own), ZERO)
            value = sum((result.value or ZERO for result in own), ZERO)
            money = costs(spend, conversions, value)
            yield CampaignResult(model, window.name, True, conversions, value, *money)

    return CampaignRow(
        is_attributed=True,
        channel=None,
        campaign_id=None,
        campaign_name=None,
        adset_id=None,
        adset_name=None,
        ad_id=None,
        ad_name=None,
        impressions=sum(row.impressions for row in rows),
        clicks=sum(row.clicks for row in rows),
        spend=spend,
        results=list(results()),
    )


def claimed_by(rows: Sequence[CampaignRow], columns: Sequence[tuple[str, Window]]) -> CampaignRow:
    """The sum of what any touch claims, with cost per action and ROAS of that alone. A window of
    views that no row can see is not observable here either."""
    attributed = [row for row in rows if row.is_attributed]
    claimed = total_of(attributed, columns)
    for n, result in enumerate(claimed.results):
        own = [row.results[n] for row in attributed]
        if own and not any(each.is_observable for each in own):
            names = (result.model, result.window)
            claimed.results[n] = CampaignResult(*names, False, None, None, None, None)
    return claimed


def default_result(row: CampaignRow) -> CampaignResult:
    """The result of the whole setting, or the first where that was not asked for."""
    return next((result for result in row.results if result.window == DEFAULT), row.results[0])
