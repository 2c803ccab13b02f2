"""A person's traces: sent to a real server in all ways there are, and looked for in every byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import httpx

from tests.factories import make_event, sha256
from tests.server import RunningServer

EMAIL = "Ada.Byron+Shop@Example.com"
PHONE = "+44 20 7946 0958"
VISITOR = "visitor-4711"
FBP = "fb.1.1700000000123.987654321012"
CLICK = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FBC = f"fb.1.1700000000456.{CLICK}"
ADDRESS = "198.51.100.77"
AGENT = "Mozilla/5.0 (Ada's own browser)"
EVENT_ID = "ada-order-event-1"

TRACES = tuple(
    text.encode()
    for text in (
        sha256(EMAIL.lower()),
        sha256("442079460958"),
        sha256(VISITOR),
        *(FBP, FBC, CLICK, ADDRESS, AGENT, EVENT_ID, "secret-page"),
    )
)
"""Whatever of the person's is on disk before: hashes, cookies, address, browser, event id."""


def post(server: RunningServer, *events: dict[str, Any], ip: str = "192.0.2.9") -> int:
    """Send events to the Conversions API; the status."""
    answer = httpx.post(
        f"{server.url}/v25.0/{server.pixel_id}/events",
        params={"access_token": server.access_token},
        json={"data": list(events)},
        headers={"x-forwarded-for": ip},
        timeout=30,
    )
    return answer.status_code


def hit(server: RunningServer, **fields: str) -> int:
    """Send a hit of the pixel; the status."""
    given = {"id": server.pixel_id, "ts": str(int(time.time() * 1000)), **fields}
    agent = {"user-agent": AGENT if fields.get("fbp") == FBP else "Mozilla/5.0"}
    return httpx.get(f"{server.url}/tr/?{urlencode(given)}", headers=agent).status_code


def server_event(**fields: Any) -> dict[str, Any]:
    """An event of another person, unless `fields` say otherwise."""
    return make_event(event_time=int(time.time()), **fields)


def send_person(server: RunningServer) -> None:
    """Seven copies of five events, and a refused request that also holds somebody else."""
    page = f"https://shop.example/secret-page?fbclid={CLICK}"
    purchase = {"value": 120.5, "currency": "EUR", "order_id": "17", "note": sha256(VISITOR)}
    money = {"cd[value]": "120.50", "cd[currency]": "EUR", "cd[order_id]": "17"}
    # The browser knows the cookies only, the server the customer only: one event holds them
    # together.
    assert 200 == hit(server, ev="PageView", fbp=FBP, fbc=FBC, dl=page)
    assert 200 == hit(server, ev="Purchase", eid=EVENT_ID, fbp=FBP, dl=page, **money)
    known = {"em": EMAIL, "ph": PHONE, "client_ip_address": ADDRESS, "client_user_agent": AGENT}
    assert 200 == post(
        server,
        server_event(event_id=EVENT_ID, user_data=known, custom_data=purchase),
        server_event(
            event_name="Lead", event_id="l1", user_data={"ph": PHONE, "external_id": VISITOR}
        ),
    )
    assert 200 == post(
        server,
        server_event(
            event_name="AddToCart",
            event_id=None,
            event_source_url=page,
            user_data={"external_id": VISITOR, "client_ip_address": ADDRESS},
            custom_data={"content_ids": ["tea"], "visitor": sha256(VISITOR)},
        ),
    )
    # Held together by the cookie alone, for neither names the event.
    assert 200 == hit(server, ev="ViewContent", fbp=FBP, dl=page)
    view = {"event_name": "ViewContent", "event_id": None}
    assert 200 == post(server, server_event(**view, user_data={"fbp": FBP, "em": EMAIL}))
    other = server_event(event_id="kept-refused", user_data={"em": sha256("bob@example.com")})
    bad = server_event(event_id=EVENT_ID, user_data={**known, "fbp": FBP}, custom_data={})
    assert 400 == post(server, other, bad)


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path


def traces(folder: Path) -> list[str]:
    """Where in a data folder the person is still found: in the raw bytes of any file, in what
    Parquet files hold, in any table of the (copied) warehouse."""
    found = []
    for path in files(folder):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += _text_of(duckdb.connect(), f"read_parquet('{path}')")
        elif path.suffix == ".duckdb":
            content += _warehouse_text(path)
        found += [f"{path.relative_to(folder)}: {trace!r}" for trace in TRACES if trace in content]
    return found


def _text_of(connection: duckdb.DuckDBPyConnection, source: str) -> bytes:
    rows = connection.execute(f"select * from {source}").fetchall()
    return json.dumps(rows, default=str, ensure_ascii=False).encode()


def _warehouse_text(path: Path) -> bytes:
    connection = duckdb.connect(str(path), read_only=True)
    try:
        names = [row[0] for row in connection.execute("show tables").fetchall()]
        return b"".join(_text_of(connection, name) for name in names)
    finally:
        connection.close()
