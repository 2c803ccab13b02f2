"""The story of an event goes on at its destinations: what each was sent, and answered."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import msgspec

from doublet.catalog import Account
from doublet.explain import Story, explain
from doublet.outbox import Aside, Asked, Outbox, Sent, Settled
from doublet.relay.outlook import outlook
from tests.relay.outboxes import Relay

TRACE = {"sent": {"event_name": "Purchase"}, "filled": {}, "consent_of": "event"}


def test_a_story_tells_what_each_destination_was_sent_and_answered(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    names = {"Meta": 99, "Other": 98, "Third": 97}
    ids = [relay.add(name, age_s).destination_id for name, age_s in names.items()]
    relay.add("Named", events=["Lead"])
    told = partial(outlook, relay.catalog, relay.settings.outbox_file)
    account = Account(relay.account_id, "Shop", "Europe/Berlin", "USD")

    def story() -> Story:
        (found,) = explain(relay.engine, account, "order.1", outlook=told)
        return found

    relay.append([relay.record(60, "browser"), relay.record(59)])
    relay.refresh()
    assert [] == story().relayed
    relay.fill()
    assert ["ready"] * 3 == [each.state for each in story().relayed]
    assert story().sentences[-1].startswith(f"To be sent to Third ({ids[2]}), due on 20")
    outbox = Outbox(relay.settings.outbox_file)
    trace = json.dumps(TRACE).encode()
    first, second = (outbox.ready(which, 1 << 62, 1, ())[0].emission_id for which in ids[:2])
    at = 1_780_000_000_000_000
    asked = [
        Asked(ids[0], at, 0.1, 312, "done", 200, "", ""),
        Asked(ids[1], at, 0.1, 1, "divide", 400, "100", "Invalid parameter"),
    ]
    aside = Aside(second, "failed", "refused", "Invalid parameter", trace)
    outbox.settle([Settled(asked[0], [Sent(first, trace)], []), Settled(asked[1], [], [aside])])
    outbox.abandon(ids[:2], 0)
    outbox.close()
    relay.catalog.remove_destination(ids[2])
    sent, failed, removed = story().relayed
    assert ("sent", 200, 312, TRACE) == (sent.state, sent.http_status, sent.events, sent.trace)
    assert ("failed", 400, "100", TRACE) == (
        failed.state,
        failed.http_status,
        failed.code,
        failed.trace,
    )
    assert ("withheld", "", None) == (removed.state, removed.name, removed.sent_at)
    moment = "on 2026-05-28 at 22:26:40 (Europe/Berlin)"
    assert [
        f"Sent to Meta ({ids[0]}) {moment} as one of 312 events; answered 200.",
        f"Failed at Other ({ids[1]}) {moment}; answered 400; refused: Invalid parameter.",
        f"Not sent to somebody ({ids[2]}), since this destination was removed.",
    ] == story().sentences[-3:]
    encoded = msgspec.json.Encoder(decimal_format="number").encode(story())
    assert story() == msgspec.json.decode(encoded, type=Story)
    relay.close()
