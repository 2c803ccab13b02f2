"""Rules of audiences, in the wire form of Meta's website custom audiences.

`{"inclusions": {"operator": "or", "rules": [RULE, …]}, "exclusions": {…}}`, where a RULE names
pixels, a time to stay, a filter on single events and, if it likes, an aggregation over the events
that the filter chooses. The older form, one filter as of custom conversions
(`{"url": {"i_contains": "shoes"}}`), is read too. Source: Meta, *Audience Rules* and *Website
Custom Audiences* (Marketing API).

A person is chosen by a RULE while at least one matching event is younger than its retention and the
aggregation, over all such events, holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from doublet.audiences.pattern import REPEATED_MAX, repeated
from doublet.errors import SenderError
from doublet.redact import redact_text
from doublet.rules import Leaf, Rule, leaves, patterns, read_rule

RULES_MAX = 10
"""So many rules inclusions and exclusions may have together."""

RETENTION_MAX_DAYS = 180
DAY_S = 86_400

_LENGTH_MAX = 200_000
_INVALID = (100, 1713098)
_UNSUPPORTED = (2654, 1713032)
_EXAMPLE = (
    'Write it as {"inclusions": {"operator": "or", "rules": [{"event_sources": [{"id": "PIXEL", '
    '"type": "pixel"}], "retention_seconds": 2592000, "filter": {"operator": "and", "filters": '
    '[{"field": "event", "operator": "eq", "value": "Purchase"}]}}]}}.'
)
_EVERYBODY = (
    'For all visitors write {"operator": "and", "filters": '
    '[{"field": "url", "operator": "i_contains", "value": ""}]}.'
)
_COMPARISONS = {
    **{"=": "=", "==": "=", "eq": "=", "!=": "!=", "neq": "!=", "not_eq": "!="},
    **{">": ">", ">=": ">=", "<": "<", "<=": "<=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="},
}
_INSTEAD = {
    "time_spent": (
        "Doublet does not measure time on pages. Count page views instead, as in "
        '{"type": "count", "operator": ">=", "value": "5"}.'
    ),
    "last_event_time_field": (
        "Say how recently by retention_seconds, and how long ago by an exclusion."
    ),
}
_TYPES = ("count", "sum", "avg", "min", "max")
_NO_NUMBERS = (
    *("event", "url", "domain", "path", "device_type", "currency", "order_id"),
    *("content_ids", "content_type", "content_name", "content_category", "contents"),
)
_USER_AGENTS = ("userAgent", "user_agent", "client_user_agent")
_is_number = re.compile(r"-?[0-9]{1,15}([.][0-9]{1,15})?", re.ASCII).fullmatch
_is_pixel = re.compile(r"[0-9]{1,20}", re.ASCII).fullmatch
# What PCRE has and RE2, which is never slow, has not; an escaped backslash escapes nothing.
_beyond_re2 = re.compile(
    r"\\\\|(?P<around>\(\?<?[=!])|(?P<back>\\[1-9]|\\[gk][{<'\d-]|\(\?P=)"
    r"|(?P<other>\(\?[>|#R&(]|[*+?}]\+)"
)
_BEYOND = {
    "around": "look-ahead and look-behind",
    "back": "references back to a group",
    "other": "possessive, atomic or recursive parts",
}


class AudienceRuleError(SenderError):
    """The rule of an audience is none, or asks for what is not supported. Carries the numbers with
    which the Graph API refuses it: 100/1713098 invalid rule, 2654/1713032 unsupported operator or
    aggregation, 2654 anything else of an audience."""

    code = "audience_rule"

    def __init__(
        self, message: str, hint: str = "", numbers: tuple[int, int | None] = _INVALID
    ) -> None:
        super().__init__(message, hint)
        self.graph_code, self.graph_subcode = numbers


class Aggregation(NamedTuple):
    """What has to hold of all matching events together: `type` is count, sum, avg, min or max, of
    `field` (empty for count); `operator` is =, !=, >, >=, < or <=."""

    type: str
    field: str
    operator: str
    value: Decimal


class Choice(NamedTuple):
    """One rule: persons by their events at these pixels (none: at any of the account) that are
    younger than `retention_s` and fit `filter`."""

    pixel_ids: tuple[str, ...]
    retention_s: int
    filter: Rule
    aggregation: Aggregation | None = None


class Choices(NamedTuple):
    """Rules of which all (`and`) or one (`or`) choose a person."""

    operator: str
    rules: tuple[Choice, ...]


class AudienceRule(NamedTuple):
    """Whoever is chosen by the inclusions and not by the exclusions is in the audience."""

    inclusions: Choices
    exclusions: Choices | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All rules, inclusions first."""
        return (*self.inclusions.rules, *(self.exclusions.rules if self.exclusions else ()))

    @property
    def retention_days(self) -> int:
        """Days for which one can stay at most: of the longest inclusion, rounded up."""
        return -(-max(each.retention_s for each in self.inclusions.rules) // DAY_S)


def parse_audience_rule(
    text: str, *, retention_days: int = 30, pixel_ids: Collection[str] | None = None
) -> AudienceRule:
    """The rule that a JSON text says. `retention_days` counts where a rule has no
    retention_seconds; a rule in the old form chooses by events of all `pixel_ids` (None: of any
    pixel), and one that names another pixel is refused. Raises AudienceRuleError."""
    if not 1 <= retention_days <= RETENTION_MAX_DAYS:
        raise AudienceRuleError(
            f"retention_days is {retention_days}; it must be from 1 to {RETENTION_MAX_DAYS}."
        )
    if len(text) > _LENGTH_MAX:
        raise AudienceRuleError(f"The rule is longer than {_LENGTH_MAX} characters.")
    read = _decoded(text)
    if not isinstance(read, dict):
        raise AudienceRuleError("A rule is a JSON object.", _EXAMPLE)
    if redact_text(text) != text:
        raise AudienceRuleError(
            "The rule names a mail address.", "Match another part of the URL, or a parameter."
        )
    retention_s = retention_days * DAY_S
    if "inclusions" not in read and "exclusions" not in read:
        known = tuple(sorted(pixel_ids or ()))
        choice = Choice(known, retention_s, _filter(read, "The rule"))
        return AudienceRule(Choices("or", (choice,)))
    _known(read, ("inclusions", "exclusions"), "The rule")
    reader = _Reader(retention_s, None if pixel_ids is None else frozenset(pixel_ids))
    inclusions = reader.choices(read.get("inclusions"), "inclusions")
    exclusions = reader.choices(read.get("exclusions"), "exclusions")
    if inclusions is None:
        raise AudienceRuleError("The rule has no inclusions.", _EXAMPLE)
    rule = AudienceRule(inclusions, exclusions)
    if len(rule.choices) > RULES_MAX:
        raise AudienceRuleError(
            f"Inclusions and exclusions have {len(rule.choices)} rules; at most {RULES_MAX} are "
            "allowed.",
            "Put several filters into one rule, with or between them.",
        )
    return rule


class _Reader(NamedTuple):
    retention_s: int
    pixel_ids: frozenset[str] | None

    def choices(self, read: Any, place: str) -> Choices | None:
        """Inclusions or exclusions; None where there are none."""
        read = _unquoted(read)
        if read is None:
            return None
        if not isinstance(read, dict) or not isinstance(_unquoted(read.get("rules")), list):
            raise AudienceRuleError(
                f"{place} need an operator and a list of rules.",
                f'Write {{"{place}": {{"operator": "or", "rules": [ … ]}}}}.',
            )
        _known(read, ("operator", "rules"), place)
        operator = read.get("operator", "or")
        if operator not in ("and", "or"):
            raise AudienceRuleError(f"The operator of {place} must be and or or.")
        rules = _unquoted(read["rules"])
        if not rules:
            return None
        # Before any of them is read.
        if len(rules) > RULES_MAX:
            raise AudienceRuleError(f"{place} have more than {RULES_MAX} rules.")
        return Choices(
            operator, tuple(self.choice(each, f"{place}[{n}]") for n, each in enumerate(rules))
        )

    def choice(self, read: Any, place: str) -> Choice:
        """One rule."""
        if not isinstance(read, dict):
            raise AudienceRuleError(f"{place} is no JSON object.", _EXAMPLE)
        keys = ("event_sources", "retention_seconds", "filter", "aggregation", "template")
        _known(read, keys, place)
        return Choice(
            self._pixels(_unquoted(read.get("event_sources")), place),
            self._retention(read.get("retention_seconds"), place),
            _filter(_unquoted(read.get("filter")), f"The filter of {place}"),
            _aggregation(_unquoted(read.get("aggregation")), place),
        )

    def _retention(self, value: Any, place: str) -> int:
        if value is None:
            return self.retention_s
        number = int(value) if isinstance(value, str) and _is_pixel(value) else value
        maximum = RETENTION_MAX_DAYS * DAY_S
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= maximum:
            raise AudienceRuleError(
                f"retention_seconds of {place} must be from 1 to {maximum} "
                f"({RETENTION_MAX_DAYS} days)."
            )
        return number

    def _pixels(self, read: Any, place: str) -> tuple[str, ...]:
        if not isinstance(read, list) or not read:
            raise AudienceRuleError(
                f"{place} has no event_sources.", 'Write [{"id": "PIXEL", "type": "pixel"}].'
            )
        found: list[str] = []
        for source in read:
            if not isinstance(source, dict):
                raise AudienceRuleError(f"event_sources of {place} hold what is no JSON object.")
            _known(source, ("id", "type"), f"event_sources of {place}")
            _pixel_type(source.get("type"), place)
            ids = source.get("id")
            for each in ids if isinstance(ids, list) and ids else [ids]:
                found.append(self._pixel(each, place))
        return tuple(sorted(set(found)))

    def _pixel(self, value: Any, place: str) -> str:
        if isinstance(value, bool) or not _is_pixel(str(value)):
            raise AudienceRuleError(f"An id in event_sources of {place} is no pixel id.")
        if self.pixel_ids is not None and str(value) not in self.pixel_ids:
            raise AudienceRuleError(
                f"{place} names the pixel {value}, which is not of this account.",
                f"Its pixels: {', '.join(sorted(self.pixel_ids)) or 'none'}.",
            )
        return str(value)


def _pixel_type(value: Any, place: str) -> None:
    if value != "pixel":
        shown = f" {value}" if isinstance(value, str) and value.isidentifier() else ""
        raise AudienceRuleError(
            f"event_sources of {place} name a type{shown} that is not supported; only pixel is.",
            "Send events of apps, stores and calls to a pixel (Conversions API, action_source), "
            "and name that pixel.",
            (2654, None),
        )


def _filter(read: Any, place: str) -> Rule:
    if not isinstance(read, dict) or not read or read.get("filters") == []:
        raise AudienceRuleError(f"{place} has no comparison.", _EVERYBODY)
    try:
        rule = read_rule(read)
    except SenderError as error:
        is_operator = "must be one of" in error.message
        raise AudienceRuleError(
            f"{place}: {error.message}", error.hint, _UNSUPPORTED if is_operator else _INVALID
        ) from None
    for leaf in leaves(rule):
        _check(leaf)
    for pattern in patterns(rule):
        if repeated(pattern) > REPEATED_MAX:
            raise AudienceRuleError(
                "A regular expression repeats more than can be looked for in time.",
                f"Counted repetitions may add up to {REPEATED_MAX} signs; write + or * instead of "
                "large numbers.",
            )
        if not _is_readable(pattern):
            raise _no_pattern(pattern)
    return rule


def _check(leaf: Leaf) -> None:
    if leaf.field == "event" and (leaf.operator != "eq" or leaf.negated):
        raise AudienceRuleError(
            "event can only be compared with =.",
            "Name several events with or between them; keep persons out by an exclusion.",
            _UNSUPPORTED,
        )
    if leaf.field in _USER_AGENTS:
        raise AudienceRuleError(
            f"{leaf.field} is not kept.",
            "Use device_type: desktop, mobile_iphone, mobile_android_phone, mobile_tablet, other.",
        )


@lru_cache(maxsize=1000)
def _is_readable(pattern: str) -> bool:
    # Only for rules that have one: whoever reads others need not load the engine.
    import duckdb

    with duckdb.connect() as connection:
        try:
            connection.execute("select regexp_matches('', $pattern)", {"pattern": pattern})
        except duckdb.Error:
            return False
    return True


def _no_pattern(pattern: str) -> AudienceRuleError:
    for found in _beyond_re2.finditer(pattern):
        if found.lastgroup:
            return AudienceRuleError(
                f"A regular expression uses {_BEYOND[found.lastgroup]}, which are not supported.",
                "Expressions are those of RE2, of which none is slow on any text. Split the "
                "condition into several filters, with not_contains for what must not be there.",
            )
    return AudienceRuleError(
        "A regular expression cannot be read.",
        "Close every bracket, and write a backslash before signs that mean themselves.",
    )


def _aggregation(read: Any, place: str) -> Aggregation | None:
    if read is None or read == {}:
        return None
    if not isinstance(read, dict):
        raise AudienceRuleError(f"The aggregation of {place} is no JSON object.")
    _known(read, ("type", "method", "field", "operator", "value"), f"The aggregation of {place}")
    kind, method = str(read.get("type")), read.get("method", "absolute")
    if kind in _INSTEAD:
        raise AudienceRuleError(
            f"The aggregation {kind} of {place} is not supported.", _INSTEAD[kind], _UNSUPPORTED
        )
    if kind not in _TYPES:
        raise AudienceRuleError(
            f"The type of the aggregation of {place} must be one of {', '.join(_TYPES)}."
        )
    if method != "absolute":
        raise AudienceRuleError(
            f"The aggregation of {place} has a method other than absolute, which is not supported.",
            "Compare with a number, as in "
            '{"type": "sum", "field": "value", "operator": ">=", "value": "500"}.',
            _UNSUPPORTED,
        )
    operator = _COMPARISONS.get(str(read.get("operator")))
    if operator is None:
        raise AudienceRuleError(
            f"The operator of the aggregation of {place} must be one of {', '.join(_COMPARISONS)}.",
            numbers=_UNSUPPORTED,
        )
    field = _aggregated(kind, read.get("field"), place)
    asked = Aggregation(kind, field, operator, _number(read.get("value"), place))
    if kind == "count" and counts(asked) == (1, 0):
        raise AudienceRuleError(
            f"The aggregation of {place} chooses nobody: whoever has no matching event is never "
            "chosen, and events are counted in whole numbers.",
            "For persons without such events choose them by other events, and put this rule, "
            "without aggregation, into exclusions.",
        )
    return asked


def counts(asked: Aggregation) -> tuple[int, int | None]:
    """The least and the greatest number of events that `asked`, a count, wants (None: any), at
    least 1; of != the number that it does not want as the greatest. (1, 0) where none would do.

    >>> counts(Aggregation("count", "", ">", Decimal("2.5")))
    (3, None)
    >>> counts(Aggregation("count", "", "<", Decimal(4)))
    (1, 3)
    """
    up, down = math.ceil(asked.value), math.floor(asked.value)
    if asked.operator in (">", ">="):
        return max(1, down + 1 if asked.operator == ">" else up), None
    if asked.operator in ("<", "<="):
        most = up - 1 if asked.operator == "<" else down
        return (1, most) if most >= 1 else (1, 0)
    if up != down or up < 1:
        return (1, None) if asked.operator == "!=" else (1, 0)
    return (up if asked.operator == "=" else 1), up


def _aggregated(kind: str, field: Any, place: str) -> str:
    if kind == "count":
        if field:
            raise AudienceRuleError(
                f"The aggregation of {place} counts events, not values of a field.",
                "Leave field out, or use sum, avg, min or max.",
            )
        return ""
    try:
        read_rule({"field": field, "operator": "gt", "value": 0})
    except SenderError:
        raise AudienceRuleError(
            f"The aggregation {kind} of {place} needs a field.", 'Write "field": "value".'
        ) from None
    if field in _NO_NUMBERS:
        raise AudienceRuleError(
            f"The aggregation {kind} of {place} is of {field}, which is no number.",
            "Use value, num_items, or a key of custom_data that holds numbers.",
        )
    return str(field)


def _number(value: Any, place: str) -> Decimal:
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, bool) or not _is_number(text):
        raise AudienceRuleError(
            f"The value of the aggregation of {place} is no number.",
            "Write digits and a point, at most 15 on either side.",
        )
    return Decimal(text)


def _known(read: dict[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in read:
        if key not in keys:
            shown = key if key.isidentifier() and len(key) < 40 else "a key"
            raise AudienceRuleError(
                f"{place}: {shown} is not known here; known are {', '.join(keys)}."
            )


def _unquoted(read: Any) -> Any:
    """Parts of a rule may be JSON texts themselves."""
    return _decoded(read) if isinstance(read, str) else read


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise AudienceRuleError("The rule is no JSON.", _EXAMPLE) from None
