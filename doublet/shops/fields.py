"""Fields of a platform's resources: read with care, since what is missing is often null."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from doublet.shops.contract import Resource, UnreadableError


def record(resource: Resource, key: str) -> Resource:
    """An object inside of an object, empty where there is none."""
    found = resource.get(key)
    return found if isinstance(found, dict) else {}


def records(resource: Resource, key: str) -> list[Resource]:
    """The objects of a list inside of an object, empty where there are none."""
    found = resource.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def text(value: Any) -> str:
    """A text or number as text; empty for null, objects and lists."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def needed(resource: Resource, key: str) -> str:
    """The text of a field. Raises UnreadableError when there is none."""
    found = text(resource.get(key))
    if not found:
        raise UnreadableError(f"The field {key} is missing.")
    return found


def seconds(value: Any) -> int:
    """Unix seconds of a time in ISO 8601, UTC unless it says otherwise. Raises UnreadableError for
    what is none."""
    try:
        moment = datetime.fromisoformat(text(value))
        return math.floor(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        raise UnreadableError("A time is missing or not in ISO 8601.") from None


def present(fields: Resource) -> Resource:
    """Fields that have a value."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


def click_cookie(click_id: str, seen_s: int) -> str:
    """`_fbc` as the pixel makes it of a click id (Meta, *fbp and fbc parameters*)."""
    return f"fb.1.{seen_s * 1000}.{click_id}"
