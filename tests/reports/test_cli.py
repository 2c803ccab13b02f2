"""`doublet report …`, the reports of conversions, as people and programs use them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest

from doublet.reports.registry import REPORTS
from tests.imports.calling import run
from tests.imports.test_cli import YES, folder, sales

__all__ = ["folder"]

NAMES = list(REPORTS)


@pytest.fixture
def sold(folder: Path) -> Path:
    """Three purchases of three persons, by an import."""
    sales(folder)
    run(folder, "import", "sales.csv", *YES)
    return folder


def test_reports_are_tables_for_people(sold: Path) -> None:
    customers = run(sold, "report", "new_returning", "--by", "month")
    assert "returning" in customers.stdout
    assert "whoever bought before that counts as new" in customers.stderr
    paths = run(sold, "report", "paths")
    assert "(no touch known)" in paths.stdout
    assert "100 %" in paths.stdout
    assert "0 of 3 conversions came after a touch" in paths.stderr
    campaigns = run(sold, "report", "campaigns")
    assert "(not attributed)" in campaigns.stdout
    assert "7d_click" in campaigns.stdout
    assert "Money is in EUR" in campaigns.stderr
    cohorts = run(sold, "report", "cohorts")
    assert "EUR per person" in cohorts.stdout
    extra = run(sold, "report", "server_extra")
    assert "would have missed 3 of 3" in extra.stderr
    funnel = run(
        sold, "report", "funnels", "--event-name", "Purchase", "--event-name", "Lead", "--days=3"
    )
    assert "2. Lead" in funnel.stdout
    assert "0 of 3 persons took all steps" in funnel.stderr


def test_what_is_left_open_is_as_the_account_says(sold: Path) -> None:
    def campaigns(*flags: str) -> tuple[str, str]:
        found = json.loads(run(sold, "report", "campaigns", "--json", *flags).stdout)
        return found["setting"], str(found["total"]["results"][0]["conversions"])

    assert ("7d_click,1d_ev,1d_view", "3") == campaigns()
    (account,) = json.loads(run(sold, "account", "list", "--json").stdout)
    told = ("--attribution", "28d_click", "--conversion", "Lead", "--count", "first")
    run(sold, "account", "edit", account["id"], *told)
    assert ("28d_click", "0") == campaigns()
    named = ("--event-name", "Purchase", "--all", "--setting", "none")
    assert ("none", "3") == campaigns(*named)


@pytest.mark.parametrize("name", NAMES)
def test_programs_get_the_same_in_each_form(sold: Path, name: str) -> None:
    report = json.loads(run(sold, "report", name, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(run(sold, "report", name, "--csv").stdout)))
    done = run(sold, "report", name, "--parquet", "rows.parquet")
    assert "Wrote rows.parquet" in done.stderr
    assert "" == done.stdout
    (found,) = duckdb.connect().sql(f"select count(*) from '{sold / 'rows.parquet'}'").fetchall()
    assert (len(rows),) == found
    assert (not rows) == (not report["rows"])


def test_pictures_are_drawn_into_files(sold: Path) -> None:
    done = run(sold, "report", "refunds", "--png", "a.png", "--svg", "a.svg", "--json")
    assert b"\x89PNG" == (sold / "a.png").read_bytes()[:4]
    assert "What is left of purchases" in (sold / "a.svg").read_text()
    assert 3 == json.loads(done.stdout)["total"]["orders"]
    assert "Drew a.png" in done.stderr
    nowhere = run(sold, "report", "refunds", "--png", "none/a.png", code=3)
    assert "cannot be written" in nowhere.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_report_says_what_fills_it(folder: Path, name: str) -> None:
    done = run(folder, "report", name)
    assert "appear here" in done.stderr
    assert "" == done.stdout
    filtered = run(folder, "report", name, "--since", "2026-01-01")
    assert "Nothing matches" in filtered.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("campaigns", "--setting", "3d_click"), "no attribution setting"),
        (("campaigns", "--window", "3d_view"), "no window"),
        (("campaigns", "--model", "guess"), "choose from last_touch"),
        (("paths", "--days", "0"), "days"),
        (("funnels", "--event-name", "Purchase"), "2 to 20 times"),
        (("paths", "--json", "--csv"), "two forms"),
        (("paths", "--since", "2026-02-01", "--until", "2026-01-01"), "swap them"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = run(folder, "report", *arguments, code=2)
    assert words in " ".join(done.stderr.replace("│", " ").split())
