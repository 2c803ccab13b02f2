"""The tables of docs/destinations.md are what the modules do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from doublet.destinations.kinds import KINDS
from doublet.event import STANDARD_EVENTS
from tests.destinations.cases import cases

PAGE = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")


def _table(title: str) -> list[list[str]]:
    """The rows of the first table below a title, without its head."""
    table = re.split(r"\n\n", PAGE.split(f"\n## {title}\n")[1].split("\n|", 1)[1])[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.split("\n")[2:]]


def _told(kind: str, name: str) -> str:
    case = dict(cases(kind))["purchase"]
    event = msgspec.structs.replace(case.events[0], event_name=name)
    (part,) = KINDS[kind].encode(case.destination(kind), [event]).parts
    fields = json.loads(part)
    (told,) = (fields[key] for key in ("event", "event_name", "name") if key in fields)
    assert isinstance(told, str)
    return told


NAMES = [row for row in _table("Names of events") if row[0] != "any other"]


def test_every_standard_event_is_documented() -> None:
    assert {*STANDARD_EVENTS, "ViewCategory"} == {row[0] for row in NAMES}


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row[0])
def test_an_event_is_told_by_its_documented_name(row: list[str]) -> None:
    assert row == [row[0], *(_told(kind, row[0]) for kind in ("tiktok", "pinterest", "ga4"))]


def test_every_kind_is_documented_with_its_limit() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d,]+) events", PAGE, re.MULTILINE)
    documented = {name: int(count.replace(",", "")) for name, count in rows}
    assert {name: kind.events_max for name, kind in KINDS.items()} == documented
