"""Postbacks of ad networks and trackers: one click or one conversion in a query string.

A click becomes an ad touch, a conversion an event of the Conversions API with the click id as
`custom_data.click_id`; both bear the network's words or ours (Keitaro, *S2S postback placeholders*;
Voluum, *Conversion tracking*; Taboola, *The S2S postback URL*). The transaction id is the event id,
so that a postback that is sent again counts once. Parameters that mean nothing here are named in
the answer, and nothing of them is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from doublet.accept.ad_touches import TOUCH_USER_KEYS, kind_of, touch_record
from doublet.accept.fields import Fault, read_amount, read_moment, read_pixel_id
from doublet.accept.hits import TOUCH
from doublet.accept.platforms import check_filled, is_known, read_ad_id, read_platform
from doublet.accept.record import event_record
from doublet.accept.steps import Arrival
from doublet.event import WireEvent, WireTouch
from doublet.redact import redact
from doublet.refusal import Reason, Refusal, quote_name

ACTION_SOURCE = "system_generated"

_NAMES: dict[str, str] = {
    "kind": "",
    "click_id": "clickid clkid click subid gclid wbraid gbraid fbclid ttclid msclkid twclid "
    "li_fat_id epik sccid rdt_cid",
    "campaign_id": "campaign campaignid cmpid",
    "adset_id": "adgroup_id adgroupid ad_group_id ad_set_id",
    "ad_id": "adid ad creative_id creativeid banner_id",
    "placement": "site site_id publisher publisher_id zone_id placement_id source_id",
    "platform": "network traffic_source",
    "touch_id": "impression_id",
    "experiment": "holdout",
    "cost": "price cpc bid",
    "ts": "time timestamp event_time touched_at conversion_time click_time",
    "event_name": "event goal conversion_name conversion_type",
    "value": "revenue amount sale_amount payout",
    "currency": "cur currency_code",
    "transaction_id": "txid tid transactionid conversion_id event_id",
    "order_id": "oid orderid",
    "pixel_id": "pixel dataset_id",
    **dict.fromkeys(TOUCH_USER_KEYS, ""),
}
_OTHER_NAMES = {
    **{other: name for name, others in _NAMES.items() for other in others.split()},
    **{"email": "em", "phone": "ph", "user_id": "external_id", "sub_id": "click_id"},
    **dict.fromkeys(("idfa", "gaid", "aaid", "device_id"), "madid"),
}
POSTBACK_PARAMETERS: dict[str, str] = {
    name: ", ".join(other for other, meant in _OTHER_NAMES.items() if meant == name)
    for name in _NAMES
}
"""Parameters by the name they have here, with the other names they may have; where several are
sent, the first counts."""

TOKEN_PARAMETERS = ("access_token", "token")
_CLICK_PLATFORMS = {
    **{"gclid": "google", "fbclid": "meta", "ttclid": "tiktok", "msclkid": "microsoft"},
    **{"twclid": "x", "li_fat_id": "linkedin", "epik": "pinterest", "sccid": "snapchat"},
    **{"wbraid": "google", "gbraid": "google", "rdt_cid": "reddit"},
}
_OF_CONVERSIONS = ("event_name", "value", "transaction_id", "order_id")
_KEPT: dict[str, Callable[[str], object]] = {
    "kind": re.compile(r"[a-z_]{1,40}").fullmatch,
    "platform": is_known,
    "ts": re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?|[0-9]{4}-[0-9T:.Z+-]{1,30}").fullmatch,
    "value": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "cost": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
    "pixel_id": re.compile(r"[0-9]{1,20}").fullmatch,
}
_IDS = ("campaign_id", "adset_id", "ad_id", "placement")


class Postback(NamedTuple):
    """The parameters by their names here, the click id's own name, and those that mean nothing."""

    found: dict[str, str]
    click_name: str
    ignored: list[str]

    @property
    def kind(self) -> str:
        """What it says that it is, empty where it does not; a network may call that its event."""
        event = self.found.get("event_name", "")
        return self.found.get("kind", "") or (event if kind_of(event) else "")

    @property
    def is_conversion(self) -> bool:
        """Whether it says so, or has what only conversions have."""
        said = self.kind.strip().lower()
        if said:
            return said == "conversion"
        return any(self.found.get(name) for name in _OF_CONVERSIONS)


class Received(NamedTuple):
    """What a postback became: its record, `click`, `conversion` or another kind, and its id."""

    record: bytes
    kind: str
    id: str | None


def read_postback(pairs: Iterable[tuple[str, str]]) -> Postback:
    """What the parameters of a request say; empty ones say nothing."""
    found: dict[str, str] = {}
    click_name, ignored = "", []
    for name, value in pairs:
        lower = name.strip().lower()
        if lower in TOKEN_PARAMETERS or not value.strip():
            continue
        known = lower if lower in _NAMES else _OTHER_NAMES.get(lower)
        if known is None:
            ignored.append(quote_name(name).strip("`"))
        elif known not in found:
            found[known] = value.strip()
            click_name = lower if known == "click_id" else click_name
    return Postback(found, click_name, ignored)


