"""`doublet campaign …`: made, listed, shown, paused, deleted, and as a sheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from doublet.catalog import Account, Catalog
from doublet.cli import app
from doublet.errors import DoubletError, OperatorError, SenderError
from doublet.settings import Settings
from tests.delivery.objects import LINK


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(Settings(data=tmp_path).catalog_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def account(catalog: Catalog) -> Account:
    made = catalog.create_account("Shop")
    catalog.create_pixel(made.account_id, "Site")
    return made


def run(tmp_path: Path, *arguments: str) -> str:
    """What a command prints. Raises what it raises."""
    words = ["campaign", *arguments, "--data", str(tmp_path)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    return done.stdout


def told(tmp_path: Path, *arguments: str) -> Any:
    return json.loads(run(tmp_path, *arguments, "--json"))


CREATE = ("create", "Autumn", "--link", LINK, "--daily-budget", "49.90")


def test_a_campaign_is_made_whole_and_waits(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    made = told(tmp_path, *CREATE, "--frequency", "2/7", "--placement", "feed", "--title", "New")
    assert ("Autumn", "PAUSED", "Autumn", 4990, "Autumn") == (
        made["name"],
        made["status"],
        made["ad_sets"][0]["name"],
        made["ad_sets"][0]["daily_budget"],
        made["ads"][0]["name"],
    )
    listed = told(tmp_path, "list")
    assert [("campaign", "PAUSED"), ("adset", "CAMPAIGN_PAUSED"), ("ad", "CAMPAIGN_PAUSED")] == [
        (row["level"], row["status"]) for row in listed
    ]
    run(tmp_path, "activate", "Autumn")
    assert {"ACTIVE"} == {row["status"] for row in told(tmp_path, "list")}
    plain = run(tmp_path, "list")
    assert "  Autumn" in plain
    assert "49.90 a day" in plain
    assert "daily_budget" not in run(tmp_path, "show", "Autumn")
    shown = told(tmp_path, "show", made["ads"][0]["ad_id"])
    assert ("New", LINK) == (shown["creative"]["title"], shown["creative"]["link_url"])
    whats = [change.what for change in catalog.changes.newest()]
    assert ["campaign.changed", "campaign.created"] == whats


def test_an_ad_set_is_paused_and_a_campaign_deleted(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    made = told(tmp_path, *CREATE, "--active")
    run(tmp_path, "pause", made["ad_sets"][0]["adset_id"])
    assert ["ACTIVE", "PAUSED", "ADSET_PAUSED"] == [r["status"] for r in told(tmp_path, "list")]
    with pytest.raises(OperatorError, match="Say --yes"):
        run(tmp_path, "delete", "Autumn")
    run(tmp_path, "delete", "Autumn", "--yes")
    assert [] == told(tmp_path, "list")
    with pytest.raises(SenderError, match="is deleted"):
        run(tmp_path, "activate", made["campaign_id"])
    assert "campaign.removed" == catalog.changes.newest()[0].what


WRONG: list[tuple[tuple[str, ...], type[DoubletError], str]] = [
    (("create", "A"), SenderError, "either daily_budget or lifetime_budget"),
    (("create", "A", "--daily-budget", "x"), SenderError, "no amount"),
    ((*CREATE, "--strategy", "COST_CAP"), SenderError, "needs a bid_amount"),
    ((*CREATE, "--goal", "THRUPLAY"), SenderError, "optimization_goal must be one of"),
    ((*CREATE, "--pixel", "12"), OperatorError, "has no pixel"),
    (("show", "Nobody"), OperatorError, "no campaign 'Nobody'"),
    (("pause", "Nobody"), OperatorError, "no campaign 'Nobody'"),
    (("import", "nothing.csv"), SenderError, "no file"),
]


def test_what_cannot_be_is_told_and_nothing_is_made(
    tmp_path: Path, catalog: Catalog, account: Account
) -> None:
    for arguments, error, said in WRONG:
        with pytest.raises(error, match=said):
            run(tmp_path, *arguments)
    assert [] == catalog.campaigns.campaigns()
    run(tmp_path, *CREATE)
    with pytest.raises(SenderError, match="campaign 'Autumn' already"):
        run(tmp_path, *CREATE)


def test_a_sheet_goes_out_and_in_again(tmp_path: Path, catalog: Catalog, account: Account) -> None:
    run(tmp_path, *CREATE)
    file = tmp_path / "campaigns.csv"
    assert "1 rows are in" in run(tmp_path, "export", str(file))
    assert "1 are as it is" in run(tmp_path, "import", str(file))
    with file.open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row == told(tmp_path, "export")[0]
    rows = [
        row | {"daily_budget": "60"},
        row | {"ad_id": "", "ad": "Blue shoe", "daily_budget": ""},
        row | {"campaign_id": "", "campaign": "Other", "adset_id": "", "objective": "SALES"},
    ]
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(row))
        writer.writeheader()
        writer.writerows(rows)
    for arguments in (("--dry-run",), ()):
        with pytest.raises(SenderError, match="1 of 3 rows are bad"):
            run(tmp_path, "import", str(file), *arguments)
        expected = (1, 4990) if arguments else (2, 6000)
        (ad_set,) = catalog.campaigns.ad_sets()
        assert expected == (len(catalog.campaigns.ads()), ad_set.daily_budget)
    change = catalog.changes.newest()[0]
    assert ("campaigns.imported", "campaigns.csv") == (change.what, change.target)
    assert {"made": 1, "changed": 1, "same": 0, "wrong": 1} == change.details
    assert run(tmp_path, "export").startswith("campaign_id,campaign,")


def test_an_import_tells_programs_what_became_of_each_row(tmp_path: Path, account: Account) -> None:
    file = tmp_path / "campaigns.csv"
    file.write_text(
        "campaign;adset;ad;daily_budget;link_url\n"
        f"Autumn;Warm;Red;50;{LINK}\n"
        f"Autumn;Warm;Blue;;{LINK}\n"
        "Autumn;Warm\n"
    )
    words = ["campaign", "import", str(file), "--json", "--data", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, SenderError)
    rows = json.loads(done.stdout)["rows"]
    assert [(2, "made"), (3, "made"), (4, "wrong")] == [(r["row"], r["outcome"]) for r in rows]
    assert rows[0]["adset_id"] == rows[1]["adset_id"]
    file.write_text("name;budget\nAutumn;50\n")
    with pytest.raises(SenderError, match="'name' means nothing"):
        run(tmp_path, "import", str(file))
