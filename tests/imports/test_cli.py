"""`doublet import` as people and programs use it."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from doublet.catalog import Catalog
from doublet.settings import Settings
from tests.imports.calling import run

YES = ("--yes", "--set", "action_source=physical_store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    catalog = Catalog(Settings(data=tmp_path).catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    return tmp_path


def day(days_ago: float) -> str:
    return time.strftime("%d.%m.%Y %H:%M", time.localtime(time.time() - days_ago * 86_400))


def sales(folder: Path, *lines: str) -> Path:
    file = folder / "sales.csv"
    good = [f"{n};{day(2 + n)};person{n}@private.example;{n}.000,50 €" for n in (1, 2, 3)]
    file.write_text("\n".join(["Beleg-Nr;Datum;E-Mail;Betrag", *good, *lines]) + "\n")
    return file


def events(folder: Path) -> list[dict[str, Any]]:
    run(folder, "refresh")
    found: list[dict[str, Any]] = json.loads(run(folder, "report", "overview", "--json").stdout)
    return found


def test_a_mapping_is_shown_and_must_be_confirmed(folder: Path) -> None:
    sales(folder)
    lacking = run(folder, "import", "sales.csv", code=4)
    assert "--set action_source=physical_store" in lacking.stderr
    asked = run(folder, "import", "sales.csv", *YES[1:], code=3)
    assert "Give --yes" in asked.stderr
    for column, field in (("Beleg-Nr", "order_id"), ("E-Mail", "em"), ("Betrag", "value")):
        assert any(column in line and field in line for line in asked.stderr.splitlines())
    assert "there are an order" in asked.stderr
    assert "Decimals stand behind a comma." in asked.stderr
    assert "private.example" not in asked.stderr + asked.stdout
    assert [] == events(folder)
    done = run(folder, "import", "sales.csv", *YES)
    assert "3 events imported." in done.stdout
    assert "known" in run(folder, "import", "sales.csv", *YES).stdout
    (row,) = events(folder)
    assert ("Purchase", 3, {"EUR": 6001.5}) == (row["event_name"], row["events"], row["value"])


def test_a_terminal_is_asked(folder: Path) -> None:
    sales(folder)
    for answer, code in ((b"n\n", 3), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
        child = subprocess.Popen(
            [sys.executable, "-m", "doublet", "import", "sales.csv", *YES[1:], f"--data={folder}"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environ,
        )
        os.close(theirs)
        os.write(ours, answer)
        _, said = child.communicate(timeout=60)
        os.close(ours)
        assert b"Is each column what the table says?" in said
        assert code == child.returncode, said
    (row,) = events(folder)
    assert 3 == row["events"]


def test_a_dry_run_stores_nothing_and_tells_the_first_faults(folder: Path) -> None:
    many = [f"{n};soon;x@private.example;5" for n in range(10, 40)]
    sales(folder, "4;01.01.2001 10:00;x@private.example;5", "5", *many)
    dry = run(folder, "import", "sales.csv", *YES, "--dry-run", "--bad-rows=bad.csv", code=4)
    assert "line 5, column Datum: event_time is more than 62 days ago." in dry.stdout
    assert "line 6: 1 cells, but 4 columns" in dry.stdout
    assert "… and 12 more." in dry.stdout
    assert "By reason: 30 time, 1 cells, 1 event_too_old." in dry.stdout
    assert "3 rows are good, 32 are bad." in dry.stdout
    assert "--history" in dry.stderr
    rows = list(csv.DictReader((folder / "bad.csv").read_text().splitlines()))
    assert 32 == len(rows)
    assert {"line": "5", "column": "Datum", "reason": "event_too_old"} == {
        name: rows[0][name] for name in ("line", "column", "reason")
    }
    assert "private" not in dry.stdout + dry.stderr + (folder / "bad.csv").read_text()
    assert [] == events(folder)


def test_one_bad_row_refuses_a_file_unless_it_is_left_out(folder: Path) -> None:
    sales(folder, "4;soon;x@private.example;5")
    refused = json.loads(run(folder, "import", "sales.csv", *YES, "--json", code=4).stdout)
    assert (3, 1, 0) == (refused["good"], refused["bad"], refused["imported"])
    assert [(5, "Datum", "time")] == [
        (error["line"], error["column"], error["reason"]) for error in refused["errors"]
    ]
    assert [] == events(folder)
    done = json.loads(run(folder, "import", "sales.csv", *YES, "--json", "--skip-bad").stdout)
    assert (3, 1, 3) == (done["good"], done["bad"], done["imported"])


def test_a_mapping_is_kept_for_the_next_file(folder: Path) -> None:
    sales(folder)
    run(
        *(folder, "import", "sales.csv", *YES, "--dry-run", "--save-mapping=shop.toml"),
        *("--map", "E-Mail=external_id", "--map", "Betrag=", "--set", "event_name=Visit"),
    )
    # What it leaves out is not guessed, and nobody is asked.
    done = json.loads(run(folder, "import", "sales.csv", "--mapping=shop.toml", "--json").stdout)
    assert {
        "Beleg-Nr": "order_id",
        "Datum": "event_time",
        "E-Mail": "external_id",
    } == done["mapping"]["columns"]
    assert ["Betrag"] == done["mapping"]["left_aside"]
    (row,) = events(folder)
    assert ("Visit", 3, {}) == (row["event_name"], row["events"], row["value"])


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_formats_hold_the_same(folder: Path, form: str) -> None:
    at = int(time.time()) - 3600
    lines = [
        {"event_name": "Lead", "event_time": at, "user_data": {"em": f"p{n}@private.example"}}
        for n in range(5)
    ]
    source = folder / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    if form == "parquet":
        duckdb.execute(
            f"copy (from read_json('{source}', format = 'newline_delimited')) "
            f"to '{folder / 'a.parquet'}'"
        )
    done = json.loads(run(folder, "import", f"a.{form}", *YES, "--json").stdout)
    assert (5, 5) == (done["good"], done["imported"])
    (row,) = events(folder)
    assert ("Lead", 5) == (row["event_name"], row["events"])


def test_what_is_wrong_with_the_question_is_said(folder: Path) -> None:
    sales(folder)
    for arguments, code, words in (
        (["--set", "valeu=5"], 4, "Did you mean value"),
        (["--map", "Summe=value"], 4, "no column 'Summe'"),
        (["--map", "Betrag=price"], 4, "no field 'price'"),
        (["--map", "Betrag"], 2, "--map COLUMN=FIELD"),
        (["--pixel", "1"], 3, "has no pixel"),
        (["--time-zone", "Mars"], 4, "no time zone"),
        (["--encoding", "klingon"], 4, "no encoding"),
    ):
        assert words in run(folder, "import", "sales.csv", *YES, *arguments, code=code).stderr
    assert "no file" in run(folder, "import", "none.csv", code=4).stderr
