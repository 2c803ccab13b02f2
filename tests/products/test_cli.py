"""`doublet product` as people and programs use it."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.catalog import Catalog
from doublet.settings import Settings
from tests.imports.calling import run
from tests.products.test_feeds import FEEDS, shop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    catalog = Catalog(Settings(data=tmp_path).catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    return tmp_path


def listed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run(folder, "product", "list", "--json", *arguments).stdout
    )
    return found


def test_a_feed_is_looked_through_imported_and_listed(folder: Path) -> None:
    feed = str(FEEDS / "merchant.xml")
    dry = run(folder, "product", "import", feed, "--dry-run")
    assert "3 products are good, 0 rows are bad" in dry.stdout
    assert "Nothing was stored" in dry.stdout
    assert not listed(folder)
    done = run(folder, "product", "import", feed)
    assert "3 products: 3 new, 0 changed, 0 as before; 0 are gone." in done.stdout
    assert ["BH-1001-42", "BH-1001-43", "BH-2000"] == [row["product_id"] for row in listed(folder)]
    assert ["BH-2000"] == [row["product_id"] for row in listed(folder, "--category", "climbing")]
    counts = {row["category"]: row["products"] for row in listed(folder, "--categories")}
    assert 1 == counts["Shoes > Running > Trail"]
    again = run(folder, "product", "import", str(FEEDS / "atom.xml"), "--keep", "--json")
    assert {"added": 1, "changed": 0, "same": 0, "removed": 0}.items() <= json.loads(
        again.stdout
    ).items()
    assert "There are more" in run(folder, "product", "list", "--limit", "1").stderr
    assert not list((folder / "tmp").iterdir())
    changes = Catalog(Settings(data=folder).catalog_url)
    assert "products.imported" in {change.what for change in changes.changes.newest()}
    changes.close()


def test_bad_rows_refuse_a_feed_unless_they_are_left_out(folder: Path) -> None:
    feed = folder / "feed.csv"
    feed.write_text("id,title,price\n1,Good,5\n,No id,5\n3,Dear,dear\n4,a,b,c\n", "utf-8")
    refused = run(folder, "product", "import", "feed.csv", code=4)
    assert "3 rows of feed.csv are bad; nothing was imported" in refused.stderr
    assert "line 3, id: It has no id" in refused.stdout
    assert not listed(folder)
    run(folder, "product", "import", "feed.csv", "--skip-bad", "--bad-rows", "bad.csv")
    assert [("1", "5")] == [(row["product_id"], row["price"]) for row in listed(folder)]
    with (folder / "bad.csv").open(encoding="utf-8", newline="") as lines:
        assert ["3", "4", "5"] == [row["line"] for row in csv.DictReader(lines)]


def test_a_feed_that_breaks_off_leaves_what_was_there(folder: Path) -> None:
    run(folder, "product", "import", str(FEEDS / "merchant.xml"))
    half = folder / "half.xml"
    half.write_text((FEEDS / "merchant.xml").read_text("utf-8")[:1200], "utf-8")
    refused = run(folder, "product", "import", "half.xml", "--skip-bad", code=4)
    assert "half.xml: It is no whole XML" in refused.stderr
    assert 3 == len(listed(folder))


def test_a_feed_is_fetched(folder: Path) -> None:
    with shop() as url:
        run(folder, "product", "import", f"{url}/products.json", "--id", "product")
        links = [row["link"] for row in listed(folder)]
        assert [f"{url}/products/trail-shoe", f"{url}/products/cap"] == links
        missing = run(folder, "product", "import", f"{url}/nothing", code=4)
    assert "answers 404" in missing.stderr


def test_the_match_of_what_was_bought(folder: Path) -> None:
    assert "No events" in run(folder, "product", "match").stderr
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - 86_400))
    sales = folder / "sales.csv"
    sales.write_text(
        "order_id,time,email,total,content_ids\n"
        f"1,{at},a@x.example,5,BH-2000\n2,{at},b@x.example,5,BH-9\n3,{at},a@x.example,5,bh-2000\n",
        "utf-8",
    )
    more = ("--yes", "--set", "action_source=physical_store", "--set", "event_name=Purchase")
    maps = ("--map", "time=event_time", "--map", "total=value", "--map", "content_ids=content_ids")
    run(folder, "import", "sales.csv", *more, *maps)
    run(folder, "product", "import", str(FEEDS / "merchant.xml"))
    found = json.loads(run(folder, "product", "match", "--json").stdout)
    assert 3 == found["products"]
    (row,) = found["rows"]
    assert ("Purchase", 3, 1, 2) == (
        row["event_name"],
        row["events"],
        row["all_known"],
        row["none_known"],
    )
    assert {"BH-9": "", "bh-2000": "BH-2000"} == {
        each["content_id"]: each["likely"] for each in found["unknown"]
    }
    shown = run(folder, "product", "match")
    assert "33.3%" in shown.stdout
    assert "Write it as the feed does" in shown.stdout


def test_the_rule_of_a_category(folder: Path) -> None:
    run(folder, "product", "import", str(FEEDS / "merchant.xml"))
    made = run(folder, "product", "audience", "--category", "Shoes>running", "--unless", "nothing")
    rule = json.loads(made.stdout)
    assert ["inclusions"] == list(rule)
    ids = rule["inclusions"]["rules"][0]["filter"]["filters"][1]["value"]
    assert ["BH-1001", "BH-1001-42"] == ids
    unknown = run(folder, "product", "audience", "--product", "nothing", code=4)
    assert "no product or group 'nothing'" in unknown.stderr
    run(folder, "product", "audience", code=2)


def test_an_audience_of_a_category_follows_the_feed(folder: Path) -> None:
    run(folder, "product", "import", str(FEEDS / "merchant.xml"))
    run(folder, "product", "audience", "--category", "Climbing", "--name", "Climbers")
    run(folder, "product", "audience", "--product", "BH-1001", "--name", "By hand")
    feed = folder / "feed.csv"
    feed.write_text("id,product_type\nR-1,Climbing > Ropes\nR-2,climbing\n", "utf-8")
    catalog = Catalog(Settings(data=folder).catalog_url)
    other, first = sorted(catalog.audiences.all(), key=lambda each: each.name)
    assert ("Climbers", "WEBSITE", 30) == (first.name, first.subtype, first.retention_days)
    assert "BH-2000" in first.rule
    done = run(folder, "product", "import", "feed.csv")
    assert "Audience Climbers follows the feed" in done.stderr
    assert "Audience By hand stays as it was: The feed has no product" in done.stderr
    stays, renewed = sorted(catalog.audiences.all(), key=lambda each: each.name)
    assert '["R-1","R-2"]' in renewed.rule
    assert other == stays
    # A rule that somebody wrote is his.
    catalog.audiences.save(msgspec.structs.replace(renewed, rule=other.rule))
    run(folder, "product", "import", str(FEEDS / "merchant.xml"))
    assert {other.rule} == {each.rule for each in catalog.audiences.all()}
    catalog.close()
