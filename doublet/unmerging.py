"""Unmerging: decisions of operators that two identifiers are not one person, into the log."""

from __future__ import annotations

from itertools import product

from doublet.accept import unmerge_record
from doublet.deposit import deposit
from doublet.person import GivenError, read_identifiers
from doublet.person.identifiers import DEVICE_KEYS, PEOPLE_KEYS, kind_of
from doublet.settings import Settings

_CLICKS = ("fbc", "ctwa_clid")
JOINING_KINDS = (*PEOPLE_KEYS, *(key for key in DEVICE_KEYS if key not in _CLICKS))
"""Kinds of identifiers that join records to persons."""


def read_identifier(text: str) -> frozenset[str]:
    """The identifier of a text KEY=VALUE, plain or hashed, in all forms that clients may have made
    of it. Raises GivenError, which names no value."""
    key, is_pair, value = text.partition("=")
    if not is_pair or not value:
        raise GivenError(
            "An identifier is KEY=VALUE.", "For example em=jo@example.com, or em=SHA-256."
        )
    if key in _CLICKS:
        raise GivenError(
            f"{key} names a click, which joins nobody.", f"Give one of {', '.join(JOINING_KINDS)}."
        )
    return read_identifiers({key: value})


def unmerge(
    settings: Settings, account_id: str, a: str, b: str, reason: str, *, revoked: bool = False
) -> None:
    """Make it durable that two identifiers (KEY=VALUE) are not one person's, or with `revoked` that
    this no longer stands. One moment of receipt holds the records of all their forms together.
    Raises GivenError."""
    ones, others = read_identifier(a), read_identifier(b)
    if ones & others:
        raise GivenError(
            f"Both are the same {kind_of(min(ones))}.", "Give an identifier of each person."
        )
    with deposit(settings, account_id) as place:
        arrival = place.arrival()
        place.append(
            [
                unmerge_record(one, other, reason, arrival, revoked=revoked)
                for one, other in product(sorted(ones), sorted(others))
            ]
        )
