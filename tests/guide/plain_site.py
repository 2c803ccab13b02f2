"""A plain site whose faults tests plant: pages, headers, redirects, and a web server in front of
Doublet that passes `/assets/` on, well or badly."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from doublet import pixel


class PlainSite(ThreadingHTTPServer):
    """Every page is `page`, with `headers`; `redirects` lead from one path to another address.

    What begins with /assets/ goes to Doublet on `upstream` with `forwarded` headers instead of the
    request's own; without `upstream` it is a page like all others, of status `unknown_status`.
    Paths in `dropped` get no answer.
    """

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self._upstream = upstream
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        self.clean("")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def origin(self, host: str = "127.0.0.1") -> str:
        """Its address under a name."""
        return f"http://{host}:{self.port}"

    def clean(self, pixel_id: str) -> None:
        """As if no fault had been planted."""
        self.pixel_id = pixel_id
        self.page = ""
        self.status = 200
        self.unknown_status = 404
        self.content_type = "text/html; charset=utf-8"
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.upstream: int | None = self._upstream
        self.forwarded: dict[str, str] = {}
        self.source = "127.0.0.1"
        self.dropped: set[str] = set()

    def show(self, address: str, before: str = "", after: str = "") -> None:
        """A page with the snippet that loads from `address`, and code before and after it."""
        code = pixel.snippet(self.pixel_id, address)
        self.page = f"<!doctype html><title>Shop</title>{before}{code}{after}<body>Hello"

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Visit(BaseHTTPRequestHandler):
    server: PlainSite

    def do_GET(self) -> None:
        site, path = self.server, urlsplit(self.path).path
        if path in site.dropped:
            self.close_connection = True
        elif path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.startswith("/assets/") and site.upstream is not None:
            self._pass_on(site.upstream)
        else:
            self._show(site.unknown_status if path.startswith("/assets/") else site.status)

    def do_POST(self) -> None:
        self.do_GET()

    def _show(self, status: int) -> None:
        body = self.server.page.encode()
        self.send_response(status)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _pass_on(self, port: int) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        kept = ("cookie", "content-type", "origin", "referer", "user-agent", "host")
        sent = {name: value for name, value in self.headers.items() if name.lower() in kept}
        sent |= self.server.forwarded
        connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=20, source_address=(self.server.source, 0)
        )
        connection.request(self.command, self.path.removeprefix("/assets"), body, sent)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""
