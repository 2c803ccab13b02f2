"""Custom conversions through Meta's SDK: made, read, counted in insights, changed and deleted."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.customconversion import CustomConversion
from facebook_business.exceptions import FacebookRequestError

from doublet.graph import custom_conversions as graph_custom_conversions
from doublet.reports.custom import fired_times
from tests.dashboard import Site
from tests.factories import sha256

SHOP = "https://shop.example"
CAMPAIGN, ADSET, AD = "120000000001", "130000000001", "140000000001"
LANDING = f"{SHOP}/?fbclid=IwAR0abc&campaign_id={CAMPAIGN}&adset_id={ADSET}&ad_id={AD}"
THANKS = {"and": [{"event": {"eq": "PageView"}}, {"url": {"i_contains": "THANKS"}}]}
DAY = {"since": "2026-05-28", "until": "2026-05-28"}


pytestmark = pytest.mark.usefixtures("api")


def visit(site: Site) -> None:
    """Ada comes from an ad, sees a page of thanks and is a lead; Bob sees the page of thanks."""
    ada, bob = ({"em": [sha256(f"{name}@example.com")]} for name in ("ada", "bob"))
    page = {"event_name": "PageView", "custom_data": None}
    site.add(site.ours, ("browser", "1"), event_source_url=LANDING, user_data=ada, **page)
    thanks = {**page, "event_source_url": f"{SHOP}/Thanks"}
    site.add(site.ours, ("browser", "2"), user_data=ada, **thanks)
    site.add(site.ours, ("browser", "3"), user_data=bob, **thanks)
    lead = {"plan": "gold", "seats": 5, "value": 40, "currency": "EUR"}
    site.add(site.ours, ("server", "4"), event_name="Signed", user_data=ada, custom_data=lead)
    site.add(site.theirs, ("browser", "5"), user_data=ada, **thanks)


def create(site: Site, rule: dict[str, Any], **more: Any) -> CustomConversion:
    """A custom conversion of our shop."""
    params = {"name": "Thanks", "rule": json.dumps(rule), "custom_event_type": "OTHER", **more}
    account = AdAccount(site.ours.account.account_id)
    return account.create_custom_conversion(params=params)


def counted(site: Site, **params: Any) -> dict[str, dict[str, str]]:
    """The entries of `actions` of our shop's only row, with the values of `action_values`."""
    (row,) = AdAccount(site.ours.account.account_id).get_insights(
        fields=["actions", "action_values", "ad_id"],
        params={"time_range": DAY, "level": "ad", **params},
    )
    assert AD == row["ad_id"]
    values = {each["action_type"]: each["value"] for each in row.get("action_values", [])}
    return {
        each["action_type"]: {**each, "worth": values.get(each["action_type"], "0")}
        for each in row["actions"]
    }


def test_a_custom_conversion_is_made_read_changed_and_deleted(site: Site) -> None:
    made = create(
        site,
        THANKS,
        event_source_id=site.ours.pixel_id,
        custom_event_type="PURCHASE",
        default_conversion_value=12.5,
        description="Seen after paying",
    )
    fields = [
        *("id", "name", "rule", "custom_event_type", "default_conversion_value", "pixel"),
        *("event_source_type", "is_archived", "creation_time", "description", "account_id"),
    ]
    found = CustomConversion(made["id"]).api_get(fields=fields)
    assert ("Thanks", THANKS, "PURCHASE", 12.5) == (
        found["name"],
        json.loads(found["rule"]),
        found["custom_event_type"],
        found["default_conversion_value"],
    )
    assert (site.ours.pixel_id, "pixel", False) == (
        found["pixel"]["id"],
        found["event_source_type"],
        found["is_archived"],
    )
    datetime.strptime(found["creation_time"], "%Y-%m-%dT%H:%M:%S%z")
    found.api_update(params={"name": "Paid", "default_conversion_value": 3.0})
    found = found.api_get(fields=["name", "default_conversion_value", "description"])
    assert ("Paid", 3.0, "Seen after paying") == (
        found["name"],
        found["default_conversion_value"],
        found["description"],
    )
    account = AdAccount(site.ours.account.account_id)
    create(site, THANKS, name="Another")
    names = [each["name"] for each in account.get_custom_conversions(["name"], {"limit": 1})]
    assert {"Paid", "Another"} == set(names)
    found.api_delete()
    assert ["Another"] == [each["name"] for each in account.get_custom_conversions(["name"])]
    with pytest.raises(FacebookRequestError) as gone:
        found.api_get()
    assert 33 == gone.value.api_error_subcode()
    assert [
        *(("conversion.created", "Thanks"), ("conversion.changed", "Thanks")),
        *(("conversion.created", "Another"), ("conversion.removed", "Paid")),
    ] == [(change.what, change.target) for change in reversed(site.catalog.changes.newest())]
    assert {"access token Our shop"} == {change.who for change in site.catalog.changes.newest()}


