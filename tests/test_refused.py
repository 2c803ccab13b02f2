"""Refused requests: their causes, and each of them, over a real server and without one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doublet.accept import (
    Arrival,
    accept_events,
    accept_replayed,
    hashed_payload,
    read_request,
    refused_record,
)
from doublet.event import EventsRequest
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.refusal import Reason, Refusal
from doublet.refused.replay import patched
from tests.factories import (
    ACCOUNT,
    HOUR,
    NOON,
    PIXEL,
    SECOND,
    Pipeline,
    make_event,
    make_record,
    sha256,
)
from tests.server import DoubletProcess, RunningServer

MARY = "mary.planted@private-mail.example"


class Shop(RunningServer):
    """A server, and what its tests say to it."""

    def post(self, *events: Any, token: str = "", query: str = "") -> httpx.Response:
        """Send events as the shop does."""
        return httpx.post(
            f"{self.url}/v24.0/{self.pixel_id}/events{query}",
            json={"data": list(events), "access_token": token or self.access_token},
            timeout=30,
        )

    def ask(self, path: str, **parameters: str) -> Any:
        """The JSON of an address, once all is loaded."""
        self.run("refresh")
        answer = httpx.get(f"{self.url}{path}", params=parameters, headers=self.headers, timeout=30)
        assert 200 == answer.status_code, answer.text
        return answer.json()


def purchase(event_id: str | None, **fields: Any) -> dict[str, Any]:
    """A purchase of now that would be accepted."""
    now = {"event_time": int(time.time()), "event_id": event_id, "user_data": {"em": MARY}}
    return make_event(**{**now, **fields})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("shop"), workers=1) as server:
        yield server
        assert 0 == server.stop()


def test_many_refusals_have_few_causes(shop: Shop) -> None:
    for number in range(4):
        good = [purchase(f"g{number}.{i}") for i in range(number)]
        assert 400 == shop.post(*good, purchase("a", custom_data={"value": 1})).status_code
    for days in (8, 9):
        assert (
            400 == shop.post(purchase("b", event_time=int(time.time()) - days * 86400)).status_code
        )
    assert 401 == shop.post(purchase("c"), token="wrong").status_code
    causes = shop.ask("/refused.json")
    assert [("currency_missing", 4, 10), ("event_too_old", 2, 2), ("token_invalid", 1, 0)] == [
        (cause["reason"], cause["requests"], cause["events"]) for cause in causes
    ]
    assert "Add custom_data.currency" in causes[0]["fix"]
    assert not causes[0]["message"].startswith("Event")
    assert causes == shop.run("refused", "list")
    assert causes[1:2] == shop.run("refused", "list", "--reason=event_too_old")
    assert [] == shop.run("refused", "list", "--since=2099-01-01")
    (one,) = shop.ask("/v1/refused", id=causes[0]["example"])
    assert ("currency_missing", 4) == (one["reason"], len(one["payload"]))
    assert MARY not in json.dumps(one)
    page = httpx.get(f"{shop.url}/refused", headers=shop.headers, timeout=30)
    assert 200 == page.status_code
    assert "Add custom_data.currency" in page.text
    lines = httpx.get(f"{shop.url}/refused.csv", headers=shop.headers, timeout=30).text.splitlines()
    assert 4 == len(lines)
    assert lines[0].startswith("reason,message,pixel_id,source,requests,events,")


def test_nobody_sees_the_refusals_of_others(shop: Shop) -> None:
    assert 401 == httpx.get(f"{shop.url}/refused.json", timeout=30).status_code
    answer = httpx.get(f"{shop.url}/refused.json?reason=nonsense", headers=shop.headers, timeout=30)
    assert (400, True) == (answer.status_code, "event_too_old" in answer.text)


def test_causes_are_read_without_a_server(tmp_path: Path) -> None:
    with Shop(tmp_path, workers=1) as server:
        assert 400 == server.post(purchase("a", user_data={"country": "de"})).status_code
        assert 0 == server.stop()
    (cause,) = server.run("refused", "list")
    assert ("user_data_insufficient", 1) == (cause["reason"], cause["requests"])
    shown = [sys.executable, "-m", "doublet", "refused", "show", cause["example"]]
    data = f"--data={server.settings.data}"
    done = subprocess.run([*shown, data], capture_output=True, text=True, timeout=120, check=True)
    assert cause["example"] == json.loads(done.stdout)["id"]
    unknown = [*shown[:-1], "7-7", data]
    assert 3 == subprocess.run(unknown, capture_output=True, timeout=120, check=False).returncode


# --- replay ----------------------------------------------------------------------------------


def replay(shop: Shop, **wish: Any) -> Any:
    """What the server says to a wish."""
    shop.run("refresh")
    answer = httpx.post(
        f"{shop.url}/v1/refused/replay", json=wish, headers=shop.headers, timeout=60
    )
    assert 200 == answer.status_code, answer.text
    return answer.json()


def counted(shop: Shop, event_name: str) -> tuple[int, int, dict[str, float]]:
    """Events, server copies and value of one name."""
    row = shop.overview().get(event_name, {"events": 0, "server": 0, "value": {}})
    return row["events"], row["server"], row["value"]


def test_a_mended_request_counts_once_however_often_it_is_replayed(tmp_path: Path) -> None:
    with Shop(tmp_path, workers=1) as shop:
        lame = [
            purchase("a", custom_data={"value": 1}),
            purchase("b", custom_data={"value": 2}),
            purchase(None, custom_data={"value": 4}),
        ]
        assert 400 == shop.post(*lame).status_code
        assert 400 == shop.post(lame[0]).status_code
        assert 200 == shop.post(lame[1], purchase("c"), query="?validation=partial").status_code
        # The shop has mended one of them itself since.
        assert (
            200 == shop.post(purchase("b", custom_data={"value": 2, "currency": "EUR"})).status_code
        )
        before = counted(shop, "Purchase") if shop.run("refresh") else None
        assert (2, 2, {"EUR": 2.0, "USD": 10.5}) == before
        wish: dict[str, Any] = {"reason": "currency_missing"}
        outcome = replay(shop, **wish)
        assert (0, ["currency_missing"], 5) == (
            outcome["replayed"],
            [cause["reason"] for cause in outcome["failing"]],
            outcome["failing"][0]["events"],
        )
        wish["patch"] = {"custom_data": {"currency": "EUR"}}
        assert 1 == replay(shop, **wish, dry_run=True)["replayed"]
        assert before == counted(shop, "Purchase")
        outcome = replay(shop, **wish)
        assert (1, 3, 1, []) == (
            outcome["replayed"],
            outcome["known"],
            outcome["without_event_id"],
            outcome["failing"],
        )
        assert (3, 3, {"EUR": 3.0, "USD": 10.5}) == counted(shop, "Purchase")
        assert 1 == replay(shop, **wish, without_event_id=True)["replayed"]
        for more in ({"without_event_id": True}, {}):
            again = replay(shop, **wish, **more)
            told = [again[name] for name in ("replayed", "known", "without_event_id")]
            assert [0, 5, 0] == told
        after = counted(shop, "Purchase")
        assert (4, 4, {"EUR": 7.0, "USD": 10.5}) == after
        shop.run("rebuild")
        assert after == counted(shop, "Purchase")
        assert 0 == shop.stop()


def refuse_days_ago(shop: Shop, days: int, event_id: str, em: str) -> int:
    """Write the record of a request that was refused so many days ago; its receipt in µs."""
    at = time.time_ns() // 1000 - days * 86_400_000_000
    event = purchase(event_id, event_time=at // 1000, user_data={"em": em})
    body = json.dumps({"data": [event]}).encode()
    arrival = Arrival(shop.account_id, shop.pixel_id, "server", at, 0)
    refusal = Refusal(Reason.EVENT_IN_FUTURE, "event_time is more than a day in the future.")
    record = refused_record(refusal, arrival, body, hashed_payload(body))
    done = threading.Event()
    log = DiskLog(shop.settings.log_folder, Limits(first_offset=fresh_offset()))
    writer = log.writer(lambda tokens, error: done.set())
    writer.submit([record], None)
    assert done.wait(30)
    writer.close()
    return at


def test_receipts_of_many_days_are_replayed_as_they_were_and_can_be_erased(tmp_path: Path) -> None:
    with Shop(tmp_path, workers=1) as shop:
        # Each write takes a slot of its own until its day is loaded.
        received = []
        for days in (20, 9, 3):
            received.append(refuse_days_ago(shop, days, f"old{days}", f"p{days}@x.example"))
            shop.run("refresh")
        assert 400 == shop.post(purchase("new", event_time=int(time.time() * 1000))).status_code
        assert 4 == replay(shop, reason="event_in_future", seconds=True)["replayed"]
        assert (4, 4, {"USD": 42.0}) == counted(shop, "Purchase")
        (story,) = shop.ask("/explain.json", event_id="old20")
        assert time.strftime("%Y-%m-%d", time.gmtime(received[0] / 1e6)) in json.dumps(story)
        # The log goes on in any slot, and loading with it.
        assert 200 == shop.post(purchase("later")).status_code
        refuse_days_ago(shop, 1, "old1", "p9@x.example")
        assert 1 == replay(shop, reason="event_in_future", seconds=True)["replayed"]
        assert 6 == counted(shop, "Purchase")[0]
        shop.run("rebuild")
        assert 6 == counted(shop, "Purchase")[0]
        erased = shop.run("person", "erase", "--email=p9@x.example")
        assert (2, 2) == (erased["copies"], erased["refused"]), erased
        gone = replay(shop, reason="event_in_future", seconds=True)
        assert (0, 3) == (gone["replayed"], gone["known"])
        assert 6 == counted(shop, "Purchase")[0]
        assert 0 == shop.stop()


def test_a_replayed_receipt_between_later_ones_is_loaded_where_it_belongs(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    at = NOON - 40 * 24 * HOUR
    event = make_event(event_id="old", event_time=at // SECOND)
    old = accept_replayed(event, Arrival(ACCOUNT, PIXEL, "server", at, 0), "0-1-0")
    assert isinstance(old, bytes)
    pipeline.append(
        [make_record(NOON, event_id="a"), old, make_record(NOON + SECOND, event_id="b")]
    )
    told: list[int] = []
    assert 3 == pipeline.lake.load(pipeline.log, before=told.append).rows
    assert [at] == told
    pipeline.refresh()
    assert 3 == len(pipeline.events())
    pipeline.close()


def test_a_replay_that_is_killed_can_be_repeated(tmp_path: Path) -> None:
    with Shop(tmp_path, workers=1) as shop:
        lame = [purchase(f"k{number}", custom_data={"value": 1}) for number in range(1000)]
        for first in range(0, 8000, 1000):
            batch = [{**event, "event_id": f"k{first + i}"} for i, event in enumerate(lame)]
            assert 400 == shop.post(*batch).status_code
        assert 0 == shop.stop()
    patch = '--patch={"custom_data": {"currency": "EUR"}}'
    wish = ("refused", "replay", "--reason=currency_missing", patch)
    where = f"--data={shop.settings.data}"

    def written() -> int:
        found = shop.settings.log_folder.rglob("*.jsonl")
        return sum(path.read_bytes().count(b'"replay_of"') for path in found)

    with DoubletProcess(tmp_path / "killed", *wish, where) as process:
        process.wait_until(written, what="the first events are in the log")
        process.kill()
    assert 0 < written() <= 8000
    again = shop.run(*wish)
    assert (8000, []) == (again["replayed"] + again["known"], again["failing"])
    assert 8000 == written()
    (row,) = shop.run("report", "overview")
    assert (8000, 8000) == (row["events"], row["server"])


def test_the_command_says_what_a_wish_lacks(shop: Shop) -> None:
    wrong = {"reason": "currency_missing", "patch": {"event_id": "1"}}
    for wish in (
        {},
        wrong,
        {"nonsense": 1},
        {"reason": "curency_missing"},
        {"ids": ["0-1"], "pixel": "1"},
    ):
        answer = httpx.post(
            f"{shop.url}/v1/refused/replay", json=wish, headers=shop.headers, timeout=30
        )
        assert 400 == answer.status_code, answer.text
    command = [sys.executable, "-m", "doublet", "refused", "replay"]
    done = subprocess.run(
        [*command, f"--data={shop.settings.data}"], capture_output=True, timeout=120, check=False
    )
    assert (2, True) == (done.returncode, b"reason" in done.stderr)


def test_kept_events_can_be_told_apart_like_accepted_ones() -> None:
    event = purchase(
        "jo@shop.example/1",
        action_source="physical_store",
        user_data={"email": MARY, "zip": "10115"},
        custom_data={"value": 1, "currency": "EUR", "order_id": "jo@shop.example/1"},
    )
    body = json.dumps({"data": [event]}).encode()
    (kept,) = hashed_payload(body)
    arrival = Arrival(ACCOUNT, PIXEL, "server", time.time_ns() // 1000, 0)
    records = accept_events(read_request(body), arrival)  # type: ignore[arg-type]
    replayed = accept_replayed(kept, arrival, "0-1-0")
    assert isinstance(records, list)
    assert isinstance(replayed, bytes)
    told = [msgspec.json.decode(record) for record in (records[0], replayed)]
    for name in ("event_key", "event_id", "order_id", "user_data", "event_time", "received_at"):
        assert told[0][name] == told[1][name], name
    assert "jo@shop" not in json.dumps(kept)


def test_hashes_of_other_clients_are_kept_of_refused_events_and_replayed() -> None:
    user_data = {"external_id": "Cust-77", "em": MARY, "ln": "O'Neil"}
    (kept,) = hashed_payload(json.dumps([purchase("a", user_data=user_data)]).encode())
    variants = {"external_id": [sha256("Cust-77")], "ln": [sha256("o'neil")]}
    assert variants == kept["hash_variants"]
    assert variants == replayed(kept, {})["hash_variants"]
    others = replayed(kept, {"user_data": {"ln": "D'Arcy"}, "hash_variants": {"em": [MARY]}})
    variants["ln"] = [sha256("d'arcy")]
    assert variants == others["hash_variants"]
    without = replayed(kept, {"user_data": {"ln": None, "external_id": None}})
    assert {"replay_of": "0-1-0"} == without
    assert "hash_variants" not in hashed_payload(json.dumps([purchase("b")]).encode())[0]


def test_what_was_flagged_of_user_data_holds_for_a_replayed_event() -> None:
    user_data = {"em": "test@example.com", "ph": "none", "client_user_agent": "Firefox"}
    (kept,) = hashed_payload(json.dumps([purchase("a", user_data=user_data)]).encode())
    arrival = Arrival(ACCOUNT, PIXEL, "server", time.time_ns() // 1000, 0)
    taken = accept_events(
        EventsRequest(data=json.dumps([purchase("a", user_data=user_data)])), arrival
    )
    for patch, gone in (({}, ""), ({"user_data": {"ph": "+49 170 1234567"}}, "invalid_ph")):
        arrival = Arrival(ACCOUNT, PIXEL, "server", time.time_ns() // 1000, 0)
        record = accept_replayed(patched(kept, patch), arrival, "0-1-0")
        assert isinstance(record, bytes), record
        assert isinstance(taken, list)
        flags = msgspec.json.decode(taken[0])["flags"]
        assert {"dud_em", "invalid_ph"} <= {*flags}
        assert {*flags} - {gone} == {*msgspec.json.decode(record)["flags"]}


def replayed(kept: dict[str, Any], patch: dict[str, Any]) -> Any:
    """The field `extra` of a refused event that is replayed with a patch."""
    arrival = Arrival(ACCOUNT, PIXEL, "server", time.time_ns() // 1000, 0)
    record = accept_replayed(patched(kept, patch), arrival, "0-1-0")
    assert isinstance(record, bytes), record
    return msgspec.json.decode(record)["extra"]
