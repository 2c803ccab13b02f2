"""Settings, users and the record of changes."""

from __future__ import annotations

import re

import httpx

from doublet.catalog import Role
from doublet.web.forms import csrf_of
from tests.dashboard import HOSTILE
from tests.whole import Whole

PASSWORD = "correct horse battery"


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
    # Pixels of one second have no order of their own.
    found = whole.catalog.pixels(whole.ours.account_id)
    (made,) = [each for each in found if each.name == "Second site"]
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
