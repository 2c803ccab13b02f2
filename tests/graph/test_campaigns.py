"""Campaigns through Meta's SDK: all four kinds made, read back, changed, paused and deleted."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.campaign import Campaign
from facebook_business.exceptions import FacebookRequestError

from doublet.catalog import Audience
from tests.dashboard import Shop, Site
from tests.graph.ads import account, fill, ids, noon_s
from tests.graph.audiences import refused
from tests.reports.tables import conversion, insert

pytestmark = pytest.mark.usefixtures("api")

DAY_S = 86_400
LINK = "https://shop.example/shoes"
STORY: dict[str, Any] = {
    "page_id": "1234",
    "link_data": {
        "link": LINK,
        "message": "New shoes are here",
        "name": "Red shoe",
        "description": "Free delivery",
        "picture": "https://shop.example/red.jpg",
        "call_to_action": {"type": "SHOP_NOW", "value": {"link": LINK}},
    },
}


def make_campaign(site: Site, **more: Any) -> Campaign:
    params = {
        "name": "Autumn",
        "objective": Campaign.Objective.outcome_sales,
        "status": Campaign.Status.paused,
        "special_ad_categories": [],
        **more,
    }
    return account(site).create_campaign(params=params)


def ad_set_params(site: Site, campaign: Campaign, **more: Any) -> dict[str, Any]:
    given = {
        "name": "Warm visitors",
        "campaign_id": campaign["id"],
        "daily_budget": 5000,
        "optimization_goal": AdSet.OptimizationGoal.offsite_conversions,
        "billing_event": AdSet.BillingEvent.impressions,
        "bid_strategy": AdSet.BidStrategy.lowest_cost_without_cap,
        "promoted_object": {"pixel_id": site.ours.pixel_id, "custom_event_type": "PURCHASE"},
        "status": AdSet.Status.active,
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def make_ad_set(site: Site, campaign: Campaign, **more: Any) -> AdSet:
    return AdSet(account(site).create_ad_set(params=ad_set_params(site, campaign, **more))["id"])


def make_ad(site: Site, ad_set: AdSet, **more: Any) -> Ad:
    params = {
        "name": "Red shoe",
        "adset_id": ad_set["id"],
        "creative": {"name": "Red", "object_story_spec": STORY},
        "status": "ACTIVE",
        **more,
    }
    return account(site).create_ad(params=params)


def fields_of(each: Any, fields: str) -> Any:
    """Fields that the SDK's class does not name, or names of fields of fields."""
    return each.api_get(params={"fields": fields})


def audience(site: Site, name: str) -> str:
    wanted = Audience("", site.ours.account.account_id, name, "CUSTOM")
    return site.catalog.audiences.create(wanted).audience_id


def test_the_sdk_makes_a_campaign_and_an_ad_set_and_reads_them_back(site: Site) -> None:
    campaign = make_campaign(site, doublet_holdout_share=0.1)
    read = fields_of(
        campaign, "name,objective,status,effective_status,doublet_holdout_share,buying_type"
    )
    assert ("Autumn", "OUTCOME_SALES", "PAUSED", "PAUSED", 0.1, "AUCTION") == (
        read["name"],
        read["objective"],
        read["status"],
        read["effective_status"],
        read["doublet_holdout_share"],
        read["buying_type"],
    )
    wanted, unwanted = audience(site, "Warm"), audience(site, "Buyers")
    targeting = {
        "custom_audiences": [{"id": wanted}],
        "excluded_custom_audiences": [{"id": unwanted, "name": "Buyers"}],
        "publisher_platforms": ["doublet"],
        "doublet_positions": ["home_top", "feed"],
        "targeting_automation": {"advantage_audience": 0},
    }
    caps = [{"event": "IMPRESSIONS", "interval_days": 7, "max_frequency": 3}]
    ad_set = make_ad_set(
        site,
        campaign,
        bid_strategy="COST_CAP",
        bid_amount=900,
        targeting=targeting,
        frequency_control_specs=caps,
        end_time="2099-12-31T23:59:59+0000",
    )
    fields = [
        *("campaign_id", "daily_budget", "lifetime_budget", "bid_amount", "bid_strategy"),
        *("billing_event", "optimization_goal", "promoted_object", "targeting", "end_time"),
        *("frequency_control_specs", "effective_status", "campaign", "learning_stage_info"),
    ]
    told = ad_set.api_get(fields).export_all_data()
    del targeting["targeting_automation"]
    targeting["excluded_custom_audiences"] = [{"id": unwanted}]
    learning = told.pop("learning_stage_info")
    assert ("LEARNING", 0, 50, 7) == (
        learning["status"],
        learning["conversions"],
        learning["dynamic_lp_conversions_threshold"],
        learning["dynamic_lp_days_threshold"],
    )
    assert abs(learning["last_sig_edit_ts"] - time.time()) < 60
    assert told == {
        "id": ad_set["id"],
        "campaign_id": campaign["id"],
        "campaign": {"id": campaign["id"]},
        "daily_budget": "5000",
        "lifetime_budget": "0",
        "bid_amount": 900,
        "bid_strategy": "COST_CAP",
        "billing_event": "IMPRESSIONS",
        "optimization_goal": "OFFSITE_CONVERSIONS",
        "promoted_object": {"pixel_id": site.ours.pixel_id, "custom_event_type": "PURCHASE"},
        "targeting": targeting,
        "frequency_control_specs": caps,
        "end_time": "2100-01-01T00:59:59+0100",
        "effective_status": "CAMPAIGN_PAUSED",
    }


