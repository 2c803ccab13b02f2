"""An audience rule as one SQL query over `behaviours`, which says who is in and until when.

Everything is read in one pass: rows of the events that the rule names are marked by the rules that
they match, and per person and rule a few figures tell whether the rule holds and when it may turn.
No word of a rule is ever part of the text.

With no new event a rule can only turn when an event grows too old, so `due_s` comes from the times
of events. Between rules: what all of must hold can become true only after every rule that is false
now has turned, and false only after one that is true has; and the other way round for one of. Thus
a moment is never given too late; where it is too early, the next evaluation says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doublet.audiences.holding import NEVER, VALUE_TYPE, figures
from doublet.audiences.rule import AudienceRule, Choice, Choices
from doublet.rules import Fields, condition, named_events, number_sql

SKEW_S = 86_400
"""Events count from so many seconds before their time on: clocks of browsers run ahead."""

FIELDS = Fields(
    texts={
        "event": "behaviours.event_name",
        "url": "behaviours.event_source_url",
        "domain": "behaviours.domain",
        "path": "behaviours.path",
        "device_type": "behaviours.device_type",
        "value": "cast(behaviours.value as varchar)",
        "currency": "behaviours.currency",
        "order_id": "behaviours.order_id",
    },
    custom_data="behaviours.custom_data",
    numbers={"value": "cast(behaviours.value as double)"},
    lists={"content_ids": "behaviours.content_ids"},
    keys={
        "content_type": "behaviours.content_type",
        "content_category": "behaviours.content_category",
        "content_name": "behaviours.content_name",
    },
    is_canonical=True,
)
"""How behaviours tell what an event says."""

_QUERY = """with
marked as (
  select
    behaviours.person_id,
    behaviours.event_time,
    {marks}
  from {table} as behaviours
  where behaviours.account_id = $account_id
    and behaviours.person_id is not null
    and {narrowed}
),
timed as (
  select
    marked.person_id,
    {times}
  from marked
  where {any_mark}
),
figured as (
  select
    timed.person_id,
    min(timed.later_s) as later_s,
    {figures}
  from timed
  group by timed.person_id
),
judged as (
  select
    figured.person_id,
    figured.later_s,
    {judgements}
  from figured
),
sided as (
  select
    judged.person_id,
    judged.later_s,
    {sides}
  from judged
),
placed as (
  select
    sided.person_id,
    sided.later_s,
    sided.end_s,
    sided.included and not sided.excluded as is_in,
    case
      when sided.included and not sided.excluded
        then least(sided.included_due_s, sided.excluded_due_s)
      else greatest(
        case when sided.included then 0 else sided.included_due_s end,
        case when sided.excluded then sided.excluded_due_s else 0 end
      )
    end as due_s
  from sided
)
select
  cast(placed.person_id as bigint) as person_id,
  cast(placed.is_in as boolean) as is_in,
  cast(
    nullif(least(placed.due_s, coalesce(placed.later_s, {never})), {never}) as bigint
  ) as due_s
