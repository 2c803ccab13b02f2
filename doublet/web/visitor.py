"""Who is asking, and what they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from doublet.catalog import Account, Catalog, Role
from doublet.catalog.changes import COMMAND_LINE
from doublet.refusal import Reason, Refusal
from doublet.web.refused import Refused


class Visitor(NamedTuple):
    """Whoever sent a valid token, the operator's key, or the cookie of a session.

    `who` is the name in the record of changes, `roles` are those by account id; None is an owner
    of every account. `user_name` is empty for tokens and the key. `csrf` is what a form must carry,
    empty where no cookie let the visitor in; `session_id` is that of a session, else empty.
    """

    who: str
    roles: Mapping[str, Role] | None
    only_account: Account | None = None
    user_name: str = ""
    csrf: str = ""
    session_id: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether every account is open to this visitor."""
        return self.roles is None

    @property
    def names_account(self) -> bool:
        """Whether addresses must name the account, since the visitor may see several."""
        return self.only_account is None

    def role_in(self, account_id: str) -> Role | None:
        """What the visitor may in an account, None for nothing at all."""
        return Role.OWNER if self.roles is None else self.roles.get(account_id)

    def may(self, account_id: str, role: Role | str) -> bool:
        """Whether the visitor may do in an account what this role may."""
        held = self.role_in(account_id)
        return held is not None and held.includes(Role(role))

    def may_see(self, account_id: str) -> bool:
        """Whether an account is open to this visitor."""
        return self.role_in(account_id) is not None

    def may_manage_users(self, account_id: str) -> bool:
        """Whether the visitor may say who else sees an account. No script with a token may."""
        is_person = bool(self.user_name) or self.who == COMMAND_LINE
        return is_person and self.may(account_id, Role.OWNER)

    def demand(self, account_id: str, role: Role) -> None:
        """Raises Refused for whoever may less in this account than the role."""
        held = self.role_in(account_id)
        if held is None or not held.includes(role):
            raise _too_little(role)

    def demand_anywhere(self, role: Role) -> None:
        """Raises Refused for whoever may less than the role in all accounts."""
        if self.roles is not None and not any(r.includes(role) for r in self.roles.values()):
            raise _too_little(role)

    def accounts(self, catalog: Catalog) -> list[Account]:
        """The accounts that are open to this visitor, oldest first."""
        if self.only_account is not None:
            return [self.only_account]
        return [a for a in catalog.accounts() if self.may_see(a.account_id)]


def _too_little(role: Role) -> Refused:
    message = f"This needs the role {role.words} in the account."
    return Refused(Refusal(Reason.NOT_ALLOWED, message))
