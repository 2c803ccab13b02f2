"""People of customer lists through Meta's SDK: put in, taken out, replaced; and the whole way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from doublet.catalog import Catalog, ListBatch
from doublet.catalog.lists import REPLACE_MAX_S
from tests.dashboard import Site
from tests.factories import make_event, sha256
from tests.graph.audiences import EMAILS, Schema, kept, make_list, refused, rule
from tests.server import RunningServer

pytestmark = pytest.mark.usefixtures("api")


def test_the_sdk_adds_and_removes_people_by_one_key_and_by_many(site: Site) -> None:
    made = make_list(site)
    made.add_users(Schema.phone_hash, [sha256("491701234567")], pre_hashed=True)
    made.add_users(Schema.mobile_advertiser_id, ["38400000-8cf0-11bd-b23e-10b96e40000d"])
    many = Schema.MultiKeySchema
    people = [[" Anna@Example.com ", "Anna", "c-1"], ["ben@example.com", "Ben", "c-2"]]
    made.add_users([many.email, many.fn, many.extern_id], people, is_raw=True)
    assert {
        *(f"em={sha256(each)}" for each in ("anna@example.com", "ben@example.com")),
        *(f"external_id={sha256(each)}" for each in ("c-1", "c-2")),
        f"ph={sha256('491701234567')}",
        "madid=38400000-8cf0-11bd-b23e-10b96e40000d",
        "madid=38400000-8CF0-11BD-B23E-10B96E40000D",
    } == kept(site, made)
    answer = made.remove_users(Schema.email_hash, ["anna@example.com"]).json()
    assert (1, 0) == (answer["num_received"], answer["num_invalid_entries"])
    made.remove_users([many.extern_id], [["c-2"]], is_raw=True)
    made.remove_users(Schema.phone_hash, [sha256("491701234567")], pre_hashed=True)
    assert {"madid"} == {each.partition("=")[0] for each in kept(site, made)}
    assert {"list.changed"} == {each.what for each in site.catalog.changes.newest(limit=6)}


def test_plain_rows_are_hashed_on_arrival_and_bad_ones_described(
    site: Site, tmp_path: Path
) -> None:
    made = make_list(site)
    payload = {
        "schema": ["EMAIL", "PHONE", "LOOKALIKE_VALUE"],
        "is_raw": True,
        "data": [["zoe@example.com", "+49 170 7654321", 12.5], ["zoe at example", "", 1], ["x"]],
    }
    answer = made.create_user(params={"payload": payload})
    assert (3, 2) == (answer["num_received"], answer["num_invalid_entries"])
    assert [
        "Row 2: EMAIL 'aaa aa aaaaaaa': not usable",
        "Row 3: 1 values, where schema has 3 columns",
    ] == answer["invalid_entry_samples"]
    assert {12.5} == {value for _, _, value in site.catalog.lists.keys(made["id"])}
    assert f"ph={sha256('491707654321')}" in kept(site, made)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"zoe@example" not in content, path
            assert b"7654321" not in content, path


def test_who_limits_the_use_of_data_is_not_in(site: Site) -> None:
    made = make_list(site)
    made.add_users(Schema.email_hash, EMAILS)
    payload = {
        "schema": [
            *("EMAIL", "DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY"),
            "DATA_PROCESSING_OPTIONS_STATE",
        ],
        "data": [[sha256(EMAILS[0]), ["LDU"], 1, 1000], [sha256("new@example.com"), [], 0, 0]],
    }
    made.create_user(params={"payload": payload})
    emails = [*EMAILS[1:], "new@example.com"]
    assert {f"em={sha256(email)}" for email in emails} == kept(site, made)


def test_a_list_is_replaced_in_a_session(site: Site) -> None:
    made = make_list(site)
    made.add_users(Schema.email_hash, EMAILS)
    hashes = [sha256(f"new{n}@example.com") for n in range(6)]

    def send(seq: int, *, is_last: bool = False, session_id: int = 9) -> dict[str, Any]:
        some = hashes[2 * seq - 2 : 2 * seq]
        params = {
            "payload": {"schema": "EMAIL_SHA256", "data": some},
            "session": {
                "session_id": session_id,
                "batch_seq": seq,
                "last_batch_flag": is_last,
                "estimated_num_total": 6,
            },
        }
        answer = FacebookAdsApi.get_default_api().call(
            "POST", (made["id"], "usersreplace"), params=params
        )
        return dict(answer.json())

    first = send(1)
    assert ("9", 2) == (first["session_id"], first["num_received"])
    assert {f"em={sha256(email)}" for email in EMAILS} == kept(site, made)
    with pytest.raises(FacebookRequestError, match="Another session") as busy:
        send(1, session_id=10)
    assert (2650, 1870145) == refused(busy)
    with pytest.raises(FacebookRequestError, match="Batch 2 ") as gap:
        send(3, is_last=True)
    assert (2650, None) == refused(gap)
    assert send(1) == first
    send(2)
    last = send(3, is_last=True)
    assert {f"em={each}" for each in hashes} == kept(site, made)
    assert send(3, is_last=True) == last
    with pytest.raises(FacebookRequestError, match="taken already") as over:
        send(4, is_last=True)
    assert (2650, None) == refused(over)


def test_a_session_that_lasts_too_long_is_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_list(site)
    audience = site.catalog.audiences.find(site.ours.account.account_id, made["id"])
    assert audience is not None
    begun = audience.created_at - REPLACE_MAX_S - 60
    site.catalog.lists.stage(audience, [], begun, ListBatch("9", 1, 0, "{}"), is_last=False)
    params = {
        "payload": {"schema": "EMAIL_SHA256", "data": [sha256(EMAILS[0])]},
        "session": {"session_id": 9, "batch_seq": 2, "last_batch_flag": True},
    }
    with pytest.raises(FacebookRequestError, match="90 minutes") as late:
        made.create_users_replace(params=params)
    assert (2650, 1870158) == refused(late)


def test_a_person_is_taken_out_of_every_list_of_the_account(site: Site) -> None:
    lists = [make_list(site, name) for name in ("A", "B")]
    for each in lists:
        each.add_users(Schema.email_hash, EMAILS)
    params = {"payload": {"schema": "EMAIL_SHA256", "data": [sha256(EMAILS[0])]}}
    account = AdAccount(site.ours.account.account_id)
    account.delete_users_of_any_audience(params=params)
    assert [{f"em={sha256(e)}" for e in EMAILS[1:]}] * 2 == [kept(site, each) for each in lists]


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({}, "payload is required"),
        ({"payload": "{}"}, "no JSON object"),
        ({"payload": '{"schema": "SHOE", "data": []}'}, "unknown column SHOE"),
        ({"payload": '{"schema": "EMAIL", "data": []}', "session": "x"}, "session"),
    ],
)
def test_people_who_cannot_be_read_are_refused(
    site: Site, params: dict[str, str], what: str
) -> None:
    path = f"{site.url}/v25.0/{make_list(site)['id']}/users"
    answer = httpx.post(path, data=params, headers=site.ours.headers)
    assert 400 == answer.status_code
    assert what in answer.json()["error"]["message"]


def test_people_cannot_be_put_where_a_rule_decides(site: Site) -> None:
    account = AdAccount(site.ours.account.account_id)
    params = {"name": "A", "rule": rule(site.ours.pixel_id), "subtype": "WEBSITE"}
    made = account.create_custom_audience(params=params)
    with pytest.raises(FacebookRequestError, match=r"EVENT_BASED\.WEB_PIXEL_HITS") as wrong:
        made.add_users(Schema.email_hash, EMAILS)
    assert 2650 == wrong.value.api_error_code()
    path = f"{site.url}/{made['id']}/usersreplace"
    assert 400 == httpx.post(path, headers=site.ours.headers).status_code


def test_a_post_may_say_that_it_is_a_delete(site: Site) -> None:
    made = make_list(site)
    made.add_users(Schema.email_hash, EMAILS)
    payload = json.dumps({"schema": "EMAIL_SHA256", "data": [sha256(EMAILS[0])]})
    path = f"{site.url}/v25.0/{made['id']}/users"
    # As a form, as parts and as JSON.
    httpx.post(path, data={"method": "delete", "payload": payload}, headers=site.ours.headers)
    second = payload.replace(sha256(EMAILS[0]), sha256(EMAILS[1]))
    parts = {"method": (None, "DELETE"), "payload": (None, second)}
    httpx.post(path, files=parts, headers=site.ours.headers)
    body = {"payload": {"schema": "EMAIL_SHA256", "data": [sha256(EMAILS[2])]}}
    httpx.request("DELETE", path, json=body, headers=site.ours.headers)
    assert {f"em={sha256(email)}" for email in EMAILS[3:]} == kept(site, made)


# --- the whole way ---------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with RunningServer(tmp_path / "whole", workers=1) as running:
        monkeypatch.setattr(FacebookSession, "GRAPH", running.url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        api = FacebookAdsApi.init(access_token=running.access_token, crash_log=False)
        yield running
        api._session.requests.close()


@pytest.mark.slow
def test_ten_thousand_rows_of_four_keys_come_through_the_public_port(
    server: RunningServer,
) -> None:
    made = AdAccount(server.account_id).create_custom_audience(
        params={"name": "A", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
    )
    many = Schema.MultiKeySchema
    people = [
        [sha256(f"user{n}@example.com"), sha256(f"49170{n:07}"), sha256("anna"), f"c-{n}"]
        for n in range(10_000)
    ]
    schema = [many.email, many.phone, many.fn, many.extern_id]
    answer = made.add_users(schema, people, is_raw=True, pre_hashed=True).json()
    assert (10_000, 0) == (answer["num_received"], answer["num_invalid_entries"])
    # The same in parts, as curl's -F sends them: more than a million bytes in one.
    payload = json.dumps({"schema": schema, "data": people})
    again = httpx.post(
        f"{server.url}/v25.0/{made['id']}/users",
        files={"payload": (None, payload)},
        headers=server.headers,
        timeout=60,
    )
    assert 10_000 == again.json()["num_received"], again.text
    catalog = Catalog(server.settings.catalog_url)
    try:
        assert 10_000 == catalog.lists.count(made["id"])
    finally:
        catalog.close()


@pytest.mark.slow
def test_a_list_tells_how_it_matches_who_was_seen(server: RunningServer) -> None:
    seen = {"em": [sha256(EMAILS[0])], "client_ip_address": "198.51.100.7"}
    answer = httpx.post(
        f"{server.url}/v25.0/{server.pixel_id}/events",
        json={"data": [make_event(event_time=int(time.time()), user_data=seen)]},
        headers=server.headers,
    )
    assert 200 == answer.status_code, answer.text
    server.wait_until(lambda: "Purchase" in server.overview(), what="the event is modelled")
    account = AdAccount(server.account_id)
    made = account.create_custom_audience(
        params={"name": "A", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
    )
    buyers = account.create_custom_audience(
        params={"name": "B", "subtype": "WEBSITE", "rule": rule(server.pixel_id, 30, "Purchase")}
    )
    made.add_users(Schema.email_hash, EMAILS)
    catalog = Catalog(server.settings.catalog_url)
    try:

        def match() -> dict[str, Any]:
            found = catalog.audiences.state(made["id"]).get("match") or {}
            return dict(found) if found.get("rows") else {}

        server.wait_until(match, what="the list is matched")
        assert (5, 1, 4, 1) == tuple(
            match()[name] for name in ("rows", "matched", "unknown", "persons")
        )
        server.wait_until(
            lambda: len(catalog.audiences.latest_sizes(server.account_id)) == 2,
            what="both audiences have their people",
        )
        sizes = catalog.audiences.latest_sizes(server.account_id)
        assert {made["id"]: 1, buyers["id"]: 1} == {each: n for each, (_, n) in sizes.items()}
    finally:
        catalog.close()
    fields = ["operation_status", "delivery_status"]
    for each in (made, buyers):
        told = each.api_get(fields)
        assert (200, 200) == tuple(told[name]["code"] for name in fields)
