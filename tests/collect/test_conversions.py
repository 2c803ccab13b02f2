"""The Conversions API as clients speak it: bodies, tokens, kinds of events, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from doublet.collect.request import decompress
from doublet.refusal import Reason, Refusal
from tests.collector import Collector, body_of, event, refusal_of
from tests.factories import sha256

EMAIL = "Planted.Mary@private-mail.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_new(server: Collector) -> None:
    """Every test begins with the records of the others read."""
    server.new_records()


def app_event(*extinfo: str) -> dict[str, Any]:
    """An event of an app with these entries of extinfo."""
    return event(action_source="app", event_name="AddToCart", app_data={"extinfo": list(extinfo)})


def bare_deflate(body: bytes) -> bytes:
    """Deflate without zlib's header."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


def message(event_name: str, channel: str, **user_data: str) -> dict[str, Any]:
    """An event of business messaging."""
    return event(
        event_name=event_name,
        action_source="business_messaging",
        messaging_channel=channel,
        user_data={"em": [sha256("a@b.example")], **user_data},
    )


# --- what is refused, and with which number --------------------------------------------------

DAY_S = 86_400
REFUSED: list[tuple[int | None, str, dict[str, Any]]] = [
    (2804003, "event_time", event(event_time=int(time.time()) - 8 * DAY_S)),
    (2804009, "custom_data.value", event(custom_data={"currency": "EUR"})),
    (2804010, "custom_data.currency", event(custom_data={"value": 1})),
    (2804019, "user_data", event(user_data=None)),
    (2804019, "", {**event(), "advertiser_tracking_enabled": 1}),
    (2804019, "custom_data.contents.0", event(custom_data={"contents": [{"name": "Shoe"}]})),
    (2804036, "user_data.lead_id", event(user_data={"lead_id": 123})),
    (2804043, "app_data.extinfo.4", app_event("i2", "com.shop", "1", "1.0", "")),
    (2804043, "app_data.extinfo.4", app_event("i2", "com.shop")),
    (2804050, "user_data", event(user_data={"country": [sha256("de")], "ge": [sha256("f")]})),
    (2804066, "event_name", message("Lead", "messenger")),
    (2804116, "user_data.whatsapp_business_account_id", message("Purchase", "whatsapp")),
    (None, "event_time", event(event_time=int(time.time()) + 2 * DAY_S)),
    (None, "event_name", event(event_name=" ")),
]


@pytest.mark.parametrize(
    ("subcode", "field", "bad"), REFUSED, ids=[f"{code} {field}" for code, field, _ in REFUSED]
)
def test_each_fault_has_its_number_names_its_field_and_refuses_the_whole_request(
    server: Collector, subcode: int | None, field: str, bad: dict[str, Any]
) -> None:
    answer = server.post(body_of(event(event_id="good"), bad))
    refusal_of(answer)
    error = answer.json()["error"]
    assert (400, 100, subcode) == (answer.status_code, error["code"], error.get("error_subcode"))
    assert ".".join(error["error_data"]["blame_field_specs"][0]) == f"data.1.{field}".rstrip(".")
    assert "refused" == server.new_record()["record_type"]


@pytest.mark.parametrize("form", ["objects", "strings", "text", "partial"])
def test_a_key_that_meta_does_not_know_is_named_in_its_words(server: Collector, form: str) -> None:
    top = event() | {"advertiser_tracking_enabled": 1}
    deep = event(custom_data={"contents": [{"id": 1}, {"name": "Shoe"}]})
    for bad, expected in (
        (top, 'Unexpected key "advertiser_tracking_enabled" on param "$[\'data\'][1]".'),
        (deep, "Unexpected key \"name\" on param \"$['data'][1]['custom_data']['contents'][1]\"."),
        (event() | {"user_data": None}, "The parameter $['data'][1]['user_data'] is required."),
    ):
        data: Any = [event(), bad]
        if form == "strings":
            data = [json.dumps(one) for one in data]
        elif form == "text":
            data = json.dumps(data)
        parameters = {"access_token": server.token}
        if form == "partial":
            answer = server.client.post(
                server.events_path(), params=parameters | {"validation": form}, json={"data": data}
            )
            (entry,) = answer.json()["refused"]
        else:
            answer = server.client.post(
                server.events_path(), params=parameters, json={"data": data}
            )
            entry = answer.json()
        assert expected in entry["error"]["error_user_msg"]
        assert entry["error"]["error_data"]["blame_field_specs"][0][:2] == ["data", "1"]


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("no user agent", event(user_data={"em": [sha256("a@b.example")]})),
    ("no address", event(event_source_url=None)),
    ("no action source", event(action_source=None)),
    ("app", app_event("i2", "com.shop", "1", "1.0", "17.4", "iPhone14,5")),
    (
        "app as Node writes it",
        event(action_source="app", app_data={"extinfo": {"0": "a2", "4": "15"}}),
    ),
    ("WhatsApp by page", message("Purchase", "whatsapp", page_id="1", ctwa_clid="x")),
    ("Instagram", message("LeadSubmitted", "instagram", instagram_business_account_id="7")),
    ("store", event(action_source="physical_store", user_data={"email": EMAIL, "zip": "94035"})),
    ("lead", event(action_source="system_generated", user_data={"lead_id": 1234567890123456})),
    (
        "follow-up",
        event(
            event_name="AppendAttribution",
            original_event_data={"event_name": "Purchase", "event_time": 1, "event_id": "1"},
            attribution_data={"attribution_share": 0.5, "attribution_model": "last_click"},
        ),
    ),
    ("nulls", {**event(), "event_id": None, "opt_out": None, "app_data": None}),
    ("contents as text", event(custom_data={"value": "1", "currency": "usd", "contents": "[]"})),
]


