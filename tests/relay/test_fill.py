"""From the tables to the outbox: once for each destination, what is due and no more."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from doublet.catalog import Catalog, DestinationRules
from doublet.outbox import Aside, Outbox, Settled
from doublet.relay.fill import Backfill
from doublet.relaying import backfill, backfill_routes
from doublet.settings import Settings
from doublet.web.access import Access
from doublet.web.refused import HANDLERS
from tests.factories import PIXEL, SECOND, make_event, sha256
from tests.relay.outboxes import Relay
from tests.server import RunningServer

FBP = "fb.1.1780000000000.7"
MARY = sha256("mary@example.com")
AGENT = "Mozilla/5.0"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    pipe = Relay(tmp_path)
    yield pipe
    pipe.close()


def test_without_a_destination_there_is_no_outbox(relay: Relay) -> None:
    relay.send(relay.record())
    assert not relay.settings.outbox_file.exists()


def test_an_event_becomes_one_payload_with_all_it_has(relay: Relay) -> None:
    destination = relay.add()
    page = "https://shop.example/thanks"
    browser = {"fbp": FBP, "client_user_agent": AGENT, "client_ip_address": "192.0.2.1"}
    money = {"value": 10.5, "currency": "USD", "order_id": "1001", "contents": [{"id": "a"}]}
    relay.send(
        relay.record(60, "browser", user_data=browser, custom_data=money),
        relay.record(59, custom_data=money),
    )
    assert 0o600 == relay.settings.outbox_file.stat().st_mode & 0o777
    assert [(destination.destination_id, "ready", relay.start - 60 * SECOND)] == relay.ledger(
        "destination_id, state, due_at"
    )
    (payload,) = relay.payloads()
    assert {
        "account_id": relay.account_id,
        "pixel_id": PIXEL,
        "event_name": "Purchase",
        "event_id": "order.1",
        "event_time": (relay.start - 60 * SECOND) // SECOND,
        "action_source": "website",
        "event_source_url": page,
        "value": "10.5000",
        "currency": "USD",
        "order_id": "1001",
        "browser_copies": 1,
        "server_copies": 1,
        "extra": None,
        "consent": None,
        "flags": None,
        "first_received_at": relay.start - 60 * SECOND,
        "log_slot": 0,
        "log_offset": 0,
    } == {k: v for k, v in payload.items() if k not in ("user_data", "custom_data")}
    assert [{"id": "a"}] == payload["custom_data"]["contents"]
    known = {key: value for key, value in payload["user_data"].items() if value is not None}
    assert browser | {"em": [MARY]} == known


def test_a_second_copy_within_the_wait_joins_and_later_ones_send_nothing(relay: Relay) -> None:
    relay.add(merge_wait_s=90)
    relay.send(relay.record(60, "browser", user_data={"fbp": FBP}))
    assert [("waiting", relay.start + 30 * SECOND)] == relay.ledger("state, due_at")
    # It comes by another slot, and was received before: the event's place stays.
    relay.send(relay.record(70), slot=1)
    assert [("waiting", 0)] == relay.ledger("state, log_slot")
    relay.catalog.save_destination(
        msgspec.structs.replace(relay.catalog.destinations()[0], rules=DestinationRules())
    )
    relay.filler.close()
    outbox = Outbox(relay.settings.outbox_file)
    outbox._db.execute("update emissions set due_at = 0")
    outbox.close()
    relay.fill()
    (payload,) = relay.payloads()
    assert (1, 1, [MARY]) == (
        payload["browser_copies"],
        payload["server_copies"],
        payload["user_data"]["em"],
    )
    relay.send(relay.record(50), relay.record(40, "browser"))
    assert [("ready",)] == relay.ledger("state")


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({}, {"a", "b", "c", "d"}),
        ({"events": ["Lead"]}, {"b"}),
        ({"pixels": ["1000000000000009"]}, {"c"}),
        ({"domains": ["shop.example"]}, {"a", "b", "c"}),
        ({"domains": ["*.example"]}, {"a", "b", "c"}),
        ({"domains": ["other.example"]}, set()),
    ],
)
def test_filters_choose_and_what_is_left_out_leaves_no_trace(
    relay: Relay, rules: dict[str, Any], wanted: set[str]
) -> None:
    relay.add(**rules)
    relay.send(
        relay.record(event_id="a"),
        relay.record(event_id="b", event_name="Lead"),
        relay.record(event_id="c", pixel_id="1000000000000009"),
        relay.record(event_id="d", event_source_url=None, action_source="system_generated"),
        relay.record(event_id="foreign", account_id="act_2", pixel_id="1000000000000002"),
    )
    assert {(event_id, "ready", "") for event_id in wanted} == set(relay.ledger())


def hit(relay: Relay, *flags: str, is_test: bool = False, **fields: Any) -> bytes:
    """A browser's copy with flags of its pixel's rules."""
    record = json.loads(
        relay.record(source="browser", user_data={"fbp": FBP, "em": [MARY]}, **fields)
    )
    record["flags"] = sorted({*record.get("flags", []), *flags})
    record["is_test"] = is_test
    return json.dumps(record, separators=(",", ":")).encode()


def test_bots_tests_and_what_browsers_report_by_themselves_are_withheld(relay: Relay) -> None:
    relay.add()
    relay.add("Named", events=["Scroll", "Bot"])
    relay.send(
        hit(relay, "bot", event_id="1", event_name="Bot"),
        hit(relay, "automatic", event_id="2", event_name="Scroll"),
        hit(relay, event_id="3", event_name="Scroll", is_test=True),
        hit(relay, "bot", event_id="4"),
        relay.record(event_id="4"),
    )
    assert {
        ("1", "withheld", "marked"),
        ("2", "withheld", "marked"),
        ("2", "ready", ""),
        ("3", "withheld", "is_test"),
        ("4", "ready", ""),
    } == set(relay.ledger())
    assert 7 == len(relay.ledger())
    # Nor do they tell anything of a person; but the event that the server confirms does.
    assert {f"em={MARY}"} == set(relay.sightings())


def test_what_came_before_the_destination_is_sent_by_a_backfill_only(relay: Relay) -> None:
    destination = relay.add(age_s=30)
    records = [relay.record(60 + n, event_id=str(n)) for n in range(3)]
    relay.send(*records, relay.record(1, event_id="new"))
    assert [("new", "ready", "")] == relay.ledger()
    second = relay.start // SECOND
    done = relay.filler.backfill(destination, second - 62, second + 1, rate=2)
    assert (3, 0) == (done.events, done.withheld)
    dues = [due for (due,) in relay.ledger("due_at")[1:]]
    assert [500_000, 500_000] == [later - sooner for sooner, later in pairwise(dues)]
    assert done.due_by == dues[-1]
    again = relay.filler.backfill(destination, second - 3600, second + 3600)
    assert (0, 0) == (again.events, again.withheld)


def test_a_backfill_is_about_the_time_of_events(relay: Relay) -> None:
    destination = relay.add(age_s=0)
    old = relay.start // SECOND - 5 * 86_400
    relay.send(
        relay.record(60, event_id="old", event_time=old),
        relay.record(60, event_id="older", event_time=old - 1),
        relay.record(60, event_id="now"),
    )
    assert 1 == relay.filler.backfill(destination, old, old + 1).events
    assert ["old"] == [event_id for (event_id,) in relay.ledger("event_id")]


def test_a_paused_destination_holds_places_only_and_room_bounds_payloads(tmp_path: Path) -> None:
    relay = Relay(tmp_path, relay_ready_events_max=2)
    try:
        destination = relay.add()
        paused = msgspec.structs.replace(destination, is_paused=True)
        relay.catalog.save_destination(paused)
        relay.send(*(relay.record(60 - n, event_id=str(n)) for n in range(5)))
        assert [("waiting", None)] * 5 == relay.ledger("state, payload")
        relay.catalog.save_destination(destination)
        relay.fill()
        assert ["ready", "ready", "waiting", "waiting", "waiting"] == [
            state for (state,) in relay.ledger("state")
        ]
    finally:
        relay.close()


def test_events_that_are_gone_by_then_are_withheld(relay: Relay) -> None:
    destination = relay.add()
    relay.catalog.save_destination(msgspec.structs.replace(destination, is_paused=True))
    relay.send(relay.record())
    relay.engine.connection.execute("delete from copies")
    relay.catalog.save_destination(destination)
    relay.fill()
    assert [("order.1", "withheld", "gone")] == relay.ledger()


def test_nothing_is_gone_before_the_tables_are_complete(relay: Relay) -> None:
    relay.add(merge_wait_s=3600)
    relay.send(relay.record())
    outbox = Outbox(relay.settings.outbox_file)
    outbox._db.execute("update emissions set due_at = 0")
    outbox.close()
    with relay.engine.transaction() as tx:
        tx.run("create temp table kept as select * from copies")
        tx.run("delete from copies")
    # A worker whose first round has failed knows no position.
    relay.filler.fill({})
    assert [("waiting",)] == relay.ledger("state")
    with relay.engine.transaction() as tx:
        tx.run("insert into copies select * from kept")
    relay.fill()
    assert [("ready",)] == relay.ledger("state")


def test_what_waits_for_a_removed_destination_is_let_go(relay: Relay) -> None:
    destination = relay.add()
    relay.send(relay.record())
    relay.catalog.remove_destination(destination.destination_id)
    relay.filler.close()
    relay.filler = relay.new_filler()
    relay.fill()
    assert [("withheld", "removed", None)] == relay.ledger("state, reason, payload")


def test_sightings_tell_what_a_browser_showed_last(relay: Relay) -> None:
    relay.add()
    person = {
        "em": [MARY],
        "external_id": [sha256("7")],
        "fbp": FBP,
        "fbc": "fb.1.1780000000000.click",
        "client_ip_address": "192.0.2.1",
        "client_user_agent": AGENT,
    }
    bought = {"order_id": "1001", "value": 1, "currency": "USD"}
    relay.send(
        relay.record(60, "browser", user_data=person, custom_data=bought),
        relay.record(50, event_id="server", user_data={"em": [sha256("john@example.com")]}),
    )
    facts = {key: person[key] for key in person if key != "em"}
    identifiers = {"order_id=1001", f"em={MARY}", f"external_id={sha256('7')}"}
    assert dict.fromkeys(identifiers, (facts, None, 1)) == relay.sightings()
    # A later event with another cookie counts, an earlier one does not.
    other = {"em": [MARY], "fbp": "fb.1.1780000000000.8"}
    relay.send(relay.record(70, "browser", event_id="2", user_data=other))
    assert (facts, None, 1) == relay.sightings()[f"em={MARY}"]
    relay.send(relay.record(40, "browser", event_id="3", user_data=other))
    assert ({"fbp": other["fbp"]}, None, 2) == relay.sightings()[f"em={MARY}"]


@pytest.mark.parametrize(("retention_d", "left"), [(0, 1), (1, 0), (30, 1)])
def test_nothing_of_a_person_is_kept_longer_than_events(
    tmp_path: Path, retention_d: int, left: int
) -> None:
    relay = Relay(tmp_path, retention_events_d=retention_d)
    relay.add(age_s=7 * 86_400)
    relay.send(relay.record(3 * 86_400, "browser", user_data={"em": [MARY]}))
    outbox = Outbox(relay.settings.outbox_file)
    which = relay.catalog.destinations()[0].destination_id
    failed = [
        Aside(ready.emission_id, "failed", "100", "No.")
        for ready in outbox.ready(which, 1 << 62, 1, ())
    ]
    assert left == len(failed)
    outbox.settle([Settled(None, [], failed)])
    outbox._db.execute("update emissions set settled_at = ?", (relay.start - 3 * 86_400 * SECOND,))
    outbox.close()
    relay.filler.close()
    relay.filler = relay.new_filler()
    relay.fill()
    assert left == len(relay.sightings()) == len(relay.payloads())
    assert 1 == len(relay.ledger())
    relay.close()


def test_what_is_cut_off_anywhere_is_neither_lost_nor_repeated(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doublet.relay.fill._STEP_COPIES", 3)
    monkeypatch.setattr("doublet.relay.fill._STEP_PAYLOADS", 2)
    relay.add()
    for slot in (0, 1):
        relay.append(
            [relay.record(60 - n, event_id=f"{n // 2}", slot=slot) for n in range(20)], slot
        )
    relay.refresh()
    cuts = 0
    for name in ("note", "make_ready"):
        real = getattr(Outbox, name)
        for keep in (False, True):

            def cut(self: Outbox, *given: Any, real: Any = real, keep: bool = keep) -> None:
                if keep:
                    real(self, *given)
                raise InterruptedError

            monkeypatch.setattr(Outbox, name, cut)
            with pytest.raises(InterruptedError):
                relay.filler.fill(relay.positions())
            cuts += 1
            monkeypatch.setattr(Outbox, name, real)
            relay.filler.close()
            relay.filler = relay.new_filler()
            if name == "note":
                relay.filler.fill({0: 6, 1: 3})
    relay.fill()
    assert 4 == cuts
    assert sorted(f"{n}" for n in range(10)) == sorted(
        event_id for (event_id,) in relay.ledger("event_id")
    )
    assert 10 == len(relay.payloads())


def test_only_what_is_recent_is_walked_and_in_bounded_time(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doublet.relay.fill._STEP_COPIES", 2)
    monkeypatch.setattr("doublet.relay.fill._SPEND_S", 0)
    relay.add(age_s=200 * 86_400)
    relay.append(
        [
            *(relay.record(95 * 86_400, event_id=f"old{n}") for n in range(5)),
            *(relay.record(event_id=f"{n}") for n in range(5)),
        ]
    )
    relay.refresh()
    assert not relay.filler.fill(relay.positions())
    assert 2 == len(relay.ledger())
    relay.fill()
    assert [f"{n}" for n in range(5)] == [event_id for (event_id,) in relay.ledger("event_id")]


@pytest.mark.slow
def test_a_backfill_is_done_by_the_worker_that_runs_or_without_one(tmp_path: Path) -> None:
    with RunningServer(tmp_path, workers=1) as server:
        settings = Settings(data=server.settings.data)
        catalog = Catalog(settings.catalog_url)
        (account,) = catalog.accounts()
        made = [
            catalog.create_destination(account.account_id, "meta", name, {})
            for name in ("First", "Second")
        ]
        catalog.close()
        server.wait_until(settings.outbox_file.exists, what="the worker makes the outbox")
        now = int(time.time())
        event = make_event(event_time=now - 60)
        path = f"{server.url}/v25.0/{server.pixel_id}/events"
        answer = httpx.post(path, json={"data": [event]}, headers=server.headers)
        assert 200 == answer.status_code, answer.text
        server.wait_until(lambda: sent_to(settings) == {each.destination_id for each in made})
        # The first one is forgotten, so that there is something to add.
        outbox = Outbox(settings.outbox_file)
        outbox.rows("delete from emissions where destination_id = ?", (made[0].destination_id,))
        wish = Backfill(now - 3600, now)
        assert [1, 0] == [backfill(settings, each, wish).events for each in made]
        assert 0 == server.stop()
    (settings.run_folder / "operator.key").unlink()
    outbox.rows("delete from emissions where destination_id = ?", (made[1].destination_id,))
    outbox.close()
    assert [0, 1] == [backfill(settings, each, wish).events for each in made]


def sent_to(settings: Settings) -> set[str]:
    """The destinations in the ledger."""
    outbox = Outbox(settings.outbox_file)
    try:
        return {which for (which,) in outbox.rows("select destination_id from emissions")}
    finally:
        outbox.close()


def test_only_whose_destination_it_is_may_backfill(relay: Relay) -> None:
    destination = relay.add(age_s=0)
    relay.send(relay.record(60))
    catalog = relay.catalog
    _, mine = catalog.create_pixel(relay.account_id, "Shop")
    _, theirs = catalog.create_pixel(catalog.create_account("Other").account_id, "Other")
    door = Access(catalog, lambda token: token == "operator")
    routes = backfill_routes(door, catalog, relay.filler)
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    path = f"/v1/destinations/{destination.destination_id}/backfill"
    second = relay.start // SECOND
    wish = {"since": second - 3600, "until": second}

    async def ask(token: str, body: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            headers = {"authorization": f"Bearer {token}"}
            return await client.post(path, json=body, headers=headers)

    def status(token: str, body: Any = wish) -> int:
        return asyncio.run(ask(token, body)).status_code

    assert [401, 404] == [status("nobody"), status(theirs)]
    assert [400, 400] == [status(mine, {"since": 1}), status(mine, [])]
    assert 1 == asyncio.run(ask(mine, wish)).json()["events"]
    assert 0 == asyncio.run(ask("operator", wish)).json()["events"]
