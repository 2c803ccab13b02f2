"""Campaigns, ad sets, ads and creatives as the catalog keeps them, in the Marketing API's words.

Ids are digits, times are Unix seconds and 0 where none is set, amounts are hundredths of the
account's currency (cents), also where it has no such coin, and 0 where none is set. A status is
ACTIVE, PAUSED, ARCHIVED or DELETED: what is deleted stays for reports. `paused_at` is since when
something does not run by its own status, 0 while it does.
"""

from __future__ import annotations

import msgspec


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """What is advertised towards one objective. Of the persons who are about to see it,
    `holdout_share` never do, so that its lift can be measured."""

    campaign_id: str
    account_id: str
    name: str
    objective: str = "OUTCOME_SALES"
    status: str = "PAUSED"
    holdout_share: float = 0.0
    created_at: int = 0
    updated_at: int = 0
    paused_at: int = 0


class FrequencyCap(msgspec.Struct, frozen=True):
    """At most `max_frequency` impressions per person in any `interval_days` days."""

    interval_days: int
    max_frequency: int


class AdSet(msgspec.Struct, frozen=True, kw_only=True):
    """Whom ads are shown to, for which action, at what price and when.

    `event_name` on `pixel_id` is the action that `optimization_goal` is about. `bid_amount` is per
    action; `roas_floor` is return ÷ spend. Either a daily or a lifetime budget is set. Without
    `included` everybody is; without `placements` all are. `edited_at` is the last significant edit,
    from which learning counts."""

    adset_id: str
    account_id: str
    campaign_id: str
    name: str
    status: str = "PAUSED"
    optimization_goal: str = "OFFSITE_CONVERSIONS"
    billing_event: str = "IMPRESSIONS"
    bid_strategy: str = "LOWEST_COST_WITHOUT_CAP"
    bid_amount: int = 0
    roas_floor: float = 0.0
    daily_budget: int = 0
    lifetime_budget: int = 0
    start_time: int = 0
    end_time: int = 0
    pixel_id: str = ""
    event_name: str = "Purchase"
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    placements: tuple[str, ...] = ()
    frequency: tuple[FrequencyCap, ...] = ()
    created_at: int = 0
    updated_at: int = 0
    edited_at: int = 0
    paused_at: int = 0


class Creative(msgspec.Struct, frozen=True, kw_only=True):
    """What an ad looks like and where it leads to; it never changes, an ad gets another one.
    `call_to_action` is what stands on its button, in the Marketing API's words (SHOP_NOW)."""

    creative_id: str
    account_id: str
    name: str
    title: str = ""
    body: str = ""
    link_url: str = ""
    image_url: str = ""
    description: str = ""
    call_to_action: str = ""
    status: str = "ACTIVE"
    created_at: int = 0


class Ad(msgspec.Struct, frozen=True, kw_only=True):
    """One creative in one ad set."""

    ad_id: str
    account_id: str
    campaign_id: str
    adset_id: str
    creative_id: str
    name: str
    status: str = "PAUSED"
    created_at: int = 0
    updated_at: int = 0
