"""Rows of customer lists as their senders write them: normalised and hashed on arrival, in memory.

What names one person is kept as `KEY=HASH`, as events have it; names, places and dates of birth
only tell rows apart, and are not kept. Why a row is of no use is said without repeating a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from doublet.accept.user_data import clean_user_data
from doublet.catalog import ListEntry
from doublet.errors import SenderError
from doublet.person.identifiers import identifiers_of

KEYS: dict[str, str] = {
    "EMAIL": "em",
    "PHONE": "ph",
    "EXTERN_ID": "external_id",
    "MADID": "madid",
    "PAGEUID": "page_scoped_user_id",
    "APPUID": "app_user_id",
    "UID": "fb_login_id",
    "FN": "fn",
    "LN": "ln",
    "FI": "fi",
    "F5FIRST": "f5first",
    "F5LAST": "f5last",
    "GEN": "ge",
    "DOB": "db",
    "DOBY": "doby",
    "DOBM": "dobm",
    "DOBD": "dobd",
    "CT": "ct",
    "ST": "st",
    "ZIP": "zp",
    "COUNTRY": "country",
}
"""Columns of a customer list, and the keys of `user_data` that mean the same (Marketing API,
*Customer file custom audiences*)."""

VALUE = "LOOKALIKE_VALUE"
OPTIONS = "DATA_PROCESSING_OPTIONS"
_IGNORED = ("DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE")
_OTHER_NAMES = {
    "EMAIL_SHA256": "EMAIL",
    "PHONE_SHA256": "PHONE",
    "MOBILE_ADVERTISER_ID": "MADID",
    "EMAIL_HASH": "EMAIL",
    "PHONE_HASH": "PHONE",
}
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"
_is_device = re.compile(r"[0-9A-Za-z-]{16,64}", re.ASCII).fullmatch
_hash = re.compile(r"[0-9A-Fa-f]{32,64}", re.ASCII).fullmatch
_SHAPE_LENGTH_MAX = 40
_VALUE_MAX = 1e12


class SchemaError(SenderError):
    """The columns of a customer list are not what they must be."""

    code = "list_schema"


class BadRow(NamedTuple):
    """A row of no use: which column is the cause (empty: none alone), and why. `shape` is its value
    with letters as `a` and digits as `0`, of a hash the beginning: never the value itself."""

    column: str
    why: str
    shape: str = ""

    def __str__(self) -> str:
        named = f"{self.column} {self.shape!r}" if self.shape else self.column
        return f"{named}: {self.why}" if named else self.why


class RowReader:
    """Reads rows of one schema; phone numbers without a country code are of the row's own country
    where that is plain, otherwise of `phone_country` (ISO 3166, empty for none). Raises SchemaError
    for a column that is unknown or there twice, and where none is a key."""

    def __init__(self, schema: Sequence[str], phone_country: str = "") -> None:
        self.columns = tuple(column_of(each) for each in schema)
        twice = {each for each in self.columns if self.columns.count(each) > 1}
        # Several mail addresses or phone numbers are several values of one key.
        if twice - {"EMAIL", "PHONE"}:
            raise SchemaError(f"schema has {min(twice)} twice.", "Name each column once.")
        if not any(each in KEYS for each in self.columns):
            raise SchemaError("schema has no key.", f"Name at least one of {', '.join(KEYS)}.")
        self._phone_country = phone_country

    @property
    def has_value(self) -> bool:
        """Whether rows bear a value."""
        return VALUE in self.columns

    def read(self, row: object) -> ListEntry | BadRow:
        """One row: a list of as many values as there are columns, or one value of one column."""
        if not isinstance(row, list | tuple):
            row = (row,)
        if len(row) != len(self.columns):
            return BadRow("", f"{len(row)} values, where schema has {len(self.columns)} columns")
        user_data: dict[str, Any] = {}
        value: float | None = None
        is_limited = False
        for column, cell in zip(self.columns, row, strict=True):
            if cell is None or cell == "":
                continue
            if column == VALUE:
                value = _number(cell)
                if value is None:
                    return BadRow(VALUE, "no number from 0 on", _shape(cell))
            elif column == OPTIONS:
                is_limited = "LDU" in (cell if isinstance(cell, list) else str(cell).upper())
            elif column in KEYS:
                _add(user_data, KEYS[column], cell)
        return self._entry(user_data, value, is_limited)

    def _entry(
        self, user_data: dict[str, Any], value: float | None, is_limited: bool
    ) -> ListEntry | BadRow:
        if not user_data:
            return BadRow("", "no value at all")
        flags: list[str] = []
        variants: dict[str, list[str]] = {}
        given = dict(user_data)
        device = given.pop("madid", None)
        cleaned = dict(clean_user_data(given, flags, self._phone_country, variants))
        if device is not None:
            if isinstance(device, str) and _is_device(device.strip()) and _NO_DEVICE not in device:
                cleaned["madid"] = device.strip().lower()
            else:
                flags.append("invalid_madid")
        for key in ("page_scoped_user_id", "fb_login_id"):
            if "\n" in str(cleaned.get(key, "")):
                del cleaned[key]
                flags.append(f"invalid_{key}")
        if not cleaned:
            return _bad(user_data, flags)
        identifiers = identifiers_of(cleaned) | identifiers_of(variants)
        if "madid" in cleaned:
            # Events have it as the device writes it: Apple's in capitals, Google's not.
            identifiers.add(f"madid={cleaned['madid'].upper()}")
        return ListEntry(_row_key(cleaned), tuple(sorted(identifiers)), value, is_limited)


def _add(user_data: dict[str, Any], key: str, cell: object) -> None:
    known = user_data.get(key)
    if known is None:
        user_data[key] = cell
    else:
        user_data[key] = [*(known if isinstance(known, list) else [known]), cell]


def column_of(name: str) -> str:
    """A column by the name that the documentation has for it. Raises SchemaError."""
    plain = name.strip().upper() if isinstance(name, str) else ""
    found = _OTHER_NAMES.get(plain, plain)
    if found in KEYS or found in (VALUE, OPTIONS, *_IGNORED):
        return found
    if found.endswith("_MD5"):
        raise SchemaError(
            "schema names MD5, which cannot be compared with what events carry.",
            "Hash with SHA-256.",
        )
    known = ", ".join((*KEYS, VALUE, OPTIONS))
    # Only what can be a column's name is repeated.
    shown = f" {plain}" if re.fullmatch(r"[A-Z_]{1,40}", plain) else ""
    raise SchemaError(f"schema has an unknown column{shown}.", f"There are {known}.")


def _bad(user_data: Mapping[str, Any], flags: Sequence[str]) -> BadRow:
    """Why nothing of a row is of use, by the first of its faults."""
    column_of_key = {key: column for column, key in KEYS.items()}
    kind, _, key = flags[0].partition("_") if flags else ("", "", "")
    column = column_of_key.get(key, "")
    why = "a placeholder, which fits everybody" if kind == "dud" else "not usable"
    return BadRow(column, why, _shape(user_data.get(key, "")))


def _shape(value: object) -> str:
    text = str(value[0] if isinstance(value, list) and value else value)
    if _hash(text):
        return f"{text[:8].lower()}…"
    plain = "".join("0" if c.isdigit() else "a" if c.isalpha() else c for c in text)
    return plain[:_SHAPE_LENGTH_MAX]


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        read = float(cell)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) and 0 <= read <= _VALUE_MAX else None


def _row_key(cleaned: Mapping[str, Any]) -> int:
    texts = []
    for key in sorted(cleaned):
        values = cleaned[key]
        texts += [f"{key}={each}" for each in ([values] if isinstance(values, str) else values)]
    digest = sha256("\n".join(texts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
