"""Settings, users and the record of changes; who may do what on every route there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from doublet.catalog import Catalog, Role
from doublet.relaying import filler_of
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.web.forms import SAFE_METHODS, csrf_of
from doublet.worker import OperatorKey, application, feed_of
from tests.dashboard import HOSTILE, Browser
from tests.server import served

PASSWORD = "correct horse battery"


class Whole:
    """All that the worker answers, of two accounts, and browsers of their users."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.settings.run_folder.mkdir(parents=True)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.ours = self.catalog.create_account("Our shop", "Europe/Berlin", "EUR")
        self.theirs = self.catalog.create_account("Their shop")
        self.pixel, self.token = self.catalog.create_pixel(self.ours.account_id, "Site")
        self.their_pixel, _ = self.catalog.create_pixel(self.theirs.account_id, "Their site")
        self._freshener = Freshener(self.settings)
        key = OperatorKey(self.settings.run_folder)
        self.key = key.path.read_text()
        self.app = application(
            self.settings,
            self.catalog,
            self._freshener,
            key,
            feed_of(self.settings, self.catalog, self._freshener),
            filler_of(self.settings, self.catalog, self._freshener),
        )
        self._serving = served(self.app)
        self.url = self._serving.__enter__()
        self._browsers: list[Browser] = []

    def browser(self, secret: str = "") -> Browser:
        """A browser with the cookie of a session, or with none."""
        made = Browser(self.url, secret)
        self._browsers.append(made)
        return made

    def user(self, name: str, role: Role | None = None, account_id: str = "") -> Browser:
        """A browser of a new user, with a role in our account or another; without one, the owner
        of all."""
        self.catalog.users.create(name, is_operator=role is None)
        if role is not None:
            self.catalog.users.set_role(name, account_id or self.ours.account_id, role)
        return self.browser(self.catalog.users.begin_session(name))

    def changed(self) -> list[tuple[str, str, str]]:
        """Who did what to what, oldest first."""
        return [(c.who, c.what, c.target) for c in reversed(self.catalog.changes.newest())]

    def close(self) -> None:
        """Stop answering."""
        for browser in self._browsers:
            browser.client.close()
        self._serving.__exit__(None, None, None)
        self._freshener.close()
        self.catalog.close()


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path / "doublet-data")
    yield made
    made.close()


# --- every route ------------------------------------------------------------------------------

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
    "/v1/check": Role.ANALYST,
    "/v1/reconcile": Role.ANALYST,
    "/v1/refused/replay": Role.ANALYST,
    "/v1/person/show": Role.ANALYST,
    "/v1/person/unmerge": Role.OWNER,
    "/v1/person/export": Role.OWNER,
    "/v1/person/erase": Role.OWNER,
    "/v1/destinations/{destination_id}/backfill": Role.OWNER,
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
        address += f"?account={account_id}" if path == "/v1/reconcile" else ""
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
        if path in ("/v1/test_events", "/", "/openapi.json", "/login", "/welcome"):
            continue
        answer, theirs = reader.get(path + asked), stranger.get(path + asked)
        assert 401 == whole.browser().get(path).status_code, path
        assert answer.status_code in (200, 400, 404), (path, answer.text)
        is_of_no_account = path in ("/profile", "/profile.json", "/profile.csv", "/setup")
        if not is_of_no_account and path not in ("/setup.json", "/v1/person/erasures"):
            assert theirs.status_code in (400, 404), (path, theirs.text)
        assert "Our shop" not in theirs.text, path
        opened += [path] if answer.status_code == 200 else []
    assert {"/overview", "/overview.csv", "/settings", "/changes", "/refused"} <= set(opened)


# --- settings ---------------------------------------------------------------------------------