def test_the_sdk_makes_an_ad_of_a_creative_and_reads_both_back(site: Site) -> None:
    campaign = make_campaign(site)
    ad_set = make_ad_set(site, campaign)
    creative = account(site).create_ad_creative(params={"name": "Red", "object_story_spec": STORY})
    ad = make_ad(site, ad_set, creative={"creative_id": creative["id"]})
    shown = fields_of(ad, "name,adset_id,campaign_id,creative{id,title,body},adset")
    assert {"id": creative["id"], "title": "Red shoe", "body": "New shoes are here"} == dict(
        shown["creative"]
    )
    assert (ad_set["id"], campaign["id"], ad_set["id"]) == (
        shown["adset_id"],
        shown["campaign_id"],
        shown["adset"]["id"],
    )
    kept = AdCreative(creative["id"]).api_get(["object_story_spec", "link_url", "image_url"])
    story = {**STORY["link_data"], "call_to_action": {"type": "SHOP_NOW"}}
    assert story == kept["object_story_spec"].export_all_data()["link_data"]
    assert (LINK, "https://shop.example/red.jpg") == (kept["link_url"], kept["image_url"])


def test_edges_list_what_is_part_of_what_and_pages_follow(site: Site) -> None:
    fill(site)
    campaign = make_campaign(site)
    other = make_campaign(site, name="Other", status="ACTIVE")
    sets = [make_ad_set(site, campaign, name=f"Set {n}") for n in range(3)]
    ads = [make_ad(site, sets[0], name=f"Ad {n}") for n in range(3)]
    ours = {campaign["id"], other["id"]}
    imported = {ids(n)["campaign_id"] for n in (0, 4)}
    found = account(site).get_campaigns(["name"], {"limit": 1})
    assert ours | imported == {each["id"] for each in found}
    active = {"effective_status": ["ACTIVE"]}
    assert [other["id"]] == [each["id"] for each in account(site).get_campaigns([], active)]
    assert {each["id"] for each in sets} == {each["id"] for each in campaign.get_ad_sets()}
    assert {each["id"] for each in ads} == {each["id"] for each in campaign.get_ads(["name"])}
    assert {each["id"] for each in ads} == {each["id"] for each in sets[0].get_ads()}
    assert [] == list(other.get_ads())
    (creative,) = ads[0].get_ad_creatives(["body"])
    assert "New shoes are here" == creative["body"]
    assert 3 == len(list(sets[0].get_ad_creatives()))
    assert 3 == len(list(account(site).get_ad_creatives()))
    learned = campaign.get_ad_sets(["learning_stage_info"])
    assert {"LEARNING"} == {each["learning_stage_info"]["status"] for each in learned}


