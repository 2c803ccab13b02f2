"""What clients may send, as Hypothesis makes it: likely events, loose ones, any JSON, parameters.

`EMAIL` is planted everywhere; it must never be found in what is stored.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hypothesis import strategies as st

from doublet.event import Event
from tests.factories import NOON, SECOND, make_event, sha256

EMAIL = "planted.mary@private-mail.example"

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [*('\0 \n {"a":1} [[ 1e400 website USD 99999999999999.99999'.split(" ")), NOON // SECOND]
    )
    | st.sampled_from([EMAIL, f"x {EMAIL} y", EMAIL.replace("@", "%40"), sha256("a")])
    | st.sampled_from([json.dumps({"email": EMAIL, "x": [EMAIL]}), f"http://a.example/?e={EMAIL}"])
)
KEYS = st.text(max_size=8) | st.sampled_from(
    ["value", "currency", "contents", "order_id", "email", "id", EMAIL, "a.b", "", "\0"]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
USER_KEYS = st.sampled_from(
    "em ph fn ge db st zp country external_id dobm fbc fbp client_ip_address client_user_agent "
    "madid lead_id hobby".split()
)
LOOSE_EVENTS = st.dictionaries(
    st.sampled_from((*Event.__struct_fields__, "referrer_url", "app_data", "opt_out")), TREES
)
LIKELY_EVENTS = st.builds(
    lambda user, custom, others: {**make_event(user_data=user, custom_data=custom), **others},
    st.dictionaries(USER_KEYS, TREES, max_size=5).map(lambda user: {"external_id": 1, **user}),
    st.dictionaries(KEYS, TREES, max_size=5).map(
        lambda custom: {"value": 1, "currency": "USD", **custom}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "event_name": st.text(min_size=1, max_size=20) | st.just(EMAIL),
            "event_id": st.none() | st.integers() | st.text(max_size=20) | st.just(EMAIL),
            "action_source": st.text(max_size=20) | st.just(EMAIL),
            "event_source_url": st.text(max_size=20) | st.just(f"http://a.example/?e={EMAIL}"),
            "referrer_url": st.text(max_size=20) | st.just(f"//{EMAIL}/?{EMAIL}={EMAIL}#{EMAIL}"),
            "app_data": st.dictionaries(KEYS, TREES, max_size=3),
        },
    ),
)

NAMES = st.text(max_size=10) | st.sampled_from(
    f"ev id ts eid eid[] dl rl fbc fbp sw a tz cd[value] cd[contents] cd[currency] cd[{EMAIL}] "
    "cd[] cd[ ud[em] ud[ph] ud[x] udff[em] audff[fn] aud[em] tp[utm_source] tp[gclid] tp[ts] "
    "cs[source] cs[ad_storage] pmd[title] cd%5Bemail%5D eid[0] es".split()
)
VALUES = st.text(max_size=20) | LEAVES.map(str) | TREES.map(json.dumps)


class Sent(NamedTuple):
    """One request to the Conversions API: where to, parameters of the address, headers, body."""

    door: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes


DOORS = ("events", "capi")
BOUNDARY = "planted7boundary"
_WAYS = st.sampled_from("json texts text form parts fields query misnamed broken".split())
_ENCODINGS = st.sampled_from(["", "", "", "gzip", "deflate", "bare", "claimed", "torn", "br"])
_FORM = "application/x-www-form-urlencoded"


def _bare_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


_COMPRESS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare": ("deflate", _bare_deflate),
    "claimed": ("gzip", bytes),
    "torn": ("gzip", lambda body: gzip.compress(body)[:-9]),
    "br": ("br", bytes),
}


def _packed(
    events: list[Any], way: str, encoding: str, partly: bool, door: str, extra: dict[str, Any]
) -> Sent:
    now = int(time.time())
    events = [
        {**event, "event_time": now}
        if isinstance(event, dict) and event.get("event_time") == NOON // SECOND
        else event
        for event in events
    ]
    query = {"validation": "partial"} if partly else {}
    kind, data = "application/json", json.dumps(events)
    if way in ("json", "misnamed", "broken"):
        content = json.dumps({**extra, "data": events}).encode()
        kind = _FORM if way == "misnamed" else kind
        content = content[:-2] if way == "broken" else content
    elif way == "texts":
        content = json.dumps({"data": [json.dumps(event) for event in events]}).encode()
    elif way == "text":
        content = json.dumps({"data": data}).encode()
    elif way == "query":
        query, content = {**query, "data": data}, b""
    elif way == "parts":
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        content = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"\r\n\r\n{data}\r\n'
            f"--{BOUNDARY}--\r\n"
        ).encode()
    else:
        kind = _FORM
        pairs = [(f"data[{i}]", json.dumps(event)) for i, event in enumerate(events)]
        content = urlencode(pairs if way == "fields" else [("data", data)]).encode()
    name, compress = _COMPRESS[encoding]
    headers = {"content-type": kind, "content-encoding": name}
    return Sent(door, query, headers, compress(content))


REQUESTS = st.builds(
    _packed,
    st.lists(LIKELY_EVENTS, min_size=1, max_size=2)
    | st.lists(LIKELY_EVENTS | LOOSE_EVENTS | TREES, max_size=3),
    _WAYS,
    _ENCODINGS,
    st.booleans(),
    st.sampled_from(DOORS),
    st.dictionaries(st.sampled_from(["partner_agent", "trace", "upload_tag", EMAIL]), TREES),
)
"""Events in every form that clients know, compressed or not, at both addresses."""
