"""Cookies of the site's own server: written from hits, and read where hits lack them."""

from __future__ import annotations

import doctest
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from playwright.sync_api import Browser

from doublet.collect import first_party, request
from tests.collector import Collector, blank_page
from tests.server import served

HOST, PAGE = "collect.shop.example", "https://www.shop.example"
FBP = "fb.1.1780000000000.1234567890"
FBC = "fb.1.1780000000000.IwAR2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("first_party")
    running = Collector(folder, "trusted_proxies=127.0.0.1")
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_new(server: Collector) -> None:
    server.new_records()


def visit(
    server: Collector, headers: dict[str, str], method: str = "GET", **parameters: str
) -> httpx.Response:
    """A first hit of a page at the collector's public host."""
    known = {"id": server.pixel.pixel_id, "ev": "PageView", "ec": "0", "ts": "1"}
    return server.client.request(
        method, "/px", params=known | parameters, headers={"host": HOST, **headers}
    )


def test_examples() -> None:
    assert 0 == doctest.testmod(first_party).failed + doctest.testmod(request).failed


@pytest.mark.parametrize("length", [300, 30_000])
@pytest.mark.parametrize("header", ["origin", "referer", "host"])
def test_a_header_of_any_length_holds_nobody_up(
    server: Collector, header: str, length: int
) -> None:
    """What may be a name is bounded before it is matched, in linear time, or remembered."""
    authority = "[" + ":" * length + "g]"
    value = authority if header == "host" else f"https://{authority}"
    started = time.monotonic()
    for _ in range(20):
        server.client.get(
            "/px",
            params={"id": server.pixel.pixel_id, "ev": "PageView", "ec": "0", "fbp": FBP},
            headers={"host": HOST, header: value},
        )
    # One such request took a second and more before.
    assert time.monotonic() - started < 10
    assert "" == request.host_name(authority.encode())


def test_a_value_that_grows_too_long_when_it_is_quoted_is_no_cookie(server: Collector) -> None:
    answer = visit(server, {"origin": PAGE}, "POST", fbp=FBP, fbc="fb.1.1." + "中" * 500)
    assert ["_fbp"] == [name.partition("=")[0] for name in answer.headers.get_list("set-cookie")]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("header", ["origin", "referer"])
def test_ids_of_a_page_of_the_same_site_become_its_cookies(
    server: Collector, method: str, header: str
) -> None:
    page = PAGE if header == "origin" else f"{PAGE}/cart?x=https://evil.example"
    answer = visit(server, {header: page}, method, fbp=FBP, fbc=FBC)
    assert 200 == answer.status_code
    rest = "Path=/; Max-Age=7776000; SameSite=Lax; Domain=shop.example"
    assert [f"_fbp={FBP}; {rest}", f"_fbc={FBC}; {rest}"] == answer.headers.get_list("set-cookie")


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ({"origin": PAGE}, {"ec": "1", "fbp": FBP}),
        ({"origin": PAGE}, {}),
        ({"origin": PAGE}, {"fbp": "fb.1.x.y"}),
        ({"origin": PAGE}, {"fbp": "nothing"}),
        ({"origin": PAGE}, {"fbp": FBP, "id": "1"}),
        ({"origin": PAGE}, {"fbp": FBP, "cs[ad_storage]": "denied"}),
        # Index 2 means www.shop.example and the like, index 0 a top-level domain.
        ({"origin": PAGE}, {"fbp": FBP.replace("fb.1", "fb.2")}),
        ({"origin": PAGE}, {"fbp": FBP.replace("fb.1", "fb.0")}),
        ({"origin": PAGE}, {"fbp": FBP.replace("fb.1", "fb.3")}),
        ({"origin": "https://evilshop.example"}, {"fbp": FBP}),
        ({"origin": "https://other.example", "referer": PAGE}, {"fbp": FBP}),
        ({"origin": "null", "referer": PAGE}, {"fbp": FBP}),
        ({}, {"fbp": FBP}),
        ({"origin": PAGE, "host": "collect.tracker.example"}, {"fbp": FBP}),
        ({"origin": PAGE, "host": "a;b.shop.example"}, {"fbp": FBP}),
    ],
)
def test_nothing_else_sets_a_cookie(
    server: Collector, headers: dict[str, str], parameters: dict[str, str]
) -> None:
    assert "set-cookie" not in visit(server, headers, **parameters).headers


@pytest.mark.parametrize(
    ("host", "page", "index", "domain"),
    [
        ("collect.shop.co.uk", "https://www.corner.shop.co.uk", 2, "shop.co.uk"),
        ("shop.example:8443", "https://shop.example:9000", 1, "shop.example"),
        ("shop.example", "https://www.shop.example", 1, "shop.example"),
        ("localhost:8700", "http://localhost:3000", 1, ""),
        ("127.0.0.1:8700", "http://127.0.0.1:3000", 1, ""),
        ("[::1]:8700", "http://[::1]:3000", 1, ""),
    ],
)
def test_the_value_names_the_domain_of_its_cookie(
    server: Collector, host: str, page: str, index: int, domain: str
) -> None:
    value = FBP.replace("fb.1", f"fb.{index}")
    answer = visit(server, {"origin": page, "host": host}, fbp=value)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"_fbp={value}; ")
    assert domain == "".join(re.findall(r"Domain=([^;]*)", cookie))