from placed
where placed.is_in
  or placed.due_s < placed.end_s
  or placed.later_s is not null"""


def evaluation(rule: AudienceRule, table: str = "behaviours") -> tuple[str, dict[str, Any]]:
    """A SELECT of `person_id, is_in, due_s` over rows of `behaviours` and its parameters, besides
    which $account_id, $now_s and $since_s are needed.

    One row per person that is in, or may come in without a new event. `due_s` is a Unix second: up
    to it, and without new events, `is_in` stays as it is; null where it stays for ever. Events
    count while event_time > $now_s - retention and event_time <= $now_s + SKEW_S; inclusions count
    only those with event_time >= $since_s, exclusions older ones too.
    """
    assert all(part.isidentifier() for part in table.split("."))
    parameters: dict[str, Any] = {}
    marks: list[str] = []
    times = [f"case when {_LATER} then marked.event_time - {SKEW_S} end as later_s"]
    aggregates: list[str] = []
    judgements: list[str] = []
    for n, choice in enumerate(rule.choices):
        marks += _marks(choice, n, n < len(rule.inclusions.rules), parameters)
        times.append(f"case when marked.is_{n} and not {_LATER} then marked.event_time end")
        times[-1] += f" as time_{n}"
        if _is_of_numbers(choice):
            times.append(f"case when marked.is_{n} and not {_LATER} then marked.number_{n} end")
            times[-1] += f" as number_{n}"
        found = figures(choice, n, parameters)
        aggregates += found.aggregates
        judgements.append(f"{found.holds} as holds_{n}")
        judgements.append(f"{found.due_s} as due_{n}_s")
        judgements.append(f"{found.end_s} as end_{n}_s")
    text = _QUERY.format(
        table=table,
        marks=_lines(marks),
        narrowed="\n    and ".join(_narrowed(rule, parameters)),
        times=_lines(times),
        any_mark=" or ".join(f"marked.is_{n}" for n in range(len(rule.choices))),
        figures=_lines(aggregates),
        judgements=_lines(judgements),
        sides=_lines(_sides(rule)),
        never=NEVER,
    )
    return text, parameters


_LATER = f"marked.event_time > $now_s + {SKEW_S}"


def _lines(columns: Sequence[str]) -> str:
    return ",\n    ".join(columns)


def _is_of_numbers(choice: Choice) -> bool:
    return choice.aggregation is not None and choice.aggregation.type != "count"


def _marks(choice: Choice, n: int, is_inclusion: bool, parameters: dict[str, Any]) -> list[str]:
    """Whether an event matches a rule, and the number that it then brings."""
    fits, more = condition(choice.filter, f"fits_{n}", FIELDS)
    parameters |= more
    tests = [fits, f"behaviours.event_time > $now_s - $retention_{n}_s"]
    if is_inclusion:
        tests.append("behaviours.event_time >= $since_s")
    if choice.pixel_ids:
        names = [f"pixel_{n}_{each}" for each in range(len(choice.pixel_ids))]
        parameters |= dict(zip(names, choice.pixel_ids, strict=True))
        tests.append(f"behaviours.pixel_id in ({', '.join(f'${name}' for name in names)})")
    if not _is_of_numbers(choice):
        return [f"({' and '.join(tests)}) as is_{n}"]
    number = _number(choice, n, parameters)
    tests.append(f"({number}) is not null")
    return [f"({' and '.join(tests)}) as is_{n}", f"{number} as number_{n}"]


def _number(choice: Choice, n: int, parameters: dict[str, Any]) -> str:
    assert choice.aggregation is not None
    field = choice.aggregation.field
    if field == "value":
        return "behaviours.value"
    parameters[f"key_{n}"], parameters[f"path_{n}"] = f'"{field}"', f'$."{field}"'
    text = f"json_extract_string({FIELDS.custom_data}, $path_{n})"
    number = number_sql(text, VALUE_TYPE)
    if not field.isascii():
        del parameters[f"key_{n}"]
        return number
    return f"case when contains({FIELDS.custom_data}, $key_{n}) then {number} end"


def _narrowed(rule: AudienceRule, parameters: dict[str, Any]) -> list[str]:
    """What an event must be to match any of the rules, in tests that need few columns."""
    parameters["reach_s"] = max(each.retention_s for each in rule.choices)
    tests = ["behaviours.event_time > $now_s - $reach_s"]
    if rule.exclusions is None:
        tests.append("behaviours.event_time >= $since_s")
    named = [named_events(each.filter) for each in rule.choices]
    known = [names for names in named if names is not None]
    if len(known) == len(named):
        names = sorted(frozenset().union(*known))
        parameters |= {f"name_{n}": name for n, name in enumerate(names)}
        listed = ", ".join(f"$name_{n}" for n in range(len(names)))
        tests.append(f"behaviours.event_name in ({listed})" if names else "false")
    return tests


def _sides(rule: AudienceRule) -> list[str]:
    """Inclusions and exclusions, each as a whole."""
    count = len(rule.inclusions.rules)
    included = _side(rule.inclusions, 0)
    excluded = _side(rule.exclusions, count) if rule.exclusions else ("false", str(NEVER))
    ends = ", ".join(f"judged.end_{n}_s" for n in range(count))
    end = "greatest" if rule.inclusions.operator == "or" else "least"
    return [
        f"{included[0]} as included",
        f"{included[1]} as included_due_s",
        f"{excluded[0]} as excluded",
        f"{excluded[1]} as excluded_due_s",
        f"{end}({ends}) as end_s",
    ]


def _side(choices: Choices, first: int) -> tuple[str, str]:
    """Whether rules hold together, and up to when that stays so."""
    numbers = range(first, first + len(choices.rules))
    holds = f"({f' {choices.operator} '.join(f'judged.holds_{n}' for n in numbers)})"
    dues = ", ".join(f"judged.due_{n}_s" for n in numbers)
    # Of the rules that are as the whole is, all have to turn.
    wanted = "" if choices.operator == "or" else "not "
    turned = ", ".join(
        f"case when {wanted}judged.holds_{n} then judged.due_{n}_s else 0 end" for n in numbers
    )
    all_turned, one_turned = f"greatest({turned})", f"least({dues})"
    if choices.operator == "and":
        return holds, f"case when {holds} then {one_turned} else {all_turned} end"
    return holds, f"case when {holds} then {all_turned} else {one_turned} end"
