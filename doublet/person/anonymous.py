"""What is left of a record when nothing in it identifies anyone: it still counts, with its value.

Kept: pixel, source, times, event_name, event_key, value, currency, order_id, and of custom_data
what describes goods and money. Gone: user_data, of the address all but the host, the rest. In the
place of an event id stands `ERASED`: that there was one is what `event_key` rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

ERASED = "erased"
"""The flag of a row that was made anonymous, and its event id."""

_GOODS = frozenset("id quantity item_price title brand category delivery_category".split())
_KEPT = frozenset(
    "value currency content_ids contents content_type content_name content_category num_items "
    "predicted_ltv order_id delivery_category net_revenue".split()
)
_GONE = ("user_data", "extra")
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def anonymous_url(url: str | None) -> str | None:
    """Scheme and host of an address; a path may name an order or a person.

    >>> anonymous_url("https://shop.example/orders/17?fbclid=x")
    'https://shop.example/'
    """
    try:
        parts = urlsplit(url or "")
        return f"{parts.scheme}://{parts.hostname}/" if parts.scheme and parts.hostname else None
    except ValueError:
        return None


def anonymous_custom_data(text: str | bytes | None) -> bytes | None:
    """Of the JSON text of custom_data the keys that describe goods and money, letter by letter.

    >>> anonymous_custom_data('{"value":1.50,"name":"Ada","contents":[{"id":"a","to":"b"}]}')
    b'{"value":1.50,"contents":[{"id":"a"}]}'
    """
    if not text:
        return None
    kept = {key: raw for key, raw in _raw_object(text).items() if key in _KEPT}
    if "contents" in kept:
        try:
            goods = [
                {key: raw for key, raw in entry.items() if key in _GOODS}
                for entry in _raw_objects(kept["contents"])
            ]
            kept["contents"] = msgspec.Raw(msgspec.json.encode(goods))
        except msgspec.ValidationError:
            del kept["contents"]
    return msgspec.json.encode(kept)


def anonymous_record(record: bytes, bonds: Mapping[str, str] | None = None) -> bytes:
    """The log's record of an accepted copy, no longer than it was.

    `bonds` are pseudonyms by key of user_data that hold copies of one event together.
    """
    fields = _raw_object(record)
    flags = msgspec.json.decode(fields.get("flags", b"[]"))
    if ERASED in flags:
        return record
    kept = {key: raw for key, raw in fields.items() if key not in _GONE}
    changed: dict[str, Any] = {
        "event_source_url": anonymous_url(
            msgspec.json.decode(fields.get("event_source_url", b"null"))
        ),
        "event_id": ERASED if "event_id" in fields else None,
        "custom_data": _raw(anonymous_custom_data(bytes(fields.get("custom_data", b"")))),
        "user_data": {key: [value] for key, value in (bonds or {}).items()} or None,
        "flags": [*flags, ERASED],
    }
    kept |= {key: _raw(msgspec.json.encode(value)) for key, value in changed.items()}
    # What makes it longer than it was goes first; that happens to the shortest records only.
    for spare in ("", "flags", "event_source_url", "user_data", "custom_data", "event_id"):
        kept.pop(spare, None)
        text = msgspec.json.encode({key: raw for key, raw in kept.items() if raw != _NULL})
        if len(text) <= len(record):
            return text
    raise AssertionError("a record without its parts is shorter than with them")


def anonymous_decision(record: bytes) -> bytes:
    """The log's record of a decision without whom it is about, no longer than it was. Its id goes
    too, which was made of both identifiers; what bears `ERASED` in its place no longer stands."""
    kept = dict(_raw_object(record))
    kept |= {"identifier_a": _raw(b'""'), "identifier_b": _raw(b'""'), "reason": _raw(b'""')}
    text = msgspec.json.encode(kept | {"decision_id": _raw(b'"erased"')})
    # Two identifiers alone took more than the other id can.
    assert len(text) <= len(record)
    return text


_TOUCH_GONE = ("user_data", "click_id")


def anonymous_touch(record: bytes) -> bytes:
    """The log's record of an ad touch without whom it was shown and what it was clicked as, no
    longer than it was: it still counts, for its ad and with its cost."""
    fields = _raw_object(record)
    flags = msgspec.json.decode(fields.get("flags", b"[]"))
    if ERASED in flags:
        return record
    kept = {key: raw for key, raw in fields.items() if key not in _TOUCH_GONE}
    kept |= {"touch_id": _raw(b'"erased"'), "flags": _raw(msgspec.json.encode([*flags, ERASED]))}
    text = msgspec.json.encode(kept)
    if len(text) > len(record):
        # The shortest records only; a click id alone took more than the other id can.
        del kept["flags"]
        text = msgspec.json.encode(kept)
    assert len(text) <= len(record)
    return text


_NULL = msgspec.Raw(b"null")


def _raw(text: bytes | None) -> msgspec.Raw:
    return msgspec.Raw(text or b"null")


def anonymous_payload(payload: Any, theirs: list[dict[str, Any]]) -> Any:
    """A refused request without the events that are a person's; null stands in their places, so
    that the numbers in its message stay true."""
    gone = {id(element) for element in theirs}
    if isinstance(payload, list):
        return [None if id(element) in gone else element for element in payload]
    return payload
