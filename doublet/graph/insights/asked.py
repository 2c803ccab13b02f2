"""What a reading of `insights` asks for: its parameters, read and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from doublet.catalog import ReportRules
from doublet.errors import SenderError
from doublet.graph.fields import Selection, Shape, check, parse_fields, plain
from doublet.graph.insights.filtering import Filter, Sort, parse_filters, parse_sorts
from doublet.graph.insights.names import (
    BREAKDOWNS,
    FIELDS,
    REFUSED_ACTION_BREAKDOWNS,
    REFUSED_BREAKDOWNS,
)
from doublet.graph.question import Question
from doublet.graph.refused import Refused, invalid
from doublet.reports.insights_rows import ALL, FIRST, LEVELS, WINDOWS
from doublet.reports.periods import Period, check_period, preset, steps

INSIGHTS = Shape("AdsInsights", plain(*FIELDS), always=("date_start", "date_stop"))
"""Fields: facebook_business, AdsInsights."""

_DEFAULT_PRESET = "last_30d"
_RANGES_MAX, _RANGE_DAYS_MAX = 10_000, 15_000
_is_day = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII).fullmatch
_has_end = re.compile(rf"({'|'.join(WINDOWS)})({ALL}|{FIRST})?", re.ASCII).fullmatch
_is_silent = re.compile(r"(7|28)d_view(_all_conversions|_first_conversion)?").fullmatch
_is_lift = re.compile(r"incrementality(_all_conversions|_first_conversion)?").fullmatch


class Asked(NamedTuple):
    """All that the parameters say. `counted` are the periods without the days to come, `windows`
    the keys besides `value` that entries have, `summary` the fields of the row of totals; None
    where there is none."""

    level: str
    periods: list[Period]
    counted: list[Period]
    fields: Selection
    breakdowns: tuple[str, ...]
    windows: tuple[str, ...]
    filters: list[Filter]
    sorts: list[Sort]
    summary: tuple[str, ...] | None


def read_asked(
    question: Question, level: str, rules: ReportRules, earliest: Callable[[], date]
) -> Asked:
    """The parameters of a question about an object of a level. `earliest` tells the first day of
    which anything is known. Raises Refused."""
    given = question.parameters
    check(question.fields, INSIGHTS)
    level = given.get("level") or level
    if level not in LEVELS:
        raise invalid("level", f"(#100) level must be one of {{{', '.join(LEVELS)}}}")
    breakdowns = _breakdowns(given.get("breakdowns", ""))
    _check_action_breakdowns(given)
    periods, today = _periods(question, earliest), _today(question)
    return Asked(
        level,
        periods,
        [_without_future(each, today) for each in periods],
        question.fields,
        breakdowns,
        _windows(given.get("action_attribution_windows", "")),
        parse_filters(given.get("filtering", ""), breakdowns),
        parse_sorts(given.get("sort", "")),
        _summary(question),
    )


def parse_list(name: str, text: str) -> list[Any]:
    """A parameter that is a list, as JSON or with commas. Raises Refused."""
    text = text.strip()
    if not text.startswith("["):
        return [part.strip().strip('"') for part in text.split(",") if part.strip()]
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(name, f"(#100) {name} begins like a JSON array, but is none") from None
    return list(read)


def _object(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(name, f"(#100) {name} must be JSON") from None


def refused(name: str, error: SenderError) -> Refused:
    """What is wrong with a parameter, as Graph says it."""
    return invalid(name, f"(#100) {error}")


# --- days ------------------------------------------------------------------------------------


def _today(question: Question) -> date:
    return question.now.astimezone(question.zone).date()


def _without_future(period: Period, today: date) -> Period:
    """Nothing has happened yet on the days to come, of which there may be many."""
    return period._replace(until=max(period.since, min(period.until, today + timedelta(1))))


def _periods(question: Question, earliest: Callable[[], date]) -> list[Period]:
    given, today = question.parameters, _today(question)
    if given.get("time_ranges"):
        return _time_ranges(_object("time_ranges", given["time_ranges"]), today)
    if given.get("time_range"):
        period = _time_range("time_range", _object("time_range", given["time_range"]))
    elif parts := _parts(given, "time_range"):
        period = _time_range("time_range", parts)
    else:
        name = given.get("date_preset") or _DEFAULT_PRESET
        first = earliest() if name in ("maximum", "data_maximum") else today
        try:
            period = preset(name, today, first)
        except SenderError as error:
            raise refused("date_preset", error) from None
    try:
        found = steps(_without_future(period, today), given.get("time_increment") or "all_days")
    except SenderError as error:
        raise refused("time_increment", error) from None
    return [*found[:-1], found[-1]._replace(until=_last(found[-1], period, given))]


def _parts(given: Any, name: str) -> dict[str, str]:
    """An object as PHP writes it into an address, `name[key]=value`."""
    start = f"{name}["
    return {
        key.removeprefix(start).removesuffix("]"): value
        for key, value in given.items()
        if key.startswith(start)
    }


def _time_ranges(read: Any, today: date) -> list[Period]:
    name = "time_ranges"
    if not isinstance(read, list) or not read:
        raise invalid(name, f"(#100) {name} must be an array of time ranges")
    if len(read) > _RANGES_MAX:
        raise invalid(name, f"(#100) {name} has more than {_RANGES_MAX} time ranges")
    found = [_time_range(name, each) for each in read]
    counted = [_without_future(each, today) for each in found]
    days = sum((each.until - each.since).days + 1 for each in counted)
    if days > _RANGE_DAYS_MAX:
        raise invalid(
            name, f"(#100) {name} has {days} days together; at most {_RANGE_DAYS_MAX} are allowed"
        )
    return found


def _last(step: Period, period: Period, given: Any) -> date:
    """One row is of all the days that were asked for, the future ones too."""
    one = given.get("time_increment") in (None, "", "all_days")
    return period.until if one else step.until


def _time_range(name: str, read: Any) -> Period:
    form = f'(#100) {name} must be like {{"since": "2026-06-01", "until": "2026-06-30"}}'
    if not isinstance(read, dict):
        raise invalid(name, form)
    days = []
    for end in ("since", "until"):
        text = read.get(end)
        if not isinstance(text, str) or not _is_day(text):
            raise invalid(name, form)
        try:
            days.append(date.fromisoformat(text))
        except ValueError:
            raise invalid(name, form) from None
    try:
        return check_period(*days)
    except SenderError as error:
        raise refused(name, error) from None


# --- what rows and entries are divided by ----------------------------------------------------


def _breakdowns(text: str) -> tuple[str, ...]:
    found = dict.fromkeys(map(str, parse_list("breakdowns", text)))
    for name in found:
        if name in REFUSED_BREAKDOWNS:
            known = ", ".join(BREAKDOWNS)
            raise invalid(
                "breakdowns",
                f"(#100) {name} cannot be known here: only the platform sees it. "
                f"Known are {{{known}}}",
            )
        if name not in BREAKDOWNS:
            raise invalid("breakdowns", f"(#100) breakdowns must be of {{{', '.join(BREAKDOWNS)}}}")
    return tuple(name for name in BREAKDOWNS if name in found)


def _check_action_breakdowns(given: Any) -> None:
    for parameter in ("action_breakdowns", "summary_action_breakdowns"):
        for name in parse_list(parameter, given.get(parameter, "")):
            if name == "action_type":
                continue
            what = f"{name} cannot be known here" if name in REFUSED_ACTION_BREAKDOWNS else "That"
            raise invalid(parameter, f"(#100) {what}; {parameter} must be [action_type]")


def _windows(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in parse_list("action_attribution_windows", text):
        if _has_end(str(name)):
            found[str(name)] = None
        elif _is_lift(str(name)):
            raise invalid(
                "action_attribution_windows",
                "(#100) incrementality is measured by a lift test, which has a report of its own",
            )
        elif name != "default" and not _is_silent(str(name)):
            known = ", ".join((*WINDOWS, "default"))
            raise invalid(
                "action_attribution_windows",
                f"(#100) action_attribution_windows must be of {{{known}}}, the windows perhaps "
                f"with {ALL} or {FIRST} behind them",
            )
    return tuple(found)


def _summary(question: Question) -> tuple[str, ...] | None:
    given = question.parameters
    text = given.get("summary", "").strip()
    fields: Sequence[str] = ()
    if text and text.lower() not in ("true", "false", "1", "0"):
        fields = [str(name) for name in parse_list("summary", text)]
        check(parse_fields(",".join(fields)), INSIGHTS)
        return tuple(fields)
    switches = (text, given.get("default_summary", ""))
    return () if any(each.lower() in ("true", "1") for each in switches) else None
