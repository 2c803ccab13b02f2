"""Script and endpoint on the shop's own domain: the recipes of docs/first_party.md, run."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from doublet import pixel
from tests.collector import Collector
from tests.server import wait_for
from tests.web_server import ENDPOINT, HOST, PAGE, SCRIPT, front

FBP = "fb.1.1780000000000.1234567890"
FBC = "fb.1.1780000000000.IwAR2"
SERVERS = ["nginx", "caddy", "js"]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("first_party"), "trusted_proxies=127.0.0.1")
    yield running
    running.close()


def hit(pixel_id: str, **more: str) -> dict[str, str]:
    """What the pixel posts first."""
    return {"id": pixel_id, "ev": "Purchase", "ec": "0", "ts": str(int(time.time() * 1000)), **more}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_recipe_brings_script_event_address_and_cookies(kind: str, collector: Collector) -> None:
    with front(kind, collector.port) as shop:
        script = shop.request("GET", SCRIPT, {"accept-encoding": "gzip"})
        assert (200, pixel.script()) == (script.status_code, script.content)
        for name in ("core", "debug"):
            path = SCRIPT.replace(".js", f"-{name}.js")
            assert shop.request("GET", path, {}).content == pixel.script(f"/px-{name}.js")
        collector.new_records()
        answer = shop.request(
            "POST",
            ENDPOINT,
            {
                "origin": f"https://{HOST}",
                "cookie": f"session=secret; _fbc={FBC}",
                "x-forwarded-for": "203.0.113.66",
                "x-forwarded-host": "evil.example",
                "x-forwarded-proto": "http",
            },
            hit(collector.pixel.pixel_id, fbp=FBP, eid="order.1"),
        )
        assert 200 == answer.status_code, answer.text
        record = collector.new_record()
        assert ("Purchase", "order.1") == (record["event_name"], record["event_id"])
        known = record["user_data"]
        # The visitor's own claims about the address count for nothing.
        assert ("127.0.0.9", FBP, FBC) == (known["client_ip_address"], known["fbp"], known["fbc"])
        rest = f"Path=/; Max-Age=7776000; SameSite=Lax; Domain={HOST}; Secure"
        assert [f"_fbp={FBP}; {rest}"] == answer.headers.get_list("set-cookie")
        assert f"https://{HOST}" == answer.headers["access-control-allow-origin"]
        image = shop.request("GET", f"{ENDPOINT}?id={collector.pixel.pixel_id}&ev=Lead&ec=1", {})
        assert "image/gif" == image.headers["content-type"]
        assert "Lead" == collector.new_record()["event_name"]


class Recorder(HTTPServer):
    """Keeps the headers of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recorded)
        self.seen: list[dict[str, str]] = []


class _Recorded(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("kind", SERVERS)
def test_a_recipe_keeps_the_cookies_of_the_shop_to_itself(kind: str) -> None:
    with Recorder() as recorder:
        thread = threading.Thread(target=recorder.serve_forever)
        thread.start()
        try:
            with front(kind, recorder.server_port) as shop:
                cookie = f"session=secret; _fbp={FBP}; cart=7; _fbc={FBC}"
                shop.request("POST", ENDPOINT, {"cookie": cookie}, {"id": "1"})
                shop.request("POST", ENDPOINT, {"cookie": "session=secret"}, {"id": "1"})
        finally:
            recorder.shutdown()
            thread.join()
    both, neither = (seen.get("cookie", "") for seen in recorder.seen)
    assert f"_fbp={FBP}; _fbc={FBC}" == both
    assert "secret" not in neither


@pytest.mark.browser
def test_a_browser_keeps_the_cookies_for_90_days_under_a_policy(
    collector: Collector, browser: Browser
) -> None:
    (policy,) = re.findall(r"^```\n(script-src .*)\n```$", PAGE.read_text("utf-8"), re.M)
    collector.new_records()
    with front("nginx", collector.port) as shop:
        code = pixel.snippet(collector.pixel.pixel_id, f"{shop.origin}/assets")
        # As the page's `sed` does.
        code = re.sub(r"/px\b", "/shop", code).replace("<script>", '<script nonce="NONCE">')
        shop.pages.joinpath("index.html").write_text(
            f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">{code}'
        )
        shop.pages.joinpath("favicon.ico").touch()
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        with page.expect_response(f"{shop.origin}{ENDPOINT}") as answered:
            page.goto(f"{shop.origin}/?fbclid=IwAR2")
        assert 200 == answered.value.status
        # The script writes it without `Secure`: this one is the server's.
        found = wait_for(lambda: [each for each in context.cookies() if each["secure"]])
        context.close()
    assert [] == said
    assert {"_fbp", "_fbc"} == {cookie["name"] for cookie in found}
    for cookie in found:
        assert f".{HOST}" == cookie["domain"]
        assert 89 < (cookie["expires"] - time.time()) / 86_400 < 91
    record = collector.new_record()
    assert "PageView" == record["event_name"]
    assert record["user_data"]["fbp"] == next(c["value"] for c in found if c["name"] == "_fbp")
