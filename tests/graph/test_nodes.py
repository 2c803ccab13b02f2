"""Pixels and their account as Graph shows them: fields, pages, errors, and nobody else's."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import datetime
from typing import Any

import httpx
import pytest

from doublet.pixel import snippet
from tests.dashboard import OPERATOR, PUBLIC_URL, Site
from tests.factories import NOON, SECOND

LAST = "2026-05-28T22:26:43+0200"
"""Receipt of the last of three copies, in the shop's zone."""


def read(site: Site, path: str, **parameters: Any) -> Any:
    """What our shop's token reads."""
    found = get(site, path, **parameters)
    assert 200 == found.status_code, found.text
    assert "application/json" == found.headers["content-type"]
    return found.json()


def get(site: Site, path: str, **parameters: Any) -> httpx.Response:
    """The answer to our shop's token."""
    return site.client.get(path, params=parameters or None, headers=site.ours.headers)


def fire(site: Site) -> None:
    """Three copies of two events of our shop, and one of the other's."""
    site.add(site.ours, ("browser", "1"), ("server", "1"), ("server", "2"))
    site.add(site.theirs, ("server", "9"))


@pytest.mark.parametrize("version", ["", "/v13.0", "/v25.0"])
def test_a_pixel_has_its_fields(site: Site, version: str) -> None:
    fire(site)
    fields = (
        "id,name,last_fired_time,is_unavailable,owner_ad_account,event_time_min,valid_entries,"
        "duplicate_entries,code"
    )
    found = read(site, f"{version}/{site.ours.pixel_id}/", fields=fields)
    account_id = site.ours.account.account_id
    assert {
        "id": site.ours.pixel_id,
        "name": "Our shop",
        "last_fired_time": LAST,
        "is_unavailable": False,
        "owner_ad_account": {"id": account_id, "account_id": account_id[4:]},
        "event_time_min": NOON // SECOND + 1,
        "valid_entries": 3,
        "duplicate_entries": 1,
        "code": snippet(site.ours.pixel_id, PUBLIC_URL),
    } == found


