"""What the forms of the settings do to the users of an account.

An owner rules over who sees the account. Over a user as a whole (a new password, being shut out)
only who owns every account that the user sees: otherwise the owner of one account could take the
place of somebody in another.
"""

from __future__ import annotations

from collections.abc import Mapping

from doublet.catalog import Catalog, Role, User
from doublet.entries import check_user_name
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.forms import Asked
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_OPERATOR = "operator"


def demand(asked: Asked) -> None:
    """Raises Refused for who may not say who sees the account, as scripts with a token."""
    if not asked.visitor.may_manage_users(asked.account.account_id):
        message = "An access token cannot change users; sign in with a name and password."
        raise Refused(Refusal(Reason.NOT_ALLOWED, message))


def rules_over(visitor: Visitor, user: User) -> bool:
    """Whether a visitor owns all that a user sees, and is somebody else."""
    if visitor.user_name == user.user_name:
        return False
    return visitor.is_operator or (
        not user.is_operator
        and all(visitor.may_manage_users(account_id) for account_id in user.roles)
    )


def ruled_by(catalog: Catalog, visitor: Visitor, account_id: str) -> frozenset[str]:
    """The names of the account's users over whom the visitor rules."""
    return frozenset(
        user.user_name for user in catalog.users.all(account_id) if rules_over(visitor, user)
    )


def invite(door: Access, asked: Asked, _: Mapping[str, str]) -> tuple[str, str] | None:
    """Give somebody a role: a new user, who gets a link, or one that there is already."""
    users, account_id = door.catalog.users, asked.account.account_id
    name, role = check_user_name(asked.fields.get("user_name", "")), _role(asked)
    if role is None:
        raise OperatorError("The role is missing.", "Choose one.")
    known = {user.user_name: user for user in users.all()}.get(name)
    if known is not None and (known.is_operator or account_id in known.roles):
        raise OperatorError(f"{name} sees this account already.", "Change the role in the list.")
    if known is None:
        users.create(name, is_operator=role == _OPERATOR)
    elif role == _OPERATOR:
        users.set_operator(name, True)
    if isinstance(role, Role):
        users.set_role(name, account_id, role)
    asked.record(door.catalog, "user.role" if known else "user.invited", name, role=str(role))
    if known is not None:
        return None
    return _link(door, asked, name)


def change_role(door: Access, asked: Asked, place: Mapping[str, str]) -> None:
    """Give a user another role in the account, or none any longer."""
    user, role = _other(door, asked, place), _role(asked)
    users, account_id = door.catalog.users, asked.account.account_id
    if user.is_operator and not asked.visitor.is_operator:
        message = "Only another owner of all accounts changes what an owner of all may."
        raise Refused(Refusal(Reason.NOT_ALLOWED, message))
    if (role == _OPERATOR) != user.is_operator:
        users.set_operator(user.user_name, role == _OPERATOR)
    if role != _OPERATOR:
        assert role is None or isinstance(role, Role)
        users.set_role(user.user_name, account_id, role)
    if role is None and not user.has_password and not users.one(user.user_name).roles:
        # An invitation that nobody has taken leads nowhere now.
        users.remove(user.user_name)
    asked.record(door.catalog, "user.role", user.user_name, role=str(role or "none"))


def make_link(door: Access, asked: Asked, place: Mapping[str, str]) -> tuple[str, str]:
    """A link where a user chooses a new password."""
    user = _ruled(door, asked, place)
    made = _link(door, asked, user.user_name)
    asked.record(door.catalog, "user.reset", user.user_name)
    return made


def disable(door: Access, asked: Asked, place: Mapping[str, str]) -> None:
    """Shut a user out, or let in again."""
    user = _ruled(door, asked, place)
    door.catalog.users.disable(user.user_name, not user.is_disabled)
    what = "user.enabled" if user.is_disabled else "user.disabled"
    asked.record(door.catalog, what, user.user_name)


def _link(door: Access, asked: Asked, user_name: str) -> tuple[str, str]:
    code = door.catalog.users.make_link(user_name)
    return f"Link for {user_name}, once and within a day", f"/welcome?code={code}"


def _role(asked: Asked) -> Role | str | None:
    """The role that the form names; None for none."""
    given = asked.fields.get("role", "")
    if given == _OPERATOR:
        if not asked.visitor.is_operator:
            message = "Only an owner of all accounts makes another."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        return _OPERATOR
    if given == "none":
        return None
    if given not in list(Role):
        raise OperatorError(f"{given[:40]!r} is no role.", f"Choose {', '.join(Role)} or none.")
    return Role(given)


def _other(door: Access, asked: Asked, place: Mapping[str, str]) -> User:
    """A user of the account who is not the visitor. Raises Refused."""
    for user in door.catalog.users.all(asked.account.account_id):
        if user.user_name == place["user_name"]:
            if user.user_name == asked.visitor.user_name:
                message = "Nobody changes what she may herself; ask another owner."
                raise Refused(Refusal(Reason.NOT_ALLOWED, message))
            return user
    raise Refused(Refusal(Reason.NOT_FOUND, "There is no such user in this account."))


def _ruled(door: Access, asked: Asked, place: Mapping[str, str]) -> User:
    user = _other(door, asked, place)
    if not rules_over(asked.visitor, user):
        message = f"{user.user_name} also sees accounts that are not yours."
        raise Refused(Refusal(Reason.NOT_ALLOWED, message))
    return user
