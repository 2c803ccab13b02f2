"""`doublet user …`: people who sign in to the dashboard, and what they may."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    open_catalog,
    print_json,
    print_rows,
    read_kept_settings,
    read_secret,
    read_settings,
    record,
)
from doublet.errors import OperatorError

if TYPE_CHECKING:
    from doublet.catalog import Catalog, User

user_app = typer.Typer(help="Make, invite, list and change users.", no_args_is_help=True)

UserName = Annotated[str, typer.Argument(help="The name to sign in with.")]
RoleOption = Annotated[
    Literal["owner", "analyst", "read_only"] | None,
    typer.Option("--role", help="What the user may in the account."),
]
OwnerOption = Annotated[
    bool, typer.Option("--operator", help="Owner of all accounts, also of those to come.")
]


@user_app.command("create")
def user_create(
    name: UserName,
    role: RoleOption = None,
    account: AccountOption = None,
    operator: OwnerOption = False,
    password_file: Annotated[
        str | None,
        typer.Option(help="File with the password, - for standard input; asked for without."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a user with a password.

    Example: doublet user create anna --role owner --password-file password.txt
    """
    catalog = open_catalog(read_settings(data, pairs))
    password = _password(name, password_file)
    user = _make(catalog, name, role, account, operator, "user.created", password)
    _print_user(catalog, user, as_json)


@user_app.command("invite")
def user_invite(
    name: UserName,
    role: RoleOption = None,
    account: AccountOption = None,
    operator: OwnerOption = False,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a user and print a link where she chooses her password, once and within a day.

    Example: doublet user invite anna --role analyst
    """
    chosen = read_settings(data, pairs)
    catalog = open_catalog(chosen)
    user = _make(catalog, name, role, account, operator, "user.invited")
    _print_link(chosen.url, catalog, user.user_name, as_json)


@user_app.command("list")
def user_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the users and what they may."""
    catalog = open_catalog(read_kept_settings(data, pairs))
    account_id = catalog.account(account).account_id if account else None
    print_rows([_row(user) for user in catalog.users.all(account_id)], as_json)


@user_app.command("role")
def user_role(
    name: UserName,
    role: Annotated[
        Literal["owner", "analyst", "read_only", "none", "operator"],
        typer.Argument(help="none takes it away; operator: owner of all accounts."),
    ],
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Give a user a role in an account, in place of an earlier one.

    Example: doublet user role anna read_only
    """
    from doublet.catalog import Role

    catalog = open_catalog(read_kept_settings(data, pairs))
    user = catalog.users.one(name)
    account_id = None
    if role == "operator":
        catalog.users.set_operator(user.user_name, True)
    else:
        if user.is_operator:
            catalog.users.set_operator(user.user_name, False)
        account_id = catalog.account(account).account_id
        catalog.users.set_role(user.user_name, account_id, None if role == "none" else Role(role))
    record(catalog, "user.role", user.user_name, account_id, role=role)
    _print_user(catalog, user, as_json)


@user_app.command("password")
def user_password(
    name: UserName,
    password_file: Annotated[
        str | None,
        typer.Option(help="File with the password, - for standard input; else a link is printed."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Print a link where a user chooses a new password, or set one; that ends all her sessions.

    Example: doublet user password anna
    """
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    user = catalog.users.one(name)
    if password_file is None:
        record(catalog, "user.reset", user.user_name)
        _print_link(chosen.url, catalog, user.user_name, as_json)
        return
    catalog.users.set_password(user.user_name, read_secret(password_file))
    record(catalog, "user.password", user.user_name)
    _print_user(catalog, user, as_json)


@user_app.command("disable")
def user_disable(
    name: UserName,
    undo: Annotated[bool, typer.Option("--undo", help="Let the user in again.")] = False,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Shut a user out at once; nothing else of hers is changed.

    Example: doublet user disable anna
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    user = catalog.users.one(name)
    catalog.users.disable(user.user_name, not undo)
    record(catalog, "user.enabled" if undo else "user.disabled", user.user_name)
    _print_user(catalog, user, as_json)


@user_app.command("remove")
def user_remove(
    name: UserName, data: Data = None, as_json: AsJson = False, pairs: SetOption = None
) -> None:
    """Forget a user; what was done stays in the record of changes.

    Example: doublet user remove anna
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    user = catalog.users.one(name)
    catalog.users.remove(user.user_name)
    record(catalog, "user.removed", user.user_name)
    print_json({"removed": user.user_name}) if as_json else print(f"Removed {user.user_name}")


def _make(
    catalog: Catalog,
    name: str,
    role: str | None,
    account: str | None,
    operator: bool,
    what: str,
    password: str = "",
) -> User:
    from doublet.catalog import Role
    from doublet.entries import check_password, check_user_name

    if (role is None) != operator:
        raise OperatorError(
            "A user has a role in an account, or all accounts.",
            "Give one of --role owner, analyst, read_only, and --operator.",
        )
    # Nobody is made by a command that fails half-way.
    owner = catalog.account(account) if role else None
    if password:
        check_password(password, check_user_name(name))
    user = catalog.users.create(name, is_operator=operator)
    if owner is not None and role is not None:
        catalog.users.set_role(user.user_name, owner.account_id, Role(role))
    if password:
        catalog.users.set_password(user.user_name, password)
    account_id = owner.account_id if owner else None
    record(catalog, what, user.user_name, account_id, role=role or "operator")
    return user


def _password(name: str, file: str | None) -> str:
    if file is not None:
        return read_secret(file) or _no_password()
    if not sys.stdin.isatty():
        return _no_password()
    return str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))


def _no_password() -> str:
    raise OperatorError(
        "There is no password.",
        "Name a file with --password-file, - for standard input; or `doublet user invite NAME` "
        "prints a link where the user chooses one.",
    )


def _row(user: User) -> dict[str, Any]:
    return {
        "name": user.user_name,
        "roles": "operator"
        if user.is_operator
        else ", ".join(f"{role.value} of {account}" for account, role in user.roles.items()),
        "state": "shut out"
        if user.is_disabled
        else ""
        if user.has_password
        else "has not chosen a password yet",
        "created_at": datetime.fromtimestamp(user.created_at, UTC).isoformat(),
    }


def _print_user(catalog: Catalog, user: User, as_json: bool) -> None:
    row = _row(catalog.users.one(user.user_name))
    print_json(row) if as_json else print_rows([row], as_json)


def _print_link(url: str, catalog: Catalog, user_name: str, as_json: bool) -> None:
    address = f"{url}/welcome?code={catalog.users.make_link(user_name)}"
    if as_json:
        print_json({"name": user_name, "link": address})
    else:
        print(f"For {user_name}, once and within a day:\n{address}")
