"""Campaigns with their ad sets and ads as lists show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from doublet.catalog import Account, Ad, AdSet, Campaign, Catalog, ReportRules
from doublet.delivery.objects import Learning, effective_status
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.insights import insights
from doublet.reports.insights_rows import InsightsRow, Place, Question
from doublet.reports.periods import preset


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign, ad set or ad (`level`). `status` is its own, `effective_status` the one that
    counts. Budget, bidding and learning are of ad sets: `budget` in the account's currency, of a
    day or of the ad set's life (`budget_of`: day, lifetime); `learning` LEARNING, SUCCESS, FAIL or
    WAIVING by the `actions` since its last significant edit. Figures are of
    today and the 28 days before, None where nothing tells any: `results` are conversions by the ad
    set's event that are credited to its ads."""

    level: str
    id: str
    name: str
    campaign_id: str
    adset_id: str = ""
    status: str
    effective_status: str
    optimization_goal: str = ""
    event_name: str = ""
    bid_strategy: str = ""
    budget: Decimal | None = None
    budget_of: str = ""
    learning: str = ""
    actions: int | None = None
    impressions: int | None = None
    clicks: int | None = None
    spend: Decimal | None = None
    results: int | None = None


class Figures(msgspec.Struct, frozen=True):
    """What an object delivered and brought: conversions by event name, credited by the account's
    setting. Spend is in the account's currency, None where nothing told any."""

    impressions: int
    clicks: int
    spend: Decimal | None
    conversions: dict[str, int]


def brought(
    engine: Engine, account: Account, rules: ReportRules, rates: Rates, today: date
) -> dict[str, Figures]:
    """What each campaign, ad set and ad brought today and in the 28 days before, by id; those of
    which nothing is known are missing."""
    days = preset("last_28d", today)._replace(until=today)
    found = insights(engine, account, rules, rates, Question([days], "ad", windows=()))
    sums: dict[str, InsightsRow] = {}
    for row in found:
        for object_id in row.place[1:4]:
            if object_id is not None:
                sums.setdefault(str(object_id), InsightsRow(Place(0))).add(row)
    return {object_id: _figures(row) for object_id, row in sums.items()}


def _figures(row: InsightsRow) -> Figures:
    conversions: dict[str, int] = {}
    for kind, results in row.results.items():
        if kind.custom_id is None and "value" in results:
            count = results["value"].conversions
            conversions[kind.event_name] = conversions.get(kind.event_name, 0) + count
    return Figures(row.impressions, row.clicks, row.spend, conversions)


def listing(
    catalog: Catalog,
    account: Account,
    learned: Mapping[str, Learning] | None = None,
    figures: Mapping[str, Figures] | None = None,
) -> list[DeliveryRow]:
    """All that an account has and is neither archived nor deleted: campaigns, the newest first,
    each before its ad sets, and these before their ads. `learned` has the stages of ad sets,
    `figures` what objects brought, by id."""
    store, account_id = catalog.campaigns, account.account_id
    ad_sets: dict[str, list[AdSet]] = {}
    for ad_set in store.ad_sets(account_id):
        ad_sets.setdefault(ad_set.campaign_id, []).append(ad_set)
    ads: dict[str, list[Ad]] = {}
    for ad in store.ads(account_id):
        ads.setdefault(ad.adset_id, []).append(ad)
    told, had = learned or {}, figures or {}
    rows = []
    for campaign in reversed(store.campaigns(account_id)):
        rows.append(_row(campaign, campaign, None, None, had))
        for ad_set in ad_sets.get(campaign.campaign_id, []):
            rows.append(_row(ad_set, campaign, ad_set, told.get(ad_set.adset_id), had))
            rows += [_row(ad, campaign, ad_set, None, had) for ad in ads.get(ad_set.adset_id, [])]
    return rows


def _row(
    each: Campaign | AdSet | Ad,
    campaign: Campaign,
    ad_set: AdSet | None,
    learned: Learning | None,
    had: Mapping[str, Figures],
) -> DeliveryRow:
    level = "campaign" if isinstance(each, Campaign) else "adset" if each is ad_set else "ad"
    object_id = each.campaign_id
    if isinstance(each, AdSet):
        object_id = each.adset_id
    elif isinstance(each, Ad):
        object_id = each.ad_id
    above = [parent for parent in (campaign, ad_set) if parent is not None and parent is not each]
    found = had.get(object_id)
    own = each if isinstance(each, AdSet) else None
    event_name = ad_set.event_name if ad_set is not None else ""
    return DeliveryRow(
        level=level,
        id=object_id,
        name=each.name,
        campaign_id=campaign.campaign_id,
        adset_id=ad_set.adset_id if ad_set is not None else "",
        status=each.status,
        effective_status=effective_status(each, *above),
        optimization_goal=own.optimization_goal if own else "",
        event_name=own.event_name if own else "",
        bid_strategy=own.bid_strategy if own else "",
        budget=Decimal(own.daily_budget or own.lifetime_budget) / 100 if own else None,
        budget_of="" if own is None else "day" if own.daily_budget else "lifetime",
        learning=learned.status if learned else "",
        actions=learned.conversions if learned else None,
        impressions=found.impressions if found else None,
        clicks=found.clicks if found else None,
        spend=found.spend if found else None,
        results=found.conversions.get(event_name, 0) if found and event_name else None,
    )
