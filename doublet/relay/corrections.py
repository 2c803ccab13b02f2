"""Corrections: what the shop refunded or cancelled of an order whose Purchase was sent.

A message about an order is an emission like any other, known by its place in the log, which copies
and messages share. It waits for the Purchase, and is sent only where that was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from doublet.catalog import Destination
from doublet.destinations.kinds import KINDS
from doublet.engine import Engine
from doublet.outbox import NewEmission, Outbox, Place, now_us

REFUND = "Refund"
_PURCHASE = "Purchase"
_SECOND_US = 1_000_000
_AGAIN_US = 10 * _SECOND_US


@cache
def _sql(name: str) -> str:
    return files("doublet.relay").joinpath(f"{name}.sql").read_text("utf-8")


def new_corrections(
    engine: Engine,
    of_account: Mapping[str, Sequence[Destination]],
    span: Mapping[str, Any],
) -> list[NewEmission]:
    """The messages in a span of the log that destinations may be told of: those that can be
    corrected, and are sent Purchases."""
    wanting = {
        account_id: [each for each in destinations if _wants(each)]
        for account_id, destinations in of_account.items()
    }
    accounts = [account_id for account_id, destinations in wanting.items() if destinations]
    if not accounts:
        return []
    found = engine.query(_sql("corrections"), {**span, "accounts": accounts})
    return [
        NewEmission(
            destination.destination_id,
            message["log_slot"],
            message["log_offset"],
            "",
            REFUND,
            f"refund-{message['message_id']}",
            message["event_time"],
            "waiting",
            "",
            message["first_received_at"] + int(destination.rules.merge_wait_s * _SECOND_US),
            True,
        )
        for message in found
        for destination in wanting[message["account_id"]]
        if message["first_received_at"] >= destination.created_at * _SECOND_US
    ]


def _wants(destination: Destination) -> bool:
    events = destination.rules.events
    kind = KINDS.get(destination.kind)
    return kind is not None and kind.corrects and (not events or _PURCHASE in events)


def make_due(engine: Engine, outbox: Outbox, destination_id: str, limit: int) -> None:
    """Make payloads of the corrections that are due; one whose Purchase is still on its way is
    looked at again a little later."""
    due = outbox.due(destination_id, now_us(), limit, corrections=True)
    if not due:
        return
    ids, slots, offsets = map(list, zip(*due, strict=True))
    ready: dict[int, tuple[int, str, Place]] = {}
    withheld: dict[int, str] = dict.fromkeys(ids, "purchase_not_sent")
    later: set[int] = set()
    # An order may have a Purchase at each of several pixels.
    for row in engine.query(_sql("refunds"), {"ids": ids, "slots": slots, "offsets": offsets}):
        number = row["emission_id"]
        places: list[Place] = [(slot, offset) for slot, offset in row["places"]]
        state = outbox.state_of(destination_id, places)
        if state in ("waiting", "ready"):
            later.add(number)
        elif state == "sent" and row["payload"] is None:
            withheld[number] = "nothing_refunded"
        elif state == "sent":
            ready.setdefault(number, (number, row["payload"], places[0]))
    later -= ready.keys()
    done = ready.keys() | later
    outbox.correct(
        ready.values(),
        [(number, reason) for number, reason in withheld.items() if number not in done],
        later,
        now_us() + _AGAIN_US,
    )
