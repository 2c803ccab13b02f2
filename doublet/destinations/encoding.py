"""What the encodings of several platforms have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

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


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object in an answer; empty where there is none."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def check_address(name: str, url: str) -> None:
    """Raises SettingsError for what is no address of a server."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise SettingsError(f"{name} {url!r} is no address.", "Begin it with https://.")
