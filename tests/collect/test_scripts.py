"""The scripts that a collector serves, and the settings that Meta's library waits for."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from doublet import pixel
from tests.collector import Collector, blank_page
from tests.server import served

# What Meta's library does with a settings script, as its published settings show: a plug-in that
# bears the mark runs once the pixel waits for its name, and frees the pixel's queue.
LIBRARY = """
window.freed = [];
window.fbq = function () {};
fbq.registerPlugin = function (name, part) {
  if (part.__fbEventsPlugin !== 1) throw new Error("no plug-in");
  part.plugin(fbq, { configLoaded: (id) => freed.push([name, id]) }, { set() {} });
};
fbq.loadPlugin = function () { throw new Error("waits for ever"); };
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("scripts"))
    yield running
    running.close()


@pytest.mark.parametrize("path", ["/px.js", "/px-core.js", "/px-debug.js"])
def test_scripts_are_served_small_and_in_either_encoding(server: Collector, path: str) -> None:
    plain = server.client.get(path, headers={"accept-encoding": "identity"})
    assert (200, "text/javascript; charset=utf-8") == (
        plain.status_code,
        plain.headers["content-type"],
    )
    assert pixel.script(path) == plain.content
    assert b"/*" not in plain.content
    assert "content-encoding" not in plain.headers
    with server.client.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert "gzip" == packed.headers["content-encoding"]
    assert str(len(raw)) == packed.headers["content-length"]
    assert plain.content == gzip.decompress(raw)
    for answer in (plain, packed):
        assert "accept-encoding" == answer.headers["vary"]
        assert "*" == answer.headers["access-control-allow-origin"]
    assert plain.headers["etag"] != packed.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("gzip;q=0.5, br", True),
        ("br, gzip; q=0", False),
        ("gzip;q=0.000, br", False),
        ("br", False),
    ],
)
def test_gzip_is_sent_to_whom_accepts_it(server: Collector, accepted: str, expected: bool) -> None:
    answer = server.client.get("/px.js", headers={"accept-encoding": accepted})
    assert expected == ("content-encoding" in answer.headers)


def test_a_script_that_the_browser_has_is_not_sent_again(server: Collector) -> None:
    etag = server.client.get("/px.js").headers["etag"]
    for known in (etag, f"W/{etag}", f'"a", {etag}'):
        answer = server.client.get("/px.js", headers={"if-none-match": known})
        assert (304, b"", etag) == (answer.status_code, answer.content, answer.headers["etag"])
    other = {"if-none-match": etag, "accept-encoding": "identity"}
    assert 200 == server.client.get("/px.js", headers=other).status_code
    head = server.client.head("/px.js")
    assert (200, b"") == (head.status_code, head.content)


def test_the_whole_script_is_the_core_and_more() -> None:
    before, place, after = pixel.source("/px-core.js").partition("  // @automatic\n")
    whole = pixel.source()
    assert place
    assert whole.startswith(before)
    assert whole.endswith(after)
    assert "SubscribedButtonClick" in whole.removeprefix(before).removesuffix(after)


@pytest.mark.parametrize("missing", [False, True])
def test_a_script_without_its_minifier_is_served_as_written(missing: bool) -> None:
    hidden = "sys.modules['minify'] = None; " if missing else ""
    main = f"import sys; {hidden}from doublet.pixel.minify import main; main()"
    text = "const first = 1; // why\n"
    command = [sys.executable, "-c", main]
    given = json.dumps([text])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    assert [text if missing else "const first=1"] == json.loads(done.stdout)


def test_a_script_that_is_wrong_stops_the_collector() -> None:
    command = [sys.executable, "-m", "doublet.pixel.minify"]
    given = '["const = 1"]'
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "SyntaxError" in done.stderr


def test_settings_say_which_user_data_plug_ins_may_send(server: Collector) -> None:
    pixel_id = server.pixel.pixel_id
    settings = server.client.get(f"/signals/config/json/{pixel_id}").json()["matchingConfig"]
    assert settings["enableAutomaticMatching"] is True
    assert {"em", "ph", "external_id"} < set(settings["enabledAutomaticMatchingFields"])


@pytest.mark.parametrize("kind", ["", "json/"])
@pytest.mark.parametrize("wanted", ["1", "x", "", "%22%3Balert(1)"])
def test_settings_of_nobody_are_an_error(server: Collector, kind: str, wanted: str) -> None:
    answer = server.client.get(f"/signals/config/{kind}{wanted}")
    assert (404, {"errorMessage"}) == (answer.status_code, answer.json().keys())


@pytest.mark.browser
def test_settings_free_the_pixel_that_waits_for_them(server: Collector, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    origin = f"http://collect.shop.example:{server.port}"
    address = f"{origin}/signals/config/{server.pixel.pixel_id}?v=2.9.252&r=stable&domain=x"
    with served(blank_page) as site:
        page.goto(site.replace("127.0.0.1", "www.shop.example"))
        # On a page without the library it does nothing.
        page.add_script_tag(url=address)
        page.add_script_tag(content=LIBRARY)
        page.add_script_tag(url=address)
        assert [[server.pixel.pixel_id, server.pixel.pixel_id]] == page.evaluate("freed")
        for path in pixel.SCRIPTS:
            page.add_script_tag(url=origin + path)
    assert [] == wrong
    context.close()
