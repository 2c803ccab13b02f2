"""A conversion postback: an ad network is told of one conversion by an address that it dictates.

Networks give the address with places for values, such as
`https://network.example/postback?clickid={click_id}&payout={value}&txid={order_id}` (Taboola, *The
S2S postback URL*; Keitaro, *S2S postback placeholders*). Places are in the query only, so that no
event can choose the server. Values are percent-encoded, unknown ones empty. With POST the query
travels as a form.

Known places: `{event_name}`, `{event_id}`, `{event_time}` (Unix seconds), `{value}`, `{currency}`,
`{order_id}`, `{pixel_id}`, `{action_source}`, `{event_source_url}`; the click ids `{gclid}`,
`{fbclid}`, `{ttclid}`, `{msclkid}`, `{twclid}`, `{li_fat_id}`, `{epik}`, `{ScCid}`, `{rdt_cid}` and
`{utm_source}`, `{utm_medium}`, `{utm_campaign}`, `{utm_content}`, `{utm_term}`, `{utm_id}` of the
last landing; `{click_id}`, which the site itself keeps and reports as `custom_data.click_id`;
`{custom_data.NAME}` and `{user_data.KEY}`; `{secret}`.

Where the address has places for click ids, a conversion without any of these was not the
network's: it is not told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from doublet.destinations.contract import Kind, Outgoing, Request
from doublet.destinations.encoding import check_address, encode_json, number
from doublet.destinations.statuses import judge_status
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination

_FIELDS = (
    *("event_name", "event_id", "event_time", "value", "currency", "order_id", "pixel_id"),
    *("action_source", "event_source_url"),
)
_TOUCH_CLICKS = "gclid ttclid msclkid twclid li_fat_id epik ScCid rdt_cid".split()
_CAMPAIGN = "utm_source utm_medium utm_campaign utm_content utm_term utm_id".split()
_CLICKS = frozenset({"click_id", "fbclid", *_TOUCH_CLICKS})
_SECRET = "secret"
_NAMES = (*_FIELDS, "click_id", "fbclid", *_TOUCH_CLICKS, *_CAMPAIGN, _SECRET)
_GROUPS = ("custom_data.", "user_data.")

_PLACE = re.compile(r"\{([^{}]*)\}")


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """The network's address."""

    url: Annotated[
        str,
        Meta(
            description="Address with places: https://…?clickid={click_id}&payout={value}; "
            "{secret} stands for the secret."
        ),
    ]
    method: Annotated[
        Literal["GET", "POST"], Meta(description="POST sends the query as a form.")
    ] = "GET"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    target = msgspec.convert(destination.target, Target)
    address, _, query = target.url.partition("?")
    check_address("url", target.url)
    if "{" in address or "}" in address or "#" in target.url:
        raise SettingsError("url has a place outside its query.", "Put places after the ?.")
    if "{" in _PLACE.sub("", query) or "}" in _PLACE.sub("", query):
        raise SettingsError("url has a brace without its other half.", "Write {event_id}.")
    places = _PLACE.findall(query)
    for place in places:
        if place not in _NAMES and not place.startswith(_GROUPS):
            raise SettingsError(
                f"url has a place {{{place}}} for what is not known.",
                f"Known: {', '.join(_NAMES)}, custom_data.NAME, user_data.KEY.",
            )
    if not places:
        raise SettingsError("url has no places for values.", "Write ?txid={order_id}, say.")
    if _SECRET in places and not destination.secret:
        raise SettingsError("url has a place for a secret; there is none.", "Give the secret.")


def unfit(destination: Destination, event: Outgoing) -> str:
    """Without a click of the network's it is not the network's affair."""
    clicks = _CLICKS.intersection(_PLACE.findall(destination.target["url"]))
    if clicks and not any(_value(name, event) for name in clicks):
        return f"It has no {' or '.join(sorted(clicks))}."
    return ""


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """The request of one event."""
    (event,) = events
    target = msgspec.convert(destination.target, Target)
    address, _, query = target.url.partition("?")
    # Without the secret, for the trace.
    told = _filled(query, {}, event)
    filled = _filled(query, {_SECRET: destination.secret}, event)
    if target.method == "POST":
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Request("POST", address, headers, filled.encode(), [encode_json(told)])
    return Request("GET", f"{address}?{filled}", {}, b"", [encode_json(told)])


def _filled(query: str, known: dict[str, str], event: Outgoing) -> str:
    def put(place: re.Match[str]) -> str:
        name = place[1]
        if name == _SECRET and name not in known:
            return place[0]
        return quote(known.get(name) or _value(name, event), safe="")

    return _PLACE.sub(put, query)


def _value(name: str, event: Outgoing) -> str:
    """What stands for a name; empty where it is not known."""
    group, _, key = name.partition(".")
    if name == "value":
        return _text(event.value and number(event.value))
    if name in _FIELDS:
        return _text(getattr(event, name))
    if name == "click_id":
        return _text(event.custom_data.get(name))
    if name == "fbclid":
        # The fourth part of fbc (Meta, *ClickID and the fbp and fbc parameters*).
        parts = _text(event.user_data.get("fbc")).split(".")
        return parts[3] if len(parts) > 3 else ""
    if group == "custom_data" and key:
        return _text(event.custom_data.get(key))
    if group == "user_data" and key:
        return _text(event.user_data.get(key))
    touch = event.extra.get("touch")
    return _text(touch.get(name)) if isinstance(touch, dict) else ""


def _text(value: Any) -> str:
    """A value in an address: of a list its first, an object as JSON."""
    if isinstance(value, list) and value:
        value = value[0]
    if value is None or value == []:
        return ""
    return value if isinstance(value, str) else encode_json(value).decode()


KIND = Kind(
    name="postback",
    title="Conversion postback to an ad network",
    target=Target,
    secret="",
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=False,
    events_max=1,
    size_bytes_max=1 << 20,
    age_max_s=lambda event: None,
    encode=encode,
    decide=judge_status,
    unfit=unfit,
    check=check,
    in_flight=16,
)
