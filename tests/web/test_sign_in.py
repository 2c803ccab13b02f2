"""People sign in with name and password, are slowed down when they guess, and end sessions."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.catalog import Role
from doublet.catalog.users import SESSION_IDLE_S_MAX
from doublet.refusal import Reason
from doublet.web.access import REQUESTS_PER_MINUTE
from doublet.web.limits import KEYS_MAX, Limit, Queue
from doublet.web.sign_in import ATTEMPTS_PER_ADDRESS, ATTEMPTS_PER_NAME, ATTEMPTS_WINDOW_S
from tests.clock import Clock
from tests.dashboard import Site

PASSWORD = "correct horse battery"
OTHER = "staple horse battery"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Iterator[Site]:
    made = Site(tmp_path, clock)
    made.catalog.users.create("anna")
    made.catalog.users.set_password("anna", PASSWORD)
    made.catalog.users.set_role("anna", made.ours.account.account_id, Role.ANALYST)
    yield made
    made.close()


def sign_in(
    site: Site,
    name: str = "anna",
    password: str = PASSWORD,
    address: str = "198.51.100.7",
    target: str = "/quality",
) -> httpx.Response:
    """What the form of the sign-in page gets."""
    site.client.cookies.clear()
    form = {"user_name": name, "password": password, "next": target}
    return site.client.post("/login", data=form, headers={"x-forwarded-for": address})


def test_the_sign_in_page_takes_names_and_tokens(site: Site) -> None:
    for page in (site.get("/login?next=/quality"), site.get("/quality")):
        assert page.text.count('value="/quality"') == 2
        for field in ("user_name", "password", "access_token"):
            assert f'name="{field}"' in page.text
        assert "<details>" in page.text
    assert 'value="/overview"' in site.get("/login?next=//evil.example").text


def test_a_user_signs_in_sees_the_account_and_signs_out(site: Site) -> None:
    answer = sign_in(site)
    assert (303, "/quality") == (answer.status_code, answer.headers["location"])
    (cookie,) = [c for c in answer.headers.get_list("set-cookie") if "doublet_session" in c]
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute in cookie
    assert "Secure" not in cookie
    browser = site.browser(answer.cookies["doublet_session"])
    page = browser.get("/overview")
    assert 200 == page.status_code
    assert "Our shop" in page.text
    assert ">anna</a>" in page.text
    assert 400 == browser.get(f"/overview?account={site.theirs.account.account_id}").status_code
    refused = browser.client.post("/logout")
    assert (403, 200) == (refused.status_code, browser.get("/overview").status_code)
    (csrf,) = set(re.findall(r'name="csrf" value="([0-9a-f]{64})"', page.text))
    assert f'<meta name="csrf" content="{csrf}">' in page.text
    assert browser.secret not in page.text
    assert 303 == browser.post("/logout", csrf=csrf).status_code
    # Not only the browser has forgotten it.
    assert 401 == site.browser(browser.secret).get("/overview").status_code
    https = {"x-forwarded-proto": "https"}
    form = {"user_name": "anna", "password": PASSWORD}
    secure = site.client.post("/login", data=form, headers=https)
    assert "Secure" in secure.headers.get_list("set-cookie")[-1]


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(site: Site) -> None:
    wrong, unknown = sign_in(site, password=OTHER), sign_in(site, name="berta")
    assert 401 == wrong.status_code == unknown.status_code
    assert wrong.text == unknown.text.replace("berta", "anna")
    site.catalog.users.disable("anna")
    assert sign_in(site).text == wrong.text
    assert "set-cookie" not in wrong.headers


def test_an_unknown_name_takes_as_long_as_a_known_one(site: Site) -> None:
    def seconds(name: str) -> float:
        taken = []
        for number in range(5):
            begun = time.perf_counter()
            sign_in(site, name, OTHER, f"192.0.2.{number}")
            taken.append(time.perf_counter() - begun)
        return min(taken)

    seconds("warm")
    known, unknown = seconds("anna"), seconds("nobody")
    # A look-up alone takes a hundredth of a hash; what the machine does besides is far less.
    assert known / 2 < unknown < known * 2


def test_who_guesses_a_password_is_slowed_down(site: Site, clock: Clock) -> None:
    for name in ("anna", "nobody"):
        for number in range(ATTEMPTS_PER_NAME):
            address = f"192.0.2.{number}"
            assert 401 == sign_in(site, name, OTHER, address).status_code
        limited = sign_in(site, name.upper(), PASSWORD, "203.0.113.5")
        assert (429, str(ATTEMPTS_WINDOW_S)) == (
            limited.status_code,
            limited.headers["retry-after"],
        )
        assert "Try again in 15 minutes" in limited.text
    clock.at += ATTEMPTS_WINDOW_S - 1
    assert 429 == sign_in(site).status_code
    clock.at += 1
    assert 303 == sign_in(site).status_code


def test_the_right_password_begins_the_count_anew(site: Site) -> None:
    for _ in range(2):
        for number in range(ATTEMPTS_PER_NAME - 1):
            assert 401 == sign_in(site, password=OTHER, address=f"192.0.2.{number}").status_code
        assert 303 == sign_in(site).status_code


@pytest.mark.parametrize(
    "addresses",
    [
        ["198.51.100.9"],
        ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"],
        ["evil, 198.51.100.9", "198.51.100.9"],
    ],
)
def test_an_address_is_slowed_down_whatever_names_it_tries(
    site: Site, addresses: list[str]
) -> None:
    for number in range(ATTEMPTS_PER_ADDRESS):
        headers = {"x-forwarded-for": addresses[number % len(addresses)]}
        form = {"user_name": f"name{number}"} if number < 2 else {"access_token": f"dbl_{number}"}
        assert 401 == site.client.post("/login", data=form, headers=headers).status_code
    assert 429 == sign_in(site, address=addresses[0]).status_code
    form = {"access_token": site.ours.token}
    headers = {"x-forwarded-for": addresses[0]}
    assert 429 == site.client.post("/login", data=form, headers=headers).status_code
    assert 303 == sign_in(site, address="203.0.113.1").status_code


def test_limits_remember_only_so_much(clock: Clock) -> None:
    limit = Limit(1, 60, clock)
    for number in range(KEYS_MAX + 5):
        assert 0 == limit.take(str(number))
    assert KEYS_MAX == len(limit)
    assert 60 == limit.take(str(KEYS_MAX))


def test_a_browser_may_ask_for_so_much_a_minute(site: Site, clock: Clock) -> None:
    browser, other = site.user("berta", Role.READ_ONLY), site.user("clara", Role.READ_ONLY)
    for _ in range(REQUESTS_PER_MINUTE):
        assert 200 == browser.get("/profile.json").status_code
    limited = browser.get("/profile")
    assert (429, "60") == (limited.status_code, limited.headers["retry-after"])
    assert 200 == other.get("/profile").status_code
    assert 200 == site.get("/profile.json", site.ours).status_code
    clock.at += 60
    assert 200 == browser.get("/profile").status_code


def test_another_site_cannot_sign_anyone_in(site: Site) -> None:
    form = {"user_name": "anna", "password": PASSWORD}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = site.client.post("/login", data=form, headers=headers)
        assert (401, False) == (answer.status_code, "set-cookie" in answer.headers)


def test_the_first_link_makes_the_operator_and_works_once(site: Site) -> None:
    site.catalog.users.remove("anna")
    code = site.catalog.users.make_link(None)
    browser = site.browser()
    page = browser.get(f"/welcome?code={code}")
    assert 200 == page.status_code == browser.get(f"/welcome?code={code}").status_code
    form = {"code": code, "user_name": "Olga", "password": PASSWORD, "repeated": PASSWORD}
    for wrong in ({"repeated": OTHER}, {"password": "short", "repeated": "short"}):
        answer = browser.client.post("/welcome", data={**form, **wrong})
        assert 400 == answer.status_code
        assert 'role="alert"' in answer.text
    foreign = {"sec-fetch-site": "cross-site"}
    assert 403 == browser.client.post("/welcome", data=form, headers=foreign).status_code
    assert 303 == browser.client.post("/welcome", data=form).status_code
    assert "Their shop" in browser.get("/overview").text, "the owner of all chooses"
    for late in (browser.get(f"/welcome?code={code}"), browser.client.post("/welcome", data=form)):
        assert 404 == late.status_code
    (joined,) = site.catalog.changes.newest()
    assert ("olga", "user.joined") == (joined.who, joined.what)
    assert 303 == sign_in(site, "olga").status_code


def test_an_invited_user_cannot_take_another_name(site: Site) -> None:
    site.catalog.users.create("berta")
    code = site.catalog.users.make_link("berta")
    browser = site.browser()
    assert 'value="berta" readonly' in browser.get(f"/welcome?code={code}").text
    form = {"code": code, "user_name": "anna", "password": OTHER, "repeated": OTHER}
    assert 303 == browser.client.post("/welcome", data=form).status_code
    assert (303, 303) == (
        sign_in(site).status_code,
        sign_in(site, "berta", OTHER).status_code,
    )


def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    first = site.browser(sign_in(site).cookies["doublet_session"])
    second = site.browser(sign_in(site).cookies["doublet_session"])
    form = {"current": PASSWORD, "password": OTHER, "repeated": OTHER}
    for wrong in ({"current": OTHER}, {"repeated": PASSWORD}, {"password": "anna"}):
        assert 400 == first.post("/profile/password", **{**form, **wrong}).status_code
    assert 200 == second.get("/overview").status_code
    assert 303 == first.post("/profile/password", **form).status_code
    assert (200, 401) == (
        first.get("/overview").status_code,
        second.get("/overview").status_code,
    )
    assert first.client.cookies["doublet_session"] != first.secret
    assert 401 == sign_in(site).status_code
    (change,) = site.catalog.changes.newest()
    assert ("anna", "user.password", "anna", {}) == (
        change.who,
        change.what,
        change.target,
        change.details,
    )


def test_sessions_are_listed_and_ended_one_by_one(site: Site, clock: Clock) -> None:
    browsers = []
    for _ in range(3):
        clock.at += 1
        browsers.append(site.browser(sign_in(site).cookies["doublet_session"]))
    first, second, third = browsers
    listed = first.get("/profile.json").json()
    assert [False, False, True] == [each["is_this"] for each in listed]
    assert 4 == len(first.get("/profile.csv").text.splitlines())
    assert "this one" in first.get("/profile").text
    assert not [b for b in browsers if b.secret in first.get("/profile").text]
    first.post("/profile/session", session=listed[0]["session_id"])
    assert (200, 200, 401) == tuple(b.get("/overview").status_code for b in browsers)
    second.post("/profile/session", session="others")
    assert (401, 200) == (first.get("/overview").status_code, second.get("/overview").status_code)
    assert third.secret
    clock.at += SESSION_IDLE_S_MAX
    assert 401 == second.get("/overview").status_code


def test_nobody_ends_a_session_of_somebody_else(site: Site) -> None:
    browser, other = site.user("berta", Role.OWNER), site.user("clara", Role.OWNER)
    (theirs,) = other.get("/profile.json").json()
    browser.post("/profile/session", session=theirs["session_id"])
    assert 200 == other.get("/overview").status_code


def test_a_token_has_no_profile_to_change(site: Site) -> None:
    assert "access token Our shop" in site.get("/profile", site.ours).text
    assert [] == site.get("/profile.json", site.ours).json()
    for path in ("/profile/password", "/profile/session"):
        answer = site.client.post(path, headers=site.ours.headers)
        assert 403 == answer.status_code


def test_a_user_of_several_accounts_chooses_among_hers(site: Site) -> None:
    third = site.shop("Third shop")
    browser = site.user("berta", Role.READ_ONLY, site.ours, third)
    choice = browser.get("/overview")
    assert 400 == choice.status_code
    assert "Their shop" not in choice.text
    for shop in (site.ours, third):
        address = f"/overview?account={shop.account.account_id}"
        assert f'href="{address}"' in choice.text
        assert 200 == browser.get(address).status_code
    assert 400 == browser.get(f"/overview?account={site.theirs.account.account_id}").status_code
    nobody = site.user("clara", Role.READ_ONLY)
    site.catalog.users.set_role("clara", site.ours.account.account_id, None)
    assert 403 == nobody.get("/overview").status_code


def test_many_who_sign_in_at_once_wait_and_too_many_are_told_so() -> None:
    async def crowd(size: int) -> list[Any]:
        queue, at_once, most = Queue(waiting_max=3), 0, 0
        gate = threading.Event()

        def work() -> int:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            gate.wait(10)
            at_once -= 1
            return 1

        asked = [asyncio.create_task(queue.run(work)) for _ in range(size)]
        await asyncio.sleep(0)
        gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert most <= 2
        assert 1 == await queue.run(lambda: 1), "there is room again"
        return found

    assert [1] * 5 == asyncio.run(crowd(5))
    found = asyncio.run(crowd(7))
    assert [1] * 5 == found[:5]
    assert [Reason.BUSY] * 2 == [error.refusal.reason for error in found[5:]]
