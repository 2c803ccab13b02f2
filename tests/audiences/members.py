"""Definitions in plain SQL, and who is in them, for the tests of membership."""

from __future__ import annotations

from typing import Any

from doublet.audiences.members import Definition
from doublet.models.persons import LAST_S
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline

NOW = NOON // SECOND


def having(event_name: str, window_s: int, but_not: str = "", version: str = "1") -> Definition:
    """Persons with an event in the last `window_s` seconds, and none of another name ever."""

    def sql(events: str) -> tuple[str, dict[str, Any]]:
        return (
            "select person_id, count(*) filter (event_name = $but_not) = 0 as is_in, "
            "cast(min(case when event_name = $name then event_time + $window_s end) as bigint) "
            f"as due_s from {events} where account_id = $account_id and ("
            "event_name = $but_not or (event_name = $name and event_time > $now_s - $window_s)) "
            "group by person_id having count(*) filter (event_name = $name) > 0",
            {"name": event_name, "window_s": window_s, "but_not": but_not},
        )

    audience_id = f"{event_name}-{window_s}-{but_not}"
    return Definition(ACCOUNT, audience_id, version, sql)


EVER = LAST_S // 4
"""A window longer than any test."""


def members(pipeline: Pipeline, each: Definition) -> set[int]:
    """Who is in an audience."""
    rows = pipeline.engine.query(
        "select person_id from audience_members where audience_id = $id", {"id": each.audience_id}
    )
    assert len(rows) == len({row["person_id"] for row in rows})
    return {row["person_id"] for row in rows}


def changes(pipeline: Pipeline) -> list[tuple[str, bool]]:
    """Who joined (True) or left what, in order."""
    rows = pipeline.table("audience_changes", "change_id")
    assert [row["change_id"] for row in rows] == sorted({row["change_id"] for row in rows})
    return [(row["audience_id"], row["is_join"]) for row in rows]
