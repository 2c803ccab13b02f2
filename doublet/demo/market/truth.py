"""What truly happened, written down: JSON lines in a folder, and the counts to compare with.

`persons`, `touches`, `visits`, `events`, `orders`: one file each. Money is text with two decimals,
times are µs since 1970, UTC, `event_time` is Unix seconds as on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from doublet.demo.market.lives import Life
from doublet.demo.market.signals import Fate
from doublet.demo.market.story import HOUR_US, Order
from doublet.demo.market.wire import value_cents

NAMES = ("persons", "touches", "visits", "events", "orders")
WINDOW_US = 48 * HOUR_US
"""How long after the first copy others with its id are the same event (Meta, Handling duplicate
pixel and Conversions API events)."""


class EventRow(msgspec.Struct, frozen=True):
    """One true event; (person, number) is its key. What arrived: all that was sent, at the times
    in `browser_at` and `server_at`. `caused_by` names the campaigns without which it would not be,
    `without_ads` says whether a purchase would have been made with no ads at all."""

    person: int
    number: int
    visit: int
    browser: int
    event_name: str
    event_time: int
    event_id: str | None
    value: str | None
    currency: str | None
    order_id: str | None
    fbp: str | None
    browser_fate: Fate
    browser_at: tuple[int, ...]
    server_fate: Fate
    server_at: tuple[int, ...]
    caused_by: tuple[str, ...] = ()
    without_ads: bool | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether any copy was sent."""
        return bool(self.browser_at or self.server_at)

    @property
    def windows(self) -> int:
        """How many events Meta's rule makes of it: one for each 48 h that a first copy opens."""
        count, anchor = 0, -WINDOW_US - 1
        for at in sorted((*self.browser_at, *self.server_at)):
            if at > anchor + WINDOW_US:
                count, anchor = count + 1, at
        return count


def event_rows(life: Life) -> Iterator[EventRow]:
    """A person's true events with what was sent of each."""
    for event, copies in zip(life.story.events, life.copies, strict=True):
        visit = life.story.visits[event.visit]
        cents = value_cents(event)
        is_purchase = event.order_id is not None
        yield EventRow(
            life.person.number,
            event.number,
            event.visit,
            visit.browser,
            event.event_name,
            event.happened_at // 1_000_000,
            copies.event_id,
            None if cents is None else _money(cents),
            None if cents is None else event.currency,
            event.order_id,
            copies.fbp,
            copies.browser_fate,
            copies.browser_at,
            copies.server_fate,
            copies.server_at,
            visit.caused_by if is_purchase else (),
            visit.buys_without_ads if is_purchase else None,
        )


class TruthFiles:
    """Writes lives down as they pass by; a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._encode = msgspec.json.Encoder().encode
        self._files: dict[str, IO[bytes]] = {
            name: (folder / f"{name}.jsonl").open("wb") for name in NAMES
        }

    def recorded(self, lives: Iterable[Life]) -> Iterator[Life]:
        """The same lives, each written down before it is handed on."""
        for life in lives:
            person, story = life.person, life.story
            self._write("persons", [person])
            self._write("touches", story.touches)
            numbered = ({"person": person.number, "number": n} for n in range(len(story.visits)))
            visits = map(msgspec.to_builtins, story.visits)
            self._write("visits", [a | b for a, b in zip(numbered, visits, strict=True)])
            self._write("events", event_rows(life))
            self._write("orders", (_order_row(order, person.number) for order in story.orders))
            yield life

    def _write(self, name: str, rows: Iterable[Any]) -> None:
        self._files[name].writelines(self._encode(row) + b"\n" for row in rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()


def _order_row(order: Order, person: int) -> dict[str, Any]:
    return {
        "person": person,
        "order_id": order.order_id,
        "event_number": order.event_number,
        "visit": order.visit,
        "ordered_at": order.ordered_at,
        "currency": order.currency,
        "value": _money(order.value_cents),
        "net_value": _money(order.net_cents),
        "changes": [
            {
                "kind": change.kind,
                "happened_at": change.happened_at,
                "amount": _money(change.amount_cents),
            }
            for change in order.changes
        ],
    }


def read_events(folder: Path) -> Iterator[EventRow]:
    """The true events that `TruthFiles` has written to a folder."""
    decode = msgspec.json.Decoder(EventRow).decode
    with (folder / "events.jsonl").open("rb") as file:
        yield from map(decode, file)


class Count(msgspec.Struct):
    """Of one event name: what happened, and what each way of counting makes of what arrived.

    `browser` and `server` count copies, repeats included. `pixel_alone` and `server_alone` count
    events of which that side sent a copy with or without id; `with_id` those that reached us at all
    with an id, `windows` what Meta's 48 hours make of these.
    """

    events: int = 0
    browser: int = 0
    server: int = 0
    pixel_alone: int = 0
    server_alone: int = 0
    arrived: int = 0
    with_id: int = 0
    both_with_id: int = 0
    windows: int = 0
    cents: dict[str, int] = {}
    cents_with_id: dict[str, int] = {}

    @property
    def copies(self) -> int:
        """What counting both sides without deduplication gives."""
        return self.browser + self.server

    def add(self, row: EventRow) -> None:
        """Count one more true event."""
        reached_with_id = row.event_id is not None and row.has_arrived
        self.events += 1
        self.browser += len(row.browser_at)
        self.server += len(row.server_at)
        self.pixel_alone += bool(row.browser_at)
        self.server_alone += bool(row.server_at)
        self.arrived += row.has_arrived
        self.with_id += reached_with_id
        self.both_with_id += bool(reached_with_id and row.browser_at and row.server_at)
        self.windows += row.windows if reached_with_id else 0
        if row.value is not None and row.currency is not None:
            cents = int(row.value.replace(".", ""))
            self.cents[row.currency] = self.cents.get(row.currency, 0) + cents
            if reached_with_id:
                known = self.cents_with_id.get(row.currency, 0)
                self.cents_with_id[row.currency] = known + cents


def count(rows: Iterable[EventRow]) -> dict[str, Count]:
    """By event name."""
    counts: dict[str, Count] = {}
    for row in rows:
        counts.setdefault(row.event_name, Count()).add(row)
    return counts


def count_by_day(rows: Iterable[EventRow]) -> dict[tuple[str, str], Count]:
    """By event name and UTC date of `event_time`."""
    counts: dict[tuple[str, str], Count] = {}
    for row in rows:
        day = datetime.fromtimestamp(row.event_time, UTC).date().isoformat()
        counts.setdefault((row.event_name, day), Count()).add(row)
    return counts


def _money(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
