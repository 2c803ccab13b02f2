"""Which messages are accepted, what becomes of them, and what refusals teach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept import KINDS, Arrival, accept_orders, order_record, read_orders
from doublet.event import WireOrder
from doublet.refusal import Reason, Refusal
from tests.collector import Collector, refusal_of
from tests.factories import ACCOUNT, NOON, SECOND, sha256

EMAIL = "planted.mary@private-mail.example"
NOW_S = NOON // SECOND


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


def accepted(**fields: Any) -> dict[str, Any] | Refusal:
    """The record of a message, or why there is none."""
    message = {"order_id": 1001, "kind": "refunded", "changed_at": NOW_S, "value": 30, **fields}
    wire = msgspec.convert({k: v for k, v in message.items() if v is not None}, WireOrder)
    record = order_record(wire, Arrival(ACCOUNT, "", "server", NOON, 0))
    return record if isinstance(record, Refusal) else msgspec.json.decode(record)


def test_a_message_becomes_a_record() -> None:
    assert {
        "record_type": "order",
        "account_id": ACCOUNT,
        "source": "server",
        "received_at": NOON,
        "order_id": "1001",
        "kind": "refunded",
        "changed_at": NOON,
        "message_id": "r.7",
        "value": "30",
        "currency": "EUR",
    }.items() <= accepted(message_id="r.7", currency="eur").items()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changed_at", "micros"),
    [
        (NOW_S, NOON),
        (NOW_S + 0.25, NOON + SECOND // 4),
        (str(NOW_S), NOON),
        ("2026-05-28T20:26:40Z", NOON),
        ("2026-05-28 22:26:40.5+02:00", NOON + SECOND // 2),
    ],
)
def test_the_time_of_a_change_has_two_forms(changed_at: Any, micros: int) -> None:
    assert micros == accepted(changed_at=changed_at)["changed_at"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"order_id": None}, "order_id", "Purchase"),
        ({"order_id": "x" * 2000}, "order_id", "1024"),
        ({"kind": None}, "kind", "one of drafted, placed"),
        ({"kind": "refund"}, "kind", "did you mean refunded?"),
        ({"kind": "cancelled"}, "value", "takes no value"),
        ({"kind": "placed", "value": None, "currency": "EUR"}, "value", "49.90"),
        ({"kind": "placed"}, "currency", "EUR"),
        ({"value": "12,50"}, "value", "with a point"),
        ({"value": -30}, "value", "30, not -30"),
        ({"value": 0}, "value", "more than zero"),
        ({"currency": "EURO"}, "currency", "three-letter"),
        ({"changed_at": None}, "changed_at", "2026-11-01T10:00:00+01:00"),
        ({"changed_at": "2026-05-28T20:26:40"}, "changed_at", "offset"),
        ({"changed_at": "yesterday"}, "changed_at", "Unix seconds"),
        ({"changed_at": NOW_S * 1000}, "changed_at", "milliseconds"),
        ({"changed_at": 5}, "changed_at", "2000"),
        ({"changed_at": 1e308}, "changed_at", "future"),
        ({"kind": "renewed", "currency": "EUR"}, "parent_order_id", "1001/2"),
        (
            {"kind": "renewed", "currency": "EUR", "parent_order_id": "1001"},
            "parent_order_id",
            "of its own",
        ),
        ({"action_source": "shop"}, "action_source", "physical_store"),
    ],
)
def test_a_message_that_is_wrong_is_refused_with_what_to_do(
    fields: dict[str, Any], field: str, words: str
) -> None:
    refusal = accepted(**fields)
    assert isinstance(refusal, Refusal)
    assert (Reason.INVALID_ORDER, field) == (refusal.reason, refusal.field)
    assert words in refusal.message


def test_messages_without_an_id_are_told_apart_by_what_they_say() -> None:
    def id_of(**fields: Any) -> str:
        return str(accepted(**fields)["message_id"])  # type: ignore[index]

    assert id_of() == id_of(order_id="1001", value="30.00", changed_at="2026-05-28T20:26:40Z")
    assert 4 == len({id_of(), id_of(value=31), id_of(order_id=1), id_of(changed_at=NOW_S - 1)})


def test_an_address_in_an_id_becomes_the_hash_that_the_event_has() -> None:
    record = accepted(order_id=EMAIL, message_id=f"refund {EMAIL}")
    assert (sha256(EMAIL), sha256(f"refund {EMAIL}")) == (
        record["order_id"],  # type: ignore[index]
        record["message_id"],  # type: ignore[index]
    )


def test_one_bad_message_refuses_its_request() -> None:
    good = {"order_id": "1", "kind": "cancelled", "changed_at": NOW_S}
    request = read_orders(msgspec.json.encode({"data": [good, {**good, "kind": "gone"}]}))
    assert not isinstance(request, Refusal)
    refusal = accept_orders(request, Arrival(ACCOUNT, "", "server", NOON, 0))
    assert isinstance(refusal, Refusal)
    assert "data.1.kind" == refusal.field
    assert refusal.message.startswith("Message 1: ")


def test_every_kind_says_what_it_is() -> None:
    assert [] == [kind.name for kind in KINDS if not kind.about.endswith(".")]


# --- over HTTP -------------------------------------------------------------------------------


def _post(server: Collector, body: Any, token: str | None = None) -> Any:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"authorization": f"Bearer {server.token if token is None else token}"}
    return server.client.post("/v1/orders", content=content, headers=headers)


def test_a_shop_tells_about_its_orders_over_http(fresh: Collector) -> None:
    messages = [
        {"order_id": "1", "kind": "placed", "changed_at": NOW_S, "value": 9, "currency": "EUR"},
        {"order_id": "1", "kind": "cancelled", "changed_at": NOW_S + 60},
    ]
    answer = _post(fresh, {"data": messages})
    assert (200, 2) == (answer.status_code, answer.json()["orders_received"])
    # What is answered is on the disk.
    found = [(r["record_type"], r["account_id"], r["kind"]) for r in fresh.new_records()]
    assert found == [("order", fresh.account, "placed"), ("order", fresh.account, "cancelled")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "malformed_body"),
        (b"\xff", "malformed_body"),
        ({"data": []}, "no_events"),
        ({"data": [{}] * 1001}, "too_many_events"),
        ({"data": [{"order_id": "1", "kind": "gone", "changed_at": 1}]}, "invalid_order"),
        ({"data": "x"}, "invalid_order"),
    ],
)
def test_bad_requests_are_kept_and_explained(fresh: Collector, body: Any, reason: str) -> None:
    answer = _post(fresh, body)
    assert reason == refusal_of(answer)
    record = fresh.new_record()
    assert ("refused", reason, fresh.account) == tuple(
        record[name] for name in ("record_type", "reason", "account_id")
    )


def test_what_a_shop_says_about_customers_is_refused_and_never_kept(fresh: Collector) -> None:
    mary = {"email": EMAIL, "first_name": "Plantedfirstname", "phone": "+49 170 5551234567"}
    message = {"order_id": EMAIL, "kind": "Plantedfirstname", "changed_at": "Plantedfirstname"}
    for body in (
        {"data": [{**message, "kind": "cancelled", **mary}]},
        {"data": [{**message, "currency": "Plantedfirstname", "value": EMAIL}]},
        {"data": [{**message, EMAIL: 1}]},
    ):
        answer = _post(fresh, body)
        assert "invalid_order" == refusal_of(answer)
        assert "lanted" not in answer.text
    stored = b"".join(
        path.read_bytes() for path in Path(fresh.settings.data).rglob("*") if path.is_file()
    )
    assert b"invalid_order" in stored
    assert [] == [word for word in (b"lanted", b"5551234567") if word in stored]


def test_orders_need_a_token_and_a_post(fresh: Collector) -> None:
    body = {"data": [{"order_id": "1", "kind": "cancelled", "changed_at": NOW_S}]}
    assert 401 == _post(fresh, body, token="dbl_wrong").status_code
    assert [""] == [record["account_id"] for record in fresh.new_records()]
    assert "method_not_allowed" == refusal_of(fresh.client.get("/v1/orders"))
    in_body = fresh.client.post("/v1/orders", json={**body, "access_token": fresh.other_token})
    assert 200 == in_body.status_code
    assert fresh.other_account == fresh.new_record()["account_id"]