def test_a_pixel_has_id_and_name_by_default_and_id_always(site: Site) -> None:
    path = f"/v25.0/{site.ours.pixel_id}"
    assert {"id": site.ours.pixel_id, "name": "Our shop"} == read(site, path)
    found = read(site, path, fields='["creation_time"]')
    assert {"id", "creation_time"} == set(found)
    made = datetime.strptime(found["creation_time"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs(made.timestamp() - time.time()) < 60


def test_known_fields_without_a_value_are_left_out(site: Site) -> None:
    path = f"/v25.0/{site.ours.pixel_id}"
    silent = read(site, path, fields="last_fired_time,match_rate_approx,owner_business,is_crm")
    assert {"id": site.ours.pixel_id} == silent


def test_fields_of_fields_are_chosen(site: Site) -> None:
    path = f"/v25.0/{site.ours.pixel_id}"
    found = read(site, path, fields="owner_ad_account{name, currency,timezone_name}")
    account = {
        "id": site.ours.account.account_id,
        "name": "Our shop",
        "currency": "EUR",
        "timezone_name": "Europe/Berlin",
    }
    assert {"id": site.ours.pixel_id, "owner_ad_account": account} == found


def test_an_edge_may_be_a_field_with_parameters(site: Site) -> None:
    fire(site)
    path = f"/v25.0/{site.ours.pixel_id}"
    fields = (
        "name,stats.aggregation(event_source).start_time(1780000000).end_time(1780000100){data}"
    )
    found = read(site, path, fields=fields)
    counts = [{"value": "SERVER", "count": 2}, {"value": "BROWSER", "count": 1}]
    assert ["name", "id", "stats"] == list(found)
    assert [{"data": counts}] == found["stats"]["data"]


@pytest.mark.parametrize("node", ["me", "account"])
def test_an_account_lists_its_own_pixels_in_pages(site: Site, node: str) -> None:
    fire(site)
    account_id = site.ours.account.account_id
    second, _ = site.catalog.create_pixel(account_id, "App")
    path = f"/v25.0/{account_id if node == 'account' else 'me'}/adspixels"
    first = read(site, path, fields="name,last_fired_time", limit="1")
    rest = site.client.get(first["paging"]["next"], headers=site.ours.headers).json()
    rows = sorted(first["data"] + rest["data"], key=lambda row: row["name"])
    assert [
        {"name": "App", "id": second.pixel_id},
        {"name": "Our shop", "last_fired_time": LAST, "id": site.ours.pixel_id},
    ] == rows
    assert "next" not in rest["paging"]
    assert first["paging"]["cursors"]["after"] != rest["paging"]["cursors"]["after"]


def test_pixels_are_sorted_as_asked(site: Site) -> None:
    fire(site)
    site.catalog.create_pixel(site.ours.account.account_id, "App")
    names = {
        sort: [row["name"] for row in read(site, "/me/adspixels", sort_by=sort)["data"]]
        for sort in ("NAME", "LAST_FIRED_TIME")
    }
    assert {"NAME": ["App", "Our shop"], "LAST_FIRED_TIME": ["Our shop", "App"]} == names


def test_the_next_page_bears_the_token_that_the_address_bore(site: Site) -> None:
    site.catalog.create_pixel(site.ours.account.account_id, "App")
    asked = {"access_token": site.ours.token, "limit": "1"}
    first = site.client.get("/v25.0/me/adspixels", params=asked).json()
    rest = httpx.get(first["paging"]["next"]).json()
    assert 2 == len({row["id"] for row in first["data"] + rest["data"]})


PATHS = (
    "/v25.0/{pixel}",
    "/{pixel}/stats",
    "/v25.0/{pixel}/da_checks",
    "/v25.0/dataset_quality?dataset_id={pixel}",
    "/v25.0/{account}",
    "/v25.0/{account}/adspixels",
)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_another_accounts_does_not_exist(site: Site, path: str) -> None:
    fire(site)
    names = {"pixel": site.theirs.pixel_id, "account": site.theirs.account.account_id}
    nobody = {"pixel": "1234567890123456", "account": "act_123456789012345"}
    answers = [get(site, path.format(**ids)) for ids in (names, nobody)]
    errors = [answer.json()["error"] for answer in answers]
    assert [400, 400] == [answer.status_code for answer in answers]
    assert [("GraphMethodException", 100, 33)] * 2 == [
        (error["type"], error["code"], error["error_subcode"]) for error in errors
    ]
    for error, ids in zip(errors, (names, nobody), strict=True):
        object_id = ids["account" if "{account}" in path else "pixel"]
        expected = f"Unsupported get request. Object with ID '{object_id}' does not exist, "
        assert error["message"].startswith(expected)
    assert "Their shop" not in answers[0].text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "dbl_wrong", OPERATOR])