@pytest.mark.parametrize(("case", "good"), TAKEN, ids=[case for case, _ in TAKEN])
def test_what_is_only_a_diagnostic_at_meta_is_taken(
    server: Collector, case: str, good: dict[str, Any]
) -> None:
    answer = server.post(body_of(good))
    assert {"events_received": 1, "messages": []} == {
        key: value for key, value in answer.json().items() if key != "fbtrace_id"
    }
    record = server.new_record()
    assert "event" == record["record_type"]
    assert EMAIL.lower() not in json.dumps(record).lower()


def test_both_spellings_are_stored_under_one_name(server: Collector) -> None:
    user_data = {"email": EMAIL, "phone": "+49 170 5551234", "gen": "f", "zip": "94035"}
    offline = event(action_source="physical_store", user_data=user_data)
    chat = message("Purchase", "instagram", instagram_business_account_id="7", ig_sid="8")
    assert 200 == server.post(body_of(offline, chat)).status_code
    stored, told = server.new_records()
    assert {"em", "ph", "ge", "zp"} == stored["user_data"].keys()
    assert ("7", "8") == (told["user_data"]["ig_account_id"], told["user_data"]["ig_sid"])


def test_lists_that_came_as_text_are_lists(server: Collector) -> None:
    custom = {"value": 5, "currency": "EUR"}
    custom |= {"content_ids": '["a","b"]', "contents": '[{"id":"a","quantity":1}]'}
    server.post(body_of(event(custom_data=custom)))
    stored = server.new_record()["custom_data"]
    assert (["a", "b"], [{"id": "a", "quantity": 1}]) == (stored["content_ids"], stored["contents"])


@pytest.mark.parametrize(
    "form", ["objects", "strings", "text", "form", "partial", "partial strings", "partial text"]
)
def test_half_an_emoji_does_not_cost_the_request(server: Collector, form: str) -> None:
    """JSON as JavaScript and Python write it where a text was cut within an emoji."""
    half = "\ud83d"
    texts = {"a": f"tea {half}", "b": f"\U0001f375\udf75{half}", "c": f"C:\\ud83d\\{half}\\"}
    data: Any = [event(event_name="Lead", custom_data=texts)]
    if form.endswith("strings"):
        data = [json.dumps(one) for one in data]
    elif form.endswith(("text", "form")):
        data = json.dumps(data)
    kind, body = "application/json", json.dumps({"data": data})
    if form == "form":
        kind, body = "application/x-www-form-urlencoded", urlencode({"data": data})
    parameters = {"access_token": server.token}
    if form.startswith("partial"):
        parameters["validation"] = "partial"
    answer = server.client.post(
        server.events_path(), params=parameters, content=body, headers={"content-type": kind}
    )
    assert (200, 1) == (answer.status_code, answer.json()["events_received"])
    cut = "\N{REPLACEMENT CHARACTER}"
    expected = {"a": f"tea {cut}", "b": f"\U0001f375{cut}{cut}", "c": f"C:\\ud83d\\{cut}\\"}
    assert expected == server.new_record()["custom_data"]


