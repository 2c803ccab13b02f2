"""An audience as a file: hashes only, those that are somebody's alone, in Meta's columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from doublet.audiences.export import SCHEMA, export_audience
from doublet.audiences.keys import keys_of
from doublet.audiences.members import refresh
from tests.audiences.members import EVER, NOW, having
from tests.audiences.test_push import look
from tests.factories import ACCOUNT, HOUR, NOON, Pipeline, make_record, sha256

DEFINITION = having("ViewContent", EVER)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    records = [
        make_record(**look("a", fn="Ann", ct="Ulm", country="de")),
        make_record(NOON + HOUR, **look("a", "Lead", ph=sha256("1"), ct="Bonn", fbp="fb.1.1.1")),
        make_record(**look("a", "AddToCart", external_id=[sha256("x"), sha256("y")])),
        make_record(**look("", madid="38400000-8cf0-11bd-b23e-10b96e40000d")),
        make_record(**look("", fbp="fb.1.2.2")),
        make_record(**look("outside", "Lead")),
        make_record(account_id="act_2", **look("other account")),
    ]
    made.append(records)
    made.refresh()
    refresh(made.engine, [DEFINITION], NOW)
    yield made
    made.close()


def test_members_are_exported_as_hashes(pipeline: Pipeline) -> None:
    done = export_audience(pipeline.engine, ACCOUNT, DEFINITION.audience_id)
    assert (3, 1) == (done.rows, done.nameless)
    rows = list(csv.DictReader(io.StringIO(done.body.decode())))
    assert SCHEMA == list(rows[0])
    (first, second), (device,) = (
        [row for row in rows if bool(row["MADID"]) is is_device] for is_device in (False, True)
    )
    beside = {"FN": sha256("ann"), "CT": sha256("bonn"), "COUNTRY": sha256("de"), "LN": ""}
    assert beside.items() <= first.items()
    assert beside.items() <= second.items()
    assert (sha256("a"), sha256("1")) == (first["EMAIL"], first["PHONE"])
    assert ("", "") == (second["EMAIL"], second["PHONE"])
    assert {sha256("x"), sha256("y")} == {first["EXTERN_ID"], second["EXTERN_ID"]}
    assert "38400000-8cf0-11bd-b23e-10b96e40000d" == device["MADID"]


def test_the_same_as_parquet(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "audience.parquet"
    file.write_bytes(
        export_audience(pipeline.engine, ACCOUNT, DEFINITION.audience_id, "parquet").body
    )
    columns, rows = read(file)
    assert SCHEMA == columns
    assert (sha256("a"), sha256("1")) in {row[:2] for row in rows}
    assert {None, "38400000-8cf0-11bd-b23e-10b96e40000d"} == {row[3] for row in rows}
    assert 3 == len(rows)


def read(file: Path) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """The columns and rows of a Parquet file."""
    with duckdb.connect() as connection:
        found = connection.execute("select * from read_parquet($file)", {"file": str(file)})
        return [column[0] for column in found.description or ()], found.fetchall()


def test_an_empty_audience_is_a_file_without_rows(pipeline: Pipeline, tmp_path: Path) -> None:
    assert (0, 0) == export_audience(pipeline.engine, ACCOUNT, "none")[1:]
    file = tmp_path / "empty.parquet"
    file.write_bytes(export_audience(pipeline.engine, ACCOUNT, "none", "parquet").body)
    assert (SCHEMA, []) == read(file)


def test_what_many_share_is_nobody_s(pipeline: Pipeline) -> None:
    """A desk's telephone stands beside many addresses."""
    desk = sha256("desk")
    pipeline.append([make_record(**look(f"guest {n}", ph=desk)) for n in range(12)])
    pipeline.refresh()
    refresh(pipeline.engine, [DEFINITION], NOW)
    persons = [row["person_id"] for row in pipeline.table("audience_members", "person_id")]
    found = keys_of(pipeline.engine, ACCOUNT, persons)
    assert 12 == sum(
        sha256(f"guest {n}") in each["em"]
        for each in found.values()
        for n in range(12)
        if "em" in each
    )
    assert not any(desk in each.get("ph", ()) for each in found.values())
