"""Orders that a destination was not sent, each with its reason, by a real outbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doublet.catalog import Account, Destination
from doublet.outbox import Aside, Outbox, Pause, Sent, Settled, now_us
from doublet.reconcile import Reconciliation
from doublet.reconcile.findings import FINDINGS
from doublet.shops.orders import ShopOrder
from tests.factories import SECOND
from tests.reconcile.world import Desk
from tests.relay.outboxes import Relay

HOUR_S = 3600
DAY_S = 24 * HOUR_S


class Shop(Relay):
    """A pipeline with destinations, and what its shop has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.desk = Desk(self, folder / "staged")
        self.orders: list[ShopOrder] = []

    def buy(self, order_id: str, age_s: float, source: str = "server") -> bytes:
        """A Purchase of an order that the shop has too."""
        made_at = self.start - int(age_s * SECOND)
        self.orders.append(ShopOrder(order_id, made_at, "10.5", "USD", state="sale"))
        custom = {"value": 10.5, "currency": "USD", "order_id": order_id}
        return self.record(age_s, source, event_id=order_id, custom_data=custom)

    def compare(self, *destinations: Destination) -> Reconciliation:
        """The comparison, with these destinations as they are now."""
        outbox = Outbox(self.settings.outbox_file)
        try:
            account = Account(self.account_id, "Shop", "UTC", "USD")
            return self.desk.compare(
                self.orders,
                destinations=destinations,
                outbox=outbox,
                account=account,
                now_s=int(time.time()),
            )
        finally:
            outbox.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def not_relayed(told: Reconciliation) -> dict[tuple[str, str], set[str]]:
    """Orders by destination and reason."""
    return {
        (group.destination, group.why): {order.order_id for order in group.listed}
        for group in told.groups
        if group.finding == "not_relayed"
    }


def test_each_reason_is_told_for_each_destination(shop: Shop) -> None:
    meta = shop.add("Meta", age_s=200 * DAY_S)
    choosy = shop.add("Choosy", age_s=200 * DAY_S, domains=["*.example"])
    elsewhere = shop.add("Elsewhere", age_s=200 * DAY_S, domains=["shop.invalid"])
    young = shop.add("Young", age_s=DAY_S)
    shop.send(
        shop.buy("sent", HOUR_S * 3),
        shop.buy("dead", HOUR_S * 3 + 1),
        shop.buy("denied", HOUR_S * 3 + 2),
        shop.buy("overdue", HOUR_S * 3 + 3),
        shop.buy("waiting", 60),
        shop.buy("old", 3 * DAY_S),
        shop.buy("ancient", 100 * DAY_S),
    )
    outbox = Outbox(shop.settings.outbox_file)
    number = {
        event_id: emission_id
        for emission_id, event_id, destination in shop.ledger(
            "emission_id, event_id, destination_id"
        )
        if destination == meta.destination_id
    }
    outbox.settle(
        [
            Settled(
                None,
                [Sent(number["sent"], b"{}")],
                [
                    Aside(number["dead"], "failed", "100", "Invalid parameter."),
                    Aside(number["denied"], "withheld", "consent_denied", "ad_storage was denied."),
                ],
            )
        ]
    )
    outbox.close()
    told = shop.compare(meta, choosy, elsewhere, young)
    every = {order.order_id for order in shop.orders}
    found = not_relayed(told)
    assert {
        ("Meta", "failed/100"): {"dead"},
        ("Meta", "withheld/consent_denied"): {"denied"},
        ("Meta", "overdue"): {"overdue", "old"},
        ("Meta", "waiting"): {"waiting"},
        ("Meta", "forgotten"): {"ancient"},
    } == {key: orders for key, orders in found.items() if key[0] == "Meta"}
    assert ("Choosy", "filtered") not in found
    assert {("Elsewhere", "filtered"): every} == {
        key: orders for key, orders in found.items() if key[0] == "Elsewhere"
    }
    assert {"old", "ancient"} == found["Young", "before_destination"]
    details = {group.why: group.listed[0].detail for group in told.groups if group.destination}
    assert "Invalid parameter." == details["failed/100"]
    wrong = {(group.destination, group.why) for group in told.groups if not group.is_expected}
    assert {"failed/100", "overdue"} == {why for _, why in wrong}
    assert 0 < told.agree < told.orders


def test_a_destination_that_takes_nothing_is_told_with_its_trouble(shop: Shop) -> None:
    paused = msgspec.structs.replace(shop.add("Paused"), is_paused=True)
    failing = shop.add("Failing")
    shop.send(shop.buy("1", 120))
    outbox = Outbox(shop.settings.outbox_file)
    trouble = Pause(failing.destination_id, now_us() + SECOND, now_us(), 3, "blocked", "Bad token.")
    outbox.set_pause(trouble)
    outbox.close()
    told = shop.compare(paused, failing)
    assert {("Paused", "paused"): {"1"}, ("Failing", "failing"): {"1"}} == not_relayed(told)
    (row,) = [group for group in told.groups if group.why == "failing"]
    assert "blocked: Bad token." == row.listed[0].detail
    assert not told.agrees


def test_what_the_outbox_was_not_told_of_is_said(shop: Shop) -> None:
    """The worker has not filled the outbox; and a message alone is no event to send."""
    meta = shop.add("Meta")
    Outbox(shop.settings.outbox_file).close()
    shop.append([shop.buy("1", 60)])
    shop.refresh()
    assert {("Meta", "not_noted"): {"1"}} == not_relayed(shop.compare(meta))
    shop.fill()
    assert {("Meta", "waiting"): {"1"}} == not_relayed(shop.compare(meta))


def test_an_order_counts_as_sent_whichever_copy_stands_for_it(shop: Shop) -> None:
    meta = shop.add("Meta")
    browser = shop.buy("1", 90, source="browser")
    server = shop.buy("1", 80)
    shop.orders.pop()
    shop.send(browser)
    shop.send(server)
    outbox = Outbox(shop.settings.outbox_file)
    ((number,),) = shop.ledger("emission_id")
    outbox.settle([Settled(None, [Sent(number, b"{}")], [])])
    outbox.close()
    told = shop.compare(meta)
    assert {} == not_relayed(told)
    assert told.agrees


def test_every_reason_of_ours_is_known() -> None:
    """The texts that the comparison yields are those of the list."""
    text = (Path(__file__).parents[2] / "doublet/reconcile/compare.sql").read_text("utf-8")
    part = text[text.index("not_relayed as (") : text.index("findings as (")]
    missing = [why for why in FINDINGS["not_relayed"].reasons if f"then '{why}'" not in part]
    assert ["not_noted"] == missing
    assert "else 'not_noted'" in part
