"""A server with customer lists as Meta documents them, and the faults that it is told to have."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ACCOUNT = "act_200000000000002"
TOKEN = "dbl_the-token-of-the-other-side"
_NAMES = 4
"""So many columns name one person."""


class GraphHost:
    """Its lists by id, the requests it had, and `faults`: answers it gives instead, one each; an
    exception breaks the connection after the work is done."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, list[tuple[str, ...]]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.faults: list[tuple[int, dict[str, Any]] | Exception | None] = []
        self.url = ""

    def emails(self, which: str = "") -> set[str]:
        """The hashes in the first column of a list, or of the only one."""
        rows = self.rows[which] if which else next(iter(self.rows.values()), [])
        return {row[0] for row in rows if row[0]}

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, dict[str, Any]]:
        """The work of one request."""
        if token != f"Bearer {TOKEN}":
            return 401, {"error": {"code": 190, "message": f"Bad token {token}"}}
        _, version, node, edge = path.split("/")
        assert "v25.0" == version
        if edge == "customaudiences" and node == ACCOUNT:
            if method == "GET":
                found = [{"id": key, **each} for key, each in self.lists.items()]
                return 200, {"data": found}
            key = str(23_850_000_000 + len(self.lists))
            self.lists[key] = body
            self.rows[key] = []
            return 200, {"id": key}
        if edge != "users" or node not in self.lists:
            return 400, {"error": {"code": 100, "error_subcode": 33, "message": "No such object"}}
        data = [tuple(row) for row in body["payload"]["data"]]
        assert len(data) <= 10_000
        if method == "POST":
            self.rows[node] = list(dict.fromkeys([*self.rows[node], *data]))
        else:
            gone = {(n, v) for row in data for n, v in enumerate(row[:_NAMES]) if v}
            self.rows[node] = [
                row for row in self.rows[node] if gone.isdisjoint(enumerate(row[:_NAMES]))
            ]
        invalid = sum(not any(row[:_NAMES]) for row in data)
        session_id = str(body["session"]["session_id"])
        counts = {"num_received": len(data), "num_invalid_entries": invalid}
        return 200, {"audience_id": node, "session_id": session_id, **counts}


def _door(host: GraphHost) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def do_DELETE(self) -> None:
            self._do()

        def _do(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = urlsplit(self.path).path
            host.requests.append((self.command, path.rpartition("/")[2], body))
            fault = host.faults.pop(0) if host.faults else None
            if isinstance(fault, tuple):
                status, found = fault
            else:
                token = self.headers.get("authorization", "")
                status, found = host.answer(self.command, path, token, body)
            if isinstance(fault, Exception):
                self.close_connection = True
                return
            said = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    return Door


@contextmanager
def graph_host() -> Iterator[GraphHost]:
    """One that answers while this is open."""
    host = GraphHost()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _door(host))
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
