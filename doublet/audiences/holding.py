"""When one rule of an audience holds, and when that may turn: figures per person, as SQL.

Each kind of aggregation gathers a few figures of the events that match (`timed.time_N`, the time of
an event that counts now, and `timed.number_N`), and judges by them:
`holds_N` whether the rule holds, `due_N` up to which Unix second that stays so without new events,
and `end_N` from which second on it never holds without new events.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from doublet.audiences.rule import Aggregation, Choice, counts

NEVER = 2**62
"""In place of a Unix second: without a new event, not at all."""

YOUNGEST_MAX = 20
"""Of so many events at most the times are kept, to know when the third youngest, say, expires; for
higher counts a person is looked at whenever one of the events expires."""

VALUE_TYPE = "decimal(30, 15)"
"""Numbers are compared and summed exactly."""

_SUM_TYPE = "decimal(38, 15)"
_SQL = {"!=": "<>"}


class Figures(NamedTuple):
    """What one rule needs: aggregates over `timed`, and columns made of them."""

    aggregates: tuple[str, ...]
    holds: str
    due_s: str
    end_s: str


def figures(choice: Choice, n: int, parameters: dict[str, Any]) -> Figures:
    """Of the rule number `n`. Adds the parameters that they name."""
    parameters[f"retention_{n}_s"] = choice.retention_s
    asked = choice.aggregation
    if asked is None:
        return _any(n)
    if asked.type == "count":
        return _count(asked, n)
    parameters[f"value_{n}"] = str(asked.value)
    at_least, at_most = asked.operator in (">", ">="), asked.operator in ("<", "<=")
    fits = f"timed.number_{n} {asked.operator} {_value(n)}"
    if (asked.type == "max" and at_least) or (asked.type == "min" and at_most):
        return _any(n, fits)
    if (asked.type == "min" and at_least) or (asked.type == "max" and at_most):
        return _all(n, fits)
    return _total(asked, n)


def _value(n: int) -> str:
    return f"cast($value_{n} as {VALUE_TYPE})"


def _expires(time: str, n: int) -> str:
    return f"{time} + $retention_{n}_s"


def _any(n: int, fits: str = "") -> Figures:
    """One event is enough; the last decides."""
    narrowed = f" filter (where {fits})" if fits else ""
    last = f"figured.last_{n}"
    return Figures(
        (f"max(timed.time_{n}){narrowed} as last_{n}",),
        f"{last} is not null",
        f"coalesce({_expires(last, n)}, {NEVER})",
        f"coalesce({_expires(last, n)}, 0)",
    )


def _all(n: int, fits: str) -> Figures:
    """There are events, and all fit."""
    last, unfit = f"figured.last_{n}", f"figured.unfit_{n}"
    return Figures(
        (
            f"max(timed.time_{n}) filter (where {fits}) as last_{n}",
            f"max(timed.time_{n}) filter (where not ({fits})) as unfit_{n}",
        ),
        f"({last} is not null and {unfit} is null)",
        f"coalesce(case when {unfit} is null then {_expires(last, n)} "
        f"when {last} > {unfit} then {_expires(unfit, n)} end, {NEVER})",
        f"coalesce({_expires(last, n)}, 0)",
    )


def _count(asked: Aggregation, n: int) -> Figures:
    """So many events: the rule turns when the event expires that makes up the number."""
    least, most = counts(asked)
    count, nth = f"figured.count_{n}", f"figured.youngest_{n}[{{}}]".format
    if asked.operator == "!=":
        assert most is not None
        kept = most + 1
        holds = f"({count} > 0 and {count} <> {most})"
        turns = f"when {count} > {most} then {nth(kept)} when {count} < {most} then {nth(1)} "
        if most > 1:
            turns += f"when {count} = {most} then {nth(most)} "
    elif most is None:
        kept, holds = least, f"{count} >= {least}"
        turns = f"when {holds} then {nth(least)} "
    else:
        kept, holds = most + 1, f"({count} >= {least} and {count} <= {most})"
        turns = f"when {count} > {most} then {nth(kept)} when {holds} then {nth(least)} "
    aggregates = [f"count(timed.time_{n}) as count_{n}"]
    if kept <= YOUNGEST_MAX:
        aggregates.append(f"max(timed.time_{n}, {kept}) as youngest_{n}")
        last = nth(1)
    else:
        aggregates.append(f"min(timed.time_{n}) as oldest_{n}")
        aggregates.append(f"max(timed.time_{n}) as last_{n}")
        last, can_turn = f"figured.last_{n}", holds if most is None else "true"
        turns = f"when {can_turn} then figured.oldest_{n} "
    return Figures(
        tuple(aggregates),
        holds,
        f"coalesce({_expires(f'case {turns}end', n)}, {NEVER})",
        f"coalesce({_expires(last, n)}, 0)",
    )


def _total(asked: Aggregation, n: int) -> Figures:
    """A sum, an average, or a lowest or highest value that is or is not the one asked for: each
    event that expires may turn it, but a sum of nothing negative only falls."""
    last, oldest = f"figured.last_{n}", f"figured.oldest_{n}"
    aggregates = [
        f"max(timed.time_{n}) as last_{n}",
        f"min(timed.time_{n}) as oldest_{n}",
    ]
    number = f"timed.number_{n}"
    bound = _value(n)
    if asked.type in ("sum", "avg"):
        aggregates.append(f"cast(sum({number}) as {_SUM_TYPE}) as total_{n}")
        if asked.type == "avg":
            aggregates.append(f"count({number}) as count_{n}")
            bound = f"{bound} * cast(figured.count_{n} as decimal(18, 0))"
    else:
        aggregates.append(f"{asked.type}({number}) as total_{n}")
    holds = f"coalesce(figured.total_{n} {_SQL.get(asked.operator, asked.operator)} {bound}, false)"
    due = oldest
    if asked.type == "sum" and asked.operator not in ("=", "!="):
        aggregates.append(f"min({number}) as lowest_{n}")
        is_falling = f"figured.lowest_{n} >= 0"
        if asked.operator in (">", ">="):
            due = f"case when {is_falling} and not {holds} then null else {oldest} end"
        else:
            due = f"case when {is_falling} and {holds} then {last} else {oldest} end"
    return Figures(
        tuple(aggregates),
        holds,
        f"coalesce({_expires(due, n)}, {NEVER})",
        f"coalesce({_expires(last, n)}, 0)",
    )
