"""Custom audiences as the Graph API shows them: fields, rounded sizes, states in its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from doublet.catalog import Audience
from doublet.graph.fields import Shape, plain
from doublet.graph.question import Row

AUDIENCE = Shape(
    "CustomAudience",
    plain(
        *("account_id", "approximate_count_lower_bound", "approximate_count_upper_bound"),
        *("customer_file_source", "data_source", "data_source_types", "delete_time"),
        *("datafile_custom_audience_uploading_status", "delivery_status", "description"),
        *("excluded_custom_audiences", "external_event_source", "household_audience", "id"),
        *("included_custom_audiences", "is_eligible_for_sac_campaigns", "is_household"),
        *("is_snapshot", "is_value_based", "lookalike_audience_ids", "lookalike_spec", "name"),
        *("operation_status", "opt_out_link", "owner_business", "page_deletion_marked_delete_time"),
        *("permission_for_actions", "pixel_id", "regulated_audience_spec", "retention_days"),
        *("rev_share_policy_id", "rule", "rule_aggregation", "rule_v2", "seed_audience"),
        *("sharing_status", "subtype", "time_content_updated", "time_created", "time_updated"),
        "fields_violating_integrity_policy",
    ),
    default=("id",),
    always=("id",),
)
"""Fields: facebook_business, CustomAudience."""

COUNT_MIN = 1000
"""Of fewer people no number is told: an audience of a few would say who they are."""

_SOURCES = {
    "WEBSITE": ("EVENT_BASED", "WEB_PIXEL_HITS"),
    "CUSTOM": ("FILE_IMPORTED", "MULTI_HASHES"),
    "LOOKALIKE": ("DERIVED", "ANYTHING"),
}


class Standing(NamedTuple):
    """How an audience stands: how many members it had when they were counted last (None: never),
    what the worker says of it, its name by id for lookalikes, and the lookalikes made of it."""

    members: int | None
    state: Mapping[str, Any]
    names: Mapping[str, str]
    lookalike_ids: Sequence[str]


def bounds(members: int | None) -> tuple[int, int]:
    """Lower and upper bound of a size, on two digits; -1 for what is too small or not counted yet.

    >>> bounds(12_345), bounds(1_300), bounds(999), bounds(None)
    ((12000, 13000), (1300, 1300), (-1, -1), (-1, -1))
    """
    if members is None or members < COUNT_MIN:
        return -1, -1
    step = 10 ** (len(str(members)) - 2)
    return members // step * step, -(-members // step) * step


def data_source(audience: Audience) -> str:
    """Where an audience is from, in the words of the Graph API's refusals."""
    return ".".join(_SOURCES[audience.subtype])


def audience_row(audience: Audience, standing: Standing) -> Row:
    """All fields that are known of an audience."""
    lower, upper = bounds(standing.members)
    kind, sub_kind = _SOURCES[audience.subtype]
    return {
        "id": audience.audience_id,
        "account_id": audience.account_id.removeprefix("act_"),
        "name": audience.name,
        "description": audience.description,
        "subtype": audience.subtype,
        "rule": audience.rule or None,
        "retention_days": audience.retention_days or None,
        "pixel_id": audience.pixel_id or None,
        "external_event_source": {"id": audience.pixel_id} if audience.pixel_id else None,
        "customer_file_source": audience.customer_file_source or None,
        "is_value_based": audience.is_value_based,
        "lookalike_spec": _spec(audience, standing),
        "lookalike_audience_ids": list(standing.lookalike_ids) or None,
        "approximate_count_lower_bound": lower,
        "approximate_count_upper_bound": upper,
        "data_source": {"type": kind, "sub_type": sub_kind, "creation_params": "[]"},
        "delivery_status": _delivery(standing),
        "operation_status": _operation(audience, standing),
        "permission_for_actions": {
            "can_edit": True,
            "can_see_insight": "False",
            "can_share": "False",
            "subtype_supports_lookalike": str(audience.subtype != "LOOKALIKE"),
            "supports_recipient_lookalike": "False",
        },
        "time_created": audience.created_at,
        "time_updated": audience.updated_at,
        "time_content_updated": audience.content_updated_at,
        "delete_time": 0,
        "is_snapshot": False,
        "is_household": False,
    }


def _spec(audience: Audience, standing: Standing) -> dict[str, Any] | None:
    if audience.subtype != "LOOKALIKE":
        return None
    spec: dict[str, Any] = msgspec.json.decode(audience.lookalike_spec)
    origin = audience.origin_audience_id
    named = {"id": origin, "name": standing.names.get(origin, ""), "type": "custom_audience"}
    return {**spec, "origin": [named]}


def _delivery(standing: Standing) -> Row:
    if standing.members:
        return {"code": 200, "description": "This audience is ready for use."}
    if standing.members is None:
        return {"code": 300, "description": "This audience is not made yet."}
    return {"code": 300, "description": "Nobody is in this audience."}


def _operation(audience: Audience, standing: Standing) -> Row:
    """200 is normal; a warning says what is wrong, 441 that people are still being looked for."""
    state = standing.state.get("state")
    if state == "failed":
        said = str(standing.state.get("message", "")) or "It could not be made."
        return {"code": 433 if audience.subtype == "LOOKALIKE" else 400, "description": said}
    if state == "ready" or standing.members is not None:
        return {"code": 200, "description": "Normal"}
    return {"code": 441, "description": "The people of this audience are being looked for."}