def test_they_are_changed_paused_and_deleted_and_it_is_recorded(site: Site) -> None:
    campaign = make_campaign(site)
    ad_set = make_ad_set(site, campaign)
    ad = make_ad(site, ad_set)
    campaign.api_update(params={"status": "ACTIVE", "name": "Winter"})
    ad_set.api_update(
        params={"daily_budget": 0, "lifetime_budget": 9000, "end_time": 4_000_000_000}
    )
    read = ad_set.api_get(["daily_budget", "lifetime_budget", "effective_status"])
    assert ("0", "9000", "ACTIVE") == (
        read["daily_budget"],
        read["lifetime_budget"],
        read["effective_status"],
    )
    ad.api_update(params={"status": "PAUSED"})
    assert "PAUSED" == ad.api_get(["effective_status"])["effective_status"]
    ad.api_update(params={"creative": {"body": "Sale", "object_url": LINK, "name": "Sale"}})
    assert "Sale" == fields_of(ad, "creative{body}")["creative"]["body"]
    campaign.api_delete()
    for each in (campaign, ad_set, ad):
        assert "DELETED" == each.api_get(["effective_status"])["effective_status"]
        with pytest.raises(FacebookRequestError, match="deleted cannot be changed"):
            each.api_update(params={"name": "Again"})
    assert [] == list(account(site).get_ads())
    gone = {"effective_status": ["DELETED"]}
    assert [ad["id"]] == [each["id"] for each in account(site).get_ads([], gone)]
    whats = [change.what for change in site.catalog.changes.newest()]
    assert whats == [
        *("campaign.removed", "ad.changed", "ad.changed", "adset.changed", "campaign.changed"),
        *("ad.created", "adset.created", "campaign.created"),
    ]
    assert site.catalog.campaigns.version() == 10


def test_a_creative_stays_as_it_is_and_while_it_is_shown(site: Site) -> None:
    ad = make_ad(site, make_ad_set(site, make_campaign(site)))
    creative = AdCreative(ad.api_get(["creative"])["creative"]["id"])
    with pytest.raises(FacebookRequestError, match="give the ad another one"):
        creative.api_update(params={"body": "Other"})
    creative.api_update(params={"name": "Renamed"})
    assert "Renamed" == creative.api_get(["name"])["name"]
    with pytest.raises(FacebookRequestError, match="1 ad shows this creative"):
        creative.api_delete()
    ad.api_delete()
    creative.api_delete()
    assert [] == list(account(site).get_ad_creatives())


def test_insights_of_a_campaign_answer_before_and_after_it_delivers(site: Site) -> None:
    campaign = make_campaign(site)
    ad_set = make_ad_set(site, campaign)
    ad = make_ad(site, ad_set)
    assert [] == list(campaign.get_insights(["impressions", "campaign_name"]))
    insert(
        site.pipeline.engine,
        "touches",
        [
            {
                "account_id": site.ours.account.account_id,
                "pixel_id": "",
                "event_key": 7,
                "origin": "ad_log",
                "kind": "view",
                "touched_time": noon_s(1),
                "platform": "doublet",
                "is_ad": True,
                "campaign_id": campaign["id"],
                "adset_id": ad_set["id"],
                "ad_id": ad["id"],
            }
        ],
    )
    params = {"date_preset": "last_7d", "level": "ad"}
    (row,) = campaign.get_insights(["impressions", "campaign_name", "ad_name"], params)
    assert ("1", "Autumn", "Red shoe") == (row["impressions"], row["campaign_name"], row["ad_name"])


def test_the_learning_stage_counts_credited_conversions_since_the_last_edit(site: Site) -> None:
    ad_set = make_ad_set(site, make_campaign(site))
    now = int(time.time())
    mine = {"account_id": site.ours.account.account_id, "pixel_id": site.ours.pixel_id}
    rows = [
        conversion(n, now + n, click_time=now - 60, click_adset_id=ad_set["id"], **mine)
        for n in range(49)
    ]
    rows += [
        conversion(
            100, now - DAY_S, click_time=now - 2 * DAY_S, click_adset_id=ad_set["id"], **mine
        ),
        conversion(101, now + 9, click_time=now - 8 * DAY_S, click_adset_id=ad_set["id"], **mine),
        conversion(102, now + 9, click_time=now, click_adset_id="901", **mine),
        conversion(
            *(103, now + 9),
            **{"event_name": "Lead", "click_time": now, "click_adset_id": ad_set["id"], **mine},
        ),
    ]
    insert(site.pipeline.engine, "conversions", rows)

    def stage() -> tuple[str, int]:
        found = ad_set.api_get(["learning_stage_info"])["learning_stage_info"]
        return found["status"], found["conversions"]

    assert ("LEARNING", 49) == stage()
    shown = conversion(104, now + 9, view_time=now, view_adset_id=ad_set["id"], **mine)
    insert(site.pipeline.engine, "conversions", [shown])
    assert ("SUCCESS", 50) == stage()
    ad_set.api_update(params={"optimization_goal": "IMPRESSIONS"})
    assert ("WAIVING", 0) == stage()


