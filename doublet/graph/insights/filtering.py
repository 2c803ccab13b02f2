"""The parameters `filtering` and `sort` of `insights`, and what they do to rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from doublet.graph.insights.names import BREAKDOWNS
from doublet.graph.refused import Refused, invalid

LISTED = ("actions", "action_values", "conversions", "conversion_values", "cost_per_action_type")
"""Metrics that are named with an action type: `actions:purchase`."""

METRICS = (
    *("impressions", "clicks", "spend", "reach", "ctr", "cpc", "cpm", "cpp", "frequency"),
    *("inline_link_clicks",),
)
OBJECTS = {
    f"{level}{sign}{part}": (level, part)
    for level in ("campaign", "adset", "ad")
    for sign in (".", "_")
    for part in ("id", "name")
}
"""Filters on what a row is of, `campaign.name` or `campaign_name`: the level and the part."""

_FILTERS_MAX = 100

Value = str | Decimal
"""What is compared: a text or a number."""


def _number(value: Any) -> Decimal:
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        read = Decimal("nan")
    if not read.is_finite():
        raise invalid("filtering", "(#100) filtering compares a metric with what is no number")
    return read


def _is_in_range(value: Any, ends: Sequence[Any]) -> bool:
    return bool(ends[0] <= value <= ends[1])


_TESTS: dict[str, Callable[[Any, Sequence[Any]], bool]] = {
    "EQUAL": lambda value, operands: value == operands[0],
    "NOT_EQUAL": lambda value, operands: value != operands[0],
    "GREATER_THAN": lambda value, operands: value > operands[0],
    "GREATER_THAN_OR_EQUAL": lambda value, operands: value >= operands[0],
    "LESS_THAN": lambda value, operands: value < operands[0],
    "LESS_THAN_OR_EQUAL": lambda value, operands: value <= operands[0],
    "IN_RANGE": _is_in_range,
    "NOT_IN_RANGE": lambda value, operands: not _is_in_range(value, operands),
    "IN": lambda value, operands: value in operands,
    "NOT_IN": lambda value, operands: value not in operands,
    "CONTAIN": lambda value, operands: operands[0].lower() in value.lower(),
    "NOT_CONTAIN": lambda value, operands: operands[0].lower() not in value.lower(),
    "STARTS_WITH": lambda value, operands: value.lower().startswith(operands[0].lower()),
}
_LISTS = {"IN": 1, "NOT_IN": 1, "IN_RANGE": 2, "NOT_IN_RANGE": 2}
"""Operators that take a list, and how many entries it has at least."""
_ON_NUMBERS = {name for name in _TESTS if name not in ("CONTAIN", "NOT_CONTAIN", "STARTS_WITH")}
_ON_TEXTS = {"EQUAL", "NOT_EQUAL", "IN", "NOT_IN", "CONTAIN", "NOT_CONTAIN", "STARTS_WITH"}


class Filter(NamedTuple):
    """A condition on a field: one of OBJECTS, METRICS, `action_type`, a breakdown, or one of LISTED
    with an action type."""

    field: str
    operator: str
    operands: tuple[Value, ...]

    @property
    def level(self) -> str | None:
        """Which objects it chooses; None where it is on figures."""
        return OBJECTS[self.field][0] if self.field in OBJECTS else None

    def fits(self, value: Value | None) -> bool:
        """Whether it lets pass a row with this value. What is not known never passes."""
        return value is not None and _TESTS[self.operator](value, self.operands)


class Sort(NamedTuple):
    """Rows in the order of a field."""

    field: str
    is_descending: bool


def parse_filters(text: str, breakdowns: Sequence[str]) -> list[Filter]:
    """The conditions that all have to hold. Raises Refused."""
    if not text.strip():
        return []
    form = (
        '(#100) filtering must be like [{"field": "spend", "operator": "GREATER_THAN", "value": 5}]'
    )
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("filtering", form) from None
    if not isinstance(read, list) or len(read) > _FILTERS_MAX:
        raise invalid("filtering", form)
    found = []
    for each in read:
        if not isinstance(each, dict) or not {"field", "operator", "value"} <= set(each):
            raise invalid("filtering", form)
        found.append(_filter(str(each["field"]), str(each["operator"]), each["value"], breakdowns))
    return found


def _filter(field: str, operator: str, value: Any, breakdowns: Sequence[str]) -> Filter:
    is_number = _is_metric(field)
    if not is_number and field not in OBJECTS and field not in ("action_type", *breakdowns):
        raise _unknown("filtering", field)
    known = _ON_NUMBERS if is_number else _ON_TEXTS
    if operator not in known:
        names = ", ".join(sorted(known))
        raise invalid("filtering", f"(#100) the operator of a filter must be one of {{{names}}}")
    least = _LISTS.get(operator)
    operands = value if isinstance(value, list) else [value]
    if len(operands) < (least or 1) or (least is None and len(operands) > 1):
        raise invalid("filtering", f"(#100) {operator} has another number of values")
    return Filter(field, operator, tuple(map(_number if is_number else str, operands)))


def _is_metric(field: str) -> bool:
    name, colon, action_type = field.partition(":")
    return field in METRICS or bool(name in LISTED and colon and action_type)


def _unknown(parameter: str, field: str) -> Refused:
    known = ", ".join(("campaign.id", "campaign.name", "adset.id", "…", *METRICS, "actions:TYPE"))
    return invalid(
        parameter, f"(#100) {parameter} names a field that is not known here; known are {known}"
    )


def parse_sorts(text: str) -> list[Sort]:
    """The orders, the first one being the most important. Raises Refused."""
    text = text.strip()
    try:
        read = json.loads(text) if text.startswith("[") else [part for part in [text] if part]
    except (ValueError, RecursionError):
        raise invalid("sort", '(#100) sort must be like ["spend_descending"]') from None
    return [_sort(str(each)) for each in read]


def _sort(text: str) -> Sort:
    for end in ("_ascending", "_descending"):
        field = text.removesuffix(end)
        if field == text:
            continue
        known = (*OBJECTS, *BREAKDOWNS, "date_start", "date_stop")
        if not _is_metric(field) and field not in known:
            raise _unknown("sort", field)
        return Sort(field, end == "_descending")
    raise invalid("sort", '(#100) sort must be like ["spend_descending"]')