def test_the_proxy_says_host_and_scheme(server: Collector) -> None:
    inside = {"host": "10.0.0.7:8700", "origin": PAGE}
    assert "set-cookie" not in visit(server, inside, fbp=FBP).headers
    claimed = {"x-forwarded-host": HOST, "x-forwarded-proto": "https", **inside}
    cookie = visit(server, claimed, fbp=FBP).headers["set-cookie"]
    assert cookie.endswith("; Domain=shop.example; Secure")


def test_without_trust_nobody_speaks_for_the_host(tmp_path: Path) -> None:
    alone = Collector(tmp_path)
    headers = {"x-forwarded-host": HOST, "x-forwarded-proto": "https", "origin": PAGE}
    assert "set-cookie" not in visit(alone, {**headers, "host": "a.example"}, fbp=FBP).headers
    assert "Secure" not in visit(alone, headers, fbp=FBP).headers["set-cookie"]
    alone.close()


@pytest.mark.parametrize(
    ("fbc", "written"),
    [
        ("fb.1.1780000000000.IwAR.2_F-x", "fb.1.1780000000000.IwAR__DOT__2_F-x"),
        ("fb.1.1780000000000.IwAR__DOT__2", "fb.1.1780000000000.IwAR__DOT__2"),
        ("fb.1.1780000000000.IwAR2.AQYBAQMC", "fb.1.1780000000000.IwAR2.AQYBAQMC"),
        ("fb.1.1780000000000.a;b,ü=\"'", "fb.1.1780000000000.a%3Bb%2C%C3%BC%3D%22'"),
    ],
)
def test_cookies_are_written_as_the_pixel_writes_them(
    server: Collector, fbc: str, written: str
) -> None:
    cookie = visit(server, {"origin": PAGE}, fbc=fbc).headers["set-cookie"]
    assert f"_fbc={written}" == cookie.partition(";")[0]


def user_data(server: Collector, headers: dict[str, str], **parameters: str) -> dict[str, Any]:
    assert 200 == visit(server, headers, **parameters).status_code
    return dict(server.new_record()["user_data"])


def test_a_hit_without_ids_gets_those_of_the_cookies(server: Collector) -> None:
    sent = {"cookie": f"a=1; _fbp={FBP}; _fbc=fb.1.1780000000000.Iw__DOT__%C3%BC; _fbp=x"}
    image = user_data(server, {**sent, "referer": f"{PAGE}/"}, noscript="1", ec="")
    assert (FBP, "fb.1.1780000000000.Iw.ü") == (image["fbp"], image["fbc"])
    half = user_data(server, {**sent, "origin": PAGE}, fbp=FBP.replace("678", "999"), ec="3")
    assert (FBP.replace("678", "999"), "fb.1.1780000000000.Iw.ü") == (half["fbp"], half["fbc"])


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ({"origin": "https://other.example"}, {}),
        ({}, {}),
        ({"origin": PAGE}, {"cs[ad_storage]": "denied"}),
        ({"origin": PAGE, "cookie": "_fbp=fb.2.1780000000000.5"}, {}),
        ({"origin": PAGE, "cookie": "_fbp=rubbish; _fbc="}, {}),
        ({"origin": PAGE, "cookie": "x_fbp=" + FBP}, {}),
    ],
)
def test_cookies_of_others_are_not_believed(
    server: Collector, headers: dict[str, str], parameters: dict[str, str]
) -> None:
    user = user_data(server, {"cookie": f"_fbp={FBP}", **headers}, **parameters)
    assert {"fbp", "fbc"}.isdisjoint(user)
    assert "flags" not in user


@pytest.mark.browser
def test_a_browser_keeps_the_cookie_and_brings_it_to_the_image(
    server: Collector, browser: Browser
) -> None:
    context = browser.new_context()
    page = context.new_page()
    hits = f"http://collect.shop.example:{server.port}"
    body = f"id={server.pixel.pixel_id}&ev=PageView&ts=1&ec=0&fbp={FBP}&fbc=fb.1.1780000000000.A.B"
    with served(blank_page) as site:
        page.goto(site.replace("127.0.0.1", "www.shop.example"))
        seen = page.evaluate(
            """async ([url, body]) => {
                const how = {method: "POST", credentials: "include", keepalive: true, body, headers:
                    {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}};
                const taken = await fetch(url, how);
                const refused = await fetch(url, {...how, body: "id=1&ev=PageView"});
                return [taken.status, refused.headers.get("x-doublet-refused"), document.cookie];
            }""",
            [f"{hits}/px", body],
        )
    assert [200, "pixel_unknown"] == seen[:2]
    assert {f"_fbp={FBP}", "_fbc=fb.1.1780000000000.A__DOT__B"} == set(seen[2].split("; "))
    server.new_records()
    page.evaluate(
        "url => new Promise(done => { const i = new Image(); i.onload = done; i.src = url; })",
        f"{hits}/tr?id={server.pixel.pixel_id}&ev=PageView&noscript=1",
    )
    user = server.new_record()["user_data"]
    assert (FBP, "fb.1.1780000000000.A.B") == (user["fbp"], unquote(user["fbc"]))
    context.close()
