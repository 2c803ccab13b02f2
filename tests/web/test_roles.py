"""Who may do what, on every route there is; and that no cookie opens one without the proof."""

from __future__ import annotations

import re
from typing import Any

import httpx
from starlette.routing import Route

from doublet.catalog import Role
from doublet.web.forms import SAFE_METHODS, csrf_of
from tests.dashboard import Browser
from tests.whole import Whole

NOT_BY_COOKIE = {
    "/login": "lets in by a password or token",
    "/welcome": "lets in by the code of a link",
    "/v1/refresh": "takes the operator's key alone, as a header",
    "/v1/rebuild": "takes the operator's key alone, as a header",
    "/{path:graph}": "takes tokens alone, never a cookie",
    "/{path:graph_root}": "takes tokens alone, never a cookie",
}
"""Changing routes that no cookie opens, each with its reason."""

MAY: dict[str, Role | None] = {
    "/logout": None,
    "/profile/password": None,
    "/profile/session": None,
    # Sending from there needs an analyst; see below.
    "/payload": Role.READ_ONLY,
    "/v1/check": Role.ANALYST,
    "/v1/reconcile": Role.ANALYST,
    "/v1/audiences/of": Role.READ_ONLY,
    "/v1/audiences/export": Role.OWNER,
    "/v1/refused/replay": Role.ANALYST,
    "/v1/person/show": Role.ANALYST,
    "/v1/person/unmerge": Role.OWNER,
    "/v1/person/export": Role.OWNER,
    "/v1/person/erase": Role.OWNER,
    "/v1/destinations/{destination_id}/backfill": Role.OWNER,
    "/persons/find": Role.ANALYST,
    "/persons/export": Role.OWNER,
    "/persons/erase": Role.OWNER,
    "/persons/apart": Role.OWNER,
    "/reconcile": Role.ANALYST,
    **{f"/audiences/{act}": Role.ANALYST for act in ("preset", "rule", "like", "rename", "delete")},
    "/delivery/pause": Role.OWNER,
    "/delivery/activate": Role.OWNER,
    "/relay/replay": Role.ANALYST,
    "/relay/pause": Role.OWNER,
    "/setup": Role.OWNER,
    "/setup.json": Role.OWNER,
    "/setup/{setup_id}/check": Role.ANALYST,
    "/setup/{setup_id}/check.json": Role.ANALYST,
    "/setup/{setup_id}/test": Role.ANALYST,
    "/setup/{setup_id}/test.json": Role.ANALYST,
    **{
        f"/setup/{{setup_id}}/{act}": Role.OWNER
        for act in ("token", "shop", "site", "share", "unshare")
    },
    **{
        f"/settings/{act}": Role.OWNER
        for act in (
            *("account", "pixels", "pixels/{pixel_id}", "tokens", "tokens/{token_id}/revoke"),
            *("users", "users/{user_name}/role", "users/{user_name}/link"),
            "users/{user_name}/disable",
        )
    },
}
"""What each changing route asks for; None: whoever is signed in."""


def changing(whole: Whole) -> list[tuple[str, str]]:
    """Method and path of every route that may change something."""
    return [
        (method, route.path)
        for route in whole.app.routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - SAFE_METHODS)
    ]


def prepared(whole: Whole) -> dict[str, str]:
    """The parts of addresses, of our account."""
    catalog, account_id = whole.catalog, whole.ours.account_id
    setup = catalog.setups.create(
        account_id, whole.pixel.pixel_id, "html", "leads", "own", "https://shop.example/"
    )
    destination = catalog.create_destination(
        account_id, "webhook", "Hook", {"url": "https://hook.example/"}, "secret"
    )
    token = catalog.tokens.all(account_id)[0]
    catalog.users.create("somebody")
    catalog.users.set_role("somebody", account_id, Role.READ_ONLY)
    return {
        "setup_id": setup.setup_id,
        "destination_id": destination.destination_id,
        "pixel_id": whole.pixel.pixel_id,
        "token_id": token.token_id,
        "user_name": "somebody",
    }


PERSON = {"user_data": {"em": "a@example.com"}}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/audiences/export": {"audience_id": "1"},
    "/v1/person/show": PERSON,
    "/v1/person/export": PERSON,
    "/v1/person/erase": PERSON,
    "/v1/person/unmerge": {"identifiers": ["em=a@example.com", "em=b@example.com"], "reason": "x"},
    "/v1/refused/replay": {"reason": "invalid_event"},
    "/setup.json": {
        **{"platform": "html", "goal": "leads", "place": "own"},
        "site_url": "https://other.example/",
    },
}
"""Bodies of JSON that name the account; other routes have it in the address or a form."""

