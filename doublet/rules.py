"""Rules that choose events by what they say: of custom conversions, audiences and goals.

A rule is JSON in either of Meta's two forms (Custom Conversions; Audience Rules):
`{"and": [{"event": {"eq": "Lead"}}, {"url": {"i_contains": "thanks"}}]}` or
`{"operator": "and", "filters": [{"field": "url", "operator": "i_contains", "value": "thanks"}]}`.
It becomes a condition in SQL with named parameters: no word of a rule is ever part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from doublet.errors import SenderError

LEAVES_MAX = 100
"""So many comparisons a rule may have."""

_DEPTH_MAX = 8
_LENGTH_MAX = 20_000
_VALUE_LENGTH_MAX = 2_000

# Other signs would have a meaning of their own in a JSON path.
_is_key = re.compile(r"[\w.$: -]{1,100}").fullmatch
_NUMBER = r"-?[0-9]{1,15}([.][0-9]{1,15})?"
_is_number = re.compile(_NUMBER, re.ASCII).fullmatch

# Of signs that JSON never writes in another way; no number begins so.
_is_word = re.compile(r"[A-Za-z_-]*[A-Za-z][\w-]*", re.ASCII).fullmatch

_HOST = "lower(regexp_extract(events.event_source_url, '^[a-zA-Z]+://([^/?#:]+)', 1))"
_DEVICE = """case
  when regexp_matches(events.user_data.client_user_agent, 'iPhone|iPod') then 'mobile_iphone'
  when regexp_matches(events.user_data.client_user_agent, 'iPad|Tablet|Silk/')
    then 'mobile_tablet'
  when regexp_matches(events.user_data.client_user_agent, 'Android')
    and regexp_matches(events.user_data.client_user_agent, 'Mobile')
    then 'mobile_android_phone'
  when regexp_matches(events.user_data.client_user_agent, 'Android') then 'mobile_tablet'
  when regexp_matches(events.user_data.client_user_agent, 'Windows NT|Macintosh|X11|CrOS')
    then 'desktop'
  when events.user_data.client_user_agent is not null then 'other'
