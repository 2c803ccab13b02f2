"""What makes an audience's people, checked before it is kept: a rule, or a lookalike's spec."""

from __future__ import annotations

from collections.abc import Collection

from doublet.audiences.making import kept_retention_days
from doublet.audiences.rule import AudienceRuleError
from doublet.graph.refused import Refused, invalid
from doublet.lookalikes import LookalikeSpecError, parse_spec
from doublet.refusal import Reason, Refusal

_REASONS: dict[tuple[int, int | None], Reason] = {
    (100, 1713098): Reason.AUDIENCE_RULE_INVALID,
    (2654, 1713032): Reason.AUDIENCE_RULE_UNSUPPORTED,
}


def read_rule(text: str, retention_days: int | None, pixel_ids: Collection[str]) -> int:
    """The retention_days to be kept with a rule: those with which it means the same when it is read
    again, and where it can do without, the longest of its own. Raises Refused."""
    try:
        return kept_retention_days(text, retention_days, pixel_ids)
    except AudienceRuleError as error:
        numbers = error.graph_code, error.graph_subcode
        reason = _REASONS.get(numbers, Reason.AUDIENCE_NOT_CREATED)
        raise Refused(Refusal(reason, str(error), "rule")) from None


def read_spec(text: str) -> tuple[str, ...]:
    """The audiences that a spec names as its origin, if any. Raises Refused."""
    try:
        return parse_spec(text).origin_audience_ids
    except LookalikeSpecError as error:
        raise invalid("lookalike_spec", f"(#100) {error}") from None
