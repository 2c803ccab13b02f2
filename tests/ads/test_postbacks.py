"""Postbacks as networks and trackers send them, over real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from doublet.accept import accept_postback, read_postback
from doublet.accept.postbacks import Received
from tests.ads.messages import arrival
from tests.collector import Collector, refusal_of
from tests.factories import NOON, PIXEL, SECOND, Pipeline, sha256

EMAIL = "planted.mary@private-mail.example"


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


def get(server: Collector, query: str) -> httpx.Response:
    """A GET with a query as it is, and the token."""
    return server.client.get(f"/v1/postback?{query}&token={server.token}")


def test_a_click_becomes_a_touch(fresh: Collector) -> None:
    now = int(time.time())
    answer = get(
        fresh,
        f"clickid=AbC-1&network=Taboola&campaign=77&adgroup_id=5&creative_id=9&cpc=0.25&cur=eur"
        f"&ts={now}&site_id=news&w=1",
    )
    assert (200, "click", None, ["w"]) == (
        answer.status_code,
        *(answer.json()[name] for name in ("kind", "id", "ignored")),
    )
    record = fresh.new_record()
    wanted = {
        "record_type": "ad_touch",
        "account_id": fresh.account,
        "kind": "click",
        "platform": "taboola",
        "click_id": "AbC-1",
        "campaign_id": "77",
        "adset_id": "5",
        "ad_id": "9",
        "placement": "news",
        "cost": "0.25",
        "currency": "EUR",
        "touched_at": now * 1_000_000,
    }
    assert wanted == {name: record.get(name) for name in wanted}


def test_a_conversion_becomes_an_event_of_the_click(fresh: Collector) -> None:
    answer = get(
        fresh,
        "click_id=AbC-1&platform=taboola&event_name=Purchase&payout=12.50&currency=EUR&txid=T-9",
    )
    assert ("conversion", "T-9") == (answer.json()["kind"], answer.json()["id"])
    record = fresh.new_record()
    wanted = {
        "record_type": "event",
        "account_id": fresh.account,
        "pixel_id": fresh.pixel.pixel_id,
        "source": "server",
        "event_name": "Purchase",
        "event_id": "T-9",
        "order_id": "T-9",
        "action_source": "system_generated",
        "value": "12.5",
        "currency": "EUR",
        "user_data": {"external_id": [sha256("abc-1")]},
    }
    assert wanted == {name: record.get(name) for name in wanted}
    assert {"click_id": "AbC-1", "platform": "taboola"}.items() <= record["custom_data"].items()


@pytest.mark.parametrize(
    "query",
    [
        "click_id=1&event=Lead&transaction_id=T-1",
        "click_id=1&event=Lead&order_id=T-1",
        "click_id=1&event=Lead",
        "click_id=1&event=Lead&value=5&currency=EUR",
        "clickid=1&network=x&price=3&cur=EUR",
        "touch_id=1&click_id=2&platform=x&kind=impression",
    ],
)
def test_a_postback_that_is_sent_again_counts_once(fresh: Collector, query: str) -> None:
    get(fresh, query)
    get(fresh, query)
    first, again = fresh.new_records()
    key = "touch_key" if first["record_type"] == "ad_touch" else "event_key"
    assert first[key] == again[key]


def test_a_network_may_call_the_kind_its_event(fresh: Collector) -> None:
    get(fresh, "event=click&clickid=x1&network=taboola")
    get(fresh, "event=impression&impression_id=7&network=taboola&clickid=x1")
    get(fresh, "sccid=abc&event_name=Purchase&value=5&currency=EUR")
    click, view, bought = fresh.new_records()
    assert ["click", "view", "Purchase"] == [click["kind"], view["kind"], bought["event_name"]]


def test_a_click_id_of_a_known_platform_is_kept_as_the_pixel_keeps_it(fresh: Collector) -> None:
    get(fresh, "gclid=Cj0&event_name=Lead")
    get(fresh, "fbclid=IwAR12345678&event_name=Lead&ts=" + str(now := int(time.time()) - 60))
    get(fresh, "gclid=Cj0")
    google, meta, click = fresh.new_records()
    assert {"gclid": "Cj0"} == google["extra"]["touch"]
    assert {"fbc": f"fb.1.{now * 1000}.IwAR12345678"} == meta["user_data"]
    assert ("google", "Cj0") == (click["platform"], click["click_id"])


def test_people_are_hashed_and_nothing_raw_is_kept(fresh: Collector) -> None:
    get(fresh, f"click_id=1&event_name=Lead&email={EMAIL}&secret_param={EMAIL}")
    get(fresh, f"click_id=1&platform=x&email={EMAIL}")
    event, touch = fresh.new_records()
    assert [sha256(EMAIL)] == event["user_data"]["em"] == touch["user_data"]["em"]
    refused = get(fresh, f"event_name=Planted&value={EMAIL}&platform=Planted&email={EMAIL}")
    assert 400 == refused.status_code
    assert "lanted" not in refused.text
    stored = b"".join(
        path.read_bytes() for path in Path(fresh.settings.data).rglob("*") if path.is_file()
    )
    assert b"lanted" not in stored


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("click_id={clickid}&event_name=Lead", "click_id", "placeholder {clickid}"),
        ("click_id=%7B%7Bclick.id%7D%7D&platform=x", "click_id", "placeholder {{click.id}}"),
        ("click_id=1&platform=x&cost=[COST]", "cost", "placeholder [COST]"),
        ("click_id=1&event_name=Lead&value={payout}", "value", "placeholder {payout}"),
        ("event_name=Lead", "click_id", "click_id is missing"),
        ("click_id=1&value=5&currency=EUR", "event_name", "&event_name=Purchase"),
        ("click_id=1", "platform", "network's own name"),
        ("platform=x", "user_data", "names nobody"),
        ("platform=x&em=mary@example.com", "ts", "impression_id"),
        ("platform=x&click_id=1&kind=view", "ts", "impression_id"),
        ("click_id=1&platform=x&cost=5", "currency", "EUR"),
        ("click_id=1&platform=x&kind=sold", "kind", "conversion"),
        ("click_id=1&platform=x&ts=yesterday", "ts", "ts is missing or no time"),
        ("click_id=1&event_name=Lead&ts=1795600000000", "ts", "not milliseconds"),
        ("click_id=1&event_name=Lead&value=ten", "value", "with a point"),
        ("click_id=1&event_name=Purchase&value=5", "currency", "currency"),
        ("click_id=1&event_name=Lead&pixel_id=1", "pixel_id", "none of the account's"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_do(
    fresh: Collector, query: str, field: str, words: str
) -> None:
    answer = get(fresh, query)
    assert 400 == answer.status_code
    refusal_of(answer)
    error = answer.json()["error"]
    assert words in error["error_user_msg"]
    assert [[field]] == error["error_data"]["blame_field_specs"]
    record = fresh.new_record()
    assert ("refused", fresh.account) == (record["record_type"], record["account_id"])
    assert record["payload"][0]["parameters"]


def test_forms_headers_and_other_methods(fresh: Collector) -> None:
    bearer = {"authorization": f"Bearer {fresh.token}"}
    form = {"click_id": "1", "platform": "x"}
    assert 200 == fresh.client.post("/v1/postback", data=form, headers=bearer).status_code
    in_form = fresh.client.post("/v1/postback", data={**form, "access_token": fresh.other_token})
    assert 200 == in_form.status_code
    assert [fresh.account, fresh.other_account] == [r["account_id"] for r in fresh.new_records()]
    assert 401 == fresh.client.get("/v1/postback?click_id=1&platform=x").status_code
    assert 401 == fresh.client.get("/v1/postback?click_id=1&token=dbl_wrong").status_code
    assert ["", ""] == [record["account_id"] for record in fresh.new_records()]
    assert "method_not_allowed" == refusal_of(fresh.client.put("/v1/postback"))


def test_a_conversion_must_name_its_pixel_where_there_are_several(fresh: Collector) -> None:
    more, _ = fresh.catalog.create_pixel(fresh.account, "Another")
    query = "click_id=1&event_name=Lead"
    deadline = time.monotonic() + 20
    answer: Any = get(fresh, f"{query}&pixel_id={more.pixel_id}")
    assert 200 == answer.status_code
    assert more.pixel_id == fresh.new_record()["pixel_id"]
    while (answer := get(fresh, query)).status_code == 200:
        assert time.monotonic() < deadline
    assert "not just one pixel" in json.loads(answer.content)["error"]["error_user_msg"]


def _record(query: str, received_at: int) -> bytes:
    """The record of a postback to an account with one pixel."""
    taken = accept_postback(read_postback(parse_qsl(query)), arrival(received_at), {PIXEL: ""})
    assert isinstance(taken, Received), taken
    return taken.record


@pytest.mark.parametrize("is_late", [False, True])
def test_a_conversion_is_that_of_the_ad_whose_click_it_names(tmp_path: Path, is_late: bool) -> None:
    click = _record(
        f"click_id=c-1&platform=taboola&campaign_id=77&ad_id=5&ts={NOON // SECOND - 3600}", NOON
    )
    sale = _record(
        "click_id=c-1&platform=taboola&event_name=Purchase&value=50&currency=EUR&txid=T-1",
        NOON + SECOND,
    )
    nobodys = _record("click_id=c-2&platform=outbrain&event_name=Lead", NOON + 2 * SECOND)
    pipeline = Pipeline(tmp_path)
    for part in ([sale, nobodys], [click]) if is_late else ([click], [sale, nobodys]):
        pipeline.append(part)
        pipeline.refresh()
    wanted = ("event_name", "click_platform", "click_campaign_id", "click_ad_id", "click_time")
    found = [tuple(row[name] for name in wanted) for row in conversions(pipeline)]
    assert found == [
        ("Lead", "outbrain", None, None, NOON // SECOND + 2),
        ("Purchase", "taboola", "77", "5", NOON // SECOND - 3600),
    ]
    before = conversions(pipeline)
    pipeline.rebuild(10)
    assert before == conversions(pipeline)
    pipeline.close()


def conversions(pipeline: Pipeline) -> list[dict[str, Any]]:
    """All conversions, by name."""
    return pipeline.table("conversions", "event_name")
