"""Audience rules read the slow, obvious way: from the wire form, event by event, in plain Python.

An event is a dict: `person_id, account_id, pixel_id, event_name, event_time` and, where known,
`event_source_url, domain, path, device_type, value, currency, order_id` and `custom` (custom_data).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

Event = dict[str, Any]

DAY_S = 86_400
COLUMNS = {"event": "event_name", "url": "event_source_url"}
OWN = ("event", "url", "domain", "path", "device_type", "value", "currency", "order_id")

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("=", "==", "eq"), lambda a, b: a == b),
    **dict.fromkeys(("!=", "neq", "not_eq"), lambda a, b: a != b),
    **dict.fromkeys((">", "gt"), lambda a, b: a > b),
    **dict.fromkeys((">=", "gte"), lambda a, b: a >= b),
    **dict.fromkeys(("<", "lt"), lambda a, b: a < b),
    **dict.fromkeys(("<=", "lte"), lambda a, b: a <= b),
}
TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda have, want: want in have,
    "i_contains": lambda have, want: want.lower() in have.lower(),
    "starts_with": lambda have, want: have.startswith(want),
    "i_starts_with": lambda have, want: have.lower().startswith(want.lower()),
    "regex_match": lambda have, want: re.search(want, have) is not None,
}
NOT = {
    **dict.fromkeys(("!=", "neq", "not_eq"), "="),
    "not_contains": "contains",
    "i_not_contains": "i_contains",
    "not_i_contains": "i_contains",
    "is_not_any": "is_any",
    "i_is_not_any": "i_is_any",
}


def text_of(value: Any) -> str:
    """As it stands in JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def number_of(text: Any) -> Decimal | None:
    """Digits and a point; anything else is no number."""
    if isinstance(text, int | float | Decimal) and not isinstance(text, bool):
        text = str(text)
    found = isinstance(text, str) and re.fullmatch(r"-?[0-9]{1,15}([.][0-9]{1,15})?", text)
    return Decimal(text) if found else None


def values(event: Event, field: str) -> list[str]:
    """What an event says of a field, as texts."""
    if field in OWN:
        value = event.get(COLUMNS.get(field, field))
        if value is None:
            return []
        return [f"{value:.4f}" if field == "value" else value]
    custom = event.get("custom") or {}
    value = custom.get(field)
    if field == "content_ids" and field not in custom:
        value = [each.get("id") for each in custom.get("contents", ())]
    entries = value if isinstance(value, list) else [value]
    return [text_of(each) for each in entries if each is not None]


def fits(part: dict[str, Any], event: Event) -> bool:
    """Whether a filter, or a comparison in it, holds for one event."""
    if "filters" in part:
        found = [fits(each, event) for each in part["filters"]]
        return all(found) if part["operator"] == "and" else any(found)
    operator, want = part["operator"], part["value"]
    have = values(event, part["field"])
    if operator in NOT:
        return not any(holds(NOT[operator], each, want) for each in have)
    return any(holds(operator, each, want) for each in have)


def holds(operator: str, have: str, want: Any) -> bool:
    """Whether a comparison holds for one value."""
    if operator in ("is_any", "i_is_any"):
        wants = [text_of(each) for each in (want if isinstance(want, list) else [want])]
        if operator == "is_any":
            return have in wants
        return have.lower() in [each.lower() for each in wants]
    if operator in TEXT:
        return TEXT[operator](have, text_of(want))
    ours, theirs = number_of(have), number_of(want)
    if operator in ("=", "==", "eq"):
        return have == text_of(want) or (ours is not None and ours == theirs)
    return ours is not None and theirs is not None and COMPARE[operator](ours, theirs)


def aggregated(asked: dict[str, Any] | None, matching: list[Event]) -> bool:
    """Whether all events that match are what an aggregation asks for."""
    if not matching:
        return False
    if not asked:
        return True
    want, compare = Decimal(str(asked["value"])), COMPARE[asked["operator"]]
    if asked["type"] == "count":
        return compare(len(matching), want)
    found = [number_in(event, asked["field"]) for event in matching]
    numbers = [each for each in found if each is not None]
    if not numbers:
        return False
    if asked["type"] == "avg":
        return compare(sum(numbers), want * len(numbers))
    if asked["type"] == "sum":
        return compare(sum(numbers), want)
    return compare(min(numbers) if asked["type"] == "min" else max(numbers), want)


def number_in(event: Event, field: str) -> Decimal | None:
    """The number that an event brings to a sum; a list brings none."""
    if field == "value":
        return event.get("value")
    value = (event.get("custom") or {}).get(field)
    return None if isinstance(value, list | bool) else number_of(value)


def chosen(rule: dict[str, Any], events: Iterable[Event], now_s: int, since_s: int) -> bool:
    """Whether the events of one person match a rule of inclusions or exclusions."""
    pixels = {source["id"] for source in rule["event_sources"]}
    matching = [
        event
        for event in events
        if event["pixel_id"] in pixels
        and now_s - rule["retention_seconds"] < event["event_time"] <= now_s + DAY_S
        and event["event_time"] >= since_s
        and fits(rule["filter"], event)
    ]
    return aggregated(rule.get("aggregation"), matching)


def together(side: dict[str, Any], events: list[Event], now_s: int, since_s: int = 0) -> bool:
    """Whether the rules of inclusions, or of exclusions, choose a person."""
    found = [chosen(rule, events, now_s, since_s) for rule in side["rules"]]
    return all(found) if side["operator"] == "and" else any(found)


def members(
    rule: dict[str, Any], events: list[Event], now_s: int, *, account_id: str, since_s: int = 0
) -> set[int]:
    """The persons that are in an audience at a moment, of events that are known by then."""
    by_person: dict[int, list[Event]] = {}
    for event in events:
        if event["account_id"] == account_id and event["person_id"] is not None:
            by_person.setdefault(event["person_id"], []).append(event)
    return {
        person_id
        for person_id, theirs in by_person.items()
        if together(rule["inclusions"], theirs, now_s, since_s)
        and not ("exclusions" in rule and together(rule["exclusions"], theirs, now_s))
    }
