"""A person: all records of an account that carry the same identifiers, found, exported, erased.

Erasing leaves the rows and takes from them all that identifies: counts and money stay as they
were. A tombstone (`erasures`), which holds keyed digests only, keeps an older backup or a late
record from bringing the person back.
"""

from __future__ import annotations

from doublet.person.eraser import Eraser
from doublet.person.erasures import Erasure, Erasures, Wish, unite
from doublet.person.export import export
from doublet.person.find import Found, Records, find
from doublet.person.identifiers import GivenError, read_identifiers

__all__ = [
    "Eraser",
    "Erasure",
    "Erasures",
    "Found",
    "GivenError",
    "Records",
    "Wish",
    "export",
    "find",
    "read_identifiers",
    "unite",
]
