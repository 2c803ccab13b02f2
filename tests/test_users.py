"""People who sign in: their names, passwords, roles, sessions and links."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from doublet.catalog import Catalog, Role
from doublet.catalog.users import (
    LINK_AGE_S_MAX,
    SEEN_S,
    SESSION_AGE_S_MAX,
    SESSION_IDLE_S_MAX,
    SESSIONS_MAX,
    session_id_of,
)
from doublet.errors import OperatorError
from tests.clock import Clock

PASSWORD = "correct horse battery"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.migrate()
    made.users.now = Clock()
    yield made
    made.close()


def clock_of(catalog: Catalog) -> Clock:
    """The clock of the catalog's users."""
    assert isinstance(catalog.users.now, Clock)
    return catalog.users.now


def test_a_user_signs_in_with_the_right_password_only(catalog: Catalog) -> None:
    users = catalog.users
    users.create(" Anna ")
    assert not users.is_right("anna", "")
    users.set_password("anna", PASSWORD)
    assert users.is_right("ANNA", PASSWORD)
    assert not users.is_right("anna", PASSWORD + " ")
    assert not users.is_right("berta", PASSWORD)
    users.disable("anna")
    assert not users.is_right("anna", PASSWORD)
    users.disable("anna", False)
    assert users.is_right("anna", PASSWORD)


def test_passwords_are_stored_as_argon2id_and_no_secret_reaches_the_disk(catalog: Catalog) -> None:
    users = catalog.users
    users.create("anna")
    users.set_password("anna", PASSWORD)
    secret, code = users.begin_session("anna", "Browser"), users.make_link("anna")
    with closing(sqlite3.connect(catalog.url.removeprefix("sqlite:///"))) as connection:
        (stored,) = connection.execute("select password_hash from users").fetchone()
        whole = "\n".join(connection.iterdump())
    assert stored.startswith("$argon2id$")
    assert not [text for text in (PASSWORD, secret, code) if text in whole]


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 257, " ANNA-BERTA-CLARA "])
def test_some_passwords_are_refused(catalog: Catalog, password: str) -> None:
    catalog.users.create("anna-berta-clara")
    with pytest.raises(OperatorError):
        catalog.users.set_password("anna-berta-clara", password)


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, "a\nb", "operator", "<b>"])
def test_some_names_are_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(OperatorError):
        catalog.users.create(name)
    assert [] == catalog.users.all()


def test_names_are_taken_once_whatever_their_case(catalog: Catalog) -> None:
    catalog.users.create("anna@shop.example")
    with pytest.raises(OperatorError, match="already"):
        catalog.users.create("Anna@Shop.example")


def test_roles_are_of_accounts_and_operators_have_all(catalog: Catalog) -> None:
    a, b = catalog.create_account("A"), catalog.create_account("B")
    users = catalog.users
    users.create("anna")
    users.create("olga", is_operator=True)
    users.set_role("anna", a.account_id, Role.READ_ONLY)
    users.set_role("anna", a.account_id, Role.ANALYST)
    assert {a.account_id: Role.ANALYST} == users.one("anna").roles
    assert ["anna", "olga"] == [user.user_name for user in users.all(a.account_id)]
    assert ["olga"] == [user.user_name for user in users.all(b.account_id)]
    users.set_role("anna", a.account_id, None)
    assert {} == users.one("anna").roles
    with pytest.raises(OperatorError):
        users.set_role("anna", "act_1", Role.OWNER)


def test_sessions_end_when_idle_after_a_month_and_on_demand(catalog: Catalog) -> None:
    users, clock = catalog.users, clock_of(catalog)
    users.create("anna")
    begun = clock.at
    idle, busy, ended = (users.begin_session("anna", f"Browser {n}") for n in range(3))
    assert users.end_session("anna", session_id_of(ended))
    assert not users.end_session("anna", session_id_of(ended))
    assert not users.end_session("berta", session_id_of(busy))
    assert users.session(ended) is None
    clock.at += SESSION_IDLE_S_MAX - 1
    assert users.session(busy)
    assert {session_id_of(idle), session_id_of(busy)} == {
        session.session_id for session in users.sessions("anna")
    }
    clock.at += 1
    assert users.session(idle) is None
    while clock.at < begun + SESSION_AGE_S_MAX - SESSION_IDLE_S_MAX:
        clock.at += SESSION_IDLE_S_MAX - SEEN_S
        assert users.session(busy)
    clock.at = begun + SESSION_AGE_S_MAX - 1
    assert users.session(busy)
    clock.at += 1
    assert users.session(busy) is None
    assert [] == users.sessions("anna")


