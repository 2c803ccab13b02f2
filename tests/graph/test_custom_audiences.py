"""Audiences through Meta's SDK: made by rule, list and likeness, read back, changed and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from doublet.catalog import Catalog, ListBatch
from doublet.catalog.lists import REPLACE_MAX_S
from tests.dashboard import Site
from tests.factories import sha256
from tests.server import RunningServer

Schema = CustomAudience.Schema
EMAILS = [f"user{n}@example.com" for n in range(5)]
Field = CustomAudience.Field

pytestmark = pytest.mark.usefixtures("api")


def rule(pixel_id: str, days: int = 30, event_name: str = "ViewContent") -> str:
    """Who did something in the last days."""
    return json.dumps(
        {
            "inclusions": {
                "operator": "or",
                "rules": [
                    {
                        "event_sources": [{"id": pixel_id, "type": "pixel"}],
                        "retention_seconds": days * 86_400,
                        "filter": {
                            "operator": "and",
                            "filters": [{"field": "event", "operator": "eq", "value": event_name}],
                        },
                    }
                ],
            }
        }
    )


def make_list(site: Site, name: str = "Customers", **more: Any) -> CustomAudience:
    """A customer list of our shop."""
    return AdAccount(site.ours.account.account_id).create_custom_audience(
        params={
            "name": name,
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
            **more,
        }
    )


def kept(site: Site, audience: CustomAudience) -> set[str]:
    """The identifiers in a list."""
    return {each for each, _, _ in site.catalog.lists.keys(audience["id"])}


def refused(error: pytest.ExceptionInfo[FacebookRequestError]) -> tuple[int, int | None]:
    """The numbers of a refusal."""
    return error.value.api_error_code(), error.value.api_error_subcode()


# --- what must be shown ----------------------------------------------------------------------


def test_the_sdk_makes_a_rule_a_list_and_a_lookalike_and_reads_them_back(site: Site) -> None:
    account = AdAccount(site.ours.account.account_id)
    by_rule = account.create_custom_audience(
        params={
            "name": "Viewed",
            "subtype": CustomAudience.Subtype.website,
            "rule": rule(site.ours.pixel_id, 60),
            "prefill": False,
            "description": "Looked at a product",
        }
    )
    by_list = make_list(site, is_value_based=True)
    answer = by_list.add_users(schema=Schema.email_hash, users=EMAILS).json()
    assert (by_list["id"], 5, 0, []) == (
        answer["audience_id"],
        answer["num_received"],
        answer["num_invalid_entries"],
        answer["invalid_entry_samples"],
    )
    assert {f"em={sha256(email)}" for email in EMAILS} == kept(site, by_list)
    spec = {"ratio": 0.02, "starting_ratio": 0.01, "country": "DE"}
    alike = account.create_custom_audience(
        params={
            "name": "Alike",
            "subtype": CustomAudience.Subtype.lookalike,
            "origin_audience_id": by_list["id"],
            "lookalike_spec": json.dumps(spec),
        }
    )
    fields = [
        *(Field.name, Field.subtype, Field.rule, Field.retention_days, Field.description),
        *(Field.approximate_count_lower_bound, Field.approximate_count_upper_bound),
        *(Field.delivery_status, Field.operation_status, Field.data_source, Field.time_created),
        *(Field.lookalike_spec, Field.customer_file_source, Field.is_value_based),
        *(Field.permission_for_actions, Field.account_id, Field.time_content_updated),
    ]
    found = {each["id"]: each for each in account.get_custom_audiences(fields, {"limit": 2})}
    assert {by_rule["id"], by_list["id"], alike["id"]} == set(found)
    assert found[by_rule["id"]] == CustomAudience(by_rule["id"]).api_get(fields)
    viewed = found[by_rule["id"]]
    assert ("WEBSITE", rule(site.ours.pixel_id, 60), 60, "Looked at a product", -1, -1) == (
        viewed["subtype"],
        viewed["rule"],
        viewed["retention_days"],
        viewed["description"],
        viewed["approximate_count_lower_bound"],
        viewed["approximate_count_upper_bound"],
    )
    assert (300, 441, "WEB_PIXEL_HITS") == (
        viewed["delivery_status"]["code"],
        viewed["operation_status"]["code"],
        viewed["data_source"]["sub_type"],
    )
    customers, like = found[by_list["id"]], found[alike["id"]]
    assert ("CUSTOM", "USER_PROVIDED_ONLY", True, "FILE_IMPORTED") == (
        customers["subtype"],
        customers["customer_file_source"],
        customers["is_value_based"],
        customers["data_source"]["type"],
    )
    named = {"id": by_list["id"], "name": "Customers", "type": "custom_audience"}
    assert {**spec, "origin": [named]} == dict(like["lookalike_spec"])
    kept_audience = site.catalog.audiences.find(site.ours.account.account_id, by_rule["id"])
    assert kept_audience is not None
    assert not kept_audience.prefill
    ids = CustomAudience(by_list["id"]).api_get(["lookalike_audience_ids"])
    assert [alike["id"]] == ids["lookalike_audience_ids"]


def test_what_the_worker_found_out_is_told(site: Site) -> None:
    made = make_list(site)
    fields = [
        *("approximate_count_lower_bound", "approximate_count_upper_bound", "delivery_status"),
        "operation_status",
    ]

    def told() -> tuple[int, int, int, int]:
        read = CustomAudience(made["id"]).api_get(fields)
        return (
            read["approximate_count_lower_bound"],
            read["approximate_count_upper_bound"],
            read["delivery_status"]["code"],
            read["operation_status"]["code"],
        )

    audiences = site.catalog.audiences
    assert (-1, -1, 300, 441) == told()
    audiences.note_state(made["id"], {"state": "ready"})
    audiences.note_size(made["id"], 10, 12_345)
    assert (12_000, 13_000, 200, 200) == told()
    audiences.note_size(made["id"], 20, 999)
    assert (-1, -1, 200, 200) == told()
    audiences.note_size(made["id"], 30, 0)
    audiences.note_state(made["id"], {"state": "failed", "message": "The disk is full."})
    assert (-1, -1, 300, 400) == told()
    said = CustomAudience(made["id"]).api_get(["operation_status"])["operation_status"]
    assert "The disk is full." == said["description"]


def test_an_audience_is_changed_and_deleted_and_it_is_recorded(site: Site) -> None:
    account = AdAccount(site.ours.account.account_id)
    params = {"name": "A", "rule": rule(site.ours.pixel_id), "subtype": "WEBSITE"}
    made = CustomAudience(account.create_custom_audience(params=params)["id"])
    made.api_update(params={"name": "B", "rule": rule(site.ours.pixel_id, 7, "Lead")})
    read = made.api_get(["name", "rule", "retention_days"])
    assert ("B", rule(site.ours.pixel_id, 7, "Lead"), 7) == (
        read["name"],
        read["rule"],
        read["retention_days"],
    )
    made.api_delete()
    with pytest.raises(FacebookRequestError) as gone:
        made.api_get()
    assert (100, 33) == refused(gone)
    assert [("audience.removed", "B"), ("audience.changed", "B"), ("audience.created", "A")] == [
        (change.what, change.target) for change in site.catalog.changes.newest()
    ]


def test_the_origin_of_a_lookalike_is_not_deleted(site: Site) -> None:
    made = make_list(site)
    params = {"name": "L", "origin_audience_id": made["id"], "lookalike_spec": '{"ratio": 0.01}'}
    alike = AdAccount(site.ours.account.account_id).create_custom_audience(params=params)
    with pytest.raises(FacebookRequestError, match="lookalike 'L'") as kept_error:
        CustomAudience(made["id"]).api_delete()
    assert 2655 == kept_error.value.api_error_code()
    CustomAudience(alike["id"]).api_delete()
    CustomAudience(made["id"]).api_delete()
    assert [] == site.catalog.audiences.all()


def test_a_lookalike_of_too_few_people_is_refused(site: Site) -> None:
    made = make_list(site)
    params = {"name": "L", "origin_audience_id": made["id"], "lookalike_spec": '{"ratio": 0.01}'}
    site.catalog.audiences.note_size(made["id"], 10, 99)
    with pytest.raises(FacebookRequestError) as small:
        AdAccount(site.ours.account.account_id).create_custom_audience(params=params)
    assert (100, 1713232) == refused(small)
    site.catalog.audiences.note_size(made["id"], 20, 100)
    AdAccount(site.ours.account.account_id).create_custom_audience(params=params)


WRONG: list[tuple[dict[str, Any], int, int | None]] = [
    ({"name": "", "subtype": "WEBSITE", "rule": "{}"}, 100, None),
    ({"subtype": "WEBSITE"}, 100, None),
    ({"subtype": "WEBSITE", "rule": "no"}, 100, 1713098),
    ({"subtype": "WEBSITE", "rule": '{"event": {"eq": "A"}}', "retention_days": 181}, 100, None),
    ({"subtype": "WEBSITE", "rule": '{"event": {"eq": "A"}}', "pixel_id": "12"}, 100, None),
    ({"subtype": "WEBSITE", "rule": '{"event": {"eq": "A"}}', "prefill": "maybe"}, 100, None),
    ({"subtype": "CUSTOM"}, 100, None),
    ({"subtype": "CUSTOM", "customer_file_source": "A_FRIEND"}, 100, None),
    ({"subtype": "ENGAGEMENT"}, 100, None),
    ({"subtype": "LOOKALIKE", "lookalike_spec": '{"ratio": 0.01}'}, 100, None),
    (
        {
            "subtype": "LOOKALIKE",
            "lookalike_spec": '{"ratio": 0.01}',
            "origin_audience_id": "1234567890123456",
        },
        100,
        None,
    ),
    ({"description": "x"}, 100, None),
]


@pytest.mark.parametrize(("params", "code", "subcode"), WRONG, ids=lambda each: str(each)[:60])
def test_an_audience_that_cannot_be_is_refused(
    site: Site, params: dict[str, Any], code: int, subcode: int | None
) -> None:
    path = f"{site.url}/v25.0/{site.ours.account.account_id}/customaudiences"
    answer = httpx.post(path, data={"name": "A", **params}, headers=site.ours.headers)
    error = answer.json()["error"]
    assert (400, code, subcode) == (answer.status_code, error["code"], error.get("error_subcode"))
    assert [] == site.catalog.audiences.all()


def test_an_audience_of_another_account_is_nobody_s(site: Site) -> None:
    made = make_list(site)
    for method, path in (
        *(("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/users"), ("DELETE", "/users")),
        ("POST", "/usersreplace"),
    ):
        answer = httpx.request(
            method, f"{site.url}/v25.0/{made['id']}{path}", headers=site.theirs.headers
        )
        assert 33 == answer.json()["error"]["error_subcode"]
    path = f"{site.url}/{site.theirs.account.account_id}/customaudiences"
    assert {"data": []} == httpx.get(path, headers=site.theirs.headers).json()
    params = {"name": "L", "origin_audience_id": made["id"], "lookalike_spec": '{"ratio": 0.01}'}
    assert 400 == httpx.post(path, data=params, headers=site.theirs.headers).status_code


# --- people ----------------------------------------------------------------------------------


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
