"""Postbacks: what goes into the address, and whose conversions a network learns of."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from doublet.destinations import postback
from doublet.destinations.contract import Outgoing
from doublet.errors import SettingsError
from tests.destinations.cases import make_destination

HOSTILE = "a b&value=0#/../é%41{secret}"


def _event(**fields: object) -> Outgoing:
    return Outgoing("Purchase", HOSTILE, 1790000000, value="10.5000", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_network_reads_the_values_as_they_are(method: str) -> None:
    seen: list[tuple[str, str]] = []

    class Network(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append((self.path, body.decode()))
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Network) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = (
            f"http://127.0.0.1:{server.server_port}/in?id={{event_id}}&value={{value}}&k={{secret}}"
        )
        destination = make_destination("postback", {"url": url, "method": method}, "ge heim")
        postback.check(destination)
        request = postback.encode(destination, [_event()])
        httpx.request(request.method, request.url, headers=request.headers, content=request.body)
    ((path, body),) = seen
    assert "/in" == urlsplit(path).path
    query = body if method == "POST" else urlsplit(path).query
    assert {"id": [HOSTILE], "value": ["10.5"], "k": ["ge heim"]} == parse_qs(query)
    assert b"heim" not in request.parts[0]
    assert b"{secret}" in request.parts[0]


def test_a_network_learns_only_of_conversions_by_its_clicks() -> None:
    url = "https://network.example/in?a={gclid}&b={click_id}&c={order_id}"
    destination = make_destination("postback", {"url": url})
    by_click: tuple[dict[str, object], ...]
    by_click = {"extra": {"touch": {"gclid": "G"}}}, {"custom_data": {"click_id": "C"}}
    for fields in by_click:
        assert "" == postback.unfit(destination, _event(**fields))
    others: tuple[dict[str, object], ...]
    others = {"extra": {"touch": {"ttclid": "T"}}}, {"order_id": "1"}, {"extra": {"touch": None}}
    for fields in others:
        assert "It has no click_id or gclid." == postback.unfit(destination, _event(**fields))
    without_clicks = make_destination(
        "postback", {"url": "https://network.example/in?c={order_id}"}
    )
    assert "" == postback.unfit(without_clicks, _event())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("network.example/in?c={value}", "no address"),
        ("https://{order_id}.example/in?c={value}", "outside its query"),
        ("https://network.example/{order_id}?c={value}", "outside its query"),
        ("https://network.example/in?c={value}#{order_id}", "outside its query"),
        ("https://network.example/in?c={payout}", r"\{payout\} for what is not known"),
        ("https://network.example/in?c={value", "other half"),
        ("https://network.example/in?c=1", "no places"),
        ("https://network.example/in?c={value}&k={secret}", "secret"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        postback.check(make_destination("postback", {"url": url}))
