"""Meta's SDK reads insights: every parameter, over real HTTP, in the shapes that it knows."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.exceptions import FacebookRequestError

from doublet.catalog import ReportRules
from doublet.graph.insights.names import (
    BREAKDOWNS,
    FIELDS,
    REFUSED_ACTION_BREAKDOWNS,
    REFUSED_BREAKDOWNS,
)
from doublet.reports import insights as reports_insights
from doublet.reports.periods import Period, Span, spans
from tests.dashboard import Site
from tests.graph.ads import LAST_WEEK, TODAY, account, fill, ids

CLICK = "offsite_conversion.fb_pixel_purchase"
pytestmark = pytest.mark.usefixtures("api")


@pytest.fixture(autouse=True)
def _ads(site: Site) -> None:
    fill(site)


def entries(row: AdsInsights, field: str = "actions") -> dict[str, dict[str, str]]:
    """The entries of an action list by action type."""
    return {entry["action_type"]: dict(entry) for entry in row.get(field, [])}


def test_an_account_has_one_row_of_texts(site: Site) -> None:
    (row,) = account(site).get_insights(
        fields=[
            *("account_id", "account_name", "account_currency", "impressions", "clicks", "spend"),
            *("ctr", "cpc", "cpm", "reach", "frequency", "actions", "action_values", "objective"),
            *("cost_per_action_type", "purchase_roas", "website_purchase_roas"),
            *("attribution_setting", "inline_link_clicks"),
        ],
        params={"time_range": LAST_WEEK, "level": "account"},
    )
    plain = {name: value for name, value in dict(row).items() if isinstance(value, str)}
    assert {
        "account_id": site.ours.account.account_id[4:],
        "account_name": "Our shop",
        "account_currency": "EUR",
        "impressions": "56000",
        "clicks": "196",
        "inline_link_clicks": "196",
        "spend": "196",
        "ctr": "0.35",
        "cpc": "1",
        "cpm": "3.5",
        "attribution_setting": "1d_view_7d_click_1d_ev",
        "date_start": LAST_WEEK["since"],
        "date_stop": LAST_WEEK["until"],
    } == plain
    actions, values = entries(row), entries(row, "action_values")
    assert {"action_type": "purchase", "value": "28"} == actions["purchase"]
    for name in ("omni_purchase", "web_in_store_purchase", "web_app_in_store_purchase"):
        assert "28" == actions[name]["value"]
    for name in (CLICK, "onsite_web_purchase", "onsite_web_app_purchase"):
        assert ("21", "420") == (actions[name]["value"], values[name]["value"])
    assert "7" == actions["offline_conversion.purchase"]["value"]
    assert ("1", "196") == (actions["lead"]["value"], actions["link_click"]["value"])
    # What is zero is absent.
    assert "lead" not in values
    assert "7" == entries(row, "cost_per_action_type")["purchase"]["value"]
    assert [{"action_type": "omni_purchase", "value": "2.857143"}] == [
        dict(each) for each in row["purchase_roas"]
    ]
    assert [CLICK] == [each["action_type"] for each in row["website_purchase_roas"]]


@pytest.mark.parametrize(("level", "count"), [("campaign", 2), ("adset", 4), ("ad", 8)])
def test_rows_of_a_level_add_up(site: Site, level: str, count: int) -> None:
    rows = list(
        account(site).get_insights(
            fields=[f"{level}_id", f"{level}_name", "spend", "impressions", "actions"],
            params={"time_range": LAST_WEEK, "level": level, "limit": 3},
        )
    )
    assert count == len(rows)
    assert 196 == sum(Decimal(row["spend"]) for row in rows)
    assert 28 == sum(int(entries(row).get("purchase", {}).get("value", "0")) for row in rows)
    first = {"campaign": "Campaign 0", "adset": "Set 0", "ad": "Ad 0"}[level]
    assert (ids(0)[f"{level}_id"], first) == (rows[0][f"{level}_id"], rows[0][f"{level}_name"])


def test_objects_have_insights_of_their_own(site: Site) -> None:
    params = {"time_range": LAST_WEEK}
    fields = ["spend", "campaign_id", "ad_id"]
    (of_campaign,) = Campaign(ids(4)["campaign_id"]).get_insights(fields=fields, params=params)
    assert ("154", ids(4)["campaign_id"]) == (of_campaign["spend"], of_campaign["campaign_id"])
    assert "ad_id" not in of_campaign
    (of_adset,) = AdSet(ids(4)["adset_id"]).get_insights(fields=fields, params=params)
    assert "63" == of_adset["spend"]
    ads = AdSet(ids(4)["adset_id"]).get_insights(fields=fields, params={**params, "level": "ad"})
    assert ["28", "35"] == [row["spend"] for row in ads]
    (of_ad,) = Ad(ids(5)["ad_id"]).get_insights(fields=fields, params=params)
    assert "35" == of_ad["spend"]
    ad = Ad(ids(5)["ad_id"]).api_get(fields=["name", "campaign_id", "adset_id"])
    assert ("Ad 5", ids(5)["campaign_id"]) == (ad["name"], ad["campaign_id"])
    campaigns = list(account(site).get_campaigns(fields=["name"]))
    assert ["Campaign 0", "Campaign 1"] == [each["name"] for each in campaigns]
    found = campaigns[0].get_ads(fields=["name"])
    assert [f"Ad {n}" for n in range(4)] == [each["name"] for each in found]
    assert ["Set 0", "Set 1"] == [each["name"] for each in campaigns[0].get_ad_sets(["name"])]
    assert 8 == len(list(account(site).get_ads(params={"limit": 3})))
    with pytest.raises(FacebookRequestError) as unknown:
        Ad("140099").get_insights()
    assert (100, 33) == (unknown.value.api_error_code(), unknown.value.api_error_subcode())


def test_time_is_divided_by_days_and_presets(site: Site) -> None:
    def days(**params: Any) -> list[tuple[str, str]]:
        rows = account(site).get_insights(fields=["impressions"], params=params)
        return [(row["date_start"], row["date_stop"]) for row in rows]

    each = [(TODAY - timedelta(n)).isoformat() for n in range(7, 0, -1)]
    assert [(day, day) for day in each] == days(date_preset="last_14d", time_increment=1)
    assert [(each[0], each[-1])] == days(date_preset="last_7d")
    assert [(each[0], each[2]), (each[3], each[5]), (each[6], each[6])] == days(
        time_range=LAST_WEEK, time_increment=3
    )
    (since, until), *_ = days(date_preset="maximum")
    assert (each[0], TODAY.isoformat()) == (since, until)
    ranges = [{"since": day, "until": each[-1]} for day in (each[0], each[3])]
    assert [(each[0], each[-1]), (each[3], each[-1])] == days(time_ranges=ranges)
    months = days(time_range=LAST_WEEK, time_increment="monthly")
    assert (each[0], each[-1]) == (months[0][0], months[-1][1])
    assert [] == days(date_preset="today")
    future = {"since": each[0], "until": "2099-12-31"}
    assert [(each[0], "2099-12-31")] == days(time_range=future)
    assert 7 == len(days(time_range=future, time_increment=1))


def test_windows_stand_beside_the_value(site: Site) -> None:
    windows = AdsInsights.ActionAttributionWindows
    params = {
        "time_range": LAST_WEEK,
        "action_attribution_windows": [
            *(windows.value_1d_click, windows.value_7d_click, windows.value_28d_click),
            *(windows.value_1d_view, windows.value_1d_ev, windows.value_default),
            windows.value_7d_view,
        ],
        "action_breakdowns": [AdsInsights.ActionBreakdowns.action_type],
        "use_account_attribution_setting": True,
    }
    (row,) = account(site).get_insights(fields=["actions", "cost_per_action_type"], params=params)
    purchase = {"action_type": "purchase", "value": "28", "7d_click": "28", "28d_click": "28"}
    assert purchase == entries(row)["purchase"]
    lead = {"action_type": "lead", "value": "1", "1d_view": "1"}
    assert lead == entries(row)["lead"]
    assert "7" == entries(row, "cost_per_action_type")["purchase"]["28d_click"]
    with warnings.catch_warnings():
        # The SDK's list of windows lacks some of the keys that its entries have.
        warnings.simplefilter("ignore")
        params["action_attribution_windows"] = ["7d_click_first_conversion", "7d_click"]
        (row,) = account(site).get_insights(fields=["actions"], params=params)
    # Each ad was clicked once.
    assert ("7", "28") == (
        entries(row)["purchase"]["7d_click_first_conversion"],
        entries(row)["purchase"]["7d_click"],
    )
    site.catalog.reporting.save_rules(
        site.ours.account.account_id, ReportRules(click_days=1, view_days=0)
    )
    (row,) = account(site).get_insights(
        fields=["actions", "attribution_setting"], params={"time_range": LAST_WEEK}
    )
    assert ("1d_click_1d_ev", {"link_click"}) == (row["attribution_setting"], set(entries(row)))


def test_persons_are_counted_once(site: Site) -> None:
    with site.pipeline.engine.transaction() as tx:
        tx.run("update conversions set person_id = event_key % 100 // 2 where event_key < 9999")
    (row,) = account(site).get_insights(
        fields=["unique_actions", "cost_per_unique_action_type"], params={"time_range": LAST_WEEK}
    )
    found = {name: each["value"] for name, each in entries(row, "unique_actions").items()}
    assert ("4", "4", "1") == (found["purchase"], found[CLICK], found["lead"])
    assert "49" == entries(row, "cost_per_unique_action_type")["purchase"]["value"]


def test_rows_are_divided_by_what_is_known(site: Site) -> None:
    rows = account(site).get_insights(
        fields=["actions", "impressions"],
        params={
            "time_range": LAST_WEEK,
            "breakdowns": [
                AdsInsights.Breakdowns.publisher_platform,
                AdsInsights.Breakdowns.platform_position,
            ],
        },
    )
    found = {(row["publisher_platform"], row["platform_position"]): row for row in rows}
    counts = {key: entries(row).get("purchase", {}).get("value") for key, row in found.items()}
    expected = {("meta", "feed"): "12", ("meta", "story"): "16", ("meta", "unknown"): None}
    assert expected == counts
    hour = AdsInsights.Breakdowns.hourly_stats_aggregated_by_advertiser_time_zone
    rows = account(site).get_insights(
        fields=["actions"], params={"time_range": LAST_WEEK, "breakdowns": [hour]}
    )
    hours = {row[hour]: entries(row).get("purchase", {}).get("value") for row in rows}
    assert {"12:00:00 - 12:59:59": "28", "unknown": None} == hours


def test_rows_are_chosen_and_ordered(site: Site) -> None:
    def ads(filters: list[tuple[str, str, Any]], *sort: str, level: str = "ad") -> list[str]:
        filtering = [
            {"field": field, "operator": operator, "value": value}
            for field, operator, value in filters
        ]
        params = {
            "time_range": LAST_WEEK,
            "level": level,
            "filtering": filtering,
            "sort": list(sort),
        }
        rows = account(site).get_insights(fields=["ad_name", "spend", "actions"], params=params)
        return [row.get("ad_name", row["spend"])[-1] for row in rows]

    assert list("76543210") == ads([], "spend_descending")
    assert list("01234567") == ads([], "actions:purchase_ascending")
    assert list("76") == ads([("spend", "GREATER_THAN", 35)], "ad_name_descending")
    assert list("23") == ads([("clicks", "IN_RANGE", [14, 21])])
    assert list("13") == ads([("ad.name", "IN", ["Ad 1", "Ad 3"])])
    assert list("45") == ads([("adset.name", "CONTAIN", "set 2")])
    assert list("4567") == ads([("campaign.id", "NOT_EQUAL", ids(0)["campaign_id"])])
    assert list("67") == ads([("actions:purchase", "GREATER_THAN_OR_EQUAL", "6")])
    # A filter on ads, and rows of the account: 2 + 3 euros on seven days.
    chosen = [("ad.id", "IN", [ids(2)["ad_id"], ids(3)["ad_id"]])]
    (row,) = account(site).get_insights(
        fields=["spend", "actions"],
        params={
            "time_range": LAST_WEEK,
            "filtering": [
                *({"field": f, "operator": o, "value": v} for f, o, v in chosen),
                {"field": "action_type", "operator": "IN", "value": ["purchase"]},
            ],
        },
    )
    assert ("35", {"purchase"}) == (row["spend"], set(entries(row)))


def test_pages_lead_forward_and_back(site: Site) -> None:
    params = {
        "access_token": site.ours.token,
        "level": "ad",
        "fields": "ad_name",
        "time_range": json.dumps(LAST_WEEK),
        "limit": "3",
        "default_summary": "true",
        "summary": '["spend","actions"]',
    }
    address = f"{site.url}/v25.0/{site.ours.account.account_id}/insights"
    page = httpx.get(address, params=params).json()
    # The same days as PHP writes an object into an address.
    del params["time_range"]
    params |= {f"time_range[{end}]": day for end, day in LAST_WEEK.items()}
    assert page["data"] == httpx.get(address, params=params).json()["data"]
    seen = []
    while True:
        seen.append([row["ad_name"][-1] for row in page["data"]])
        assert "196" == page["summary"]["spend"]
        if "next" not in page["paging"]:
            break
        page = httpx.get(page["paging"]["next"]).json()
    assert ["012", "345", "67"] == ["".join(each) for each in seen]
    page = httpx.get(page["paging"]["previous"]).json()
    assert ["3", "4", "5"] == [row["ad_name"][-1] for row in page["data"]]
    # The last row that was read is gone: the next page begins where it would have.
    cursor = page["paging"]["cursors"]["after"]
    with site.pipeline.engine.transaction() as tx:
        for table in ("ad_days where ad_id", "conversions where click_ad_id"):
            tx.run(f"delete from {table} = $ad", {"ad": ids(5)["ad_id"]})
    page = httpx.get(address, params={**params, "after": cursor}).json()
    assert ["7"] == [row["ad_name"][-1] for row in page["data"]]
    for made_up in ("nope", '[1e999,"x"]', '[NaN,"x"]', "[[],[]]"):
        cursor = base64.urlsafe_b64encode(made_up.encode()).decode()
        assert 400 == httpx.get(address, params={**params, "after": cursor}).status_code


_EVER = {"since": "2000-01-01", "until": "2099-12-31"}
_FUTURE = {"since": "2099-01-01", "until": "2099-12-31"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"breakdowns": "age,gender"}, "age cannot be known here"),
        ({"breakdowns": '["nope"]'}, "breakdowns must be of"),
        ({"action_breakdowns": "action_device"}, "action_device cannot be known here"),
        ({"action_attribution_windows": "incrementality"}, "measured by a lift test"),
        ({"action_attribution_windows": "2d_click"}, "must be of {1d_click, "),
        ({"level": "creative"}, "level must be one of"),
        ({"date_preset": "lifetime"}, "date_preset must be one of"),
        ({"time_range": '{"since": "2026-02-30", "until": "2026-03-01"}'}, "must be like"),
        ({"time_range": '{"since": "2026-03-02", "until": "2026-03-01"}'}, "swap them"),
        ({"time_range": "today"}, "time_range must be JSON"),
        ({"time_ranges": "{}"}, "must be an array"),
        ({"time_ranges": json.dumps([_EVER] * 2)}, "days together; at most 15000"),
        ({"time_increment": "0"}, "time_increment must be"),
        ({"filtering": "[{}]"}, "filtering must be like"),
        (
            {"filtering": '[{"field":"campaign.effective_status","operator":"IN","value":["A"]}]'},
            "names a field that is not known here",
        ),
        ({"filtering": '[{"field":"spend","operator":"CONTAIN","value":1}]'}, "operator"),
        ({"filtering": '[{"field":"spend","operator":"EQUAL","value":"x"}]'}, "no number"),
        ({"filtering": '[{"field":"spend","operator":"IN_RANGE","value":[1]}]'}, "values"),
        ({"sort": "spend"}, "sort must be like"),
        ({"sort": '["objective_ascending"]'}, "not known here"),
        ({"fields": "nope"}, "nonexisting field (nope)"),
        ({"summary": '["nope"]'}, "nonexisting field (nope)"),
        ({"limit": "10001"}, "limit must be a number from 1 to 10000"),
        ({"breakdowns": "[1"}, "begins like a JSON array"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(
    site: Site, parameters: dict[str, str], message: str
) -> None:
    found = site.client.get("/v25.0/me/insights", params=parameters, headers=site.ours.headers)
    error = found.json()["error"]
    assert (400, 100) == (found.status_code, error["code"])
    assert message in error["message"]


def test_too_many_ranges_of_days_are_refused(site: Site) -> None:
    form = {"time_ranges": json.dumps([_FUTURE] * 10_001)}
    found = site.client.post("/v25.0/me/insights", data=form, headers=site.ours.headers)
    assert 400 == found.status_code
    assert "more than 10000 time ranges" in found.json()["error"]["message"]


@pytest.mark.parametrize("name", ["time_range", "time_ranges"])
def test_a_wrong_range_of_days_is_blamed_on_its_parameter(site: Site, name: str) -> None:
    wrong: Any = {"since": "2026-03-02", "until": "2026-03-01"}
    read = json.dumps([wrong] if name == "time_ranges" else wrong)
    found = site.client.get("/v25.0/me/insights", params={name: read}, headers=site.ours.headers)
    assert {"blame_field_specs": [[name]]} == found.json()["error"]["error_data"]


def test_days_to_come_are_not_gone_through(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Period] = []

    def count(periods: Sequence[Period], *given: Any, **more: Any) -> list[Span]:
        counted.extend(periods)
        return spans(periods, *given, **more)

    monkeypatch.setattr(reports_insights, "spans", count)
    ranges = [{"since": LAST_WEEK["since"], "until": "2099-12-31"}, _FUTURE]
    rows = account(site).get_insights(params={"time_ranges": ranges})
    assert ["2099-12-31"] == [row["date_stop"] for row in rows]
    assert [9, 1] == [(each.until - each.since).days + 1 for each in counted]


def test_names_are_those_of_the_official_library() -> None:
    def values(kind: type) -> set[str]:
        return {value for name, value in vars(kind).items() if name[0] != "_"}

    assert values(AdsInsights.Field) == set(FIELDS)
    assert values(AdsInsights.Breakdowns) == {*BREAKDOWNS, *REFUSED_BREAKDOWNS}
    assert values(AdsInsights.ActionBreakdowns) == {"action_type", *REFUSED_ACTION_BREAKDOWNS}


def test_a_shop_without_ads_has_no_rows(site: Site) -> None:
    parameters = {
        "fields": "impressions,actions,reach",
        "date_preset": "maximum",
        "summary": "true",
    }
    found = site.client.get("/v25.0/me/insights", params=parameters, headers=site.theirs.headers)
    assert [] == found.json()["data"]
    nested = site.client.get(
        "/v25.0/me",
        params={"fields": "name,insights.date_preset(last_7d){spend}"},
        headers=site.theirs.headers,
    ).json()
    assert ("Their shop", {"data": []}) == (nested["name"], nested["insights"])
