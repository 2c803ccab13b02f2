"""What the models made of a copy: it counts, or is one event with which other, by which rule."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from doublet.engine import Engine
from doublet.live.rows import Place


class Kept(msgspec.Struct, frozen=True):
    """The copy of an event that is kept."""

    source: str
    log_slot: int
    log_offset: int


class Status(msgspec.Struct, frozen=True):
    """`received`: durable, and not yet modelled. `processed`: the copy that is kept of its event.
    `deduplicated`: `kept` is another copy of the same event, by `rule`. `says` tells it in a
    sentence."""

    log_slot: int
    log_offset: int
    status: Literal["received", "processed", "deduplicated"]
    says: str
    rule: str | None = None
    kept: Kept | None = None
    kind: Literal["status"] = "status"


_RULES = {
    "event_id": "the same pixel, name and event id within 48 hours",
    "late_copy": "the same event id and event_time within 7 days",
    "offline": "a store's event with the same time, name, item and order within 7 days",
    "order_id": "a Purchase with the same order id within 28 days",
    "external_id": "the same external_id within 48 hours of the browser's copy",
    "fbp": "the same fbp within 48 hours of the browser's copy",
}
_PREFERRED = ", which came within 5 minutes of the first and is preferred"


def received(place: Place) -> Status:
    """The status of a copy that the models do not know yet."""
    return Status(*place, "received", "Durable; it is loaded in a moment.")


def statuses(engine: Engine, account_id: str, places: Collection[Place]) -> dict[Place, Status]:
    """What became of an account's copies at these places; those not modelled yet are missing."""
    if not places:
        return {}
    offsets = sorted({place.log_offset for place in places})
    rows = engine.query(
        _sql(),
        {
            "account_id": account_id,
            "offsets": offsets,
            "first": offsets[0],
            "last": offsets[-1],
        },
    )
    wanted = set(places)
    found = (_status(row) for row in rows)
    return {at: status for at, status in found if at in wanted}


def _status(row: dict[str, Any]) -> tuple[Place, Status]:
    place = Place(row["log_slot"], row["log_offset"])
    kept = Kept(row["kept_source"], row["kept_log_slot"], row["kept_log_offset"])
    if place == (kept.log_slot, kept.log_offset):
        return place, Status(*place, "processed", "It counts as an event.")
    # The first copy of an event joined nobody: the kept one came later, and joined it.
    rule = row["rule"] if row["rule"] != "first" else row["rule_of_kept"]
    preferred = _PREFERRED if row["kept_rule"] == "browser_preferred" else ""
    says = f"One event with the {kept.source}'s copy{preferred}: {_RULES.get(rule, rule)}."
    return place, Status(*place, "deduplicated", says, rule, kept)


@cache
def _sql() -> str:
    return files("doublet.live").joinpath("statuses.sql").read_text("utf-8")
