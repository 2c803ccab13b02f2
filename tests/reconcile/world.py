"""A shop with an order for every finding: what the shop has, what came here, and what is to be
found. Nothing else is, so that each finding is also shown to leave the others alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from doublet.accept import Arrival, accept_hit, hashed_payload, read_hit, refused_record
from doublet.catalog import Account, Shop, ShopRules
from doublet.outbox import Outbox
from doublet.reconcile import Question, Reconciliation, Sides, compare, stage
from doublet.refusal import Reason, Refusal
from doublet.refused import Refusals
from doublet.shops.orders import ShopOrder
from tests.factories import (
    ACCOUNT,
    HOUR,
    NOON,
    PIXEL,
    SECOND,
    Pipeline,
    make_event,
    make_order,
    make_record,
    sha256,
)

MINUTE = 60 * SECOND
DAY = 24 * HOUR
ZONE = Account(ACCOUNT, "Shop", "Europe/Berlin", "EUR")
OTHER_PIXEL = "1000000000000002"
MARY = sha256("mary@example.com")
NOW_S = (NOON + 6 * DAY) // SECOND

SHOP = Shop(
    *("shp_100000000001", ACCOUNT, PIXEL, "shopify", "Corner Shop", (NOON + HOUR) // SECOND),
    *({}, [], "", ShopRules(purchase_on="paid")),
)


class World:
    """Orders, an hour apart from each other: what the shop has of them and what came here."""

    def __init__(self) -> None:
        self.shop: list[ShopOrder] = []
        self.records: list[bytes] = []
        self.expected: dict[str, set[tuple[str, str]]] = {}
        self._hours = 2

    def add(
        self,
        key: str,
        *found: tuple[str, str],
        there: Mapping[str, Any] | None = None,
        here: tuple[bytes, ...] = (),
    ) -> None:
        """An order known by the id `key`, and under what it is to be found."""
        if there is not None:
            fields = {"created_at": self.now, "total": "100", "currency": "EUR", **there}
            fields = {"order_id": key, "state": "sale", "refunded": "0", **fields}
            self.shop.append(ShopOrder(**fields))
        self.records += here
        self.expected[key] = set(found)
        self._hours += 1

    @property
    def now(self) -> int:
        """When the order is made that is added next."""
        return NOON + self._hours * HOUR

    def bought(
        self,
        order_id: str | None,
        source: str = "both",
        value: float = 100,
        currency: str = "EUR",
        after: int = 0,
        **fields: Any,
    ) -> tuple[bytes, ...]:
        """Purchases of browser, server or both, under one event id."""
        custom = {"value": value, "currency": currency, "order_id": order_id}
        made = {
            "event_id": f"e.{order_id}",
            "custom_data": {name: said for name, said in custom.items() if said is not None},
            "user_data": {"fbp": f"fb.1.1780000000000.{self._hours}"},
            **fields,
        }
        sides = ("browser", "server") if source == "both" else (source,)
        received_at = self.now + after
        return tuple(
            make_record(received_at + n * SECOND, side, **made) for n, side in enumerate(sides)
        )

    def seen(self, order_id: str, **custom: str) -> tuple[bytes, ...]:
        """A browser's Purchase, which may lack what a server's must have."""
        return (
            _hit(
                "Purchase",
                self.now,
                **{f"cd[{k}]": v for k, v in custom.items()},
                **{"cd[order_id]": order_id},
            ),
        )

    def told(self, kind: str, order_id: str, after: int = 0, **fields: Any) -> tuple[bytes, ...]:
        """A message of the shop about an order."""
        at = self.now - NOON + after
        return (make_order(kind, at, order_id=order_id, **fields),)


def refusal_of(order_id: str, received_at: int) -> bytes:
    """The record of a refused Purchase of an order."""
    custom = {"value": 100, "currency": "EUR", "order_id": order_id}
    body = msgspec.json.encode({"data": [make_event(custom_data=custom)]})
    said = Refusal(Reason.EVENT_TOO_OLD, "Event 1: event_time is 9 days old.", "event_time")
    arrival = Arrival(ACCOUNT, PIXEL, "server", received_at, 0)
    return refused_record(said, arrival, body, hashed_payload(body))


def denial_of(em: str, received_at: int) -> bytes:
    """The record of a page's view by somebody who denied consent."""
    return _hit("PageView", received_at, **{"ud[em]": em, "cs[ad_user_data]": "denied"})


def _hit(event_name: str, received_at: int, **more: str) -> bytes:
    pairs = {
        **{"id": PIXEL, "ev": event_name, "eid": f"hit.{received_at}"},
        **{"ts": str(received_at // 1000), "dl": "https://shop.example/thanks", **more},
    }
    record = accept_hit(read_hit(pairs.items()), Arrival(ACCOUNT, PIXEL, "browser", received_at, 0))
    assert isinstance(record, bytes), record
    return record


class Desk:
    """Compares a shop's orders with what a pipeline has."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline = pipeline
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def compare(
        self,
        orders: list[ShopOrder],
        shop: Shop | None = None,
        log_problem: str = "",
        destinations: tuple[Any, ...] = (),
        outbox: Outbox | None = None,
        now_s: int = NOW_S,
        account: Account = ZONE,
        **question: Any,
    ) -> Reconciliation:
        """The comparison."""
        refused = [file.path for file in self.pipeline.lake.refused.files()]
        refusals = Refusals(self.pipeline.engine, refused, [])
        sides = Sides(
            *(self.pipeline.engine, [PIXEL, OTHER_PIXEL], refusals),
            *(destinations, outbox, log_problem),
        )
        file = self._folder / "orders"
        stage(file, orders)
        asked = Question(**{"limit": 1000, **question})
        return compare(sides, account, asked, file, self._folder, shop=shop, now_s=now_s)


def found(told: Reconciliation, shares: bool = False) -> dict[str, set[tuple[str, str]]]:
    """What is found of each order, by its id in the shop or, where it has none there, here."""
    every: dict[str, set[tuple[str, str]]] = {}
    for group in told.groups:
        if shares or group.finding not in ("browser_only", "server_only", "no_purchase"):
            for order in group.listed:
                key = order.order_id or order.our_order_id
                every.setdefault(key, set()).add((group.finding, group.why))
    return every
