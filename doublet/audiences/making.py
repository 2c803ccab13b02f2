"""What an audience is kept with, worked out from what it is asked for."""

from __future__ import annotations

from collections.abc import Collection

from doublet.audiences.rule import parse_audience_rule

RETENTION_DAYS = 30
"""Where neither the rule nor whoever makes it says it."""


def kept_retention_days(text: str, given: int | None, pixel_ids: Collection[str]) -> int:
    """The retention_days to be kept with a rule: those with which it means the same when it is read
    again, and where it can do without, the longest of its own. Raises AudienceRuleError."""
    days = given or RETENTION_DAYS
    rule = parse_audience_rule(text, retention_days=days, pixel_ids=pixel_ids)
    longest = rule.retention_days
    again = parse_audience_rule(text, retention_days=longest, pixel_ids=pixel_ids)
    return longest if again == rule else days