def test_the_settings_are_shown_to_all_and_forms_to_owners(whole: Whole) -> None:
    whole.catalog.shops.create(
        whole.ours.account_id, whole.pixel.pixel_id, "shopify", HOSTILE + "shop"
    )
    owner, reader = whole.user("anna", Role.OWNER), whole.user("berta", Role.READ_ONLY)
    for browser in (owner, reader):
        page = browser.get("/settings").text
        for text in ("Our shop", "Site", "Shopify", "retention_events_d", "berta"):
            assert text in page
        assert HOSTILE not in page
        assert whole.token not in page
    actions = re.findall(r'action="(/settings/[^"]+)"', owner.get("/settings").text)
    assert {"account", "pixels", "tokens", "users"} <= {a.split("/")[2] for a in actions}
    assert [] == re.findall(r'action="(/settings/[^"]+)"', reader.get("/settings").text)
    shown = reader.get("/settings.json").json()
    assert ("Our shop", "Europe/Berlin") == (
        shown["account"]["name"],
        shown["account"]["time_zone"],
    )
    assert [("anna", "owner"), ("berta", "read_only")] == [
        (user["user_name"], user["role"]) for user in shown["users"]
    ]
    rows = reader.get("/settings.csv").text.splitlines()
    assert "part,id,name,value" == rows[0]
    assert f"pixel,{whole.pixel.pixel_id},mark_bots,False" in rows


