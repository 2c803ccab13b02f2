"""Stages of leads: how they are told, what they become, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept import Arrival, accept_leads, read_leads
from doublet.refusal import Reason, Refusal
from tests.collector import Collector, refusal_of
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, sha256

NOW_S = NOON // SECOND
EMAIL = "planted.mary@private-mail.example"
META_ID = "1234567890123456"


def accepted(pixels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any] | Refusal:
    """The record of a stage, or why there is none."""
    stage = {"lead_id": "eid-1", "stage": "qualified", "changed_at": NOW_S, **fields}
    body = msgspec.json.encode({"data": [{k: v for k, v in stage.items() if v is not None}]})
    request = read_leads(body)
    assert not isinstance(request, Refusal), request
    arrival = Arrival(ACCOUNT, "", "server", NOON, 0)
    found = accept_leads(request, arrival, {PIXEL: "DE"} if pixels is None else pixels)
    return found if isinstance(found, Refusal) else msgspec.json.decode(found[0])


def good(**fields: Any) -> dict[str, Any]:
    found = accepted(**fields)
    assert not isinstance(found, Refusal), found
    return found


def test_a_stage_becomes_the_event_that_meta_documents() -> None:
    record = good(
        lead_id=META_ID,
        email=EMAIL,
        phone="0151 23456789",
        value=500,
        currency="eur",
        crm="HubSpot",
    )
    assert ("event", ACCOUNT, PIXEL, "server", "qualified", "system_generated") == tuple(
        record[name]
        for name in (
            "record_type",
            "account_id",
            "pixel_id",
            "source",
            "event_name",
            "action_source",
        )
    )
    assert {"lead_id": META_ID, "em": [sha256(EMAIL)], "ph": [sha256("4915123456789")]} == record[
        "user_data"
    ]
    assert {
        "lead_id": META_ID,
        "event_source": "crm",
        "lead_event_source": "HubSpot",
        "value": 500,
        "currency": "EUR",
    } == record["custom_data"]
    assert (NOW_S, "500", "EUR") == (record["event_time"], record["value"], record["currency"])


def test_an_id_of_the_sites_or_the_crms_stays_in_custom_data() -> None:
    record = good(email=EMAIL)
    assert "eid-1" == record["custom_data"]["lead_id"]
    assert {"em"} == record["user_data"].keys()
    assert "CRM" == record["custom_data"]["lead_event_source"]
    # Without any contact the lead itself is the person.
    assert {"external_id": [sha256("eid-1")]} == good()["user_data"]
    # An address in the id becomes the hash that the site's event id has become.
    assert sha256(EMAIL) == good(lead_id=EMAIL)["custom_data"]["lead_id"]


def test_the_same_news_is_the_same_event() -> None:
    def key(**fields: Any) -> int:
        return int(good(**fields)["event_key"])

    same = {key(), key(email=EMAIL, crm="X"), key(changed_at="2026-05-28T20:26:40Z"), key(value=9)}
    assert 1 == len(same)
    others = {key(stage="won"), key(lead_id="eid-2"), key(changed_at=NOW_S - 1)}
    assert 4 == len(same | others)


@pytest.mark.parametrize(
    ("fields", "reason", "field", "words"),
    [
        ({"lead_id": None}, Reason.INVALID_LEAD, "lead_id", "event id of the site's Lead"),
        ({"lead_id": "x" * 2000}, Reason.INVALID_LEAD, "lead_id", "1024"),
        ({"stage": " "}, Reason.INVALID_LEAD, "stage", "qualified"),
        ({"changed_at": None}, Reason.INVALID_LEAD, "changed_at", "Unix seconds"),
        ({"changed_at": "2026-05-28 10:00"}, Reason.INVALID_LEAD, "changed_at", "time zone"),
        (
            {"changed_at": NOW_S - 8 * 24 * 3600},
            Reason.EVENT_TOO_OLD,
            "changed_at",
            "7 days",
        ),
        ({"value": "5,50"}, Reason.INVALID_LEAD, "value", "with a point"),
        ({"currency": "Euro"}, Reason.INVALID_LEAD, "currency", "three-letter"),
        ({"pixel_id": "7"}, Reason.INVALID_LEAD, "pixel_id", "none of the account's"),
        ({"pixels": {}}, Reason.INVALID_LEAD, "pixel_id", "just one"),
        ({"pixels": {PIXEL: "", "2": ""}}, Reason.INVALID_LEAD, "pixel_id", "just one"),
    ],
)
def test_a_stage_that_is_wrong_is_refused_with_what_to_do(
    fields: dict[str, Any], reason: Reason, field: str, words: str
) -> None:
    refusal = accepted(**fields)
    assert isinstance(refusal, Refusal)
    assert (reason, f"data.0.{field}") == (refusal.reason, refusal.field)
    assert words in refusal.message


# --- over HTTP -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture
def fresh(server: Collector) -> Collector:
    """The server, with what it stored before left aside."""
    server.new_records()
    return server


def _post(server: Collector, body: Any, token: str | None = None) -> Any:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"authorization": f"Bearer {server.token if token is None else token}"}
    return server.client.post("/v1/leads", content=content, headers=headers)


def _stage(server: Collector, **fields: Any) -> dict[str, Any]:
    stage = {"lead_id": "1", "stage": "qualified", "changed_at": int(time.time()) - 60}
    return {**stage, "pixel_id": server.pixel.pixel_id, **fields}


def test_a_crm_tells_of_its_leads_over_http(fresh: Collector) -> None:
    stages = [_stage(fresh), _stage(fresh, stage="won", email=EMAIL)]
    answer = _post(fresh, {"data": stages})
    assert (200, 2) == (answer.status_code, answer.json()["leads_received"])
    found = [(r["record_type"], r["account_id"], r["event_name"]) for r in fresh.new_records()]
    assert found == [("event", fresh.account, "qualified"), ("event", fresh.account, "won")]


def test_one_bad_stage_refuses_all_and_nothing_personal_is_kept(fresh: Collector) -> None:
    mary = {"email": EMAIL, "phone": "+49 170 5551234567", "external_id": "Plantedid"}
    for bad in ({"stage": ""}, {"nickname": "Plantedname"}, {"changed_at": "Plantedname"}):
        stages = [_stage(fresh, **mary), _stage(fresh, **mary, **bad)]
        answer = _post(fresh, {"data": stages})
        assert "invalid_lead" == refusal_of(answer)
        assert "lanted" not in answer.text
        record = fresh.new_record()
        assert ("refused", fresh.account) == (record["record_type"], record["account_id"])
    stored = b"".join(
        path.read_bytes() for path in Path(fresh.settings.data).rglob("*") if path.is_file()
    )
    assert b"invalid_lead" in stored
    assert [] == [word for word in (b"lanted", b"5551234567") if word in stored]


def test_leads_need_a_token_a_post_and_the_accounts_own_pixel(fresh: Collector) -> None:
    body = {"data": [_stage(fresh)]}
    assert 401 == _post(fresh, body, token="dbl_wrong").status_code
    assert "method_not_allowed" == refusal_of(fresh.client.get("/v1/leads"))
    assert "invalid_lead" == refusal_of(_post(fresh, body, token=fresh.other_token))
    assert "no_events" == refusal_of(_post(fresh, {"data": []}))
    assert "too_many_events" == refusal_of(_post(fresh, {"data": [{}] * 1001}))
    assert "malformed_body" == refusal_of(_post(fresh, b"{"))
