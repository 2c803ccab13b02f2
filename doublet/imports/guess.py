"""Guesses which column of a file is which field, from its name, and where that says nothing from
what is in it. Pure: columns and some rows in, guesses out; a person confirms them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from doublet.accept.steps import ACTION_SOURCES, CURRENCIES
from doublet.imports.fields import (
    CUSTOM,
    EXPORTS,
    FIELD,
    KNOWN_NAMES,
    LINE,
    Export,
    Known,
    plain_name,
)
from doublet.imports.mapping import Mapping as ColumnMapping
from doublet.imports.values import Unclear, dates_of, decimals_of, read_sum, time_of
from doublet.normalize import normalize
from doublet.redact import redact

Cells = Mapping[str, object]

_SHARE_MIN = 0.9
_SHOWN_LENGTH_MAX = 30


class Guess(NamedTuple):
    """One column: its field (empty: it is left aside), why, and an example of what is in it, which
    is masked where it says something about a person."""

    column: str
    field: str
    why: str
    example: str


class Guessed(NamedTuple):
    """All columns in the order of the file, and what is the same for all rows, by field with why.
    `decimals` and `dates` are what the cells tell of how sums and days are written."""

    columns: list[Guess]
    constants: dict[str, tuple[str, str]]
    mapping: ColumnMapping


def guess(
    columns: Sequence[str],
    rows: Sequence[Cells],
    given: ColumnMapping,
    currency: str,
    aside: frozenset[str] = frozenset(),
    names: Mapping[str, Known] = KNOWN_NAMES,
) -> Guessed:
    """Guess what `given` leaves open. `rows` are some of the file, `currency` is the account's,
    `aside` are columns that must not be mapped, `names` say what names mean."""
    export = next((each for each in EXPORTS if each.needs <= set(columns)), None)
    texts = {column: _texts(column, rows) for column in columns}
    found: dict[str, tuple[str, str]] = {
        column: (field, "as you say") for column, field in given.columns.items()
    }
    taken = {*given.columns.values(), *given.constants}
    open_columns = [each for each in columns if each not in found and each not in aside]
    _by_export(export, open_columns, found, taken)
    _by_name([each for each in open_columns if each not in found], names, texts, found, taken)
    _by_value([each for each in open_columns if each not in found], texts, rows, found, taken)
    constants = {field: (text, "as you say") for field, text in given.constants.items()}
    fields = {column: field for column, (field, _) in found.items() if field}
    _add_constants(constants, taken, export)
    sums = _of_kind("money", fields, texts)
    if "value" in taken and "currency" not in taken and not any(map(_names_currency, sums)):
        constants["currency"] = (currency, "the account's")
    mapping = ColumnMapping(
        {column: fields[column] for column in columns if column in fields},
        {field: text for field, (text, _) in constants.items()},
        given.decimals or decimals_of(sums),
        given.dates or dates_of(_of_kind("time", fields, texts)),
        given.time_zone,
    )
    shown = []
    for column in columns:
        field, why = found.get(column, ("", "you leave it aside" if column in aside else ""))
        shown.append(Guess(column, field, why, _example(field, texts[column])))
    return Guessed(shown, constants, mapping)


def _texts(column: str, rows: Sequence[Cells]) -> list[str]:
    """What stands in a column, empty cells left out."""
    found = (row.get(column) for row in rows)
    return [text for value in found if value is not None and (text := str(value).strip())]


def _of_kind(kind: str, fields: Mapping[str, str], texts: Mapping[str, list[str]]) -> list[str]:
    return [
        text
        for column, field in fields.items()
        if field in FIELD and FIELD[field].kind == kind
        for text in texts[column]
    ]


def _by_export(
    export: Export | None,
    columns: Sequence[str],
    found: dict[str, tuple[str, str]],
    taken: set[str],
) -> None:
    for column in columns if export else ():
        assert export is not None
        field = export.columns.get(column)
        if field == "" or (field and field not in taken):
            found[column] = (field, export.name if field else "")
            taken.add(field)


def _by_name(
    columns: Sequence[str],
    names: Mapping[str, Known],
    texts: Mapping[str, list[str]],
    found: dict[str, tuple[str, str]],
    taken: set[str],
) -> None:
    candidates: dict[str, list[tuple[int, int, str]]] = {}
    for number, column in enumerate(columns):
        known = names.get(plain_name(column))
        if known is not None:
            if _fits(known.field, texts[column]):
                candidates.setdefault(known.field, []).append((known.place, number, column))
        elif column.startswith(CUSTOM) and len(column) > len(CUSTOM):
            candidates.setdefault(column, []).append((0, number, column))
    for field, named in candidates.items():
        named.sort()
        chosen = None if field in taken else named[0][2]
        for _, _, column in named:
            if column == chosen:
                found[column] = (field, "its name")
                taken.add(field)
            elif chosen:
                found[column] = ("", f"{field} is {chosen!r} already")


def _fits(field: str, texts: Sequence[str]) -> bool:
    """Whether some of what is in a column can be what its name says, or nothing is in it."""
    looks = _LOOKS_OF.get(FIELD[field].kind) if field in FIELD else None
    return looks is None or not texts or any(map(looks, texts))


def _is_time(text: str) -> bool:
    try:
        time_of(text, UTC)
    except Unclear as error:
        return error.reason == "ambiguous_time"
    return True


def _is_sum(text: str) -> bool:
    try:
        read_sum(text)
    except Unclear as error:
        return error.reason == "ambiguous_value"
    return True


_LOOKS_OF: dict[str, Callable[[str], object]] = {"time": _is_time, "money": _is_sum}


def _share(looks: Callable[[str], object], texts: Sequence[str]) -> float:
    return sum(bool(looks(text)) for text in texts) / len(texts)


_is_sha256 = re.compile(r"[0-9A-Fa-f]{64}").fullmatch
_is_iso = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?").fullmatch
_is_unix = re.compile(r"(?:1[0-9]{9}|20[0-9]{8})(?:\.\d+|\d{3})?").fullmatch


def _is_email(text: str) -> bool:
    return "@" in text and normalize("em", text) is not None


def _is_currency(text: str) -> bool:
    return len(text) == 3 and text.upper() in CURRENCIES


_BY_VALUE: tuple[tuple[Callable[[str], object], str, str], ...] = (
    (_is_email, "em", "looks like e-mail addresses"),
    (_is_sha256, "em", "looks like SHA-256; of e-mail addresses, presumably"),
    (re.compile(r"fb\.[0-9]\.[0-9]{10,13}\.[0-9]+").fullmatch, "fbp", "looks like _fbp"),
    (lambda text: _is_iso(text) and _is_time(text), "event_time", "looks like times"),
    (_is_unix, "event_time", "looks like Unix time"),
    (_is_currency, "currency", "looks like currencies"),
    (ACTION_SOURCES.__contains__, "action_source", "Meta's words for it"),
)


def _by_value(
    columns: Sequence[str],
    texts: Mapping[str, list[str]],
    rows: Sequence[Cells],
    found: dict[str, tuple[str, str]],
    taken: set[str],
) -> None:
    """A field is guessed so where just one column looks like it."""
    for looks, field, why in _BY_VALUE:
        if field in taken:
            continue
        fitting = [
            column
            for column in columns
            if column not in found and texts[column] and _share(looks, texts[column]) >= _SHARE_MIN
        ]
        if not fitting and field == "event_time":
            fitting = [
                column
                for column in columns
                if column not in found
                and any(isinstance(row.get(column), date | datetime) for row in rows)
            ]
        if len(fitting) == 1:
            found[fitting[0]] = (field, why)
            taken.add(field)


def _add_constants(
    constants: dict[str, tuple[str, str]],
    taken: set[str],
    export: Export | None,
) -> None:
    if export is not None:
        for field, text in export.constants.items():
            if field not in taken:
                constants[field] = (text, export.name)
    elif "event_name" not in taken and {"value", "order_id"} <= taken:
        constants["event_name"] = ("Purchase", "there are an order and a value")


def _names_currency(text: str) -> bool:
    try:
        return bool(read_sum(text).currencies)
    except Unclear:
        return False


def _example(field: str, texts: Sequence[str]) -> str:
    known = FIELD.get(field)
    return example_of(field, texts, known is not None and known.may_be_shown)


def example_of(field: str, texts: Sequence[str], is_shown: bool) -> str:
    """The first of the texts in the column of a field as far as it may be shown: whole, or its
    form alone."""
    if not texts or not field:
        return ""
    text = texts[0]
    if not is_shown or (not field.startswith(LINE) and redact(text) is not text):
        return mask(text)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[: _SHOWN_LENGTH_MAX - 1]}…"


def mask(text: str) -> str:
    """A personal value as far as it may be shown: its form.

    >>> mask("mary@example.com"), mask("+49 151 23456789"), mask("a" * 64)
    ('x@x.x', '+0 0 0', 'SHA-256')
    """
    if _is_sha256(text):
        return "SHA-256"
    letters = re.sub(r"[^\W\d_]+", "x", text)
    form = re.sub(r"[xX]*\d[\dxX]*", "0", letters)
    return form if len(form) <= _SHOWN_LENGTH_MAX else f"{form[: _SHOWN_LENGTH_MAX - 1]}…"
