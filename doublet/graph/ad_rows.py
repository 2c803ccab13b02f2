"""Campaigns, ad sets, ads and creatives of the catalog with the fields of Meta's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doublet.catalog import Ad, AdSet, Campaign, Creative
from doublet.catalog.campaigns import Object
from doublet.delivery.fields import EVENT_OF_TYPE, OWN_PLATFORM, ROAS_UNITS, minor
from doublet.delivery.objects import LEARNED_AT, LEARNING_DAYS, Learning, effective_status
from doublet.graph.question import Question, Row

Family = Mapping[str, Object]
"""What rows refer to, by id: campaigns, ad sets and creatives."""

_TYPE_OF_EVENT = {name: kind for kind, name in EVENT_OF_TYPE.items()}


def row_of(
    question: Question, each: Object, family: Family, learned: Mapping[str, Learning]
) -> Row:
    """All fields of an object; `learned` are the stages of ad sets, where they were asked for."""
    if isinstance(each, Creative):
        return _creative(each)
    if isinstance(each, Ad):
        return _ad(question, each, family)
    if isinstance(each, AdSet):
        return _ad_set(question, each, family, learned.get(each.adset_id))
    return _campaign(question, each)


def _common(question: Question, each: Campaign | AdSet | Ad, *parents: Object | None) -> Row:
    above = [parent for parent in parents if isinstance(parent, Campaign | AdSet)]
    return {
        "account_id": each.account_id.removeprefix("act_"),
        "name": each.name,
        "status": each.status,
        "configured_status": each.status,
        "effective_status": effective_status(each, *above),
        "created_time": question.of_seconds(each.created_at),
        "updated_time": question.of_seconds(each.updated_at),
    }


def _campaign(question: Question, each: Campaign) -> Row:
    return {
        **_common(question, each),
        "id": each.campaign_id,
        "objective": each.objective,
        "buying_type": "AUCTION",
        "special_ad_categories": [],
        "special_ad_category": "NONE",
        "doublet_holdout_share": each.holdout_share,
    }


def _ad_set(question: Question, each: AdSet, family: Family, learned: Learning | None) -> Row:
    currency = question.account.currency
    campaign = family.get(each.campaign_id)
    constraints = {"roas_average_floor": round(each.roas_floor * ROAS_UNITS)}
    return {
        **_common(question, each, campaign),
        "id": each.adset_id,
        "campaign_id": each.campaign_id,
        "campaign": _link(question, campaign, each.campaign_id),
        # Texts, as the SDK has them.
        "daily_budget": str(minor(each.daily_budget, currency)),
        "lifetime_budget": str(minor(each.lifetime_budget, currency)),
        "bid_strategy": each.bid_strategy,
        "bid_amount": minor(each.bid_amount, currency) or None,
        "bid_constraints": constraints if each.roas_floor else None,
        "billing_event": each.billing_event,
        "optimization_goal": each.optimization_goal,
        "promoted_object": _promoted(each) if each.pixel_id else None,
        "targeting": _targeting(each),
        "frequency_control_specs": [
            {
                "event": "IMPRESSIONS",
                "interval_days": cap.interval_days,
                "max_frequency": cap.max_frequency,
            }
            for cap in each.frequency
        ]
        or None,
        "start_time": question.of_seconds(each.start_time or each.created_at),
        "end_time": question.of_seconds(each.end_time) if each.end_time else None,
        "pacing_type": ["standard"],
        "destination_type": "WEBSITE",
        "learning_stage_info": _stage(learned) if learned else None,
    }


def _ad(question: Question, each: Ad, family: Family) -> Row:
    campaign, ad_set = family.get(each.campaign_id), family.get(each.adset_id)
    creative = family.get(each.creative_id)
    return {
        **_common(question, each, campaign, ad_set),
        "id": each.ad_id,
        "campaign_id": each.campaign_id,
        "adset_id": each.adset_id,
        "campaign": _link(question, campaign, each.campaign_id),
        "adset": _link(question, ad_set, each.adset_id, campaign),
        "creative": _creative(creative) if isinstance(creative, Creative) else None,
    }


def _creative(each: Creative) -> Row:
    link = {
        "link": each.link_url,
        "message": each.body,
        "name": each.title,
        "description": each.description,
        "picture": each.image_url,
        "call_to_action": {"type": each.call_to_action} if each.call_to_action else None,
    }
    return {
        "id": each.creative_id,
        "account_id": each.account_id.removeprefix("act_"),
        "name": each.name,
        "title": each.title,
        "body": each.body,
        "link_url": each.link_url,
        "object_url": each.link_url,
        "image_url": each.image_url or None,
        "call_to_action_type": each.call_to_action or None,
        "object_story_spec": {"link_data": {name: part for name, part in link.items() if part}},
        "status": each.status,
    }


def _link(question: Question, each: Object | None, object_id: str, *parents: Object | None) -> Row:
    if not isinstance(each, Campaign | AdSet):
        return {"id": object_id}
    return {**_common(question, each, *parents), "id": object_id}


def _promoted(each: AdSet) -> dict[str, Any]:
    kind = _TYPE_OF_EVENT.get(each.event_name)
    named = {"custom_event_type": kind or "OTHER"}
    own = {} if kind else {"custom_event_str": each.event_name}
    return {"pixel_id": each.pixel_id, **named, **own}


def _targeting(each: AdSet) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "custom_audiences": [{"id": one} for one in each.included],
        "excluded_custom_audiences": [{"id": one} for one in each.excluded],
        f"{OWN_PLATFORM}_positions": list(each.placements),
    }
    named = {name: part for name, part in parts.items() if part}
    return {"publisher_platforms": [OWN_PLATFORM], **named}


def _stage(learned: Learning) -> dict[str, Any]:
    return {
        **learned._asdict(),
        "dynamic_lp_conversions_threshold": LEARNED_AT,
        "dynamic_lp_days_threshold": LEARNING_DAYS,
    }
