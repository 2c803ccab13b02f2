"""Refunds and cancellations of orders whose Purchase was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.catalog import Destination, DestinationRules
from doublet.outbox import Outbox, Sent, Settled, now_us
from doublet.relay.corrections import REFUND
from tests.factories import NOON, SECOND, make_order, sha256
from tests.relay.outboxes import Relay

MARY = sha256("mary@example.com")
FBP = "fb.1.1780000000000.7"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path)
    yield made
    made.close()


def _hook(relay: Relay, name: str = "Hook", **rules: Any) -> Destination:
    """A webhook that was made before everything."""
    chosen = DestinationRules(**{"merge_wait_s": 0, **rules})
    target = {"url": "http://127.0.0.1:9/"}
    made = relay.catalog.create_destination(
        relay.account_id, "webhook", name, target, "whsec_" + "A" * 32, chosen
    )
    old = _made_before(made)
    relay.catalog.save_destination(old)
    return old


def _made_before(destination: Destination) -> Destination:
    return msgspec.structs.replace(destination, created_at=destination.created_at - 3600)


def _purchase(relay: Relay, **fields: Any) -> bytes:
    return relay.record(
        age_s=600,
        event_name="Purchase",
        event_id="p1",
        user_data={"em": MARY, "fbp": FBP},
        custom_data={"value": 100, "currency": "EUR", "order_id": "A1"},
        **fields,
    )


def _message(relay: Relay, kind: str, age_s: float, late_s: float = 0, **fields: Any) -> bytes:
    received_at = relay.start - int(age_s * SECOND)
    return make_order(
        kind,
        received_at - NOON,
        received_at + int(late_s * SECOND),
        relay.account_id,
        **{"order_id": "A1", "message_id": f"{kind}-{age_s}", **fields},
    )


def _send_all(relay: Relay) -> list[dict[str, Any]]:
    """Take what is ready for sent, as the relay does; what it was, refunds only."""
    outbox = Outbox(relay.settings.outbox_file)
    try:
        rows = outbox.rows("select emission_id, payload from emissions where state = 'ready'")
        sent = [Sent(number, b"{}") for number, _ in rows]
        outbox.settle([Settled(None, sent, [])])
        # What was put off is due now.
        outbox._db.execute("update emissions set due_at = ? where state = 'waiting'", (now_us(),))
    finally:
        outbox.close()
    found = [json.loads(payload) for _, payload in rows]
    return [event for event in found if event["event_name"] == REFUND]


def test_a_refund_follows_its_purchase_once(relay: Relay) -> None:
    _hook(relay)
    refund = _message(relay, "refunded", 60, value="30", message_id="r1")
    relay.send(
        _purchase(relay), _message(relay, "placed", 590, value="100", currency="EUR"), refund
    )
    assert [("p1", "ready", ""), ("refund-r1", "waiting", "")] == relay.ledger()
    assert [] == _send_all(relay)
    relay.fill()
    (event,) = _send_all(relay)
    assert (Decimal(30), "EUR", "A1", "p1", True) == (
        Decimal(event["value"]),
        event["currency"],
        event["order_id"],
        event["corrects"],
        event["is_correction"],
    )
    assert ([MARY], FBP) == (event["user_data"]["em"], event["user_data"]["fbp"])
    # The shop tells it again; then it refunds more than is left.
    relay.send(_message(relay, "refunded", 60, 10, value="30", message_id="r1"))
    assert [] == _send_all(relay)
    relay.send(_message(relay, "refunded", 40, value="90", message_id="r2"))
    (event,) = _send_all(relay)
    assert (Decimal(70), "refund-r2") == (Decimal(event["value"]), event["event_id"])
    # Nothing is left to be cancelled.
    relay.send(_message(relay, "cancelled", 30, message_id="c1"))
    assert [] == _send_all(relay)
    assert ("refund-c1", "withheld", "nothing_refunded") in relay.ledger()


def test_a_cancellation_takes_back_what_is_left(relay: Relay) -> None:
    _hook(relay)
    placed = _message(relay, "placed", 590, value="100", currency="EUR")
    relay.send(_purchase(relay), placed)
    _send_all(relay)
    relay.send(_message(relay, "cancelled", 60, message_id="c1"))
    (event,) = _send_all(relay)
    assert (Decimal(100), "refund-c1") == (Decimal(event["value"]), event["event_id"])


def test_what_was_not_told_of_the_purchase_is_not_told_of_the_refund(relay: Relay) -> None:
    relay.add("Meta")
    _hook(relay, "No purchases", events=["Lead"])
    _hook(relay, "Purchases", domains=["other.example"])
    relay.send(
        _purchase(relay),
        _message(relay, "placed", 590, value="100", currency="EUR"),
        _message(relay, "refunded", 60, value="30", message_id="r1"),
    )
    _send_all(relay)
    relay.fill()
    assert [("p1", "sent", ""), ("refund-r1", "withheld", "purchase_not_sent")] == relay.ledger()


def test_an_erased_person_is_in_no_refund(relay: Relay) -> None:
    _hook(relay)
    relay.send(_purchase(relay), _message(relay, "placed", 590, value="100", currency="EUR"))
    _send_all(relay)
    relay.send(_message(relay, "refunded", 60, value="30", message_id="r1"))
    places = relay.engine.query("select log_slot, log_offset from copies")
    assert FBP in json.dumps(relay.payloads())
    relay.filler.forget(
        relay.account_id, [(row["log_slot"], row["log_offset"]) for row in places], []
    )
    assert [] == relay.payloads()
    assert ("withheld", "erased") in relay.ledger("state, reason")
