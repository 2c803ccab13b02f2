"""The door for webhooks: proven, durable, counted, and nothing kept of what is not proven."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.backup.save import _Backup, save
from doublet.catalog import Shop
from doublet.deliveries import Deliveries
from tests.collector import USER_AGENT, Collector, assert_graph_error, refusal_of
from tests.factories import sha256
from tests.server import wait_for
from tests.shops.stories import GOLDEN

FBP = "fb.1.1780000000000.1234567890"
EMAIL = "mary.major@shop.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    collector = Collector(tmp_path_factory.mktemp("shops"))
    yield collector
    collector.close()


def make_shop(server: Collector, platform: str = "shopify", **fields: Any) -> Shop:
    """A new shop of our account, whose secret is `one`."""
    return server.catalog.shops.create(
        server.account,
        server.pixel.pixel_id,
        platform,
        f"Shop {time.monotonic_ns()}",
        {"domain": "shop.example"},
        "one",
        **fields,
    )


def order(**fields: Any) -> dict[str, Any]:
    """A complete Shopify order of this hour."""
    resource = json.loads((GOLDEN / "shopify" / "order.json").read_text("utf-8"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    times = {"created_at": now, "updated_at": now, "processed_at": now}
    return {**resource, "email": EMAIL, **times, **fields}


def deliver(
    server: Collector,
    shop: Shop,
    topic: str,
    resource: Any,
    *,
    secret: str = "one",
    delivery: str = "",
) -> httpx.Response:
    """One delivery of Shopify, signed."""
    body = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    headers = {"x-shopify-topic": topic, "x-shopify-hmac-sha256": signature}
    if delivery:
        headers["x-shopify-webhook-id"] = delivery
    return server.client.post(f"/v1/shops/{shop.shop_id}/webhooks", content=body, headers=headers)


def counts(server: Collector, shop: Shop) -> dict[tuple[str, str], int]:
    """What was counted, by topic and outcome."""
    deliveries = Deliveries(server.settings.deliveries_file)
    try:
        return {(c.topic, c.outcome): c.deliveries for c in deliveries.counts(shop.shop_id)}
    finally:
        deliveries.close()


def test_an_order_is_durable_as_event_and_message(server: Collector) -> None:
    shop = make_shop(server)
    server.new_records()
    resource = order(id=450789469)
    answer = deliver(server, shop, "orders/create", resource, delivery="d-1")
    assert (200, {"events": 1, "orders": 1}) == (answer.status_code, answer.json())
    event, message = server.new_records()
    assert ("event", "Purchase", "450789469", "server") == (
        event["record_type"],
        event["event_name"],
        event["event_id"],
        event["source"],
    )
    assert [sha256(EMAIL)] == event["user_data"]["em"]
    assert ("order", "placed", "450789469") == (
        message["record_type"],
        message["kind"],
        message["order_id"],
    )
    again = deliver(server, shop, "orders/create", resource, delivery="d-1")
    assert {"repeated": True} == again.json()
    assert [] == server.new_records()
    wait_for(
        lambda: (
            counts(server, shop)
            == {("orders/create", "taken"): 1, ("orders/create", "repeated"): 1}
        )
    )


def test_a_bad_signature_leaves_a_counter_and_nothing_else(server: Collector) -> None:
    shop = make_shop(server)
    server.new_records()
    body = json.dumps(order()).encode()
    for secret in ("two", ""):
        answer = deliver(server, shop, "orders/create", body, secret=secret, delivery="d-2")
        assert (401, "signature_invalid") == (answer.status_code, refusal_of(answer))
    unsigned = server.client.post(f"/v1/shops/{shop.shop_id}/webhooks", content=body)
    changed = deliver(server, shop, "orders/create", body, secret="two")
    assert 401 == unsigned.status_code == changed.status_code
    assert [] == server.new_records()
    wait_for(lambda: counts(server, shop) == {("", "unproven"): 4})
    kept = b"".join(p.read_bytes() for p in server.settings.data.rglob("*") if p.is_file())
    assert EMAIL.encode() not in kept
    assert b"d-2" not in server.settings.deliveries_file.read_bytes()
    # What came before does not stand in the way of the same delivery, signed.
    assert 1 == deliver(server, shop, "orders/create", body, delivery="d-2").json()["events"]


def test_both_secrets_prove_while_one_takes_the_place_of_the_other(server: Collector) -> None:
    shop = make_shop(server)
    assert 200 == deliver(server, shop, "orders/create", order()).status_code
    rotated = server.catalog.shops.rotate(shop, "two")

    def proves(secret: str) -> bool:
        answer = deliver(server, rotated, "orders/create", order(), secret=secret)
        return answer.status_code == 200

    wait_for(lambda: proves("two"), 20, "collectors read the catalog again")
    assert proves("one")
    server.catalog.shops.rotate(rotated, "three", keep_s=-1)
    wait_for(lambda: not proves("one"), 20, "the old secret has ended")
    assert proves("three")
    assert not proves("two")


def test_a_visitor_is_known_by_cart_or_checkout(server: Collector) -> None:
    shop = make_shop(server)
    answer = server.client.post(
        f"/v1/shops/{shop.shop_id}/visitor",
        content=json.dumps({"token": "cart-4711-a", "fbp": FBP}),
        headers={"content-type": "text/plain"},
    )
    assert (200, "*") == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert ["client_ip_address", "client_user_agent", "fbp"] == answer.json()["remembered"]
    server.new_records()
    bought = order(
        cart_token="cart-4711-a", note_attributes=[], client_details=None, browser_ip=None
    )
    deliver(server, shop, "orders/create", bought)
    user_data = server.new_records()[0]["user_data"]
    assert (FBP, USER_AGENT) == (user_data["fbp"], user_data["client_user_agent"])
    # A checkout says it for the order that comes of it.
    other = "fb.1.1780000000001.42"
    checkout = {
        "token": "checkout-77",
        "cart_token": "cart-4712-a",
        "note_attributes": [{"name": "_fbp", "value": other}],
    }
    assert "passed_over" in deliver(server, shop, "checkouts/update", checkout).json()
    assert [] == server.new_records()
    deliver(
        server,
        shop,
        "orders/create",
        {**bought, "checkout_token": "checkout-77", "cart_token": None},
    )
    assert other == server.new_records()[0]["user_data"]["fbp"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"token": "short"}',
        b'{"token": "cart-4711-a", "email": "mary.major@shop.example"}',
        b'{"token": "' + b"x" * 5000 + b'"}',
    ],
)
def test_a_visit_that_is_none_is_refused(server: Collector, body: bytes) -> None:
    answer = server.client.post(f"/v1/shops/{make_shop(server).shop_id}/visitor", content=body)
    assert (400, "parameter_invalid") == (answer.status_code, refusal_of(answer))
    assert b"mary" not in answer.content


def test_what_cannot_be_read_is_kept_where_an_operator_finds_it(server: Collector) -> None:
    shop = make_shop(server)
    server.new_records()
    for body in (b"no JSON", json.dumps(order(id=None)).encode()):
        answer = deliver(server, shop, "orders/create", body)
        assert (200, True) == (answer.status_code, "refused" in answer.json())
        (kept,) = server.new_records()
        assert ("refused", server.account, len(body)) == (
            kept["record_type"],
            kept["account_id"],
            kept["size_bytes"],
        )
        assert EMAIL not in json.dumps(kept)


def test_an_event_too_old_does_not_hold_up_the_ledger(server: Collector) -> None:
    shop = make_shop(server)
    server.new_records()
    answer = deliver(server, shop, "orders/create", order(created_at="2026-01-05T10:00:00Z"))
    assert (0, 1, 1) == (
        answer.json()["events"],
        answer.json()["orders"],
        len(answer.json()["refused"]),
    )
    assert ["refused", "order"] == [record["record_type"] for record in server.new_records()]


def test_a_test_order_is_a_test_and_in_no_ledger(server: Collector) -> None:
    shop = make_shop(server)
    server.new_records()
    deliver(server, shop, "orders/create", order(test=True))
    record = server.new_record()
    assert ("event", True) == (record["record_type"], record["is_test"])


def test_what_the_law_asks_is_an_errand_without_a_plain_value(server: Collector) -> None:
    shop = make_shop(server)
    customer = {"id": 207119551, "email": EMAIL, "phone": "+44 20 7946 0958"}
    for topic in ("customers/redact", "customers/data_request"):
        assert 1 == deliver(server, shop, topic, {"customer": customer}).json()["errands"]
    deliveries = Deliveries(server.settings.deliveries_file)
    erase, export = sorted(deliveries.errands([shop.shop_id]), key=lambda errand: errand.kind)
    deliveries.close()
    assert ("erase", "export") == (erase.kind, export.kind)
    assert sha256(EMAIL) in erase.subject["user_data"]["em"]
    assert sha256("207119551") in export.subject["user_data"]["external_id"]
    kept = b"".join(p.read_bytes() for p in server.settings.data.rglob("*.sqlite*"))
    assert EMAIL.encode() not in kept
    assert b"7946 0958" not in kept


def test_a_ping_of_woocommerce_is_answered(server: Collector) -> None:
    shop = make_shop(server, "woocommerce")
    path = f"/v1/shops/{shop.shop_id}/webhooks"
    answer = server.client.post(path, data={"webhook_id": "7"})
    assert (200, {"pinged": True}) == (answer.status_code, answer.json())
    wait_for(lambda: counts(server, shop) == {("", "pinged"): 1})


def test_addresses_that_are_none(server: Collector) -> None:
    shop = make_shop(server)
    for path, status in (
        ("/v1/shops/shp_1/webhooks", 404),
        (f"/v1/shops/{shop.shop_id}/hooks", 404),
        (f"/v1/shops/{shop.shop_id}", 404),
    ):
        answer = server.client.post(path, content=b"{}")
        assert status == answer.status_code, path
        assert_graph_error(answer.content)
    assert 405 == server.client.get(f"/v1/shops/{shop.shop_id}/webhooks").status_code
    server.catalog.shops.remove(shop.shop_id)
    wait_for(
        lambda: deliver(server, shop, "orders/create", order()).status_code == 404, 20, "it is gone"
    )


def test_an_answer_means_that_it_is_on_disk(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    try:
        shop = make_shop(collector)
        assert 200 == deliver(collector, shop, "orders/create", order(), delivery="d").status_code
        collector.kill()
        assert ["event", "order"] == [record["record_type"] for record in collector.new_records()]
        deliveries = Deliveries(collector.settings.deliveries_file)
        assert deliveries.was_seen(shop.shop_id, "d")
        deliveries.close()
    finally:
        collector.client.close()
        collector.catalog.close()
        collector.kill()


def test_what_has_no_time_of_its_own_happened_when_it_came(server: Collector) -> None:
    shop = make_shop(server, "woocommerce")
    server.new_records()
    body = b'{"id": 727}'
    before = int(time.time())
    answer = server.client.post(
        f"/v1/shops/{shop.shop_id}/webhooks",
        content=body,
        headers={
            "x-wc-webhook-topic": "order.deleted",
            "x-wc-webhook-signature": base64.b64encode(
                hmac.digest(b"one", body, "sha256")
            ).decode(),
        },
    )
    assert {"events": 0, "orders": 1} == answer.json()
    message = server.new_record()
    assert ("cancelled", "727") == (message["kind"], message["order_id"])
    assert before <= message["changed_at"] / 1e6 <= time.time()


def test_a_backup_knows_no_delivery_whose_records_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(tmp_path)
    copy_log = _Backup._copy_log

    def and_then_one_comes(*arguments: Any) -> Any:
        copied = copy_log(*arguments)
        assert 200 == deliver(collector, shop, "orders/create", order(), delivery="d").status_code
        return copied

    try:
        shop = make_shop(collector)
        deliver(collector, shop, "orders/create", order(), delivery="first")
        monkeypatch.setattr(_Backup, "_copy_log", and_then_one_comes)
        saved = save(collector.settings, tmp_path / "backups")
    finally:
        collector.close()
    kept = Deliveries(saved.folder / "deliveries.sqlite")
    was_seen = kept.was_seen(shop.shop_id, "first"), kept.was_seen(shop.shop_id, "d")
    kept.close()
    assert (True, False) == was_seen