end"""
FIELDS: dict[str, str] = {
    "event": "events.event_name",
    "url": "events.event_source_url",
    "domain": f"nullif({_HOST}, '')",
    "path": ("regexp_extract(events.event_source_url, '^[a-zA-Z]+://[^/?#]+(/[^?#]*)?', 1)"),
    "device_type": _DEVICE,
    "value": "cast(events.value as varchar)",
    "currency": "events.currency",
    "order_id": "events.order_id",
}
"""Fields of an event, as SQL over `events` (rows of events_deduplicated). Any other field is a key
of custom_data; where that is a list, one of its entries has to fit."""

_ALIASES = {
    "=": "eq",
    "==": "eq",
    "!=": "neq",
    "not_eq": "neq",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
    "i_not_contains": "not_i_contains",
    "i_is_not_any": "not_i_is_any",
    "is_not_any": "not_is_any",
}
_LISTS = ("is_any", "i_is_any")
_HELD_BY_ALL = ("contains", "i_contains", "starts_with", "i_starts_with")
"""With an empty text by whatever there is."""
_NUMBERS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_TESTS: dict[str, str] = {
    "contains": "contains({v}, ${p})",
    "i_contains": "contains(lower({v}), lower(${p}))",
    "starts_with": "starts_with({v}, ${p})",
    "i_starts_with": "starts_with(lower({v}), lower(${p}))",
    "regex_match": "regexp_matches({v}, ${p})",
    "is_any": "list_contains(${p}, {v})",
    "i_is_any": "list_contains(${p}, lower({v}))",
    "eq": "{v} = ${p}",
}
OPERATORS = (
    *("eq", "neq", "not_eq", "=", "!=", "gt", "gte", "lt", "lte", ">", ">=", "<", "<="),
    *("contains", "not_contains", "i_contains", "i_not_contains", "starts_with"),
    *("i_starts_with", "is_any", "is_not_any", "i_is_any", "i_is_not_any", "regex_match"),
)
"""What a comparison may be; those with `not` hold also where the event has no such field."""


class Fields(NamedTuple):
    """How a table tells what events say: SQL over its alias, by field. Whatever is named in none of
    these is a key of `custom_data` (SQL of JSON text); where that is a list, one of its entries has
    to fit.

    `texts` yield text; `numbers` yield finite numbers of fields that have a text too; `lists` yield
    lists of texts; `keys` yield a key of custom_data as text, JSON where it is a list. Where
    `is_canonical`, keys and values of custom_data stand in it as they are written.
    """

    texts: Mapping[str, str]
    custom_data: str
    numbers: Mapping[str, str] = MappingProxyType({})
    lists: Mapping[str, str] = MappingProxyType({})
    keys: Mapping[str, str] = MappingProxyType({})
    is_canonical: bool = False


EVENTS = Fields(FIELDS, "events.custom_data")
"""Of `events`, rows of events_deduplicated."""


class Leaf(NamedTuple):
    """One comparison: `operator` is one of _TESTS or _NUMBERS; turned around where `negated`."""

    field: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False


class Branch(NamedTuple):
    """Rules of which all hold (`and`) or one (`or`)."""

    operator: str
    parts: tuple[Rule, ...]


Rule = Leaf | Branch


def parse_rule(text: str) -> Rule:
    """The rule that a JSON text says. Raises SenderError for what is none; the message says where
    it goes wrong."""
    if len(text) > _LENGTH_MAX:
        raise SenderError(f"The rule is longer than {_LENGTH_MAX} characters.")
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise SenderError(
            "The rule is no JSON.", 'Write it as {"and": [{"url": {"i_contains": "thanks"}}]}.'
        ) from None
    return read_rule(read)


def read_rule(read: Any) -> Rule:
    """The rule that decoded JSON says. Raises SenderError as `parse_rule` does."""
    rule = _rule(read, 0)
    if sum(1 for _ in leaves(rule)) > LEAVES_MAX:
        raise SenderError(f"The rule has more than {LEAVES_MAX} comparisons.")
    return rule


def leaves(rule: Rule) -> Sequence[Leaf]:
    """All comparisons of a rule, in its order."""
    if isinstance(rule, Leaf):
        return [rule]
    return [leaf for part in rule.parts for leaf in leaves(part)]


def _rule(read: Any, depth: int) -> Rule:
    if depth > _DEPTH_MAX:
        raise SenderError(f"The rule is nested more than {_DEPTH_MAX} deep.")
    if not isinstance(read, dict) or not read:
        raise SenderError("A rule is a JSON object with a field, or with and / or.")
    if "filters" in read:
        return _branch(read.get("operator", "and"), read["filters"], depth)
    if "field" in read and "operator" in read:
        return _leaf(read["field"], read["operator"], read.get("value"))
    parts = [_entry(name, value, depth) for name, value in read.items()]
    return parts[0] if len(parts) == 1 else Branch("and", tuple(parts))


def _entry(name: str, value: Any, depth: int) -> Rule:
    if name in ("and", "or"):
        return _branch(name, value, depth)
    if not isinstance(value, dict) or not value:
        raise SenderError(f'{_shown(name)} needs an operator, as in {{"eq": "…"}}.')
    parts = [_leaf(name, operator, operand) for operator, operand in value.items()]
    return parts[0] if len(parts) == 1 else Branch("and", tuple(parts))


def _branch(operator: Any, parts: Any, depth: int) -> Branch:
    if operator not in ("and", "or") or not isinstance(parts, list) or not parts:
        raise SenderError("and / or need a list of at least one rule.")
    return Branch(operator, tuple(_rule(part, depth + 1) for part in parts))


def _shown(name: Any) -> str:
    return name if isinstance(name, str) and _is_key(name) else "A field"


def _leaf(field: Any, operator: Any, value: Any) -> Leaf:
    if not isinstance(field, str) or not _is_key(field):
        raise SenderError("The field of a comparison is no name of a field.")
    if operator not in OPERATORS:
        raise SenderError(f"The operator of {field} must be one of {', '.join(OPERATORS)}.")
    operator = _ALIASES.get(operator, operator)
    negated = operator.startswith("not_") or operator == "neq"
    if negated:
        operator = "eq" if operator == "neq" else operator.removeprefix("not_")
    values = value if isinstance(value, list) and operator in _LISTS else [value]
    texts = tuple(_text(field, each) for each in values)
    if operator in _NUMBERS and not _is_number(texts[0]):
        raise SenderError(f"{field} is compared with what is no number; write digits and a point.")
    return Leaf(field, operator, texts, negated)


def _text(field: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or len(str(value)) > _VALUE_LENGTH_MAX:
        raise SenderError(
            f"{field} is compared with what is neither a text of at most {_VALUE_LENGTH_MAX} "
            "characters nor a number."
        )
    return str(value)


# --- as SQL ----------------------------------------------------------------------------------


def condition(rule: Rule, prefix: str, fields: Fields = EVENTS) -> tuple[str, dict[str, Any]]:
    """A rule as a condition on rows of the table that `fields` tell of, and its parameters, all of
    whose names begin with `prefix`. It is never null."""
    parameters: dict[str, Any] = {}

    def keep(value: Any) -> str:
        name = f"{prefix}_{len(parameters)}"
        parameters[name] = value
        return name

    return _sql(rule, keep, fields), parameters


def _sql(rule: Rule, keep: Callable[[Any], str], fields: Fields) -> str:
    if isinstance(rule, Branch):
        parts = (_sql(part, keep, fields) for part in rule.parts)
        return f"({f' {rule.operator} '.join(parts)})"
    if rule.field in fields.texts:
        text, number = fields.texts[rule.field], fields.numbers.get(rule.field, "")
        sql = _test(rule, f"({text})", keep, number)
    elif rule.field in fields.lists:
        sql = _any_entry(rule, fields.lists[rule.field], keep)
    elif rule.field in fields.keys:
        text = fields.keys[rule.field]
        sql = (
            f"case when starts_with({text}, '[') then {_custom(rule, keep, fields)} "
            f"else {_test(rule, text, keep)} end"
        )
    else:
        sql = _custom(rule, keep, fields)
    return f"{'not ' if rule.negated else ''}coalesce({sql}, false)"


def _custom(rule: Leaf, keep: Callable[[Any], str], fields: Fields) -> str:
    """Of a key of custom_data."""
    json, one, each = fields.custom_data, keep(f'$."{rule.field}"'), keep(f'$."{rule.field}"[*]')
    text = f"json_extract_string({json}, ${one})"
    entries = (
        f"case json_type({json}, ${one}) when 'ARRAY' "
        f"then json_extract_string({json}, ${each}) else [{text}] end"
    )
    sql = _any_entry(rule, entries, keep)
    if not fields.is_canonical or not rule.field.isascii():
        return sql
    # Most events have no such key or value, which a look for it finds out faster than reading
    # JSON; and few that have one have a list.
    sought = [f'"{rule.field}"']
    if rule.operator in ("eq", "starts_with") and _is_word(rule.values[0]):
        sought.append(rule.values[0])
    holds_them = " and ".join(f"contains({json}, ${keep(each)})" for each in sought)
    return (
        f"case when {holds_them} then "
        f"case when starts_with({text}, '[') then {sql} else {_test(rule, text, keep)} end end"
    )


def _any_entry(rule: Leaf, entries: str, keep: Callable[[Any], str]) -> str:
    return f"len(list_filter({entries}, lambda entry: {_test(rule, 'entry', keep)})) > 0"


def number_sql(value: str, kind: str) -> str:
    """A text as a number of an SQL type; null for what is none."""
    return f"case when regexp_full_match({value}, '{_NUMBER}') then cast({value} as {kind}) end"


def _test(leaf: Leaf, value: str, keep: Callable[[Any], str], number: str = "") -> str:
    number = number or f"({number_sql(value, 'double')})"
    first = leaf.values[0] if leaf.values else ""
    if leaf.operator in _NUMBERS:
        return f"{number} {_NUMBERS[leaf.operator]} ${keep(float(first))}"
    if leaf.operator in _HELD_BY_ALL and not first:
        return f"{value} is not null"
    if leaf.operator == "is_any":
        return _TESTS["is_any"].format(v=value, p=keep(list(leaf.values)))
    if leaf.operator == "i_is_any":
        return _TESTS["i_is_any"].format(v=value, p=keep([each.lower() for each in leaf.values]))
    test = _TESTS[leaf.operator].format(v=value, p=keep(first))
    # 10, "10" and 10.0 are one number.
    if leaf.operator == "eq" and _is_number(first):
        return f"({test} or {number} = ${keep(float(first))})"
    return test


def patterns(rule: Rule) -> list[str]:
    """The regular expressions of a rule, which only the engine can judge."""
    return [leaf.values[0] for leaf in leaves(rule) if leaf.operator == "regex_match"]


def named_events(rule: Rule) -> frozenset[str] | None:
    """The names of all events that a rule can choose; None where it says nothing of them."""
    if isinstance(rule, Leaf):
        is_name = rule.field == "event" and rule.operator in ("eq", "is_any")
        return frozenset(rule.values) if is_name and not rule.negated else None
    found = [named_events(part) for part in rule.parts]
    known = [names for names in found if names is not None]
    if rule.operator == "or":
        return frozenset().union(*known) if len(known) == len(found) else None
    return frozenset.intersection(*known) if known else None