def test_what_is_only_checked_is_not_made(site: Site) -> None:
    params = {"execution_options": ["validate_only"]}
    make_campaign(site, **params)
    assert [] == site.catalog.campaigns.campaigns()
    campaign = make_campaign(site)
    answer = post(site, "adsets", ad_set_params(site, campaign, **params))
    assert {"success": True} == answer.json()
    assert [] == site.catalog.campaigns.ad_sets()


def post(site: Site, edge: str, params: dict[str, Any], shop: Shop | None = None) -> Any:
    shop = shop or site.ours
    data = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in params.items()
    }
    path = f"{site.url}/v25.0/{shop.account.account_id}/{edge}"
    return httpx.post(path, data=data, headers=shop.headers)


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("campaigns", {"objective": "CONVERSIONS"}, "objective", "OUTCOME_SALES"),
    ("campaigns", {"name": ""}, "name", "no name for a campaign"),
    ("campaigns", {"daily_budget": 500}, "daily_budget", "set it in the ad sets"),
    ("campaigns", {"buying_type": "RESERVED"}, "buying_type", "AUCTION"),
    ("campaigns", {"status": "DELETED"}, "status", "ACTIVE, PAUSED"),
    ("campaigns", {"special_ad_categories": ["HOUSING"]}, "special_ad_categories", "send []"),
    ("campaigns", {"doublet_holdout_share": 0.9}, "doublet_holdout_share", "0 to 0.5"),
    ("adsets", {"campaign_id": None}, "campaign_id", "is required"),
    ("adsets", {"campaign_id": "1200000000"}, "campaign_id", "delivered elsewhere"),
    ("adsets", {"daily_budget": None}, "daily_budget", "either daily_budget or lifetime_budget"),
    ("adsets", {"lifetime_budget": 9000, "daily_budget": None}, "end_time", "needs end_time"),
    ("adsets", {"daily_budget": "9.50"}, "daily_budget", "minor unit"),
    ("adsets", {"bid_amount": 100}, "bid_amount", "has no bid_amount"),
    ("adsets", {"bid_strategy": "COST_CAP"}, "bid_amount", "needs a bid_amount"),
    ("adsets", {"bid_strategy": "TARGET_COST"}, "bid_strategy", "Use COST_CAP"),
    (
        "adsets",
        {"bid_strategy": "LOWEST_COST_WITH_MIN_ROAS", "optimization_goal": "VALUE"},
        "bid_constraints",
        "roas_average_floor",
    ),
    ("adsets", {"optimization_goal": "LANDING_PAGE_VIEWS"}, "optimization_goal", "LINK_CLICKS"),
    ("adsets", {"optimization_goal": "THRUPLAY"}, "optimization_goal", "OFFSITE_CONVERSIONS"),
    (
        "adsets",
        {"optimization_goal": "REACH", "billing_event": "CLICKS"},
        "billing_event",
        "IMPRESSIONS",
    ),
    ("adsets", {"promoted_object": None}, "promoted_object", "needs promoted_object"),
    ("adsets", {"promoted_object": {"pixel_id": "12"}}, "promoted_object", "no pixel"),
    ("adsets", {"promoted_object": {"custom_conversion_id": "1"}}, "promoted_object", "pixel_id"),
    ("adsets", {"targeting": {"geo_locations": {"countries": ["DE"]}}}, "targeting", "audiences"),
    ("adsets", {"targeting": {"facebook_positions": ["feed"]}}, "targeting", "doublet_positions"),
    ("adsets", {"targeting": {"publisher_platforms": ["facebook"]}}, "targeting", "doublet"),
    ("adsets", {"targeting": {"custom_audiences": [{"id": "99"}]}}, "targeting", "no audience 99"),
    ("adsets", {"targeting": {"doublet_positions": ["a b"]}}, "targeting", "1 to 64"),
    ("adsets", {"targeting": "everybody"}, "targeting", "JSON object"),
    ("adsets", {"end_time": "2020-01-01"}, "end_time", "is over"),
    ("adsets", {"pacing_type": ["no_pacing"]}, "pacing_type", "standard"),
    ("adsets", {"attribution_spec": [{"window_days": 7}]}, "attribution_spec", "account's own"),
    (
        "adsets",
        {"frequency_control_specs": [{"interval_days": 0, "max_frequency": 1}]},
        "frequency_control_specs",
        "from 1 to 90",
    ),
    (
        "adsets",
        {"frequency_control_specs": [{"interval_days": 7, "max_frequency": 31}]},
        "frequency_control_specs",
        "from 1 to 30",
    ),
    ("adsets", {"targeting": {"targeting_automation": [1], "age_min": 18}}, "targeting", "age_min"),
    ("ads", {"creative": {"creative_id": "7"}}, "creative", "no creative of this account"),
    ("ads", {"creative": None}, "creative", "JSON object"),
    ("ads", {"adset_id": "7"}, "adset_id", "delivered elsewhere"),
    ("ads", {"creative": {"body": "x"}}, "link", "must be an address"),
    ("adcreatives", {"link_url": "javascript:alert(1)"}, "link", "must be an address"),
    ("adcreatives", {"object_story_spec": {"video_data": {}}}, "object_story_spec", "link_data"),
    ("adcreatives", {"url_tags": "a=b"}, "url_tags", "put them into the link"),
]