def accept_postback(
    postback: Postback, arrival: Arrival, pixels: Mapping[str, str]
) -> Received | Refusal:
    """The record of a postback, or why there is none. `pixels` are those of the account, with the
    country of their phone numbers; a conversion that names none is of the only one."""
    try:
        for name, value in postback.found.items():
            check_filled(name, value)
        if postback.is_conversion:
            return _conversion(postback, arrival, pixels)
        return _touch(postback, arrival)
    except Fault as fault:
        return Refusal(Reason.PARAMETER_INVALID, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "A parameter is not valid UTF-8.")


def kept_postback(postback: Postback) -> Any:
    """What an operator may see of a refused one: which parameters it had, and of those that say
    nothing of a person also the values, as far as they look like what they should be."""
    values: dict[str, Any] = {"parameters": sorted(postback.found), "ignored": postback.ignored}
    for name, value in postback.found.items():
        if name in _IDS or (name in _KEPT and _KEPT[name](value)):
            values[name] = redact(value[:200]) if name in _IDS else value
    return [values]


def _touch(postback: Postback, arrival: Arrival) -> Received | Refusal:
    found = postback.found
    kind = kind_of(postback.kind or "click")
    if kind is None:
        raise Fault("kind is none of click, view, engaged_view, held_out and conversion.", "kind")
    people = {key: found[key] for key in TOUCH_USER_KEYS if key in found}
    wire = WireTouch(
        kind=kind,
        touched_at=found.get("ts", arrival.received_at // 1_000_000),
        platform=_platform(postback),
        user_data=people or None,
        **{
            name: found.get(name)
            for name in (*_IDS, "touch_id", "click_id", "experiment", "cost", "currency")
        },
    )
    record = touch_record(wire, arrival)
    if isinstance(record, Refusal):
        field = "ts" if record.field == "touched_at" else record.field
        message = record.message.replace("touched_at", "ts")
        return Refusal(Reason.PARAMETER_INVALID, message, field)
    if not ({"ts", "touch_id"} & found.keys() or (kind == "click" and "click_id" in found)):
        raise Fault(
            "ts is missing; give the time of the view or click, or its impression_id: without one "
            "of them it would count again when it is sent again.",
            "ts",
        )
    named: str = msgspec.json.decode(record)["touch_id"]
    return Received(record, kind, None if named.startswith("~") else named)


def _platform(postback: Postback) -> str | None:
    return postback.found.get("platform") or _CLICK_PLATFORMS.get(postback.click_name)


def _conversion(
    postback: Postback, arrival: Arrival, pixels: Mapping[str, str]
) -> Received | Refusal:
    found = postback.found
    arrival.pixel_id = read_pixel_id(found.get("pixel_id"), pixels)
    arrival.phone_country = pixels[arrival.pixel_id]
    click_id = read_ad_id("click_id", found.get("click_id"))
    people: dict[str, Any] = {key: found[key] for key in TOUCH_USER_KEYS if key in found}
    if click_id is None and not people:
        raise Fault(
            "click_id is missing; give the id that the network gave the click, as its macro spells "
            "it.",
            "click_id",
        )
    event_name = found.get("event_name")
    if not event_name:
        raise Fault("event_name is missing; add &event_name=Purchase, say.", "event_name")
    at = read_moment("ts", found.get("ts", arrival.received_at // 1_000_000), arrival.received_at)
    value = float(read_amount("value", found["value"])) if "value" in found else None
    order_id = found.get("order_id")
    if order_id is None and event_name == "Purchase":
        order_id = found.get("transaction_id")
    event_id = found.get("transaction_id") or found.get("order_id")
    if event_id is None:
        said = (click_id, sorted(people.items()), event_name, found.get("ts"), value)
        event_id = f"postback-{blake2b(msgspec.json.encode(said), digest_size=12).hexdigest()}"
    custom = {
        "value": value,
        "currency": found.get("currency"),
        "order_id": order_id,
        "click_id": click_id,
        **{name: read_ad_id(name, found.get(name)) for name in _IDS},
        "platform": read_platform(_platform(postback)) if _platform(postback) else None,
    }
    if postback.click_name == "fbclid" and "fbc" not in people:
        # Meta, *fbp and fbc parameters*: made of the click id where there is no cookie.
        people["fbc"] = f"fb.1.{at // 1000}.{click_id}"
    wire = WireEvent(
        event_name=event_name,
        event_time=at // 1_000_000,
        event_id=event_id,
        action_source=ACTION_SOURCE,
        # A click without any contact is a person by its id.
        user_data=people or {"external_id": click_id},
        custom_data={name: each for name, each in custom.items() if each is not None},
    )
    # As the pixel keeps those that platforms put into addresses.
    is_kept = postback.click_name in _CLICK_PLATFORMS and postback.click_name != "fbclid"
    extra = {TOUCH: {postback.click_name: click_id}} if is_kept else None
    record = event_record(wire, arrival, 0, extra)
    if isinstance(record, Refusal):
        field = record.field.removeprefix("custom_data.").removeprefix("user_data.")
        field = {"event_time": "ts", "event_id": "transaction_id"}.get(field, field)
        return Refusal(record.reason, record.message, field)
    return Received(record, "conversion", event_id)