def test_it_counts_all_of_the_past_and_only_what_ads_led_to(site: Site) -> None:
    visit(site)
    page = create(site, THANKS, default_conversion_value=7.0)["id"]
    gold = {"and": [{"plan": {"eq": "gold"}}, {"seats": {"gte": 5}}, {"value": {"gt": 39}}]}
    lead = create(site, gold, name="Gold")["id"]
    elsewhere = create(site, THANKS, name="Store", action_source_type="physical_store")["id"]
    windows = {"action_attribution_windows": ["1d_click", "7d_click"]}
    found = counted(site, **windows)
    assert {
        "action_type": f"offsite_conversion.custom.{page}",
        "value": "1",
        "1d_click": "1",
        "7d_click": "1",
        "worth": "7",
    } == found[f"offsite_conversion.custom.{page}"]
    assert "40" == found[f"offsite_conversion.custom.{lead}"]["worth"]
    # It is the custom event that it was, too.
    assert "1" == found["offsite_conversion.fb_pixel_custom"]["value"]
    assert f"offsite_conversion.custom.{elsewhere}" not in found
    times = CustomConversion(page).api_get(fields=["first_fired_time", "last_fired_time"])
    first, last = (times[name] for name in ("first_fired_time", "last_fired_time"))
    assert ("2026-05-28T22:26:42+0200", "2026-05-28T22:26:43+0200") == (first, last)
    CustomConversion(page).api_update(params={"is_archived": True})
    CustomConversion(lead).api_delete()
    assert {"offsite_conversion.fb_pixel_custom"} == set(counted(site))


def test_only_those_on_the_page_are_looked_for_among_the_events(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(site)
    made = [create(site, THANKS, name=f"Thanks {n}")["id"] for n in range(3)]
    asked: list[list[str]] = []

    def count(engine: Any, owner: Any, wanted: Any) -> dict[str, tuple[int, int]]:
        asked.append([each.custom_conversion_id for each in wanted])
        return fired_times(engine, owner, wanted)

    monkeypatch.setattr(graph_custom_conversions, "fired_times", count)
    address = f"/v25.0/{site.ours.account.account_id}/customconversions"
    parameters = {"fields": "id,first_fired_time", "limit": "2"}
    seen = []
    for _ in range(2):
        found = site.client.get(address, params=parameters, headers=site.ours.headers).json()
        seen += [(each["id"], each["first_fired_time"]) for each in found["data"]]
        parameters["after"] = found["paging"]["cursors"]["after"]
    assert [(each, "2026-05-28T22:26:42+0200") for each in sorted(made)] == sorted(seen)
    assert [2, 1] == [len(each) for each in asked]


def test_what_cannot_be_one_is_refused_with_a_reason(site: Site) -> None:
    def refusal(rule: dict[str, Any] = THANKS, **more: Any) -> str:
        with pytest.raises(FacebookRequestError) as error:
            create(site, rule, **more)
        assert 100 == error.value.api_error_code()
        return str(error.value.api_error_message())

    assert "url needs an operator" in refusal({"url": "x"})
    assert "regular expression" in refusal({"url": {"regex_match": "(?=x)"}})
    by_address = {"url": {"i_contains": "thanks?who=jo@example.com"}}
    assert "names a mail address" in refusal(by_address)
    assert "no pixel of this account" in refusal(event_source_id=site.theirs.pixel_id)
    assert "must be a number" in refusal(default_conversion_value=-1.0)
    assert "custom conversion" in refusal(name=" ")
    made = create(site, THANKS)
    with pytest.raises(FacebookRequestError, match="cannot be changed"):
        made.api_update(params={"rule": json.dumps(THANKS)})
    (row,) = site.catalog.reporting.custom_conversions(site.ours.account.account_id)
    for _ in range(99):
        site.catalog.reporting.create_custom_conversion(row)
    assert "100 custom conversions already" in refusal()


def test_another_accounts_custom_conversion_is_not_there(site: Site) -> None:
    path = f"/v25.0/{site.theirs.account.account_id}/customconversions"
    body = {"name": "Thanks", "rule": json.dumps(THANKS)}
    made = site.client.post(path, data=body, headers=site.theirs.headers).json()["id"]
    for method in ("GET", "POST", "DELETE"):
        found = site.client.request(method, f"/v25.0/{made}", headers=site.ours.headers)
        assert 33 == found.json()["error"]["error_subcode"]
    ours = site.client.post(path, data=body, headers=site.ours.headers)
    assert 400 == ours.status_code


def test_one_is_made_in_a_batch(site: Site) -> None:
    body = f"name=Thanks&rule={json.dumps(THANKS)}"
    call = {"method": "POST", "relative_url": "me/customconversions", "body": body}
    found = site.client.post(
        "/v25.0/", data={"batch": json.dumps([call])}, headers=site.ours.headers
    ).json()
    made = json.loads(found[0]["body"])["id"]
    assert [made] == [
        each.custom_conversion_id
        for each in site.catalog.reporting.custom_conversions(site.ours.account.account_id)
    ]
