"""Parameters of addresses and queries, by the names that operations have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doublet.accept.postbacks import POSTBACK_PARAMETERS
from doublet.lift.report import WINDOW_DAYS_MAX
from doublet.openapi.attribution import ATTRIBUTION_PARAMETERS
from doublet.openapi.custom_audiences import AUDIENCE_PARAMETERS
from doublet.openapi.insights import INSIGHTS_PARAMETERS
from doublet.reconcile import LIMIT_MAX
from doublet.refusal import Reason
from doublet.reports.events import LIMIT_MAX as LIMIT_MAX_EVENTS
from doublet.reports.events import SEEN_BY, SHOWN

TEXT = {"type": "string"}
"""Schema of a parameter that may be anything."""
_DAY = {"type": "string", "format": "date"}
_FLAG = {"enum": ["0", "1"]}
_COUNT = {"type": "integer", "minimum": 1}


def _query(name: str, about: str, schema: Mapping[str, Any] = TEXT) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _path(name: str, about: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


PARAMETERS: dict[str, Any] = {
    "version": _path("version", "Any from v13.0 on.", r"^v(1[3-9]|2[0-9])\.0$"),
    "pixel_id": _path("pixel_id", "The pixel (dataset).", "^[0-9]{15,16}$"),
    "destination_id": _path("destination_id", "The destination.", "^dst_[0-9]{12}$"),
    "shop_id": _path("shop_id", "The shop.", "^shp_[0-9]{12}$"),
    "setup_id": _path("setup_id", "The setup.", "^set_[0-9]{12}$"),
    "link": {**_query("t", "The sealed link, as /v1/decide gave it."), "required": True},
    "account_id": _path("account_id", "The ad account.", "^act_[0-9]{15}$"),
    "limit": _query("limit", "How many events.", {"type": "integer", "minimum": 1}),
    "only_event_id": _query("event_id", "Only events with this id."),
    "id": _query("id", "The pixel.", {"type": "string", "pattern": "^[0-9]{15,16}$"}),
    "ev": _query("ev", "event_name.", {"type": "string", "minLength": 1}),
    "eid": _query("eid", "event_id."),
    "ts": _query("ts", "event_time in milliseconds.", {"type": "integer"}),
    "dl": _query("dl", "event_source_url."),
    "rl": _query("rl", "referrer_url."),
    "ec": _query("ec", "How many events of this page came before.", {"type": "integer"}),
    "dpo": _query("dpo", "Limited Data Use; empty: explicitly off.", {"enum": ["LDU", ""]}),
    "es": _query("es", "Which automatic part of the library reports."),
    "fbp": _query("fbp", "The browser's id."),
    "fbc": _query("fbc", "The click's id."),
    "validation": _query("validation", "Keep the good events.", {"enum": ["partial"]}),
    "account": _query("account", "The account; the token's own if left out."),
    "before_change": _query(
        "before",
        "Only changes with a smaller id.",
        {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
    ),
    "pixel": _query("pixel", "Only this pixel."),
    "since": _query("since", "First day, in the account's zone.", _DAY),
    "until": _query("until", "Last day, in the account's zone.", _DAY),
    "marked": _query("marked", "1: count what rules of its pixel mark too.", _FLAG),
    "event_name": _query("event_name", "Only this event."),
    "only_event_name": _query("event_name", "Only events of this name."),
    "action_source": _query("action_source", "Only of this source."),
    "seen_by": _query("seen_by", "Only what these sides saw.", {"enum": ["", *SEEN_BY]}),
    "shown": _query("shown", "What reports count, what they leave out.", {"enum": [*SHOWN]}),
    "odd": _query("odd", "1: only events with a flag or a conflict.", _FLAG),
    "q": _query("q", "An event id or order id, or a part of an address.", {"type": "string"}),
    "before": _query("before", "Go on behind: the `next` of an answer."),
    "events_max": _query("limit", "So many.", {**_COUNT, "maximum": LIMIT_MAX_EVENTS}),
    "the_event_id": _query("event_id", "As it was sent; or name a copy."),
    "copy": _query("copy", "A copy's place in the log.", {"type": "string"}),
    "order_id": {**_query("order_id", "As it was sent."), "required": True},
    "by": _query("by", "A row per event, or per event and day.", {"enum": ["name", "day"]}),
    "key": _query("key", "That of a shared link, in place of a token."),
    "code": _query("code", "Only events with this test_event_code."),
    "all": _query("all", "1: every event of the account.", _FLAG),
    "last_event_id": _query("last_event_id", "Go on behind this one."),
    "scheme": _query("scheme", "Colours.", {"enum": ["light", "dark"]}),
    "reason": _query("reason", "Only of this reason.", {"enum": [r.label for r in Reason]}),
    "refused": _query("id", "Only this request."),
    "erasure": _query("id", "Only this erasure."),
    "audience": {**_query("id", "The audience."), "required": True},
    "fields": _query("fields", "Names, by commas."),
    "shop": _query("shop", "The shop that the orders are of, by id."),
    "is_whole": _query("is_whole", "1: so are all of a day before and a day after.", _FLAG),
    "listed": _query(
        "limit", "Listed of each finding.", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}
    ),
    **ATTRIBUTION_PARAMETERS,
    **INSIGHTS_PARAMETERS,
    **AUDIENCE_PARAMETERS,
    "experiment": _query("experiment", "Only this experiment."),
    "campaign_id": _query("campaign_id", "Only this campaign."),
    "lift_level": _query("level", "What a row is about.", {"enum": ["campaign", "experiment"]}),
    "window_days": _query(
        "window_days",
        "Days from the first opportunity.",
        {"type": "integer", "minimum": 1, "maximum": WINDOW_DAYS_MAX},
    ),
    "holdout": _query(
        "holdout",
        "What was to be held out.",
        {"type": "number", "minimum": 0.001, "maximum": 0.999},
    ),
    "lift": _query(
        "lift", "For which persons are told.", {"type": "number", "minimum": 0.001, "maximum": 100}
    ),
    "dataset_id": {**_query("dataset_id", "The pixel (dataset)."), "required": True},
    **{
        f"postback_{name}": _query(name, f"Or {others}." if others else "As in user_data.")
        for name, others in POSTBACK_PARAMETERS.items()
    },
}
