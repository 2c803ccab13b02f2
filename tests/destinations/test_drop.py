"""The drop: files that other programs read, and that are the same when they are written again."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import pytest

from doublet.destinations import drop
from doublet.destinations.contract import Outgoing
from doublet.errors import SettingsError
from tests.destinations.cases import make_destination

MIDNIGHT = 1790035200
EVENTS = [
    Outgoing("Purchase", "1", MIDNIGHT - 1, "9", value="1234567.8901", currency="EUR"),
    Outgoing("Lead", "2", MIDNIGHT, "9", user_data={"em": ["0" * 64]}, is_limited=True),
    Outgoing("Lead", "Zürich\n\u2028", MIDNIGHT + 86_399, "9", custom_data={"a": "\n"}),
]


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_another_program_reads_folders_by_day_and_exact_values(
    tmp_path: Path, file_format: str
) -> None:
    folder = tmp_path / "a folder"
    destination = make_destination("drop", {"folder": str(folder), "format": file_format})
    drop.check(destination)
    days: dict[date, list[Outgoing]] = {}
    for event in EVENTS:
        days.setdefault(drop.day_of(event), []).append(event)
    assert 2 == len(days)
    for _ in range(2):
        for events in days.values():
            request = drop.encode(destination, events)
            file = Path(unquote(urlsplit(request.url).path))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(request.body)
    read = "read_parquet" if file_format == "parquet" else "read_json"
    rows = duckdb.execute(
        "select event_date::date, event_id, value::decimal(18,4), is_limited from "
        f"{read}('{folder}/*/*.{file_format}', hive_partitioning = true) order by event_time"
    ).fetchall()
    assert [(date(2026, 9, 21), "1", Decimal("1234567.8901"), False)] == rows[:1]
    next_day = date(2026, 9, 22)
    assert [(next_day, "2", None, True), (next_day, EVENTS[2].event_id, None, False)] == rows[1:]


def test_parquet_has_the_columns_that_are_documented() -> None:
    destination = make_destination("drop", {"folder": "/x", "format": "parquet"})
    columns = [column.name for column in drop.COLUMNS]
    assert set(columns) == set(Outgoing.__struct_fields__)
    assert drop.encode(destination, EVENTS[1:]).body == drop.encode(destination, EVENTS[1:]).body


@pytest.mark.parametrize("folder", ["events", "", "/var/../events", "/var/\nevents"])
def test_a_folder_that_cannot_be_meant_is_refused(folder: str) -> None:
    with pytest.raises(SettingsError, match="whole path"):
        drop.check(make_destination("drop", {"folder": folder}))