def test_what_cannot_be_delivered_is_refused_with_what_to_do(site: Site) -> None:
    campaign = make_campaign(site)
    ad_set = make_ad_set(site, campaign)
    good: dict[str, dict[str, Any]] = {
        "campaigns": {"name": "A", "objective": "OUTCOME_SALES"},
        "adsets": ad_set_params(site, campaign),
        "ads": {"name": "A", "adset_id": ad_set["id"], "creative": {"object_url": LINK}},
        "adcreatives": {"name": "A"},
    }
    before = site.catalog.campaigns.version()
    for edge, params, field, said in WRONG:
        given = {k: v for k, v in {**good[edge], **params}.items() if v is not None}
        answer = post(site, edge, given)
        error = answer.json()["error"]
        assert (400, 100) == (answer.status_code, error["code"]), params
        assert error["message"].startswith("(#100) ")
        assert said in error["message"], (params, error["message"])
        assert field in str(error), (params, error)
    assert before == site.catalog.campaigns.version()


def test_objects_of_another_account_are_nobody_s(site: Site) -> None:
    ad_set = make_ad_set(site, make_campaign(site))
    ad = make_ad(site, ad_set)
    for each in (ad_set["id"], ad["id"]):
        for method in ("GET", "POST", "DELETE"):
            answer = httpx.request(method, f"{site.url}/v25.0/{each}", headers=site.theirs.headers)
            assert 33 == answer.json()["error"]["error_subcode"]
    for edge in ("campaigns", "adsets", "ads", "adcreatives"):
        path = f"{site.url}/{site.theirs.account.account_id}/{edge}"
        assert {"data": []} == httpx.get(path, headers=site.theirs.headers).json()
    params = {"name": "B", "adset_id": ad_set["id"], "creative": {"object_url": LINK}}
    assert 400 == post(site, "ads", params, site.theirs).status_code
    with pytest.raises(FacebookRequestError) as moved:
        ad.api_update(params={"adset_id": "12345"})
    assert (100, None) == refused(moved)


def test_an_account_without_cents_writes_whole_amounts(site: Site) -> None:
    site.catalog.edit_account(site.ours.account.account_id, currency="JPY")
    ad_set = make_ad_set(site, make_campaign(site), daily_budget=1200)
    (kept,) = site.catalog.campaigns.ad_sets()
    assert 120_000 == kept.daily_budget
    assert "1200" == ad_set.api_get(["daily_budget"])["daily_budget"]
