"""The page of campaigns that are delivered here, its twins and its forms."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.catalog import Role
from doublet.delivery.take_in import TakeIn
from tests.dashboard import HOSTILE, Site
from tests.reports.tables import conversion, insert


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def make(site: Site, **more: str) -> dict[str, str]:
    """A campaign with all of its parts; their ids."""
    cells: dict[str, str | None] = {
        **{"campaign": "Autumn", "campaign_status": "ACTIVE"},
        **{"adset": f"Warm {HOSTILE}", "adset_status": "ACTIVE", "daily_budget": "49.90"},
        **{"ad": "Red shoe", "ad_status": "ACTIVE", "link_url": "https://shop.example/"},
        **more,
    }
    (taken,) = TakeIn(site.catalog, site.ours.account).take([(1, cells)])
    assert "made" == taken.outcome, taken.message
    return {"campaign": taken.campaign_id, "adset": taken.adset_id, "ad": taken.ad_id}


def test_an_empty_account_is_told_the_step_that_fills_the_page(site: Site) -> None:
    text = site.get("/delivery", site.ours).text
    assert "No campaign yet" in text
    assert "doublet campaign create" in text
    assert [] == site.get("/delivery.json", site.ours).json()


def test_campaigns_are_shown_with_what_they_brought(site: Site) -> None:
    ids = make(site)
    now = int(time.time())
    mine = {"account_id": site.ours.account.account_id}
    named = {f"{level}_id": each for level, each in ids.items()}
    shown = {**mine, "pixel_id": "", "origin": "ad_log", "platform": "doublet", "is_ad": True}
    insert(
        site.pipeline.engine,
        "touches",
        [
            {**shown, **named, "event_key": n, "kind": kind, "touched_time": now - 60}
            for n, kind in enumerate(["view"] * 5 + ["click"] * 2)
        ],
    )
    clicked = {f"click_{name}": each for name, each in named.items()}
    bought = {**mine, "pixel_id": site.ours.pixel_id, "currency": "EUR", "click_time": now - 60}
    insert(
        site.pipeline.engine,
        "conversions",
        [
            conversion(1, now + 5, **bought, **clicked),
            conversion(2, now + 6, **bought, **clicked),
            conversion(3, now + 7, event_name="Lead", **bought, **clicked),
        ],
    )
    rows = {row["level"]: row for row in site.get("/delivery.json", site.ours).json()}
    assert ids == {level: row["id"] for level, row in rows.items()}
    assert [(5, 2)] * 3 == [(row["impressions"], row["clicks"]) for row in rows.values()]
    ad_set = rows["adset"]
    assert (49.9, "day", "LEARNING", 2, 2, "OFFSITE_CONVERSIONS") == (
        ad_set["budget"],
        ad_set["budget_of"],
        ad_set["learning"],
        ad_set["actions"],
        ad_set["results"],
        ad_set["optimization_goal"],
    )
    assert (None, 2) == (rows["campaign"]["results"], rows["ad"]["results"])
    text = site.get("/delivery", site.ours).text
    assert HOSTILE not in text
    for word in ("Autumn", "Red shoe", "49.90", "a day", "2 of 50", "learning"):
        assert word in text
    told = list(csv.DictReader(io.StringIO(site.get("/delivery.csv", site.ours).text)))
    assert ["campaign", "adset", "ad"] == [each["level"] for each in told]
    assert [] == site.get("/delivery.json", site.theirs).json()


def test_a_form_pauses_and_activates(site: Site) -> None:
    ids = make(site)
    browser = site.user("ada", Role.OWNER)
    assert 303 == browser.post("/delivery/pause", object=ids["campaign"]).status_code

    def statuses() -> list[str]:
        rows = site.get("/delivery.json", site.ours).json()
        return [row["effective_status"] for row in rows]

    assert ["PAUSED", "CAMPAIGN_PAUSED", "CAMPAIGN_PAUSED"] == statuses()
    assert 303 == browser.post("/delivery/activate", object=ids["campaign"]).status_code
    assert 303 == browser.post("/delivery/pause", object=ids["adset"]).status_code
    assert ["ACTIVE", "PAUSED", "ADSET_PAUSED"] == statuses()
    assert 'action="/delivery/activate"' in browser.get("/delivery").text
    whats = [change.what for change in site.catalog.changes.newest()]
    assert ["adset.changed", "campaign.changed", "campaign.changed"] == whats
    reader = site.user("rita", Role.READ_ONLY)
    assert 'action="/delivery/' not in reader.get("/delivery").text


def test_nothing_of_another_account_or_that_is_gone_is_changed(site: Site) -> None:
    ids = make(site)
    browser = site.user("theo", Role.OWNER, site.theirs)
    assert 404 == browser.post("/delivery/pause", object=ids["campaign"]).status_code
    owner = site.user("ada", Role.OWNER)
    found = site.catalog.campaigns.find(site.ours.account.account_id, ids["ad"])
    assert found is not None
    site.catalog.campaigns.change(found, status="DELETED")
    assert 404 == owner.post("/delivery/activate", object=ids["ad"]).status_code
    (creative,) = site.catalog.campaigns.creatives()
    assert 404 == owner.post("/delivery/pause", object=creative.creative_id).status_code
