"""The addresses of campaigns that are delivered here: the page's twins, and making objects by the
Graph API."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.delivery.listing import DeliveryRow
from doublet.delivery.objects import BILLING_EVENTS, GOALS, OBJECTIVES, STRATEGIES
from doublet.openapi.answers import Page
from doublet.openapi.operation import CSV, JSON, Operation

_FORM = "application/x-www-form-urlencoded"
_TEXT: dict[str, Any] = {"type": "string"}
_NESTED = {"type": "string", "description": "JSON (docs/delivery.md)."}
_AMOUNT = {"type": "integer", "minimum": 0, "description": "In the currency's minor unit."}
_STATUS = {"enum": ["ACTIVE", "PAUSED"]}


class ObjectMade(msgspec.Struct, omit_defaults=True):
    """The id of what was made; with `execution_options` validate_only that it could be."""

    id: str = ""
    success: bool = False


_CAMPAIGN = {
    "name": _TEXT,
    "objective": {"enum": list(OBJECTIVES)},
    "status": _STATUS,
    "special_ad_categories": {"type": "string", "description": "[] or NONE."},
    "doublet_holdout_share": {"type": "number", "minimum": 0, "maximum": 0.5},
}
_AD_SET = {
    "name": _TEXT,
    "campaign_id": _TEXT,
    "status": _STATUS,
    "optimization_goal": {"enum": list(GOALS)},
    "billing_event": {"enum": [*BILLING_EVENTS, "CLICKS"]},
    "bid_strategy": {"enum": list(STRATEGIES)},
    "bid_amount": _AMOUNT,
    "bid_constraints": _NESTED,
    "daily_budget": _AMOUNT,
    "lifetime_budget": _AMOUNT,
    "start_time": _TEXT,
    "end_time": _TEXT,
    "promoted_object": _NESTED,
    "targeting": _NESTED,
    "frequency_control_specs": _NESTED,
}
_AD = {"name": _TEXT, "adset_id": _TEXT, "creative": _NESTED, "status": _STATUS}
_CREATIVE = {
    "name": _TEXT,
    "object_story_spec": _NESTED,
    **dict.fromkeys(("title", "body", "link_url", "image_url", "call_to_action_type"), _TEXT),
}


def _maker(edge: str, what: str, properties: dict[str, Any], *required: str) -> Operation:
    body = {"type": "object", "required": list(required), "properties": properties}
    return Operation(
        "post",
        f"/{{version}}/{{account_id}}/{edge}",
        f"Make {what}.",
        (),
        {JSON: ObjectMade},
        when="It is made.",
        bodies={_FORM: body, JSON: body},
    )


DELIVERY: tuple[Operation, ...] = (
    Operation(
        "get",
        "/delivery.json",
        "Campaigns that are delivered here, with their ad sets and ads.",
        ("account",),
        {JSON: list[DeliveryRow]},
    ),
    Operation("get", "/delivery.csv", "The same.", ("account",), {CSV: None}),
)
AD_OBJECTS: tuple[Operation, ...] = (
    _maker("campaigns", "a campaign", _CAMPAIGN, "name"),
    _maker("adsets", "an ad set", _AD_SET, "name", "campaign_id"),
    _maker("ads", "an ad", _AD, "name", "adset_id", "creative"),
    _maker("adcreatives", "a creative", _CREATIVE),
    Operation(
        "get",
        "/{version}/{account_id}/adcreatives",
        "Creatives of an account.",
        ("fields",),
        {JSON: Page},
    ),
)
