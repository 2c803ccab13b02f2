"""Who is let in to the dashboard, and to what."""

from __future__ import annotations

import re
from itertools import product

import httpx
import pytest
from starlette.routing import Route

from doublet.web.page import ATTRIBUTION
from tests.dashboard import OPERATOR, Site


def csrf_in(page: str) -> str:
    """What the forms of a page carry to prove that they are this site's own."""
    (value,) = set(re.findall(r'name="csrf" value="([0-9a-f]{64})"', page))
    return str(value)


def _routes(site: Site) -> list[tuple[str, str]]:
    """Every route of the application, with the methods that it takes."""
    found = []
    for route in site.app.routes:
        assert isinstance(route, Route), "a new kind of route: say here how to call it"
        if route.path == "/v1/as_of":
            # It has no end, and tells nothing but moments.
            continue
        path = route.path.replace("{name}", "doublet.css")
        assert "{" not in path, "a new parameter: say here what to put in"
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


def test_no_route_shows_rows_of_another_account(filled: Site) -> None:
    ours, theirs = filled.ours, filled.theirs
    secrets = (
        "TheirEvent",
        "7777",
        theirs.token,
        theirs.pixel_id,
        theirs.account.account_id,
        "Their shop",
    )
    values = ("", theirs.pixel_id, theirs.account.account_id, theirs.account.name, "TheirEvent")
    queries = ["", *(f"?{name}={value}" for name in ("pixel", "account") for value in values)]
    queries.append("?event_name=TheirEvent")
    called = set()
    for method, path in _routes(filled):
        is_open = path in ("/", "/login", "/logout", "/welcome") or path.startswith("/static/")
        for query, token in product(queries, ("", "dbl_foreign", ours.token)):
            filled.client.cookies.clear()
            headers = {"authorization": f"Bearer {token}"} if token else {}
            answer = filled.client.request(method, path + query, headers=headers)
            asked = query.partition("=")[2]
            # What was asked for may be named when it is refused, but not in an answer, save by the
            # report that says at its head what it is about, and by the filters of a page.
            shown = answer.text.replace(asked, "") if answer.status_code >= 400 else answer.text
            if path in ("/events", *(page for page, _ in ATTRIBUTION)) and asked:
                shown = shown.replace(asked, "")
            if path == "/lift.json":
                shown = shown.replace(f'{{"event_name":"{asked}"', "", 1)
            called_with = (method, path, query, token, answer.status_code)
            assert answer.status_code < 500, called_with
            assert not [text for text in secrets if text in shown], called_with
            assert is_open or token == ours.token or answer.status_code == 401, called_with
        called.add(path)
    assert {"/overview", "/overview.json", "/timeline.svg", "/login"} <= called
    # The same figures are there for those they belong to, so that the test does look for them.
    assert "TheirEvent" in filled.get("/overview", theirs).text


def test_a_foreign_pixel_is_answered_like_an_unknown_one(filled: Site) -> None:
    foreign = filled.get(f"/overview.json?pixel={filled.theirs.pixel_id}", filled.ours)
    unknown = filled.get("/overview.json?pixel=1234567890123456", filled.ours)
    assert 400 == foreign.status_code == unknown.status_code

    def told(answer: httpx.Response, pixel_id: str) -> str:
        return re.sub(r'"fbtrace_id":"[^"]+"', "", answer.text).replace(pixel_id, "PIXEL")

    assert told(foreign, filled.theirs.pixel_id) == told(unknown, "1234567890123456")


def test_without_a_token_pages_offer_to_sign_in_and_twins_refuse(site: Site) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
        page = site.get("/overview?since=2026-01-01", None, headers)
        assert 401 == page.status_code
        assert '<form method="post" action="/login"' in page.text
        assert 'value="/overview?since=2026-01-01"' in page.text
        for path in ("/overview.json", "/overview.csv", "/timeline.svg"):
            answer = site.get(path, None, {**headers, "accept": "text/html"})
            assert (401, 190) == (answer.status_code, answer.json()["error"]["code"])


