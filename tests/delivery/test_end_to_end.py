"""The whole way of an ad: asked for, seen, clicked, and a purchase that is credited to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import httpx
import pytest
from deltalake import DeltaTable

from doublet.catalog import Ad, AdSet, Campaign, Catalog, Creative
from doublet.delivery.ledger import Ledger
from doublet.lift import is_held_out
from tests.server import RunningServer, free_port, wait_for

pytestmark = pytest.mark.slow

LINK = "https://shop.example/shoes?color=red#size"


def make_campaign(catalog: Catalog, account_id: str, pixel_id: str, **campaign: Any) -> Ad:
    """A running campaign with one ad set and one ad."""
    common: dict[str, Any] = {"account_id": account_id, "status": "ACTIVE"}
    store = catalog.campaigns
    made = store.create(Campaign(campaign_id="", name="Autumn", **common, **campaign))
    within: dict[str, Any] = {**common, "campaign_id": made.campaign_id}
    ad_set = store.create(
        AdSet(adset_id="", name="All", pixel_id=pixel_id, daily_budget=100_000, **within)
    )
    creative = store.create(
        Creative(creative_id="", account_id=account_id, name="Red", title="Red", link_url=LINK)
    )
    ids: dict[str, Any] = {"adset_id": ad_set.adset_id, "creative_id": creative.creative_id}
    return store.create(Ad(ad_id="", name="Red shoe", **ids, **within))


class Site:
    """A server with a decider, and what is asked of them."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.server = RunningServer(
            folder, "--set=decide_workers=1", f"--set=decide_port={self.port}", workers=1
        )
        self.catalog = Catalog(self.server.settings.catalog_url)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False
        )

    def decide(self, **body: Any) -> dict[str, Any]:
        """The answer to one question."""
        answer = self.client.post("/v1/decide", json=body, headers=self.server.headers)
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def decide_at_last(self, ad_id: str, **body: Any) -> dict[str, Any]:
        """The first answer that has this ad."""

        def look() -> dict[str, Any] | None:
            found = self.decide(**body)
            return found if ad_id in [each["ad_id"] for each in found["ads"]] else None

        found = self.server.wait_until(look, 60, f"an answer with {ad_id}")
        assert found is not None
        return found

    def touches(self) -> list[dict[str, Any]]:
        """The lake's ad touches."""
        return self._rows("ad_touches")

    def decisions(self) -> list[dict[str, Any]]:
        """The lake's decisions on ads."""
        return self._rows("ad_decisions")

    def _rows(self, name: str) -> list[dict[str, Any]]:
        table = DeltaTable(str(self.server.settings.lake_folder / name))
        if not table.file_uris():
            return []
        asked = duckdb.execute(
            "select * from read_parquet($p) order by received_at", {"p": table.file_uris()}
        )
        names = [column[0] for column in asked.description]
        return [dict(zip(names, row, strict=True)) for row in asked.fetchall()]

    def close(self) -> None:
        """Stop all."""
        self.client.close()
        self.catalog.close()
        try:
            assert 0 == self.server.stop()
            self.server.wait_until_gone()
        finally:
            self.server.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def purchase(site: Site, fbp: str, fbc: str, event_id: str) -> None:
    """A Purchase over the Conversions API, with the cookies of the click's browser."""
    event = {
        "event_name": "Purchase",
        "event_time": int(time.time()),
        "event_id": event_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {"fbp": fbp, "fbc": fbc, "client_user_agent": "Firefox"},
        "custom_data": {"value": 49.5, "currency": "USD"},
    }
    url = f"{site.server.url}/v25.0/{site.server.pixel_id}/events"
    answer = httpx.post(url, json={"data": [event], "access_token": site.server.access_token})
    assert 200 == answer.status_code, answer.text


