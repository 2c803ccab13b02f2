"""Rules that Meta's pages and public code show, in our own form: whom they choose, and until when.

A case is a folder of tests/golden/audience_rules; `about.txt` names its source."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from doublet.audiences.rule import AudienceRuleError, parse_audience_rule
from tests.audiences.behaviours import ACCOUNT, evaluated, make_table, write

CASES = sorted((Path(__file__).parent.parent / "golden/audience_rules").iterdir())
NOW_S = 1_780_000_000
DAY_S = 86_400


def event(row: dict[str, str], persons: list[str]) -> dict[str, Any]:
    """A line of events.csv."""
    url = row["url"] or None
    host = re.match(r"[a-z]+://([^/?#:]+)", url) if url else None
    return {
        "account_id": ACCOUNT,
        "pixel_id": "1234567890123456",
        "person_id": persons.index(row["person"]),
        "event_name": row["event_name"],
        "event_time": NOW_S - round(float(row["days_ago"]) * DAY_S),
        "event_source_url": url,
        "domain": host[1].lower() if host else None,
        "device_type": row["device_type"] or None,
        "value": Decimal(row["value"]) if row["value"] else None,
        "custom": json.loads(row["custom_data"]) if row["custom_data"] else None,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_documented_rule_chooses_whom_it_says(case: Path) -> None:
    text = (case / "rule.json").read_text("utf-8")
    refused = case / "refused.txt"
    if refused.exists():
        with pytest.raises(AudienceRuleError) as found:
            parse_audience_rule(text)
        error = found.value
        said = f"{error.graph_code}/{error.graph_subcode}: {error}\n"
        assert refused.read_text("utf-8") == said
        return
    with (case / "events.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    persons = sorted({row["person"] for row in rows})
    with duckdb.connect() as connection:
        make_table(connection)
        write(connection, [event(row, persons) for row in rows])
        evaluation = evaluated(connection, parse_audience_rule(text), NOW_S)
    told = [
        f"{persons[person_id]},{'yes' if is_in else 'no'},{((due_s or 0) - NOW_S) / DAY_S:.4f}"
        for person_id, (is_in, due_s) in sorted(evaluation.items())
    ]
    with (case / "expected.csv").open(encoding="utf-8") as lines:
        expected = [
            f"{row['person']},{row['is_in']},{float(row['turns_in_days']):.4f}"
            for row in csv.DictReader(lines)
        ]
    assert expected == told


def test_there_are_cases_of_both_kinds() -> None:
    assert {True, False} == {(case / "refused.txt").exists() for case in CASES}
    assert all((case / "about.txt").read_text("utf-8").count("\n") >= 2 for case in CASES)