def test_an_owner_changes_the_account(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    form = {"name": "Corner Shop", "time_zone": "Asia/Tokyo", "currency": "jpy"}
    answer = anna.post("/settings/account", **form)
    assert f"/settings?account={whole.ours.account_id}#account" == answer.headers["location"]
    account = whole.catalog.account(whole.ours.account_id)
    assert ("Corner Shop", "Asia/Tokyo", "JPY") == (
        account.name,
        account.time_zone,
        account.currency,
    )
    assert 303 == anna.post("/settings/account", **form).status_code
    for wrong in ({"name": " "}, {"time_zone": "Mars/Olympus"}, {"currency": "XXQ"}):
        refused = anna.post("/settings/account", **{**form, **wrong})
        assert 400 == refused.status_code
        assert 'role="alert"' in refused.text
    (change,) = whole.catalog.changes.newest()
    assert ("anna", "account.changed", "Corner Shop") == (change.who, change.what, change.target)
    assert {**form, "currency": "JPY"} == change.details


def test_an_owner_makes_and_changes_pixels(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    assert 303 == anna.post("/settings/pixels", name="Second site").status_code
    made = whole.catalog.pixels(whole.ours.account_id)[1]
    page = anna.get("/settings").text
    (token,) = re.findall(r"dbl_[A-Za-z0-9_-]{43}", page)
    assert whole.catalog.account_of_token(token) == whole.ours
    assert token not in anna.get("/settings").text, "it is shown once"
    form = {
        **{"name": "Second", "phone_country": "de", "mark_bots": "1", "hits_per_hour": "500"},
        **{"allow_domains": "Shop.example\r\n*.shop.example", "block_domains": ""},
    }
    path = f"/settings/pixels/{made.pixel_id}"
    assert 303 == anna.post(path, **form).status_code
    rules = whole.catalog.pixel_rules(made.pixel_id)
    assert (["*.shop.example", "shop.example"], [], True, 500, "DE") == (
        rules.allow_domains,
        rules.block_domains,
        rules.mark_bots,
        rules.hits_per_hour,
        rules.phone_country,
    )
    assert "only those of *.shop.example, shop.example" in anna.get("/settings").text
    for wrong in ({"allow_domains": "http://x"}, {"hits_per_hour": "-1"}, {"phone_country": "QQ"}):
        assert 400 == anna.post(path, **{**form, **wrong}).status_code
    assert 400 == anna.post(f"/settings/pixels/{whole.their_pixel.pixel_id}", **form).status_code
    assert rules == whole.catalog.pixel_rules(made.pixel_id)
    assert [("anna", "pixel.created", "Second site"), ("anna", "pixel.changed", "Second site")] == (
        whole.changed()
    )


def test_tokens_are_made_shown_once_and_revoked(whole: Whole) -> None:
    anna, other = whole.user("anna", Role.OWNER), whole.user("clara", Role.OWNER)
    anna.post("/settings/tokens", name="Shop's server")
    assert "dbl_" not in other.get("/settings.json").text + other.get("/settings").text.replace(
        'placeholder="dbl_', ""
    )
    (token,) = re.findall(r"dbl_[A-Za-z0-9_-]{43}", anna.get("/settings").text)
    bearer = {"authorization": f"Bearer {token}"}
    assert 200 == httpx.get(f"{whole.url}/overview.json", headers=bearer).status_code
    (row,) = [t for t in anna.get("/settings.json").json()["tokens"] if "server" in t["name"]]
    assert 303 == anna.post(f"/settings/tokens/{row['token_id']}/revoke").status_code
    assert 401 == httpx.get(f"{whole.url}/overview.json", headers=bearer).status_code
    assert 404 == anna.post(f"/settings/tokens/{row['token_id']}/revoke").status_code
    assert 400 == anna.post("/settings/tokens", name="").status_code
    assert ["token.created", "token.revoked"] == [what for _, what, _ in whole.changed()]
    assert token not in str(whole.catalog.changes.newest()) + anna.get("/changes.json").text


# --- users ------------------------------------------------------------------------------------


def test_an_owner_invites_changes_and_shuts_out(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    assert 303 == anna.post("/settings/users", user_name="Berta", role="read_only").status_code
    page = anna.get("/settings").text
    (code,) = re.findall(r"http://127.0.0.1:8700/welcome\?code=([A-Za-z0-9_-]+)", page)
    assert code not in anna.get("/settings").text
    guest = whole.browser()
    form = {"code": code, "password": PASSWORD, "repeated": PASSWORD}
    assert 303 == guest.client.post("/welcome", data=form).status_code
    assert 200 == guest.get("/overview").status_code
    assert 303 == anna.post("/settings/users/berta/role", role="analyst").status_code
    assert Role.ANALYST == whole.catalog.users.one("berta").roles[whole.ours.account_id]
    assert 303 == anna.post("/settings/users/berta/disable").status_code
    assert 401 == guest.get("/overview").status_code
    assert 303 == anna.post("/settings/users/berta/disable").status_code
    assert 303 == anna.post("/settings/users/berta/role", role="none").status_code
    assert {} == whole.catalog.users.one("berta").roles
    assert 404 == anna.post("/settings/users/berta/role", role="owner").status_code
    assert [
        *(("anna", "user.invited"), ("berta", "user.joined"), ("anna", "user.role")),
        *(("anna", "user.disabled"), ("anna", "user.enabled"), ("anna", "user.role")),
    ] == [(who, what) for who, what, _ in whole.changed()]
    assert code not in str(whole.catalog.changes.newest())


def test_an_invitation_that_nobody_took_is_taken_back(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    anna.post("/settings/users", user_name="berta", role="owner")
    (code,) = re.findall(r"welcome\?code=([A-Za-z0-9_-]+)", anna.get("/settings").text)
    anna.post("/settings/users/berta/role", role="none")
    assert ["anna"] == [user.user_name for user in whole.catalog.users.all()]
    assert 404 == whole.browser().get(f"/welcome?code={code}").status_code


def test_an_owner_cannot_take_the_place_of_somebody_in_another_account(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    whole.user("berta", Role.OWNER, whole.theirs.account_id)
    whole.user("olga")
    assert 303 == anna.post("/settings/users", user_name="berta", role="analyst").status_code
    assert "welcome?code=" not in anna.get("/settings").text, "she has her own password"
    for name in ("berta", "olga"):
        for act in ("link", "disable"):
            assert 403 == anna.post(f"/settings/users/{name}/{act}").status_code
    assert 403 == anna.post("/settings/users/olga/role", role="read_only").status_code
    assert 403 == anna.post("/settings/users/berta/role", role="operator").status_code
    assert 403 == anna.post("/settings/users", user_name="eva", role="operator").status_code
    assert 403 == anna.post("/settings/users/anna/role", role="none").status_code
    assert 400 == anna.post("/settings/users", user_name="berta", role="owner").status_code
    assert 400 == anna.post("/settings/users", user_name="eva", role="king").status_code
    assert {whole.theirs.account_id: Role.OWNER, whole.ours.account_id: Role.ANALYST} == (
        whole.catalog.users.one("berta").roles
    )
    assert whole.catalog.users.one("olga").is_operator


def test_an_owner_of_all_makes_another_in_the_account_that_is_named(whole: Whole) -> None:
    olga = whole.user("olga")
    ours = whole.ours.account_id
    assert 400 == olga.post("/settings/users", user_name="eva", role="operator").status_code
    answer = olga.post("/settings/users", user_name="eva", role="operator", account=ours)
    assert 303 == answer.status_code
    assert whole.catalog.users.one("eva").is_operator
    assert 303 == olga.post("/settings/users/eva/link", account=ours).status_code
    answer = olga.post("/settings/users/eva/role", role="analyst", account=ours)
    assert 303 == answer.status_code
    assert (False, {ours: Role.ANALYST}) == (
        whole.catalog.users.one("eva").is_operator,
        whole.catalog.users.one("eva").roles,
    )


def test_a_token_is_an_owner_but_for_users(whole: Whole) -> None:
    bearer = {"authorization": f"Bearer {whole.token}"}
    whole.user("berta", Role.READ_ONLY)

    def post(path: str, **form: str) -> int:
        answer = httpx.post(f"{whole.url}/settings/{path}", data=form, headers=bearer)
        return answer.status_code

    assert 303 == post("tokens", name="Another")
    assert 303 == post("account", name="Renamed")
    assert 403 == post("users", user_name="eva", role="owner")
    for act in ("role", "link", "disable"):
        assert 403 == post(f"users/berta/{act}", role="owner")
    assert ("access token Site", "token.created", "Another") == whole.changed()[0]


# --- the record -------------------------------------------------------------------------------


def test_the_record_is_of_the_account_with_twins(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    clara = whole.user("clara", Role.OWNER, whole.theirs.account_id)
    assert "Nothing was changed yet" in anna.get("/changes").text
    clara.post("/settings/tokens", name="Theirs")
    for number in range(3):
        anna.post("/settings/tokens", name=f"{HOSTILE}{number}")
    page = anna.get("/changes").text
    assert "made the access token" in page
    assert HOSTILE not in page
    assert "Theirs" not in page + anna.get("/changes.json").text
    rows = anna.get("/changes.json").json()
    assert [f"{HOSTILE}{number}" for number in (2, 1, 0)] == [row["target"] for row in rows]
    older = anna.get(f"/changes.json?before={rows[0]['change_id']}").json()
    assert rows[1:] == older
    assert 4 == len(anna.get("/changes.csv").text.splitlines())
    assert 400 == anna.get("/changes.json?before=x").status_code
    whole.catalog.changes.record("operator", "user.created", "olga")
    assert 3 == len(anna.get("/changes.json").json())
    operator = whole.user("olga").get(f"/changes.json?account={whole.ours.account_id}").json()
    assert "user.created" == operator[0]["what"]


def test_nothing_personal_or_secret_is_in_the_record(whole: Whole) -> None:
    anna = whole.user("anna", Role.OWNER)
    proof = {"x-csrf-token": csrf_of(anna.secret)}
    person = {"user_data": {"em": "mary@example.com", "ph": "+4915112345678"}}
    for act in ("export", "erase"):
        answer = anna.client.post(f"/v1/person/{act}", json=person, headers=proof)
        assert answer.status_code in (200, 202)
    unmerge = {"identifiers": ["em=mary@example.com", "em=jo@example.com"], "reason": "mary"}
    assert 200 == anna.client.post("/v1/person/unmerge", json=unmerge, headers=proof).status_code
    told = str(whole.catalog.changes.newest())
    assert ["person.exported", "person.erased", "person.unmerged"] == [
        what for _, what, _ in whole.changed()
    ]
    assert not re.search(r"mary|jo@|4915|[0-9a-f]{64}", told)
