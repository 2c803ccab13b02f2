"""A small world of touches and conversions for tests of reports: as rows of the derived tables,
written by hand or drawn at random."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from doublet import models
from doublet.catalog import Account
from doublet.engine.duckdb import DuckDBEngine
from doublet.rates import Rate, Rates
from tests.factories import ACCOUNT, PIXEL
from tests.reports.tables import COUNTED

SHOP = Account(ACCOUNT, "Shop", "Europe/Berlin", "EUR")
DAY_S = 86_400
START = 1_780_000_000
"""2026-05-28 20:26:40 UTC: 22:26 in Berlin."""
FOREVER = 1 << 60
WORLDS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Of property tests, whose worlds take a moment to write."""
RATES = Rates("EUR", [Rate(date(2026, 5, 1), "USD", Decimal("0.9"))])
"""For the whole of May 2026 and no day of July."""

_TOUCH = ("time", "key", "campaign_id", "adset_id", "ad_id", "platform", "channel")
_WINDOWS_S = {"click": 28 * DAY_S, "engaged_view": DAY_S, "view": 7 * DAY_S}
_PREFIXES = {"click": "click", "engaged_view": "ev", "view": "view"}


@dataclass
class World:
    """Rows that become tables. Touches come before the conversions that they precede."""

    touches: list[dict[str, Any]] = field(default_factory=list)
    conversions: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    ads: list[dict[str, Any]] = field(default_factory=list)
    ad_days: list[dict[str, Any]] = field(default_factory=list)
    joins: list[dict[str, Any]] = field(default_factory=list)
    persons: list[dict[str, Any]] = field(default_factory=list)

    def touch(self, person: int, at_s: int, channel: str = "meta", **fields: Any) -> None:
        """A click, unless `kind` says otherwise, `at_s` seconds after START."""
        self.touches.append(
            {
                "account_id": ACCOUNT,
                "person_id": person,
                "since_s": -FOREVER,
                "until_s": FOREVER,
                "touchpoint_key": len(self.touches) + 1,
                "touched_time": START + at_s,
                "kind": "click",
                "platform": channel.partition(" ")[0],
                "channel": channel,
                "is_ad": " / email" not in channel,
                "origin": "url",
                **fields,
            }
        )

    def convert(
        self, person: int | None, at_s: int, value: str | None = "10", **fields: Any
    ) -> None:
        """A Purchase seen by both sides, `at_s` seconds after START, with its last touches."""
        event = {
            "account_id": ACCOUNT,
            "pixel_id": PIXEL,
            "event_key": len(self.conversions) + 1,
            "anchor_at": datetime.fromtimestamp(START + at_s, UTC),
            "event_name": "Purchase",
            "event_time": START + at_s,
            "person_id": person,
            "frozen_s": START + at_s + 28 * DAY_S,
            "value": None if value is None else Decimal(value),
            "currency": None if value is None else "EUR",
            "action_source": "website",
            "browser_copies": 1,
            "server_copies": 1,
            **fields,
        }
        self.conversions.append({**event, **self._last(person, event["event_time"])})

    def _last(self, person: int | None, time: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind, prefix in _PREFIXES.items():
            before = [
                touch
                for touch in self.touches
                if touch["person_id"] == person
                and touch["is_ad"]
                and touch["kind"] == kind
                and time - _WINDOWS_S[kind] < touch["touched_time"] <= time
            ]
            if before:
                last = max(before, key=lambda t: (t["touched_time"], t["touchpoint_key"]))
                names = {"time": "touched_time", "key": "touchpoint_key"}
                for name in _TOUCH:
                    found[f"{prefix}_{name}"] = last.get(names.get(name, name))
        return found

    def order(self, order_id: str, gross: str, at_s: int = 0, **fields: Any) -> None:
        """What the ledger says of an order by now."""
        row = {
            "account_id": ACCOUNT,
            "order_id": order_id,
            "currency": "EUR",
            "ordered_at": datetime.fromtimestamp(START + at_s, UTC),
            "state": "sale",
            "gross": Decimal(gross),
            "refunds": Decimal(0),
            "cancelled": Decimal(0),
            **fields,
        }
        row["net"] = row["gross"] - row["refunds"] - row["cancelled"]
        self.orders.append(row)

    def tables(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Rows by table."""
        return {
            "touchpoints": self.touches,
            "conversions": self.conversions,
            "orders": self.orders,
            "ads": self.ads,
            "ad_days": self.ad_days,
            "joins": self.joins,
            "persons": self.persons,
        }


@contextmanager
def engine_in(folder: Path) -> Iterator[DuckDBEngine]:
    """A database with all tables of the models, empty."""
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "tmp")
    models.prepare(engine, models.Rules())
    try:
        yield engine
    finally:
        engine.close()


def fill(engine: DuckDBEngine, world: World) -> None:
    """Make the tables hold this world and nothing else."""
    for name, rows in world.tables().items():
        engine.connection.execute(f"delete from {name}")
        if not rows:
            continue
        columns = list(dict.fromkeys(column for row in rows for column in row))
        types = {row["column_name"]: row["column_type"] for row in engine.query(f"describe {name}")}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
            file.flush()
            read = ", ".join(f"{column}: '{types[column]}'" for column in columns)
            engine.connection.execute(
                f"insert into {name} by name select * from "
                f"read_ndjson('{file.name}', columns = {{{read}}})"
            )


CHANNELS = ("meta", "google", "tiktok", "newsletter / email")
_EVENTS = ("ViewContent", "AddToCart", "InitiateCheckout", "Purchase")


def random_world(seed: int, persons: int = 12, events: int = 60) -> World:
    """Touches and events of a few persons within 40 days, some without a person, a value, a rate,
    an order or an ad id; all that reports must be able to add up."""
    pick = random.Random(seed)
    world = World()
    for _ in range(events):
        channel = pick.choice(CHANNELS)
        has_ad = pick.random() < 0.6
        campaign = pick.randrange(3)
        ids = {
            "campaign_id": f"c{campaign}",
            "adset_id": f"s{campaign}",
            "ad_id": f"a{campaign}{pick.randrange(2)}",
        }
        kind = pick.choices(("click", "view", "engaged_view"), (6, 2, 1))[0]
        at = pick.randrange(40 * DAY_S)
        world.touch(pick.randrange(persons), at, channel, kind=kind, **(ids if has_ad else {}))
    for n in range(events):
        at = pick.randrange(40 * DAY_S)
        sides = pick.choice(((1, 1), (1, 0), (0, 1), (1, 2)))
        fields: dict[str, Any] = {
            "event_name": pick.choice(_EVENTS),
            "browser_copies": sides[0],
            "server_copies": sides[1],
            "currency": pick.choices(("EUR", "USD", "JPY"), (8, 2, 1))[0],
        }
        value = str(Decimal(pick.randrange(1, 10_000_000)) / 10_000)
        if pick.random() < 0.7:
            fields["order_id"] = f"o{n // 2}"
            state = pick.choices(("sale", "cancelled", "pending"), (8, 1, 1))[0]
            if fields["event_name"] == "Purchase" and not any(
                order["order_id"] == f"o{n // 2}" for order in world.orders
            ):
                refunds = Decimal(value) if pick.random() < 0.2 else Decimal(0)
                world.order(f"o{n // 2}", value, at, state=state, refunds=refunds, currency="EUR")
        person = None if pick.random() < 0.15 else pick.randrange(persons)
        world.convert(person, at, value if pick.random() < 0.9 else None, **fields)
    add_delivery(world, pick)
    return world


def add_delivery(world: World, pick: random.Random) -> None:
    """Names and days of delivery for the campaigns of a random world."""
    for campaign in range(4):
        for level, depth in (("campaign", 1), ("adset", 2), ("ad", 3)):
            ids = {"campaign_id": f"c{campaign}", "campaign_name": f"Campaign {campaign}"}
            if depth > 1:
                ids |= {"adset_id": f"s{campaign}", "adset_name": f"Set {campaign}"}
            if depth > 2:
                ids |= {"ad_id": f"a{campaign}0", "ad_name": f"Ad {campaign}"}
            world.ads.append({"account_id": ACCOUNT, "platform": "meta", "level": level, **ids})
        for day in range(40):
            level = pick.choice(("campaign", "adset", "ad", "none"))
            if level == "none":
                continue
            ids = {"campaign_id": f"c{campaign}"}
            if level != "campaign":
                ids["adset_id"] = f"s{campaign}"
            for ad in range(2 if level == "ad" else 1):
                if level == "ad":
                    ids["ad_id"] = f"a{campaign}{ad}"
                world.ad_days.append(
                    {
                        "account_id": ACCOUNT,
                        "platform": "meta",
                        "level": level,
                        "date": date(2026, 5, 28) + timedelta(days=day),
                        "impressions": pick.randrange(1000),
                        "clicks": pick.randrange(50),
                        "spend": Decimal(pick.randrange(1_000_000)) / 10_000,
                        "currency": pick.choice(("EUR", "USD")),
                        **COUNTED,
                        **ids,
                    }
                )
