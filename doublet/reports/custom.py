"""Custom conversions in reports: which events a rule chooses, found when a report is read.

Nothing is stored by a rule, so that a new or changed one tells of all of the past at once. Most of
its events are conversions and have their last touches already; for the others (page views) the same
text finds them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from doublet.accept import MARKS
from doublet.catalog import Account, CustomConversion
from doublet.engine import Engine
from doublet.models import model_sql
from doublet.reports import without
from doublet.rules import condition, named_events, parse_rule, patterns

_place = re.compile(r"-- begin matched\n.*?-- end matched\n", re.DOTALL)

_CHOSEN = """
  select
    '{custom_id}' as custom_id,
    events.pixel_id,
    events.event_key,
    events.anchor_at
  from events_deduplicated as events
  where events.account_id = $account_id
    and events.event_time >= $from_s
    and events.event_time < $to_s
    and not events.is_test
    and (
      events.server_copies > 0
      or not coalesce(list_has_any(events.flags, $marks), false)
    ){narrowed}
    and {condition}"""

_OTHERS = """others as (
  with
  their_conversions as (
    select
      events.account_id,
      events.pixel_id,
      events.event_key,
      events.anchor_at,
      events.event_name,
      events.event_time,
      record_profiles.profile_key,
      events.value,
      events.currency,
      events.order_id,
      events.action_source,
      events.browser_copies,
      events.server_copies
    from events_deduplicated as events
    left join record_profiles
      on record_profiles.pixel_id = events.pixel_id
      and record_profiles.event_key = events.event_key
      and record_profiles.anchor_at = events.anchor_at
    where events.account_id = $account_id
      and events.event_time >= $from_s
      and events.event_time < $to_s
      and (events.pixel_id, events.event_key, events.anchor_at) in (
        select (matched.pixel_id, matched.event_key, matched.anchor_at)
        from matched
      )
      and (events.pixel_id, events.event_key, events.anchor_at) not in (
        select (conversions.pixel_id, conversions.event_key, conversions.anchor_at)
        from conversions
        where conversions.account_id = $account_id
      )
  ),
  all_profiles as (from profiles),
  all_person_spans as (from person_spans),
  all_touchpoints as (from touchpoints)
  select *
  from ({conversions})
),
"""


def matched_sql(
    custom_conversions: Sequence[CustomConversion],
) -> tuple[str, dict[str, Any]]:
    """A SELECT of the events that these choose: custom_id, pixel_id, event_key, anchor_at, and its
    parameters. It reads events_deduplicated between $from_s and $to_s (event_time) of $account_id;
    events that are tests, or that only marked hits tell of, are not among them. At least one is
    needed."""
    parts, parameters = [], dict[str, Any](marks=list(MARKS))
    for number, each in enumerate(custom_conversions):
        rule = parse_rule(each.rule)
        sql, more = condition(rule, f"rule_{number}")
        parameters |= more
        narrowed = ""
        for column, value in (
            ("pixel_id", each.pixel_id),
            ("action_source", each.action_source_type),
        ):
            if value:
                parameters[f"rule_{number}_{column}"] = value
                narrowed += f"\n    and events.{column} = $rule_{number}_{column}"
        names = named_events(rule)
        if names is not None:
            parameters[f"rule_{number}_names"] = sorted(names)
            narrowed += f"\n    and list_contains($rule_{number}_names, events.event_name)"
        assert each.custom_conversion_id.isdigit()
        parts.append(
            _CHOSEN.format(custom_id=each.custom_conversion_id, narrowed=narrowed, condition=sql)
        )
    return "\n  union all".join(parts), parameters


def with_custom_conversions(
    text: str, custom_conversions: Sequence[CustomConversion]
) -> tuple[str, dict[str, Any]]:
    """The text of a report with the events of these custom conversions in the place of its part
    `matched`, and the parameters that this adds. Where there are none, it is the text without this
    part and `custom`, which reads it."""
    if not custom_conversions:
        return without(without(text, "matched"), "custom"), {}
    matched, parameters = matched_sql(custom_conversions)
    others = _OTHERS.format(conversions=model_sql("conversions"))
    made = f"matched as materialized ({matched}\n),\n{others}"
    found, count = _place.subn(lambda _: made, text)
    assert count == 1, "the text has no place for custom conversions"
    return found, parameters


def check_rule(engine: Engine, text: str) -> None:
    """Raises SenderError for a rule that cannot be read, with an expression that the engine cannot,
    or that names a person's address, since rules are kept as they are written."""
    import duckdb

    from doublet.errors import SenderError
    from doublet.redact import redact_text

    if redact_text(text) != text:
        raise SenderError(
            "The rule names a mail address.", "Match another part of the URL, or a parameter."
        )
    for pattern in patterns(parse_rule(text)):
        try:
            engine.query("select regexp_matches('', $pattern) as fits", {"pattern": pattern})
        except duckdb.Error:
            raise SenderError(
                "The rule has a regular expression that cannot be read.",
                "Write it without look-around and back-references (RE2 syntax).",
            ) from None


def fired_times(
    engine: Engine, account: Account, custom_conversions: Sequence[CustomConversion]
) -> dict[str, tuple[int, int]]:
    """The first and last event_time (Unix seconds) of the events that each chooses, by its id;
    those that never chose any are not in it."""
    if not custom_conversions:
        return {}
    sql, parameters = matched_sql(custom_conversions)
    text = (
        f"with matched as ({sql}) "
        "select custom_id, min(event_time) as first_s, max(event_time) as last_s "
        "from events_deduplicated inner join matched using (pixel_id, event_key, anchor_at) "
        "group by custom_id"
    )
    span = {"account_id": account.account_id, "from_s": 0, "to_s": 2**40}
    found = engine.query(text, {**parameters, **span})
    return {row["custom_id"]: (row["first_s"], row["last_s"]) for row in found}
