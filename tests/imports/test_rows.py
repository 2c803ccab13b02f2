"""Rows become events: which values go where, what a row is known by, what contradicts another."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from doublet.catalog import Account
from doublet.errors import SenderError
from doublet.event import WireEvent
from doublet.imports.book import Book
from doublet.imports.files import Cells, Fault, open_source
from doublet.imports.mapping import Mapping
from doublet.imports.rows import RowMapper
from doublet.imports.run import Checked, Plan, _steps, check
from tests.factories import ACCOUNT, NOON, PIXEL

ZONE = ZoneInfo("Europe/Berlin")
OWNER = Account(ACCOUNT, "Shop", "Europe/Berlin", "EUR")
STORE = {"event_name": "Purchase", "action_source": "physical_store", "currency": "EUR"}
COLUMNS = {"time": "event_time", "mail": "em", "sum": "value", "order": "order_id"}


def event(mapping: Mapping, **cells: Any) -> WireEvent | Fault:
    (made,) = RowMapper(mapping, ZONE).events([Cells(2, cells)])
    return made.event


def good(mapping: Mapping, **cells: Any) -> WireEvent:
    found = event(mapping, **cells)
    assert isinstance(found, WireEvent), found
    return found


def wrong(mapping: Mapping, **cells: Any) -> tuple[str, str]:
    found = event(mapping, **cells)
    assert isinstance(found, Fault)
    return found.column, found.reason


def test_each_field_goes_where_the_wire_has_it() -> None:
    mapping = Mapping(
        {
            "t": "event_time",
            "m": "em",
            "m2": "em",
            "v": "value",
            "o": "order_id",
            "c": "content_ids",
            "n": "num_items",
            "x": "custom_data.tier",
            "l": "lead_id",
        },
        {"event_name": "purchase", "action_source": "Physical Store", "currency": "eur"},
    )
    found = good(
        mapping, t="2026-11-01", m="a@b.example", m2="c@d.example", v="1.250,5", o="7", c="A, B",
        n="2", x="gold", l="1234567890123456",
    )  # fmt: skip
    assert ("Purchase", "physical_store") == (found.event_name, found.action_source)
    assert datetime(2026, 10, 31, 23, tzinfo=UTC).timestamp() == found.event_time
    assert {"em": ["a@b.example", "c@d.example"], "lead_id": "1234567890123456"} == found.user_data
    assert {
        "value": 1250.5,
        "order_id": "7",
        "currency": "EUR",
        "content_ids": ["A", "B"],
        "num_items": 2,
        "tier": "gold",
        "lead_id": "1234567890123456",
    } == found.custom_data
    assert {"lead_id": "crm-7"} == good(Mapping({"l": "lead_id"}), l="crm-7").custom_data


def test_a_currency_beside_the_value_counts_or_contradicts() -> None:
    alone = Mapping({"v": "value"})
    assert {"value": 5, "currency": "EUR"} == good(alone, v="5 €").custom_data
    assert ("v", "ambiguous_currency") == wrong(alone, v="$5")
    dollars = Mapping({"v": "value"}, {"currency": "USD"})
    assert {"value": 5, "currency": "USD"} == good(dollars, v="$5").custom_data
    assert ("v", "currency_conflict") == wrong(dollars, v="5 €")
    both = Mapping({"v": "value", "c": "currency"})
    assert ("v", "currency_conflict") == wrong(both, v="5 €", c="USD")
    assert ("c", "currency") == wrong(both, v="5", c="Thaler")


def test_what_is_wrong_names_its_column_and_not_its_content() -> None:
    mapping = Mapping({"Total": "value", "When": "event_time", "Where": "action_source"})
    assert ("Total", "ambiguous_value") == wrong(mapping, Total="1.234")
    assert ("When", "time") == wrong(mapping, When="soon")
    assert ("When", "ambiguous_time") == wrong(mapping, When="11/01/2026")
    assert ("Where", "action_source") == wrong(mapping, Where="here")
    for constants in ({"action_source": "here"}, {"value": "1.234"}, {"event_time": "soon"}):
        with pytest.raises(SenderError):
            RowMapper(Mapping({}, constants), ZONE)


def test_a_time_in_a_column_named_gmt_is_no_local_one() -> None:
    gmt = Mapping({"date_created_gmt": "event_time"})
    assert 1793527200 == good(gmt, date_created_gmt="2026-11-01 10:00:00").event_time
    named = Mapping({"When": "event_time"}, time_zone="America/New_York")
    assert 1793545200 == good(named, When="2026-11-01 10:00:00").event_time


# --- lines of one order ----------------------------------------------------------------------


def test_lines_of_an_order_are_one_event() -> None:
    mapping = Mapping(
        {
            "Name": "order_name",
            "Id": "order_id",
            "Total": "value",
            "Sku": "contents.id",
            "Qty": "contents.quantity",
            "Price": "contents.item_price",
        }
    )
    rows: list[Cells | Fault] = [
        Cells(2, {"Name": "#1", "Id": "71", "Total": "30", "Sku": "A", "Qty": "2", "Price": "10"}),
        Cells(3, {"Name": "#1", "Id": "", "Total": "", "Sku": "B", "Qty": "1", "Price": "10.5"}),
        Cells(4, {"Name": "#2", "Id": "72", "Total": "5", "Sku": "C", "Qty": "1", "Price": "5"}),
        Fault(5, "", "cells", "x"),
        Cells(6, {"Name": "#2", "Id": "", "Total": "", "Sku": "D", "Qty": "1", "Price": "5"}),
    ]
    made = list(RowMapper(mapping, ZONE).events(rows))
    assert [(2, 2), (1, 4), (1, 5), (1, 6)] == [(each.rows, each.line) for each in made]
    first = made[0].event
    assert isinstance(first, WireEvent)
    assert first.custom_data is not None
    assert [
        {"id": "A", "quantity": 2, "item_price": 10},
        {"id": "B", "quantity": 1, "item_price": 10.5},
    ] == first.custom_data["contents"]


# --- what a row is known by ------------------------------------------------------------------


def plan(folder: Path, rows: list[dict[str, str]], constants: dict[str, str] | None = None) -> Plan:
    file = folder / "a.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "id", "item"])
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(text.getvalue())
    columns = {**COLUMNS, "id": "event_id", "item": "item_number"}
    return Plan(open_source(file), Mapping(columns, constants or STORE), OWNER, PIXEL, True)


def looked(made: Plan, folder: Path) -> tuple[Checked, list[dict[str, Any]]]:
    """What a check says, and the events as they would be stored."""
    from doublet.accept import Arrival

    book = Book(folder / "imports.sqlite")
    try:
        checked = check(made, book)
    finally:
        book.close()
    steps = _steps(made, lambda: Arrival(ACCOUNT, PIXEL, "server", NOON, 0), 0)
    return checked, [json.loads(step.record) for step in steps if step.record]


def row(
    order: str = "", time: str = "2026-01-01 10:00", total: str = "5", **more: str
) -> dict[str, str]:
    return {"time": time, "mail": "a@b.example", "sum": total, "order": order, **more}


WEB = {**STORE, "action_source": "website"}


def test_a_row_is_known_by_its_id_its_order_or_what_it_says(tmp_path: Path) -> None:
    rows = [row("1", id="x"), row("2"), row(), row(), row(total="6")]
    checked, found = looked(plan(tmp_path, rows, WEB), tmp_path)
    assert (5, 0, {}) == (checked.good, checked.repeated, checked.bad)
    ids = [each["event_id"] for each in found]
    assert ["x", "2"] == ids[:2]
    assert ids[2].startswith("row-")
    assert f"{ids[2]}-2" == ids[3]
    assert 5 == len({each["event_key"] for each in found})
    # In whatever order and company they come again, they are the same.
    _, again = looked(plan(tmp_path, [row(total="6"), row(), row("2"), row()], WEB), tmp_path)
    assert {*ids[1:]} == {each["event_id"] for each in again}
    assert {each["event_key"] for each in found[1:]} == {each["event_key"] for each in again}


def test_an_order_twice_is_a_repetition_or_a_contradiction(tmp_path: Path) -> None:
    rows = [row("1"), row("1"), row("1", total="6")]
    checked, found = looked(plan(tmp_path, rows, WEB), tmp_path)
    assert (1, 1, {"repeated_order": 1}) == (checked.good, checked.repeated, checked.bad)
    assert [(4, "order")] == [(fault.line, fault.column) for fault in checked.first]
    assert "on line 2 already" in checked.first[0].message
    assert 1 == len(found)


def test_offline_events_that_would_become_one_are_kept_apart_or_refused(tmp_path: Path) -> None:
    # Meta tells them apart by time, name, item and order, or by person where there is no order.
    rows = [row(), row(), row(total="6"), row("1"), row("1", item="b"), row(time="2026-01-02")]
    checked, found = looked(plan(tmp_path, rows), tmp_path)
    assert (5, {"same_moment": 1}) == (checked.good, checked.bad)
    assert 4 == checked.first[0].line
    assert "line 2" in checked.first[0].message
    assert 5 == len({each["event_key"] for each in found})
    assert [None, "2", None, "b", None] == [
        each["custom_data"].get("item_number") for each in found
    ]


def test_old_events_are_history_alone(tmp_path: Path) -> None:
    made = plan(tmp_path, [row("1"), row("2", time="1999-12-31")])
    checked, found = looked(made, tmp_path)
    assert {"event_too_old": 1} == checked.bad
    assert ["history"] == found[0]["flags"]
    recent, found = looked(made._replace(is_history=False), tmp_path)
    assert ({"event_too_old": 2}, 0) == (recent.bad, recent.good)
    assert "time" == recent.first[0].column


# --- files -----------------------------------------------------------------------------------


def read(path: Path, **how: Any) -> list[Cells | Fault]:
    with open_source(path, **how).rows() as found:
        return list(found)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_write_csv_as_they_like(tmp_path: Path, separator: str) -> None:
    text = 'A,B,A\n1,"two\nlines",\'3\n\n4,5\n6,7,8\n'.replace(",", separator)
    file = tmp_path / "a.csv"
    for packed in (text.encode("utf-8-sig"), text.encode()):
        file.write_bytes(packed)
        first, fault, last = read(file)
        assert Cells(2, {"A": "1", "B": "two\nlines", "A #2": "3"}) == first
        assert (5, "cells") == (fault.line, getattr(fault, "reason", ""))
        assert 6 == last.line
    file.write_text("sep=|\nA|B,C\n1|2\n3\n")
    first, fault = read(file)
    assert (Cells(3, {"A": "1", "B,C": "2"}), 4) == (first, fault.line)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress("Ä;B\nü;2\n".encode("cp1252")))
    assert [Cells(2, {"Ä": "ü", "B": "2"})] == read(tmp_path / "b.csv.gz", encoding="cp1252")
    with pytest.raises(SenderError, match="not utf-8"):
        read(tmp_path / "b.csv.gz")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"A\n" + b"1\n" * 9999)[:-20])
    with pytest.raises(SenderError, match="no whole gzip file"):
        read(tmp_path / "b.csv.gz")


def test_objects_are_flattened(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    lines = [{"a": 1, "b": {"c": "x", "d": None, "e": [1]}}, [1]]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n{\n\n")
    first, *faults = read(file)
    assert Cells(1, {"a": 1, "b.c": "x", "b.e": [1]}) == first
    assert [(2, "unreadable"), (3, "unreadable")] == [
        (fault.line, getattr(fault, "reason", "")) for fault in faults
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    file = tmp_path / "sales[1].parquet"
    duckdb.execute(
        "copy (select timestamptz '2026-11-01 10:00:00+01' as t, 12.50::decimal(9, 2) as v, "
        f"{{'em': 'a@b.example'}} as user_data, 7::bigint as o) to '{file}'"
    )
    mapping = Mapping(
        {"t": "event_time", "v": "value", "user_data.em": "em", "o": "order_id"}, STORE
    )
    (cells,) = read(file)
    (made,) = RowMapper(mapping, ZONE).events([cells])
    assert isinstance(made.event, WireEvent)
    assert (1793523600, {"em": "a@b.example"}) == (made.event.event_time, made.event.user_data)
    assert {"value": 12.5, "order_id": "7", "currency": "EUR"} == made.event.custom_data
    (tmp_path / "b.parquet").write_bytes(file.read_bytes()[:100])
    with pytest.raises(SenderError, match="no Parquet file"):
        read(tmp_path / "b.parquet")


def test_a_file_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SenderError, match="no file"):
        open_source(tmp_path / "none.csv")
    for name, content, words in (
        ("a.xlsx", "x", "no format"),
        ("a.csv", "a,b\n", "no rows"),
        ("b.csv", "mary@private.example,5\nx,y\n", "looks like data"),
        ("c.csv", "49.90,x\n1,2\n", "looks like data"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(SenderError, match=words) as told:
            open_source(tmp_path / name).sample()
        assert "mary" not in str(told.value)
