"""What a user may do in an account."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """From the least to the most; each may all that those before it may."""

    READ_ONLY = "read_only"
    ANALYST = "analyst"
    OWNER = "owner"

    def includes(self, other: Role) -> bool:
        """Whether it may do what the other may.

        >>> Role.ANALYST.includes(Role.READ_ONLY), Role.ANALYST.includes(Role.OWNER)
        (True, False)
        """
        order = list(Role)
        return order.index(self) >= order.index(other)

    @property
    def words(self) -> str:
        """The name for people.

        >>> Role.READ_ONLY.words
        'read only'
        """
        return self.value.replace("_", " ")

    @property
    def about(self) -> str:
        """What it may, in a sentence."""
        return _ABOUT[self]


_ABOUT = {
    Role.READ_ONLY: "Sees every page and its figures.",
    Role.ANALYST: "Sees every page, sends test events, has refused requests taken again, runs "
    "checks and makes reports.",
    Role.OWNER: "Does all that, changes settings, tokens and users, sets up sites, and exports or "
    "erases persons.",
}