OPENS_THE_SITE = {"/setup/{setup_id}/check", "/setup/{setup_id}/check.json"}


OF_ALL_ACCOUNTS = {"/setup.json", "/setup.csv", "/v1/person/erasures"}
"""Lists of what is in all accounts that the visitor may see."""


def call(
    browser: Browser,
    method: str,
    path: str,
    places: dict[str, str],
    headers: dict[str, str],
    account_id: str,
) -> httpx.Response:
    """A request about an account that is whole but for the proof that it is this site's own."""
    address = re.sub(r"{(\w+)}", lambda found: places[found[1]], path)
    body: dict[str, Any] = {"data": {"role": "analyst", "name": "x", "account": account_id}}
    if path in BODIES:
        body = {"json": BODIES[path] | {"account": account_id}}
    elif path.endswith("backfill"):
        body = {"json": {"since": 1, "until": 2}}
    elif path.endswith(".json") or path.startswith("/v1/"):
        body = {"json": {}}
    if path not in BODIES:
        address += f"?account={account_id}"
    return browser.client.request(method, address, headers=headers, **body)


def test_every_changing_route_is_known(whole: Whole) -> None:
    assert {path for _, path in changing(whole)} == set(MAY) | set(NOT_BY_COOKIE)


def test_no_changing_route_is_opened_by_a_cookie_without_the_proof(whole: Whole) -> None:
    places, browser = prepared(whole), whole.user("olga")
    proof = {"x-csrf-token": csrf_of(browser.secret)}
    forged: tuple[dict[str, str], ...] = (
        {},
        {"x-csrf-token": csrf_of("another")},
        {"x-csrf-token": ""},
        {**proof, "sec-fetch-site": "cross-site"},
        {**proof, "sec-fetch-site": "same-site"},
        {**proof, "origin": "https://evil.example"},
    )
    for method, path in changing(whole):
        if path in NOT_BY_COOKIE:
            continue
        for headers in forged:
            answer = call(browser, method, path, places, headers, whole.ours.account_id)
            # Whoever is sent here from elsewhere to sign out is shown the way in.
            allowed = {403} if path != "/logout" else {401, 403}
            assert answer.status_code in allowed, (method, path, headers, answer.text)
    assert [] == whole.changed()
    assert 200 == browser.get("/profile").status_code


def test_routes_that_no_cookie_opens_are_closed_to_a_cookie(whole: Whole) -> None:
    browser = whole.user("olga")
    proof = {"x-csrf-token": csrf_of(browser.secret)}
    token = {"cookie": f"doublet_token={whole.token}"}
    for method, path in changing(whole):
        if path not in NOT_BY_COOKIE or path == "/welcome":
            continue
        address = {"/{path:graph_root}": "/v25.0", "/{path:graph}": "/v25.0/me"}.get(path, path)
        for headers in (proof, token):
            answer = browser.client.request(method, address, headers=headers)
            assert answer.status_code in (400, 401), (method, path, answer.text)
            if answer.status_code == 400:
                assert answer.json()["error"]["code"] in (190, 104, 100, 1, 2500), answer.text
            assert "set-cookie" not in answer.headers
    assert [] == whole.changed()


def test_each_role_may_what_it_may_and_no_more_on_every_changing_route(whole: Whole) -> None:
    places, account_id = prepared(whole), whole.ours.account_id
    browsers = {role: whole.user(f"the-{role.value}".replace("_", "-"), role) for role in Role}
    stranger = whole.user("stranger", Role.OWNER, whole.theirs.account_id)
    for method, path in changing(whole):
        wanted = MAY.get(path)
        if wanted is None:
            continue
        proof = {"x-csrf-token": csrf_of(stranger.secret)}
        answer = call(stranger, method, path, places, proof, account_id)
        # It is of no account; another account's things are like those that nobody has.
        allowed = {200} if path == "/v1/check" else {400, 404}
        assert answer.status_code in allowed, (path, answer.status_code, answer.text)
        for role, browser in browsers.items():
            if role.includes(wanted) and path in OPENS_THE_SITE:
                continue
            proof = {"x-csrf-token": csrf_of(browser.secret)}
            answer = call(browser, method, path, places, proof, account_id)
            told = (path, role, answer.status_code, answer.text)
            assert (answer.status_code != 403) == role.includes(wanted), told
            assert answer.status_code < 500, told
    # Nobody without the role has left a trace.
    assert {"the-owner"} | {"the-analyst"} == {who for who, _, _ in whole.changed()}
    assert {"refused.replayed"} == {
        what for who, what, _ in whole.changed() if who == "the-analyst"
    }