@pytest.mark.parametrize("what", ["password", "disable", "remove", "link"])
def test_a_new_password_and_being_shut_out_end_all_sessions(catalog: Catalog, what: str) -> None:
    users = catalog.users
    for name in ("anna", "berta"):
        users.create(name)
    secret, other = users.begin_session("anna"), users.begin_session("berta")
    code = users.make_link("anna")
    if what == "password":
        users.set_password("anna", PASSWORD)
    elif what == "disable":
        users.disable("anna")
    elif what == "remove":
        users.remove("anna")
    else:
        users.use_link(code, "", PASSWORD)
    assert users.session(secret) is None
    assert users.link(code) is None
    assert users.session(other)


def test_a_user_has_so_many_sessions_and_no_more(catalog: Catalog) -> None:
    users, clock = catalog.users, clock_of(catalog)
    users.create("anna")
    secrets = []
    for _ in range(SESSIONS_MAX + 1):
        clock.at += 1
        secrets.append(users.begin_session("anna", "a\x1b[2J" + "b" * 1000))
    open_ = [secret for secret in secrets if users.session(secret)]
    assert secrets[1:] == open_
    assert all(s.browser.isprintable() and len(s.browser) == 200 for s in users.sessions("anna"))


def test_a_link_works_once_within_a_day(catalog: Catalog) -> None:
    users, clock = catalog.users, clock_of(catalog)
    users.create("anna")
    early, code = users.make_link("anna"), users.make_link("anna")
    assert users.link(early) is None, "a newer one ends it"
    with pytest.raises(OperatorError, match="12 to 256"):
        users.use_link(code, "", "short")
    # Whoever has the link is its user, whatever name comes with it.
    assert "anna" == users.use_link(code, "berta", PASSWORD).user_name
    assert users.is_right("anna", PASSWORD)
    with pytest.raises(OperatorError, match="opens nothing"):
        users.use_link(code, "", PASSWORD)
    late = users.make_link("anna")
    clock.at += LINK_AGE_S_MAX
    assert users.link(late) is None


def test_the_first_link_makes_an_operator_and_ends_when_there_is_a_user(catalog: Catalog) -> None:
    users = catalog.users
    code = users.make_link(None)
    assert (None,) == users.link(code)
    made = users.use_link(code, "Olga", PASSWORD)
    assert ("olga", True, True) == (made.user_name, made.is_operator, made.has_password)
    assert users.link(code) is None
    late = users.make_link(None)
    assert users.link(late) is None, "there is a user"


def test_tokens_are_listed_without_what_opens_and_revoked(catalog: Catalog) -> None:
    account, other = catalog.create_account("A"), catalog.create_account("B")
    secret = catalog.create_token(account.account_id, "Shop's server")
    (token,) = catalog.tokens.all(account.account_id)
    assert "Shop's server" == token.name
    assert (account, token.name) == catalog.tokens.holder(secret)
    assert catalog.tokens.revoke(other.account_id, token.token_id) is None
    assert token == catalog.tokens.revoke(account.account_id, token.token_id)
    assert catalog.tokens.holder(secret) is None
    assert {} == catalog.directory().account_of_token


def test_the_record_of_changes_only_grows(catalog: Catalog) -> None:
    catalog.changes.record("anna", "pixel.created", "Site", {"n": 1}, account_id="act_1", at=5)
    catalog.changes.record("operator", "user.created", "anna")
    newest, oldest = catalog.changes.newest()
    assert ("operator", "user.created", "anna", None, {}) == (
        newest.who,
        newest.what,
        newest.target,
        newest.account_id,
        newest.details,
    )
    assert [oldest] == catalog.changes.newest("act_1") == catalog.changes.newest(before=2)
    assert (5, {"n": 1}) == (oldest.at, oldest.details)
    with pytest.raises(AssertionError):
        catalog.changes.record("anna", "pixel.stolen", "Site")
    public = {name for name in vars(type(catalog.changes)) if not name.startswith("_")}
    assert {"record", "newest"} == public