def test_an_ad_is_chosen_seen_clicked_and_credited(site: Site) -> None:
    account_id = site.server.account_id
    assert not site.decide()["ads"]
    ad = make_campaign(site.catalog, account_id, site.server.pixel_id)
    now_ms = int(time.time() * 1000)
    fbp = f"fb.1.{now_ms}.1234567890"
    found = site.decide_at_last(ad.ad_id, fbp=fbp, placement="home", explain=True)
    (chosen,) = found["ads"]
    assert ("prior", "Red") == (found["policy"], chosen["creative"]["title"])
    assert "shown" == found["explanation"][0]["outcome"]
    # Nothing of the person can be read in the links.
    assert "1234567890" not in chosen["impression_url"]
    seen = site.client.get(chosen["impression_url"])
    assert (200, "image/gif") == (seen.status_code, seen.headers["content-type"])
    clicked = site.client.get(chosen["click_url"])
    assert 302 == clicked.status_code
    landing = clicked.headers["location"]
    assert landing.startswith("https://shop.example/shoes?color=red&fbclid=")
    assert landing.endswith("#size")
    (fbclid,) = parse_qs(urlsplit(landing).query)["fbclid"]
    purchase(site, fbp, f"fb.1.{now_ms}.{fbclid}", "order-1")

    def credited() -> list[dict[str, Any]]:
        found = site.server.run("report", "credits", "--event-name", "Purchase")
        return [row for row in found["rows"] if row["ad_id"] == ad.ad_id and row["kind"] == "click"]

    assert wait_for(credited, 60, "the purchase is the ad's")


def test_a_repetition_costs_nothing_and_what_was_changed_is_refused(site: Site) -> None:
    ad = make_campaign(site.catalog, site.server.account_id, site.server.pixel_id)
    found = site.decide_at_last(ad.ad_id, n=3)
    chosen = next(each for each in found["ads"] if each["ad_id"] == ad.ad_id)
    for _ in range(3):
        assert 200 == site.client.get(chosen["impression_url"]).status_code
    name = f"{found['decision_id']}.{chosen['position']}.v"

    def views() -> list[dict[str, Any]]:
        return [each for each in site.touches() if each["touch_id"] == name]

    assert 1 == len(wait_for(views, 30, "the view is loaded"))
    for path in ("/v1/c", "/v1/i"):
        for changed in (chosen["click_url"][:-3] + "AAA", "?t=", "?t=https://evil.example"):
            sealed = changed.partition("?t=")[2]
            answer = site.client.get(path, params={"t": sealed})
            assert 400 == answer.status_code
            assert "location" not in answer.headers
            assert "exactly as" in answer.json()["error"]["error_user_msg"]


def test_who_is_held_out_gets_another_ad_and_the_lift_report_sees_both_arms(site: Site) -> None:
    ad = make_campaign(
        site.catalog, site.server.account_id, site.server.pixel_id, holdout_share=0.5
    )
    people = [f"fb.1.1780000000000.{n}" for n in range(30)]
    site.decide_at_last(ad.ad_id, n=5)
    for fbp in people:
        found = site.decide(fbp=fbp, n=5)
        for each in found["ads"]:
            assert 200 == site.client.get(each["impression_url"]).status_code
        is_shown = ad.ad_id in [each["ad_id"] for each in found["ads"]]
        assert is_shown != is_held_out(ad.campaign_id, f"fbp={fbp}", 0.5)
        assert found["ads"]
    held = {fbp for fbp in people if is_held_out(ad.campaign_id, f"fbp={fbp}", 0.5)}

    def arms() -> dict[str, set[str]]:
        mine = [each for each in site.touches() if each["experiment"] == ad.campaign_id]
        return {
            kind: {each["user_data"]["fbp"] for each in mine if each["kind"] == kind}
            for kind in ("view", "held_out")
        }

    wait_for(lambda: arms() == {"view": set(people) - held, "held_out": held}, 30, "both arms")

    def lift() -> Any:
        found = site.server.run("lift", "report", "--experiment", ad.campaign_id)
        print(found)
        return found if str(len(held)) in str(found) else None

    assert wait_for(lift, 60, "the lift report")


def test_what_is_billed_is_what_the_touches_cost(site: Site) -> None:
    ad = make_campaign(site.catalog, site.server.account_id, site.server.pixel_id)
    for _ in range(20):
        site.decide_at_last(ad.ad_id, n=5)
    mine = [each for each in site.decisions() if each["adset_id"] == ad.adset_id]
    wait_for(lambda: len([d for d in site.decisions() if d["adset_id"] == ad.adset_id]) >= 20)
    ledger = Ledger(site.server.settings.delivery_folder / "ledger.sqlite")
    try:
        (standing,) = [
            each
            for key, each in ledger.standings().items()
            if key.adset_id == ad.adset_id and each.held
        ]
    finally:
        ledger.close_file()
    reserved = sum(int(each["price"] * 10_000) for each in mine)
    assert reserved <= standing.held <= standing.amount