def test_a_page_opened_with_a_token_moves_it_to_a_cookie(site: Site) -> None:
    address = f"/overview?since=2026-01-01&access_token={site.ours.token}"
    answer = site.get(address, headers={"x-forwarded-proto": "https"})
    assert (303, "/overview?since=2026-01-01") == (answer.status_code, answer.headers["location"])
    cookie = answer.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Secure", "Max-Age=2592000"):
        assert attribute in cookie
    assert "Secure" not in site.get(address).headers["set-cookie"]
    cookies = {"cookie": f"doublet_token={site.ours.token}"}
    assert 200 == site.get("/overview", headers=cookies).status_code
    assert [] == site.get("/overview.json", headers=cookies).json()
    wrong = site.get("/overview?access_token=wrong")
    assert 401 == wrong.status_code
    assert "set-cookie" not in wrong.headers
    twin = site.get(f"/overview.json?access_token={site.ours.token}")
    assert (200, False) == (twin.status_code, "set-cookie" in twin.headers)


def test_signing_in_and_out(site: Site) -> None:
    form = {"access_token": f" {site.ours.token} ", "next": "/overview?since=2026-01-01"}
    answer = site.client.post("/login", data=form)
    assert (303, "/overview?since=2026-01-01") == (answer.status_code, answer.headers["location"])
    page = site.client.get("/overview")
    assert 200 == page.status_code
    assert 403 == site.client.post("/logout").status_code
    answer = site.client.post("/logout", data={"csrf": csrf_in(page.text)})
    assert (303, "/overview") == (answer.status_code, answer.headers["location"])
    assert 401 == site.client.get("/overview").status_code
    wrong = site.client.post("/login", data={"access_token": "wrong"})
    assert 401 == wrong.status_code
    assert "This access token is not valid." in wrong.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb: c", "ü"]
)
def test_signing_in_leads_nowhere_else(site: Site, target: str) -> None:
    answer = site.client.post("/login", data={"access_token": site.ours.token, "next": target})
    assert "/overview" == answer.headers["location"]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_another_site_signs_nobody_in_or_out(site: Site, headers: dict[str, str]) -> None:
    form = {"access_token": site.ours.token}
    for answer in (
        site.client.post("/login", data=form, headers=headers),
        site.client.post("/logout", headers=headers),
        site.get(f"/overview?access_token={site.ours.token}", headers=headers),
    ):
        assert 401 == answer.status_code
        assert "set-cookie" not in answer.headers


def test_forms_are_bounded(site: Site) -> None:
    assert 413 == site.client.post("/login", content=b"a" * 20_000).status_code
    assert 400 == site.client.post("/login", content=b"a=b&" * 30).status_code
    assert 401 == site.client.post("/login", content=b"access_token=%ff%00").status_code


def test_the_operator_reads_any_account_by_name_of_its_id(filled: Site) -> None:
    headers = {"authorization": f"Bearer {OPERATOR}"}
    account_id = filled.theirs.account.account_id
    rows = filled.get(f"/overview.json?account={account_id}", headers=headers).json()
    assert ["TheirEvent"] == [row["event_name"] for row in rows]
    page = filled.get(f"/overview?account={account_id}", headers=headers).text
    assert f'<input type="hidden" name="account" value="{account_id}">' in page
    assert f"/timeline.json?account={account_id}" in page
    missing = filled.get("/overview.json", headers=headers)
    assert (400, "account") == (
        missing.status_code,
        missing.json()["error"]["error_data"]["blame_field_specs"][0][0],
    )
    choice = filled.get("/overview", headers=headers)
    assert 400 == choice.status_code
    assert f'href="/overview?account={account_id}"' in choice.text


def test_every_answer_carries_the_protecting_headers(filled: Site) -> None:
    for path in ("/", "/overview", "/overview.json", "/nothing", "/static/doublet.css"):
        for shop in (None, filled.ours):
            headers = filled.get(path, shop).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "nosniff" == headers["x-content-type-options"]
            assert "same-origin" == headers["referrer-policy"]
            if not path.startswith("/static/"):
                assert "no-store" == headers["cache-control"]


def test_a_bug_is_answered_without_its_traceback(site: Site) -> None:
    site.pipeline.close()
    answer = site.get("/overview.json", site.ours)
    assert (500, 1) == (answer.status_code, answer.json()["error"]["code"])
    assert "Traceback" not in answer.text
    assert "no-store" == answer.headers["cache-control"]
