"""What the encodings of several platforms have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from doublet.destinations.contract import Outgoing
from doublet.errors import SettingsError

encode_json = msgspec.json.Encoder(decimal_format="string", order="deterministic").encode
"""JSON whose keys are sorted, so that the same events make the same bytes."""

_decode = msgspec.json.Decoder().decode


def number(decimal: str) -> Any:
    """A plain decimal text as a number of JSON with just its digits, which a float might not have.

    >>> encode_json([number("49.9000"), number("100.0"), number("7")])
    b'[49.9,100,7]'
    """
    text = decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
    return msgspec.Raw(text.encode())


def json_array(parts: Sequence[bytes]) -> bytes:
    """The JSON array of elements that are JSON already."""
    return b"[" + b",".join(parts) + b"]"


def custom_data(event: Outgoing) -> dict[str, Any]:
    """`custom_data` with the value, currency and order id that count."""
    custom = dict(event.custom_data)
    for key, value in (
        ("value", number(event.value) if event.value is not None else None),
        ("currency", event.currency),
        ("order_id", event.order_id),
    ):
        if value is not None:
            custom[key] = value
    return custom


def wire_event(event: Outgoing) -> dict[str, Any]:
    """An event in Doublet's own words, those of the Conversions API: `value`, `currency` and
    `order_id` beside `custom_data`, too, and `extra` for the other fields. What is not known is not
    there."""
    fields = msgspec.structs.asdict(event)
    fields["value"] = number(event.value) if event.value is not None else None
    fields["custom_data"] = custom_data(event)
    empty: tuple[object, ...] = (None, "", {})
    return {name: value for name, value in fields.items() if value not in empty}


def without(secret: str, text: str) -> str:
    """A text that may be shown: `…` in place of the secret, also where it stands in an address."""
    for written in (quote(secret, safe=""), secret):
        text = text.replace(written, "…") if written else text
    return text


def digest_of(events: Sequence[Outgoing]) -> str:
    """32 hex digits that are the same whenever these events are told again."""
    names = [(event.pixel_id, event.event_name, event.event_id) for event in events]
    return hashlib.sha256(encode_json(names)).hexdigest()[:32]


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object in an answer; empty where there is none."""
    return _object(body) or {}


def is_object(body: bytes) -> bool:
    """Whether an answer is a JSON object, as that of an API and not of a proxy or a login page."""
    return _object(body) is not None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def check_address(name: str, url: str) -> None:
    """Raises SettingsError for what is no address of a server. A password in it would be shown
    wherever the address is."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not (url.isascii() and url.isprintable()) or " " in url:
        raise SettingsError(f"{name} {url!r} is no address.", "Begin it with https://.")
    if "@" in parts.netloc:
        raise SettingsError(f"{name} holds a name or password.", "Give the address without them.")


def check_server(name: str, url: str) -> None:
    """The same of an address that a path is put behind."""
    check_address(name, url)
    if "?" in url or "#" in url:
        raise SettingsError(f"{name} {url!r} has a query.", "Give the server alone.")
