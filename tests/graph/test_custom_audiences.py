"""Audiences through Meta's SDK: made by rule, list and likeness, read back, changed and deleted."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.exceptions import FacebookRequestError

from tests.dashboard import Site
from tests.factories import sha256
from tests.graph.audiences import EMAILS, Schema, kept, make_list, refused, rule

Field = CustomAudience.Field

pytestmark = pytest.mark.usefixtures("api")


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
    ({"subtype": "WEBSITE", "rule": rule("1234567890123456")}, 100, 1713098),
    ({"subtype": "WEBSITE", "rule": '{"url": {"sounds_like": "A"}}'}, 2654, 1713032),
    ({"subtype": "WEBSITE", "rule": '{"event": {"eq": "A"}}', "prefill": "maybe"}, 100, None),
    ({"subtype": "CUSTOM"}, 100, None),
    ({"subtype": "CUSTOM", "customer_file_source": "A_FRIEND"}, 100, None),
    ({"subtype": "ENGAGEMENT"}, 100, None),
    ({"subtype": "LOOKALIKE", "lookalike_spec": '{"ratio": 0.01}'}, 100, None),
    ({"subtype": "LOOKALIKE", "lookalike_spec": '{"ratio": 0.5}'}, 100, None),
    ({"subtype": "LOOKALIKE"}, 100, None),
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


def test_a_rule_keeps_the_days_that_it_needs(site: Site) -> None:
    account = AdAccount(site.ours.account.account_id)
    old = '{"event": {"eq": "Lead"}}'
    own = rule(site.ours.pixel_id, 60)
    without = own.replace('"retention_seconds": 5184000, ', "")
    assert without != own
    for text, days, expected in (
        *((old, None, 30), (old, 7, 7), (own, None, 60), (own, 7, 60)),
        *((without, None, 30), (without, 90, 90)),
    ):
        params = {"name": "A", "subtype": "WEBSITE", "rule": text}
        made = account.create_custom_audience(
            params=params if days is None else {**params, "retention_days": days}
        )
        assert expected == made.api_get(["retention_days"])["retention_days"], (text, days)
