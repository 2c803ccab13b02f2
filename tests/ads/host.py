"""A host of the Graph Insights API on the loopback address, for imports to meet: it pages through
days of ads, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-a-host"
ADS = 3
PAGE = 2
FIRST = date(2026, 5, 1)

Fault = Callable[["Host", BaseHTTPRequestHandler, dict[str, str]], bool]
"""Does something in the place of an answer, or says False."""


class Host:
    """`faults` are taken one a request, in order; None answers as it should. `asked` are the
    parameters of the requests for rows."""

    def __init__(self, faults: list[Fault | None]) -> None:
        self.faults = faults
        self.asked: list[dict[str, str]] = []
        self.url = ""
        self.spend = 10

    def rows(self, since: date, until: date) -> list[dict[str, Any]]:
        """The rows of some days, a campaign each day."""
        days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
        return [self.row(day, ad) for day in days for ad in range(ADS)]

    def row(self, day: date, ad: int) -> dict[str, Any]:
        """What the host says of an ad on a day."""
        return {
            "campaign_id": "c1",
            "campaign_name": "Spring",
            "adset_id": "s1",
            "adset_name": "Berlin",
            "ad_id": f"a{ad}",
            "ad_name": f"Ad {ad}",
            "account_currency": "EUR",
            "impressions": "1000",
            "clicks": "20",
            "reach": "900",
            "spend": f"{self.spend}.50",
            "actions": [
                {"action_type": "link_click", "value": "18"},
                {"action_type": "purchase", "value": "3", "7d_click": "2", "1d_view": "1"},
            ],
            "action_values": [{"action_type": "purchase", "value": "150.5", "7d_click": "99.5"}],
            "date_start": day.isoformat(),
            "date_stop": day.isoformat(),
        }


def error(status: int, code: int, subcode: int = 0, message: str = "No.", **more: str) -> Fault:
    """A fault that answers with an error of the Graph API, and with `more` headers."""

    def answer(host: Host, request: BaseHTTPRequestHandler, parameters: dict[str, str]) -> bool:
        body = {"error": {"message": message, "code": code, "error_subcode": subcode}}
        _send(request, status, json.dumps(body).encode(), more)
        return True

    return answer


def hang_up(host: Host, request: BaseHTTPRequestHandler, parameters: dict[str, str]) -> bool:
    """Half an answer, and the end of the connection."""
    request.send_response(200)
    request.send_header("content-length", "1000")
    request.end_headers()
    request.wfile.write(b'{"data": [')
    request.wfile.flush()
    request.close_connection = True
    return True


def too_much(days_max: int) -> Fault:
    """A fault that holds for questions about more days."""

    def answer(host: Host, request: BaseHTTPRequestHandler, parameters: dict[str, str]) -> bool:
        since, until = _span(parameters)
        if (until - since).days < days_max:
            return False
        return error(400, 100, 1_487_534)(host, request, parameters)

    return answer


def _span(parameters: dict[str, str]) -> tuple[date, date]:
    span = json.loads(parameters["time_range"])
    return date.fromisoformat(span["since"]), date.fromisoformat(span["until"])


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def only_where_places_are(
    host: Host, request: BaseHTTPRequestHandler, parameters: dict[str, str]
) -> bool:
    """A fault that holds for questions with a place: the host rejects its own cursor."""
    if "after" not in parameters:
        return False
    return error(400, 100, message="Invalid cursor")(host, request, parameters)


def without_cursor(host: Host, request: BaseHTTPRequestHandler, parameters: dict[str, str]) -> bool:
    """A page with a next one, of which it names no cursor."""
    rows = host.rows(*_span(parameters))[:PAGE]
    body = {"data": rows, "paging": {"next": "http://127.0.0.1:9/?offset=25"}}
    _send(request, 200, json.dumps(body).encode(), {})
    return True


@contextmanager
def host(*faults: Fault | None) -> Iterator[Host]:
    """A host that listens until the block ends."""
    made = Host(list(faults))

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                error(401, 190)(made, self, parameters)
                return
            if not parts.path.endswith("/insights"):
                body = {"id": "act_77", "currency": "EUR", "timezone_name": "Europe/Berlin"}
                _send(self, 200, json.dumps(body).encode(), {})
                return
            made.asked.append(parameters)
            fault = made.faults.pop(0) if made.faults else None
            if fault is not None and fault(made, self, parameters):
                return
            rows = made.rows(*_span(parameters))
            start = int(parameters.get("after", "0"))
            end = start + PAGE
            paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(end)}}
            if end < len(rows):
                # As Meta does, with the token in it; nobody is to call it.
                paging["next"] = f"http://127.0.0.1:9/?access_token=x&after={end}"
            _send(self, 200, json.dumps({"data": rows[start:end], "paging": paging}).encode(), {})

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/v25.0"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
