"""Passwords as Argon2id hashes (RFC 9106), which take time and memory to make."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# One takes 64 MiB; more at a time would make signing in a way to fill the memory.
_at_a_time = threading.BoundedSemaphore(2)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("the password of nobody")


def hash_password(password: str) -> str:
    """The form in which a password is stored; it holds its own salt and parameters."""
    with _at_a_time:
        return _hasher().hash(password.encode("utf-8", "surrogatepass"))


def is_password(password_hash: str, password: str) -> bool:
    """Whether a hash is that of a password. An empty one is of none, which takes as long to say:
    whoever tries does not learn by the time whether there is such a user."""
    from argon2.exceptions import InvalidHashError, VerifyMismatchError

    wanted = password_hash or _nobodys_hash()
    with _at_a_time:
        try:
            _hasher().verify(wanted, password.encode("utf-8", "surrogatepass"))
        except (VerifyMismatchError, InvalidHashError):
            return False
    return bool(password_hash)
