"""`doublet user …`: users made, invited, changed and removed by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from doublet.catalog import Catalog, Role
from doublet.cli import app
from doublet.errors import OperatorError
from doublet.serve import first_user_address
from doublet.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(Settings(data=tmp_path).catalog_url)
    made.migrate()
    made.create_account("Shop")
    return made


def run(tmp_path: Path, *arguments: str, given: str = "") -> str:
    """What a command prints. Raises what it raises."""
    done = CliRunner().invoke(
        app,
        ["user", *arguments, "--data", str(tmp_path)],
        input=given,
        catch_exceptions=False,
    )
    assert 0 == done.exit_code, done.output
    return done.stdout


def test_a_user_is_made_and_listed(tmp_path: Path, catalog: Catalog) -> None:
    run(tmp_path, "create", "Anna", "--role", "analyst", "--password-file", "-", given=PASSWORD)
    run(tmp_path, "create", "olga", "--operator", "--password-file", "-", given=PASSWORD)
    assert catalog.users.is_right("anna", PASSWORD)
    (account,) = catalog.accounts()
    anna, olga = json.loads(run(tmp_path, "list", "--json"))
    assert ("anna", f"analyst of {account.account_id}", "") == (
        anna["name"],
        anna["roles"],
        anna["state"],
    )
    assert "operator" == olga["roles"]
    assert PASSWORD not in run(tmp_path, "list") + str(catalog.changes.newest())


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("create", "anna", "--password-file", "-"), PASSWORD),
        (("create", "anna", "--role", "owner", "--operator", "--password-file", "-"), PASSWORD),
        (("create", "anna", "--role", "owner", "--password-file", "-"), "short"),
        (("create", "anna", "--role", "owner", "--password-file", "-"), ""),
        (("create", "anna", "--role", "owner"), ""),
        (("create", "an na", "--role", "owner", "--password-file", "-"), PASSWORD),
        (("invite", "anna", "--role", "owner", "--account", "Nobody"), ""),
    ],
)
def test_what_cannot_be_meant_makes_nobody(
    tmp_path: Path, catalog: Catalog, arguments: tuple[str, ...], given: str
) -> None:
    with pytest.raises(OperatorError):
        run(tmp_path, *arguments, given=given)
    assert ([], []) == (catalog.users.all(), catalog.changes.newest())


def test_an_invitation_prints_a_link_that_works(tmp_path: Path, catalog: Catalog) -> None:
    printed = run(tmp_path, "invite", "anna", "--role", "read_only", "--account", "Shop")
    (code,) = re.findall(r"^http://127.0.0.1:8700/welcome\?code=(\S+)$", printed, re.MULTILINE)
    assert ("anna",) == catalog.users.link(code)
    assert "has not chosen a password yet" in run(tmp_path, "list")
    link = json.loads(run(tmp_path, "password", "anna", "--json"))["link"]
    assert catalog.users.link(code) is None
    catalog.users.use_link(link.partition("code=")[2], "", PASSWORD)
    assert catalog.users.is_right("anna", PASSWORD)
    assert code not in str(catalog.changes.newest())


def test_roles_are_given_and_taken(tmp_path: Path, catalog: Catalog) -> None:
    run(tmp_path, "invite", "anna", "--role", "read_only")
    (account,) = catalog.accounts()
    for role, roles, is_operator in (
        ("owner", {account.account_id: Role.OWNER}, False),
        ("operator", {account.account_id: Role.OWNER}, True),
        ("analyst", {account.account_id: Role.ANALYST}, False),
        ("none", {}, False),
    ):
        run(tmp_path, "role", "anna", role)
        user = catalog.users.one("anna")
        assert (roles, is_operator) == (user.roles, user.is_operator)
    assert ["none", "analyst", "operator", "owner", "read_only"] == [
        change.details["role"] for change in catalog.changes.newest()
    ]


def test_a_user_is_shut_out_let_in_and_removed(tmp_path: Path, catalog: Catalog) -> None:
    run(tmp_path, "invite", "anna", "--role", "owner")
    run(tmp_path, "password", "anna", "--password-file", "-", given=PASSWORD)
    secret = catalog.users.begin_session("anna")
    assert "shut out" in run(tmp_path, "disable", "anna")
    assert (None, False) == (
        catalog.users.session(secret),
        catalog.users.is_right("anna", PASSWORD),
    )
    run(tmp_path, "disable", "anna", "--undo")
    assert catalog.users.is_right("anna", PASSWORD)
    run(tmp_path, "remove", "anna")
    assert [] == catalog.users.all()
    with pytest.raises(OperatorError, match="no user"):
        run(tmp_path, "remove", "anna")
    assert ["user.removed", "user.enabled", "user.disabled", "user.password", "user.invited"] == [
        change.what for change in catalog.changes.newest()
    ]


def test_each_start_prints_a_new_link_until_there_is_a_user(
    tmp_path: Path, catalog: Catalog
) -> None:
    chosen = Settings(data=tmp_path)
    first, second = first_user_address(chosen), first_user_address(chosen)
    codes = [address.partition("/welcome?code=")[2] for address in (first, second)]
    assert [None, (None,)] == [catalog.users.link(code) for code in codes]
    catalog.users.use_link(codes[1], "olga", PASSWORD)
    assert "" == first_user_address(chosen)


def test_what_other_commands_change_is_recorded_too(tmp_path: Path, catalog: Catalog) -> None:
    def doublet(*arguments: str, given: str = "") -> None:
        done = CliRunner().invoke(
            app, [*arguments, "--data", str(tmp_path)], input=given, catch_exceptions=False
        )
        assert 0 == done.exit_code, done.output

    (tmp_path / "secret").write_text("whsec_keep_it_out")
    doublet("account", "create", "Second")
    doublet("account", "edit", "Second", "--currency", "EUR")
    doublet("pixel", "create", "Site", "--account", "Second")
    pixel_id = catalog.pixels()[0].pixel_id
    doublet("pixel", "edit", pixel_id, "--mark-bots")
    secret = ("--secret-file", str(tmp_path / "secret"))
    doublet("shop", "add", "shopify", "Corner", "--account", "Second", *secret)
    doublet("shop", "remove", "Corner")
    changes = catalog.changes.newest()
    assert [
        *(("shop.removed", "Corner"), ("shop.created", "Corner"), ("pixel.changed", "Site")),
        *(("pixel.created", "Site"), ("account.changed", "Second"), ("account.created", "Second")),
    ] == [(change.what, change.target) for change in changes]
    assert {"operator"} == {change.who for change in changes}
    assert 1 == len({change.account_id for change in changes})
    assert "keep_it_out" not in str(changes)


def test_what_the_command_line_does_to_persons_is_recorded_without_them(
    tmp_path: Path, catalog: Catalog
) -> None:
    def person(*arguments: str) -> None:
        done = CliRunner().invoke(
            app,
            ["person", *arguments, "--data", str(tmp_path)],
            catch_exceptions=False,
        )
        assert 0 == done.exit_code, done.output

    person("export", "--email", "mary@example.com", "--output", str(tmp_path / "mary.jsonl"))
    person("erase", "--email", "mary@example.com")
    person("unmerge", "em=mary@example.com", "em=jo@example.com")
    changes = catalog.changes.newest()
    assert ["person.unmerged", "person.erased", "person.exported"] == [c.what for c in changes]
    assert not re.search(r"mary|jo@|[0-9a-f]{64}", str(changes))
