"""A shop's pages on host names, before a real collector: what a browser's pixel sends is read from
the lake's table `events`."""

from __future__ import annotations

import http.client
import json
import re
import threading
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
from playwright.sync_api import BrowserContext, Page

from doublet import pixel
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from tests.collector import Collector
from tests.server import wait_for

SHA256 = "a" * 64


class ShopSite(ThreadingHTTPServer):
    """Serves `pages` by path, the others as `page`; what begins with /m/ goes to the collector,
    unless `outage` is a status that it answers instead."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.collector = Collector(folder, "trusted_proxies=127.0.0.1")
        self._lake = Lake(folder / "lake", folder / "scratch", duckdb.connect())
        self._log = DiskLog(self.collector.settings.log_folder)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        self.clean()

    def clean(self) -> None:
        """A new pixel, and pages as if nobody had set any."""
        catalog, account = self.collector.catalog, self.collector.account
        self.pixel_id = catalog.create_pixel(account, "Shop")[0].pixel_id
        self.pages: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.outage = 0
        self.turned_away = 0
        self.script_delay_s = 0.0
        self.page = self.page_with("")

    def origin(self, host: str = "www.shop.example") -> str:
        """An address of this site; every name leads here."""
        return f"http://{host}:{self.server_address[1]}"

    @property
    def collector_address(self) -> str:
        """The collector under a name of the shop's own domain, yet another origin."""
        return f"http://t.shop.example:{self.collector.port}"

    def snippet(self, address: str = "") -> str:
        """The base code of this site's pixel, loaded through the shop itself."""
        return pixel.snippet(self.pixel_id, address or self.origin() + "/m")

    def page_with(self, calls: str, address: str = "", body: str = "") -> str:
        """A page whose base code is followed by further calls."""
        code = self.snippet(address)
        return (
            f"<!doctype html><title>p</title>{code}<script>{self._filled(calls)}</script>"
            f"<body>{body}</body>"
        )

    def bare_page(self, calls: str, address: str = "", before: str = "", body: str = "") -> str:
        """A page whose base code fires nothing by itself; `PIXEL` in `calls` is the pixel's id,
        `before` what runs ahead of it."""
        page = re.sub(r'fbq\("(init|track)".*\n', "", self.page_with(calls, address, body))
        return page.replace("<!-- Doublet", f"<script>{self._filled(before)}</script><!-- Doublet")

    def _filled(self, calls: str) -> str:
        return calls.replace("PIXEL", f"'{self.pixel_id}'")

    def rows(self, pixel_id: str = "") -> list[dict[str, Any]]:
        """The rows of `events` of a pixel, in order of receipt."""
        while self._lake.load(self._log).rows:
            pass
        files = [str(file.path) for file in self._lake.events.files()]
        if not files:
            return []
        found = self._lake.connection.sql(
            "select * from read_parquet($files) where pixel_id = $pixel_id "
            "order by received_at, log_slot, log_offset",
            params={"files": files, "pixel_id": pixel_id or self.pixel_id},
        )
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        for row in rows:
            row["custom_data"] = json.loads(row["custom_data"] or "{}")
            row["extra"] = json.loads(row["extra"] or "{}")
            row["user_data"] = {k: v for k, v in row["user_data"].items() if v is not None}
        return rows

    def wait_for(self, count: int, pixel_id: str = "", seconds: float = 15) -> list[dict[str, Any]]:
        """The rows, once there are `count` of them."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = self.rows(pixel_id)
            return len(found) >= count

        with suppress(AssertionError):
            wait_for(look, seconds)
        assert count == len(found), [(row["event_name"], row["event_id"]) for row in found]
        return found

    def close(self) -> None:
        """Stop all of it."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        self._lake.close()
        self.collector.close()


class _Visit(BaseHTTPRequestHandler):
    server: ShopSite

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/m/"):
            if path.endswith(".js"):
                threading.Event().wait(self.server.script_delay_s)
            self._forward(b"")
        else:
            page = self.server.pages.get(path, self.server.page)
            kind = "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8"
            headers = {"content-type": kind, **self.server.headers}
            self._answer(200, list(headers.items()), page.encode())

    def do_POST(self) -> None:
        self._forward(self.rfile.read(int(self.headers["content-length"])))

    def _forward(self, body: bytes) -> None:
        """As a reverse proxy on the shop's own host does."""
        if self.server.outage and not self.path.endswith(".js"):
            self.server.turned_away += 1
            self._answer(self.server.outage, [], b"")
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        headers["X-Forwarded-For"] = "203.0.113.9"
        port = self.server.collector.port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as there:
            there.request(self.command, self.path.removeprefix("/m"), body, headers)
            answer = there.getresponse()
            content = answer.read()
        # A page that is left waits for nothing.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(answer.status, answer.getheaders(), content)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def open_page(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """A page, once its pixel has come, and everything that it says on the console or throws."""
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"THROWN {error}"))
    page.goto(url)
    page.wait_for_function("!!(window.fbq && window.fbq.callMethod)")
    return page, said


def cookies(context: BrowserContext) -> dict[str, dict[str, Any]]:
    """The visitor's cookies by name."""
    return {cookie["name"]: dict(cookie) for cookie in context.cookies()}


def warnings(said: list[str]) -> list[str]:
    """The names of the pixel's warnings, in order."""
    return re.findall(r"^\[Doublet\] (\w+):", "\n".join(said), re.M)