def test_the_owner_of_all_names_the_account(whole: Whole) -> None:
    places, olga = prepared(whole), whole.user("olga")
    proof = {"x-csrf-token": csrf_of(olga.secret)}
    for method, path in changing(whole):
        if MAY.get(path) is None or path in OPENS_THE_SITE:
            continue
        answer = call(olga, method, path, places, proof, whole.ours.account_id)
        told = (path, answer.status_code, answer.text)
        assert answer.status_code not in (401, 403), told
        assert answer.status_code < 500, told
        assert "account is missing" not in answer.text, told
        assert "Choose an account" not in answer.text, told


def test_whoever_reads_checks_a_payload_and_does_not_send_it(whole: Whole) -> None:
    reader = whole.user("reader", Role.READ_ONLY)
    form = {
        "pixel": whole.pixel.pixel_id,
        "payload": '{"data": [{"event_name": "Lead", "event_time": 1, "user_data": {"em": "a"}}]}',
    }
    assert 200 == reader.post("/payload", do="check", **form).status_code
    assert 403 == reader.post("/payload", do="send", **form).status_code


def test_pages_and_twins_are_for_every_role_and_for_no_stranger(whole: Whole) -> None:
    reader = whole.user("reader", Role.READ_ONLY)
    stranger = whole.user("stranger", Role.OWNER, whole.theirs.account_id)
    asked = f"?account={whole.ours.account_id}"
    opened = []
    for route in whole.app.routes:
        assert isinstance(route, Route)
        path = route.path
        if "GET" not in (route.methods or ()) or "{" in path or path.startswith("/static/"):
            continue
        if path in (
            "/v1/test_events",
            "/v1/as_of",
            "/",
            "/campaigns",
            "/openapi.json",
            "/login",
            "/welcome",
        ):
            continue
        answer, theirs = reader.get(path + asked), stranger.get(path + asked)
        assert 401 == whole.browser().get(path).status_code, path
        assert answer.status_code in (200, 400, 404), (path, answer.text)
        is_of_no_account = path in ("/profile", "/profile.json", "/profile.csv", "/setup")
        if not is_of_no_account and path not in OF_ALL_ACCOUNTS:
            assert theirs.status_code in (400, 404), (path, theirs.text)
        assert "Our shop" not in theirs.text, path
        opened += [path] if answer.status_code == 200 else []
    assert {"/overview", "/overview.csv", "/settings", "/changes", "/refused"} <= set(opened)


def test_what_signs_a_shops_orders_is_shown_to_owners_alone(whole: Whole) -> None:
    owner = whole.user("anna", Role.OWNER)
    answer = owner.post(
        "/setup",
        **{"platform": "woocommerce", "goal": "purchases", "place": "own"},
        **{"site_url": "https://shop.example/", "name": "Shop"},
    )
    address = answer.headers["location"]
    (shop,) = whole.catalog.shops.all()
    (unshown,) = re.findall(r"dbl_[A-Za-z0-9_-]{43}", owner.get(address).text)
    assert shop.secrets[0].value in owner.get(address).text
    owner.post(f"{address}/token")
    owner.post(f"{address}/share")
    for role in (Role.ANALYST, Role.READ_ONLY):
        browser = whole.user(f"the-{role.value}".replace("_", "-"), role)
        page = browser.get(address)
        assert 200 == page.status_code
        assert shop.secrets[0].value not in page.text
        assert not re.findall(r"dbl_[A-Za-z0-9_-]{43}|\?key=[A-Za-z0-9_-]{8,}", page.text)
        forms = set(re.findall(rf'action="{address}/(\w+)"', page.text))
        assert (set() if role is Role.READ_ONLY else {"check", "test"}) == forms
        assert 'action="/setup"' not in browser.get("/setup").text
        assert shop.secrets[0].value not in browser.get(f"{address}.json").text
        assert shop.secrets[0].value not in browser.get("/settings.json").text
    # It waits for the owner.
    last = owner.get(address).text
    assert unshown not in last
    assert 1 == len(re.findall(r"dbl_[A-Za-z0-9_-]{43}", last))
    assert 1 == len(re.findall(r"\?key=[A-Za-z0-9_-]{8,}", last))
