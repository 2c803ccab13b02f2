"""What makes an audience's people, checked before it is kept: a rule, or a lookalike's spec."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from doublet.graph.refused import Refused
from doublet.refusal import Reason, Refusal


def read_rule(text: str, retention_days: int | None, pixel_ids: Collection[str]) -> int:
    """The retention_days to be kept with a rule: those with which it means the same when it is read
    again, and of no rule that can do without the longest of its own. Raises Refused."""
    read = _object(text, Reason.AUDIENCE_RULE_INVALID, "rule")
    assert pixel_ids is not None
    rules = read.get("inclusions", {}).get("rules", [])
    spans = [int(each.get("retention_seconds", 0)) for each in rules]
    return -(-max(spans, default=0) // 86_400) or retention_days or 30


def read_spec(text: str) -> tuple[str, ...]:
    """The audiences that a spec names as its origin, if any. Raises Refused."""
    read = _object(text, Reason.PARAMETER_INVALID, "lookalike_spec")
    return tuple(str(each["id"]) for each in read.get("origin", []))


def _object(text: str, reason: Reason, name: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Refused(Refusal(reason, f"{name} is no JSON object", name))
    return read