def test_nothing_is_read_without_an_accounts_token(site: Site, path: str, token: str) -> None:
    address = path.format(pixel=site.ours.pixel_id, account=site.ours.account.account_id)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    site.client.cookies.set("doublet_token", site.ours.token)
    found = site.client.get(address, headers=headers)
    error = found.json()["error"]
    assert (401, "OAuthException", 190) == (found.status_code, error["type"], error["code"])
    assert "token_invalid" == found.headers["x-doublet-refused"]


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        (
            "/v25.0/{pixel}",
            {"fields": "id,nope"},
            "(#100) Tried accessing nonexisting field (nope) on node type (AdsPixel)",
        ),
        (
            "/v25.0/{pixel}",
            {"fields": "owner_ad_account{id,nope}"},
            "(#100) Tried accessing nonexisting field (nope) on node type (AdAccount)",
        ),
        (
            "/v25.0/{pixel}/nope",
            {},
            "(#100) Tried accessing nonexisting field (nope) on node type (AdsPixel)",
        ),
        (
            "/v25.0/{pixel}",
            {"fields": "id,jo@example.com"},
            "Syntax error in fields at character 5 of 17.",
        ),
        (
            "/v25.0/{pixel}",
            {"fields": "id,a15550001111"},
            "(#100) Tried accessing nonexisting field () on node type (AdsPixel)",
        ),
        ("/v25.0/{pixel}", {"fields": "id}"}, "Syntax error in fields at character 2 of 3."),
        (
            "/v25.0/{pixel}",
            {"fields": "owner_ad_account{id"},
            "Syntax error in fields at character 19 of 19.",
        ),
        ("/v25.0/{pixel}", {"fields": "name{id}"}, "(#100) Subfields are unsupported for name"),
        (
            "/v25.0/{pixel}",
            {"fields": "a{" * 20},
            "fields is nested more than 8 deep.",
        ),
        ("/v25.0/{pixel}", {"fields": "["}, "fields begins like a JSON array, but is none."),
        (
            "/v25.0/me/adspixels",
            {"limit": "0"},
            "(#100) limit must be a number from 1 to 1000",
        ),
        (
            "/v25.0/me/adspixels",
            {"sort_by": "AGE"},
            "(#100) sort_by must be NAME or LAST_FIRED_TIME",
        ),
        (
            "/v25.0/dataset_quality",
            {},
            "(#100) The parameter dataset_id is required",
        ),
        (
            "/v25.0/dataset_quality",
            {"dataset_id": "{pixel}", "fields": "web{acr{rate}}"},
            "(#100) Tried accessing nonexisting field (rate) on node type (AdsDatasetMetric)",
        ),
    ],
)
def test_what_cannot_be_answered_says_why(
    site: Site, path: str, parameters: dict[str, str], message: str
) -> None:
    given = {
        name: value.replace("{pixel}", site.ours.pixel_id) for name, value in parameters.items()
    }
    found = get(site, path.format(pixel=site.ours.pixel_id), **given)
    error = found.json()["error"]
    assert (400, 100, message) == (found.status_code, error["code"], error["message"])
    assert error["fbtrace_id"].startswith("A")


@pytest.mark.parametrize(
    ("secret", "proven_with", "status"),
    [("", "other", 200), ("secret", "secret", 200), ("secret", "other", 400)],
)
def test_a_proof_is_checked_where_there_is_a_secret(
    site: Site, secret: str, proven_with: str, status: int
) -> None:
    site.catalog.edit_account(site.ours.account.account_id, app_secret=secret)
    proof = hmac.new(proven_with.encode(), site.ours.token.encode(), hashlib.sha256).hexdigest()
    found = get(site, f"/v25.0/{site.ours.pixel_id}", appsecret_proof=proof)
    assert status == found.status_code
    if status == 400:
        assert 104 == found.json()["error"]["code"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v25.0", ""),
        ("/v25.0/", ""),
        ("/v25.0/{pixel}/stats/more", "more"),
        ("/{pixel}/stats/jo@example.com", "…"),
    ],
)
def test_an_address_that_leads_nowhere_is_said_to(site: Site, path: str, shown: str) -> None:
    found = get(site, path.format(pixel=site.ours.pixel_id))
    error = found.json()["error"]
    assert (404, 2500) == (found.status_code, error["code"])
    assert f"Unknown path components: /{shown}" == error["message"]


def test_what_is_no_id_is_not_repeated(site: Site) -> None:
    found = get(site, "/v25.0/jo@example.com")
    assert (400, 33) == (found.status_code, found.json()["error"]["error_subcode"])
    assert "jo@" not in found.text


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_nothing_can_be_written(site: Site, method: str) -> None:
    found = site.client.request(method, f"/v25.0/{site.ours.pixel_id}", headers=site.ours.headers)
    error = found.json()["error"]
    assert (400, 33) == (found.status_code, error["error_subcode"])
    assert error["message"].startswith(f"Unsupported {method.lower()} request.")


def test_the_dashboard_keeps_its_own_addresses(site: Site) -> None:
    fire(site)
    assert "text/html" in get(site, "/overview").headers["content-type"]
    assert [] == [row for row in read(site, "/overview.json") if row["event_name"] != "Purchase"]
