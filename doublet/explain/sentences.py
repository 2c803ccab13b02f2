"""The story of an event in sentences, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from doublet.consent import Consent, in_words
from doublet.explain.story import Attributed, Copy, Difference, Relayed

_DOORS = {"browser": "through /tr", "server": "through the Conversions API"}
_RULES = {
    "event_id": "It has the same pixel, name and event id as the first, within 48 hours",
    "late_copy": "It repeats an earlier copy, with the same id and event_time, within 7 days",
    "offline": "It repeats a store's event: same time, name, item and order, within 7 days",
    "order_id": "It is a Purchase with the same order id, within 28 days",
    "external_id": "It follows the browser's copy by at most 48 hours with the same external_id",
    "fbp": "It follows the browser's copy by at most 48 hours with the same fbp",
}
_KEPT = {
    "only": "It is the only copy of this event.",
    "first": "Kept is the first copy",
    "browser_preferred": "Kept is the browser's copy, for it came within 5 minutes of the first",
}


def sentences_of(
    event: dict[str, Any],
    copies: list[Copy],
    differences: list[Difference],
    consent: Consent | None,
    zone: ZoneInfo,
) -> Iterator[str]:
    """How it came, what was made of it, what is odd, whether consent was given."""
    for number, copy in enumerate(copies, 1):
        yield f"{number}. {_arrival(copy, zone)} {_why(copy, copies)}"
    untold = event["browser_copies"] + event["server_copies"] - len(copies)
    if untold:
        yield f"{untold:,} more copies came; they are not told one by one."
    kept = next(number for number, copy in enumerate(copies, 1) if copy.is_kept)
    if len(copies) == 1:
        yield _KEPT["only"]
    else:
        yield (
            f"{_KEPT[event['kept_rule']]} (number {kept}); what it lacks, the others give, and "
            "hashed user data are united."
        )
    for difference in differences:
        yield _difference(difference, event)
    if event["value"] is not None:
        currency = event["currency"] or "without a currency"
        yield f"It counts once, with a value of {_shown(event['value'])} {currency}."
    if event["order_id"] is not None:
        yield f"It is of order {event['order_id']}."
    if consent is not None:
        yield in_words(consent)
    if event["is_test"]:
        yield "It was made by a check of our own and stays out of reports."


def _arrival(copy: Copy, zone: ZoneInfo) -> str:
    at = copy.received_at.astimezone(zone)
    later = f", {span(copy.delay_s)} after the first" if copy.delay_s else ""
    keys = ", ".join(copy.user_data_keys) or "no user data"
    odd = f" Odd about it: {', '.join(copy.flags)}." if copy.flags else ""
    return (
        f"On {at:%Y-%m-%d at %H:%M:%S} ({zone.key}) a copy of the {copy.source} came "
        f"{_DOORS[copy.source]}{later}, with {keys}.{odd}"
    )


def _why(copy: Copy, copies: list[Copy]) -> str:
    if copy.rule == "first":
        return "It opened the event." if len(copies) > 1 else "It makes an event of its own."
    return f"{_RULES[copy.rule]} (rule {copy.rule}), so it is of the same event."


def _difference(difference: Difference, event: dict[str, Any]) -> str:
    if difference.field.startswith("user_data."):
        numbers = " and ".join(str(number) for number in difference.says)
        return f"Copies {numbers} disagree on {difference.field}."
    said = ", ".join(f"{number} says {_shown(value)}" for number, value in difference.says.items())
    name = difference.field
    counts = f"; {_shown(event[name])} counts" if name in event and event[name] is not None else ""
    return f"Copies disagree on {name}: {said}{counts}."


def _shown(value: Any) -> str:
    """A value for people; money without the zeros that nobody says.

    >>> _shown(Decimal("70.0000")), _shown(Decimal("1.2345")), _shown([{"id": "a"}])
    ('70.00', '1.2345', '[{"id": "a"}]')
    """
    if isinstance(value, Decimal):
        short = value.normalize()
        return f"{short:f}" if short.as_tuple().exponent < -2 else f"{value:.2f}"  # type: ignore[operator]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


_WITHHELD = {
    "is_test": "it was made by a check of our own",
    "marked": "a browser alone reported it, and the rules of its pixel mark it",
    "erased": "its person was erased",
    "gone": "nothing of it was left when it was due",
    "removed": "this destination was removed",
    "too_old": "it waited too long",
}


def relayed_sentence(relayed: Relayed, zone: ZoneInfo) -> str:
    """What became of it at one destination."""
    where = f"{relayed.name or 'somebody'} ({relayed.destination_id})"
    why = _WITHHELD.get(relayed.reason, relayed.reason) or "no reason is known"
    said = f": {relayed.message}" if relayed.message else ""
    if relayed.state in ("waiting", "ready"):
        at = relayed.due_at.astimezone(zone)
        return f"To be sent to {where}, due on {at:%Y-%m-%d at %H:%M:%S} ({zone.key})."
    if relayed.state == "withheld":
        return f"Not sent to {where}, since {why}{said}."
    asked = ""
    if relayed.sent_at is not None:
        at = relayed.sent_at.astimezone(zone)
        among = f" as one of {relayed.events:,} events" if (relayed.events or 0) > 1 else ""
        status = f"answered {relayed.http_status}" if relayed.http_status else "nobody answered"
        asked = f" on {at:%Y-%m-%d at %H:%M:%S} ({zone.key}){among}; {status}"
    if relayed.state == "sent":
        return f"Sent to {where}{asked}."
    return f"Failed at {where}{asked}; {why}{said}."


def attributed_sentence(attributed: Attributed) -> str:
    """Which ad it belongs to, and why."""
    if attributed.person_id is None:
        return "No ad can claim it: nothing that it carries says whose it is."
    last = next((touch for touch in attributed.touches if touch.is_last), None)
    if last is None:
        seen = f"{len(attributed.touches)} older or other touches" if attributed.touches else "none"
        return f"No ad claims it within {attributed.setting}: there are {seen} before it."
    kind = last.kind.replace("_", " ")
    campaign = last.campaign_name or last.campaign_id
    whose = f"campaign {campaign}" if campaign else last.channel or last.platform or "a source"
    return (
        f"The last touch within {attributed.setting} is a {kind} {span(last.age_s)} before it, "
        f"of {whose}, which gets the credit."
    )


def span(seconds: float) -> str:
    """Seconds in the unit that people would use.

    >>> span(1.5), span(300), span(7200), span(259200)
    ('1.5 s', '5 min', '2 h', '3 d')
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:g} s"
