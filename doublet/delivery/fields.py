"""Campaigns, ad sets, ads and creatives as the Marketing API writes them, read into what is kept.

Each reader takes parameters as texts, nested ones as JSON, and gives back the fields that they
change. A parameter that would change who sees an ad or what it costs, and that delivery here cannot
follow, is refused with what to use instead; what only Meta's own pages need is left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from doublet.catalog import FrequencyCap
from doublet.delivery.objects import ObjectError
from doublet.event import STANDARD_EVENTS
from doublet.refusal import quote_name

Given = Mapping[str, str]
Changes = dict[str, Any]
Moment = Callable[[str], int]
"""The moment (Unix seconds; 0 for none) that the parameter of a name says."""

OWN_PLATFORM = "doublet"
ROAS_UNITS = 10_000
"""`roas_average_floor` is so many times the return on ad spend."""

WITHOUT_CENTS = frozenset("CLP COP CRC HUF IDR ISK JPY KRW PYG TWD VND".split())
"""Currencies whose amounts the Marketing API writes whole (*Currencies*, offset 1); all others are
written in hundredths."""

REACH_CAP = (FrequencyCap(7, 2),)
"""How often a person sees an ad set for REACH that does not say."""

_IN_CAPITALS = {"CONTENT_VIEW": "ViewContent", "INITIATED_CHECKOUT": "InitiateCheckout"}


def _capitals(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name)[1:]


EVENT_OF_TYPE: dict[str, str] = {
    **{_capitals(name): name for name in STANDARD_EVENTS if name != "PageView"},
    **_IN_CAPITALS,
}
"""The event name of each `custom_event_type`."""

_OURS = "delivery here does not follow it; leave it out"
_AUDIENCES = "name audiences in targeting.custom_audiences"
_IN_AD_SETS = "set it in the ad sets"

_NOT_OF_CAMPAIGNS = {
    **dict.fromkeys(
        ("daily_budget", "lifetime_budget", "bid_strategy", "pacing_type"), _IN_AD_SETS
    ),
    **dict.fromkeys(("start_time", "stop_time", "frequency_control_specs"), _IN_AD_SETS),
    **dict.fromkeys(("promoted_object", "budget_schedule_specs"), _IN_AD_SETS),
    "spend_cap": "give its ad sets a lifetime_budget",
    "source_campaign_id": "send all fields of the copy",
}
_NOT_OF_AD_SETS = {
    "adset_schedule": "pause and activate the ad set by a schedule of your own",
    "attribution_spec": "conversions are credited by the account's own setting",
    "rf_prediction_id": "ads are bought by auction",
    "source_adset_id": "send all fields of the copy",
    "campaign_spec": "make the campaign first and give its campaign_id",
    **dict.fromkeys(
        (
            *("bid_adjustments", "daily_imps", "daily_min_spend_target", "daily_spend_cap"),
            *("lifetime_imps", "lifetime_min_spend_target", "lifetime_spend_cap"),
            *("budget_schedule_specs", "creative_sequence", "value_rule_set_id"),
        ),
        _OURS,
    ),
}
_NOT_OF_ADS = {
    **dict.fromkeys(("bid_amount", "ad_schedule_start_time", "ad_schedule_end_time"), _IN_AD_SETS),
    "adset_spec": "make the ad set first and give its adset_id",
    "source_ad_id": "send all fields of the copy",
}
_NOT_OF_CREATIVES = {
    "url_tags": "put them into the link",
    "image_hash": "give picture, the address of the image",
    "video_id": "give picture, the address of an image",
    **dict.fromkeys(
        ("object_story_id", "asset_feed_spec", "product_set_id", "template_url"), _OURS
    ),
}
_NOT_OF_LINKS = {
    "image_hash": _NOT_OF_CREATIVES["image_hash"],
    "child_attachments": "make one ad per card",
    "collection_thumbnails": "make one ad per image",
    "customization_rules_spec": "make one creative per placement",
}
_POSITIONS = f"name your places in targeting.{OWN_PLATFORM}_positions"
_TARGETED = {"custom_audiences", "excluded_custom_audiences", "publisher_platforms"}
_SAYS_NOTHING = {"targeting_automation", "targeting_optimization", "targeting_relaxation_types"}


def campaign_changes(given: Given) -> Changes:
    """What these parameters change of a campaign. Raises ObjectError."""
    _refuse(given, _NOT_OF_CAMPAIGNS)
    if (given.get("buying_type") or "AUCTION") != "AUCTION":
        raise ObjectError("buying_type", "buying_type must be AUCTION.")
    if given.get("special_ad_categories", "") not in ("", "[]", "NONE", '["NONE"]', "null"):
        raise ObjectError(
            "special_ad_categories",
            "special_ad_categories other than NONE are not enforced here.",
            "See to their rules by your audiences, and send [].",
        )
    changes = _named(given, {"name": "name", "objective": "objective", "status": "status"})
    if "doublet_holdout_share" in given:
        changes["holdout_share"] = _share(given["doublet_holdout_share"])
    return changes


def ad_set_changes(given: Given, currency: str, moment: Moment) -> Changes:
    """What these parameters change of an ad set of an account with this currency. Raises
    ObjectError."""
    _refuse(given, _NOT_OF_AD_SETS)
    if given.get("pacing_type", "") not in ("", "standard", '["standard"]', "[]"):
        raise ObjectError("pacing_type", 'pacing_type must be ["standard"].')
    if given.get("destination_type", "") not in ("", "UNDEFINED", "WEBSITE"):
        raise ObjectError("destination_type", "destination_type must be WEBSITE.")
    names = ("name", "status", "optimization_goal", "bid_strategy", "billing_event")
    changes = _named(given, {name: name for name in names})
    if changes.get("billing_event") == "CLICKS":
        changes["billing_event"] = "LINK_CLICKS"
    for name in ("daily_budget", "lifetime_budget", "bid_amount"):
        if name in given:
            changes[name] = hundredths(name, given[name], currency)
    if "bid_constraints" in given:
        floor = _json("bid_constraints", given["bid_constraints"]).get("roas_average_floor", 0)
        changes["roas_floor"] = _whole("bid_constraints", str(floor)) / ROAS_UNITS
    for name, alias in (("start_time", "time_start"), ("end_time", "time_stop")):
        if name in given or alias in given:
            changes[name] = moment(name if name in given else alias)
    if "promoted_object" in given:
        changes |= _event(_json("promoted_object", given["promoted_object"]))
    if "targeting" in given:
        changes |= _targeting(_json("targeting", given["targeting"]))
    if "frequency_control_specs" in given:
        changes["frequency"] = _caps(given["frequency_control_specs"])
    elif changes.get("optimization_goal") == "REACH":
        changes["frequency"] = REACH_CAP
    return changes


def ad_changes(given: Given) -> Changes:
    """What these parameters change of an ad, its creative aside. Raises ObjectError."""
    _refuse(given, _NOT_OF_ADS)
    return _named(given, {"name": "name", "status": "status"})


def creative_changes(given: Given) -> Changes:
    """What these parameters say of a creative. Raises ObjectError."""
    _refuse(given, _NOT_OF_CREATIVES)
    changes = _named(
        given,
        {
            **{"name": "name", "title": "title", "body": "body", "link_url": "link_url"},
            **{"object_url": "link_url", "image_url": "image_url"},
            "call_to_action_type": "call_to_action",
        },
    )
    if given.get("object_story_spec"):
        story = _json("object_story_spec", given["object_story_spec"])
        if other := sorted({each for each in story if each.endswith("_data")} - {"link_data"}):
            raise ObjectError(
                "object_story_spec", f"{other[0]} is not shown here.", "Use link_data."
            )
        changes |= _link(_json("object_story_spec", story.get("link_data")))
    if given.get("call_to_action"):
        changes["call_to_action"] = _button(
            _json("call_to_action", given["call_to_action"]), changes
        )
    return changes


def creative_of_ad(given: Given) -> tuple[str, Given]:
    """The id of the creative that an ad's parameter `creative` names, or where it names none the
    parameters of a creative that is to be made. Raises ObjectError."""
    read = _json("creative", given.get("creative", ""))
    creative_id = read.get("creative_id") or read.get("id")
    if creative_id:
        return str(creative_id), {}
    texts = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in read.items()
    }
    return "", texts


def hundredths(field: str, text: str, currency: str) -> int:
    """An amount as the Marketing API writes it, in hundredths. Raises ObjectError."""
    return _whole(field, text) * (100 if currency in WITHOUT_CENTS else 1)


def minor(amount: int, currency: str) -> int:
    """Hundredths of a currency as the Marketing API writes them."""
    return amount // 100 if currency in WITHOUT_CENTS else amount


# --- parts -----------------------------------------------------------------------------------


def _refuse(given: Mapping[str, Any], unsupported: Mapping[str, str], prefix: str = "") -> None:
    for name, instead in unsupported.items():
        if given.get(name) not in (None, "", "null", "0", "[]", "{}", "false", 0, [], {}):
            raise ObjectError(name, f"{prefix}{name} is not supported: {instead}.")


def _named(given: Given, names: Mapping[str, str]) -> Changes:
    return {kept: given[name] for name, kept in names.items() if name in given}


def _json(field: str, value: Any) -> dict[str, Any]:
    """An object, given as JSON or as it is."""
    try:
        read = msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ObjectError(field, f"{field} must be a JSON object.")
    return read


def _whole(field: str, text: str) -> int:
    if text in ("", "null"):
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise ObjectError(field, f"{field} must be a whole number in the currency's minor unit.")
    return int(text)


def _share(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        message = "doublet_holdout_share must be a number such as 0.1."
        raise ObjectError("doublet_holdout_share", message) from None


def _event(read: Mapping[str, Any]) -> Changes:
    supported = {"pixel_id", "custom_event_type", "custom_event_str"}
    if other := sorted(name for name in read if name not in supported and read[name]):
        raise ObjectError(
            "promoted_object",
            f"promoted_object.{quote_name(other[0]).strip('`')} is not supported.",
            "Name pixel_id and custom_event_type, for events of your own OTHER and "
            "custom_event_str.",
        )
    kind, own = str(read.get("custom_event_type") or ""), str(read.get("custom_event_str") or "")
    if kind == "OTHER" or (own and not kind):
        name = own
    elif not kind:
        name = "Purchase"
    elif kind in EVENT_OF_TYPE:
        name = EVENT_OF_TYPE[kind]
    else:
        known = ", ".join([*EVENT_OF_TYPE, "OTHER"])
        raise ObjectError("promoted_object", f"custom_event_type must be one of {{{known}}}.")
    return {"pixel_id": str(read.get("pixel_id") or ""), "event_name": name}


def _targeting(read: Mapping[str, Any]) -> Changes:
    own = f"{OWN_PLATFORM}_positions"
    for name, value in read.items():
        if not value or name in _TARGETED or name == own:
            continue
        if name in _SAYS_NOTHING:
            automation = value if isinstance(value, dict) else {}
            if name == "targeting_automation" and automation.get("advantage_audience"):
                message = "advantage_audience must be 0: audiences are kept to."
                raise ObjectError("targeting", message)
            continue
        shown = quote_name(name).strip("`")
        instead = _POSITIONS if name.endswith("_positions") else _AUDIENCES
        raise ObjectError("targeting", f"targeting.{shown} is not supported: {instead}.")
    platforms = _texts("publisher_platforms", read.get("publisher_platforms"))
    if set(platforms) - {OWN_PLATFORM}:
        message = f'publisher_platforms must be ["{OWN_PLATFORM}"]: ads are shown by this server.'
        raise ObjectError("targeting", message)
    return {
        "included": _ids("custom_audiences", read.get("custom_audiences")),
        "excluded": _ids("excluded_custom_audiences", read.get("excluded_custom_audiences")),
        "placements": tuple(dict.fromkeys(_texts(own, read.get(own)))),
    }


def _ids(name: str, value: Any) -> tuple[str, ...]:
    """The ids in a list of objects, or of ids."""
    found = [each.get("id") if isinstance(each, dict) else each for each in _listed(name, value)]
    if not all(isinstance(each, str | int) and each for each in found):
        raise ObjectError("targeting", f'targeting.{name} must be like [{{"id": "…"}}].')
    return tuple(dict.fromkeys(map(str, found)))


def _texts(name: str, value: Any) -> list[str]:
    found = _listed(name, value)
    if not all(isinstance(each, str) for each in found):
        raise ObjectError("targeting", f"targeting.{name} must be a list of texts.")
    return found


def _listed(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ObjectError("targeting", f"targeting.{name} must be a list.")
    return value


def _caps(text: str) -> tuple[FrequencyCap, ...]:
    field = "frequency_control_specs"
    form = '[{"event": "IMPRESSIONS", "interval_days": 7, "max_frequency": 2}]'
    try:
        read = msgspec.json.decode(text or "[]", type=list[dict[str, Any]])
        caps = tuple(
            FrequencyCap(int(each["interval_days"]), int(each["max_frequency"])) for each in read
        )
        if all(each.get("event", "IMPRESSIONS") == "IMPRESSIONS" for each in read):
            return caps
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        pass
    raise ObjectError(field, f"{field} must be like {form}.")


def _link(read: Mapping[str, Any]) -> Changes:
    _refuse(read, _NOT_OF_LINKS, "link_data.")
    names = {
        **{"link": "link_url", "message": "body", "name": "title", "picture": "image_url"},
        "description": "description",
    }
    changes: Changes = {
        kept: str(read[name]) for name, kept in names.items() if read.get(name) is not None
    }
    if read.get("call_to_action"):
        changes["call_to_action"] = _button(
            _json("call_to_action", read["call_to_action"]), changes
        )
    return changes


def _button(read: Mapping[str, Any], changes: Changes) -> str:
    value = read.get("value")
    link = value.get("link") if isinstance(value, dict) else None
    if link and link != changes.setdefault("link_url", link):
        message = "The button leads elsewhere than the ad."
        raise ObjectError("call_to_action", message, "Give one link to both.")
    return str(read.get("type") or "")