def test_a_refused_request_with_half_an_emoji_can_be_replayed(server: Collector) -> None:
    bad = event(custom_data={"content_name": "tea \ud83d"})
    for data in ([bad], [json.dumps(bad)], json.dumps([bad])):
        assert 400 == server.post(json.dumps({"data": data}).encode()).status_code
        (payload,) = server.new_record()["payload"]
        expected = {"content_name": "tea \N{REPLACEMENT CHARACTER}"}
        assert expected == payload["custom_data"]


def test_a_time_may_be_written_as_iso_8601(server: Collector) -> None:
    now = int(time.time())
    utc = datetime.fromtimestamp(now, UTC)
    forms = [utc.isoformat(), f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%dT%H:%M:%S+0000}", now]
    for form in forms:
        assert 200 == server.post(body_of(event(event_time=form))).status_code
    assert {now} == {record["event_time"] for record in server.new_records()}


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)],
)
def test_a_compressed_body_is_taken(server: Collector, encoding: str, compress: Any) -> None:
    answer = server.post(compress(body_of(event())), **{"content-encoding": encoding})
    assert (200, 1) == (answer.status_code, answer.json()["events_received"])
    assert "event" == server.new_record()["record_type"]


def test_a_body_of_several_gzip_members_is_one_body(server: Collector) -> None:
    body = body_of(event())
    halves = gzip.compress(body[:50]) + gzip.compress(body[50:])
    assert 200 == server.post(halves, **{"content-encoding": "gzip"}).status_code


def test_a_body_of_nothing_but_empty_gzip_members_is_refused_at_once() -> None:
    body = gzip.compress(b"") * 400_000
    outcome = decompress(body, {"headers": [(b"content-encoding", b"gzip")]}, 8 << 20)
    assert isinstance(outcome, Refusal)
    assert Reason.COMPRESSED is outcome.reason


def test_a_body_that_only_says_that_it_is_compressed_is_taken(server: Collector) -> None:
    assert 200 == server.post(body_of(event()), **{"content-encoding": "gzip"}).status_code


def test_a_bomb_and_a_torn_body_are_refused(server: Collector) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    answer = server.post(bomb, **{"content-encoding": "gzip"})
    assert (413, "too_large") == (answer.status_code, refusal_of(answer))
    torn = gzip.compress(body_of(event()))[:-9]
    answer = server.post(torn, **{"content-encoding": "gzip"})
    assert (415, "compressed") == (answer.status_code, refusal_of(answer))
    server.assert_takes_events()


@pytest.mark.parametrize("more", [{}, {"validation": "partial"}], ids=["all", "partial"])
def test_events_may_stand_in_the_query_in_fields_of_their_own_or_in_a_misnamed_body(
    server: Collector, more: dict[str, str]
) -> None:
    path, token = server.events_path(), {"access_token": server.token, **more}
    one = event(event_id="odd")
    form = {"content-type": "application/x-www-form-urlencoded"}
    answers = [
        server.client.post(path, params={**token, "data": json.dumps([one])}),
        server.client.post(path, params={**token, "data": json.dumps([one])}, json={}),
        server.client.post(path, params=token, data={"data[0]": json.dumps(one)}),
        server.client.post(path, params=token, data={"data[]": json.dumps(one)}),
        server.client.post(path, params=token, content=body_of(one), headers=form),
    ]
    assert [200] * 5 == [answer.status_code for answer in answers]
    assert ["odd"] * 5 == [record["event_id"] for record in server.new_records()]


@pytest.mark.parametrize("version", ["v12.0", "v2.10"])
def test_versions_that_meta_no_longer_answers_are_refused(server: Collector, version: str) -> None:
    answer = server.client.post(
        server.events_path(version), params={"access_token": server.token}, content=body_of(event())
    )
    assert (400, "version_too_old") == (answer.status_code, refusal_of(answer))
    assert 2635 == answer.json()["error"]["code"]
    record = server.new_record()
    assert (server.account, "Purchase") == (
        record["account_id"],
        record["payload"][0]["event_name"],
    )


def test_explicit_nulls_are_absent_values(server: Collector) -> None:
    fields = (
        "event_id action_source event_source_url referrer_url opt_out data_processing_options "
        "data_processing_options_country app_data messaging_channel original_event_data "
        "attribution_data customer_segmentation custom_data"
    )
    empty = event(event_name="Lead") | dict.fromkeys(fields.split())
    answer = server.post(body_of(empty, test_event_code=None, partner_agent=None, trace=None))
    assert 200 == answer.status_code, answer.text
    record = server.new_record()
    assert "Lead" == record["event_name"]
    assert record.keys().isdisjoint({"event_id", "custom_data", "extra"})
    answer = server.post(body_of(event() | {"event_name": None}))
    assert (400, "event_name_missing") == (answer.status_code, refusal_of(answer))


