"""What a check found, in words."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["passed", "noted", "failed", "waiting", "unseen", "skipped"]
"""`noted`: in order, and there is something to know. `waiting`: for what a person does. `unseen`:
this probe cannot tell. `skipped`: it needs another check first."""


class Finding(msgspec.Struct, frozen=True):
    """One check's outcome. `fault` names what is wrong, `fix` says what to change; `at` is when it
    was found, in Unix seconds, `via` how."""

    check: str
    state: State
    says: str
    fix: str = ""
    fault: str = ""
    at: int = 0
    via: str = ""

    @property
    def is_open(self) -> bool:
        """Whether somebody has to do something before the setup is verified."""
        return self.state in ("failed", "waiting")


def passed(says: str) -> Finding:
    """All is well."""
    return Finding("", "passed", says)


def noted(fault: str, says: str, fix: str) -> Finding:
    """All is well, and there is something to know."""
    return Finding("", "noted", says, fix, fault)


def failed(fault: str, says: str, fix: str) -> Finding:
    """Something is wrong."""
    return Finding("", "failed", says, fix, fault)


def waiting(says: str, fix: str = "") -> Finding:
    """It comes when a person does something."""
    return Finding("", "waiting", says, fix)


def unseen(says: str, fix: str = "") -> Finding:
    """This probe cannot tell."""
    return Finding("", "unseen", says, fix)


def skipped(says: str) -> Finding:
    """Another check comes first."""
    return Finding("", "skipped", says)