@pytest.mark.parametrize("opt_out", [True, 1, "1", "true"])
def test_a_switch_may_be_a_number_or_a_word(server: Collector, opt_out: Any) -> None:
    assert 200 == server.post(body_of(event(opt_out=opt_out))).status_code
    assert opt_out == server.new_record()["extra"]["opt_out"]


def test_the_gateway_contract_is_answered_202(server: Collector) -> None:
    path = f"/capi/{server.pixel.pixel_id}/events"
    body = {"data": [event()], "accessKey": server.token}
    answer = server.client.post(path, json=body)
    assert (202, 1) == (answer.status_code, answer.json()["events_received"])
    assert "event" == server.new_record()["record_type"]
    answer = server.client.post(path, json={**body, "accessKey": "wrong"})
    assert (401, 190) == (answer.status_code, answer.json()["error"]["code"])


def test_a_proof_is_checked_where_the_account_has_a_secret(server: Collector) -> None:
    right = hmac.new(b"s3cret", server.token.encode(), hashlib.sha256).hexdigest()

    def post(**fields: str) -> tuple[int, int]:
        answer = server.client.post(
            server.events_path(),
            params={"access_token": server.token, **fields},
            json={"data": [event()]},
        )
        return answer.status_code, answer.json().get("error", {}).get("code", 0)

    assert (200, 0) == post(appsecret_proof="anything")
    server.catalog.edit_account(server.account, app_secret="s3cret")
    try:
        server.wait_until(
            lambda: post(appsecret_proof="wrong") == (400, 104), what="the secret is known"
        )
        assert [(200, 0), (200, 0)] == [post(appsecret_proof=right), post()]
        body = {"data": [event()], "access_token": server.token, "appsecret_proof": "wrong"}
        assert 400 == server.client.post(server.events_path(), json=body).status_code
    finally:
        server.catalog.edit_account(server.account, app_secret="")
    server.wait_until(lambda: post(appsecret_proof="wrong")[0] == 200, what="the secret is gone")


# --- validation=partial ----------------------------------------------------------------------


def post_partly(server: Collector, *events: Any, form: bool = False) -> Any:
    """Post with validation=partial, as JSON or as a form."""
    parameters = {"access_token": server.token, "validation": "partial"}
    kind = {"data": {"data": json.dumps(events)}} if form else {"json": {"data": list(events)}}
    return server.client.post(server.events_path(), params=parameters, **kind)


@pytest.mark.parametrize("form", [False, True])
def test_with_partial_validation_good_events_are_kept_and_bad_ones_named(
    server: Collector, form: bool
) -> None:
    bad = event(custom_data={"currency": "EUR"}, user_data={"em": EMAIL})
    odd = {**event(), "event_name": 7}
    answer = post_partly(
        server, event(event_id="1"), bad, json.dumps(event(event_id="2")), odd, "{", 5, form=form
    )
    assert 200 == answer.status_code
    told = answer.json()
    assert 2 == told["events_received"]
    assert [1, 3, 4, 5] == [entry["index"] for entry in told["refused"]]
    assert 2804009 == told["refused"][0]["error"]["error_subcode"]
    assert [entry["error"]["error_user_msg"] for entry in told["refused"]] == told["messages"]
    records = server.new_records()
    assert ["1", "2"] == [r["event_id"] for r in records if r["record_type"] == "event"]
    refused = [record for record in records if record["record_type"] == "refused"]
    assert 4 == len(refused)
    assert [sha256(EMAIL.lower())] == refused[0]["payload"][0]["user_data"]["em"]
    assert EMAIL.lower() not in json.dumps(records).lower()


def test_when_no_event_is_good_the_request_is_refused(server: Collector) -> None:
    answer = post_partly(server, event(event_name=""))
    assert (400, "event_name_missing") == (answer.status_code, refusal_of(answer))
    assert "refused" == server.new_record()["record_type"]
    assert "no_events" == refusal_of(post_partly(server))


def test_another_kind_of_validation_is_refused(server: Collector) -> None:
    parameters = {"access_token": server.token, "validation": "lax"}
    answer = server.client.post(server.events_path(), params=parameters, json={"data": [event()]})
    assert (400, "parameter_invalid") == (answer.status_code, refusal_of(answer))
