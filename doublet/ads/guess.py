"""Guesses which column of a platform's file is which field. Pure; a person confirms it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from doublet.accept.ad_days import AD_LEVELS, FIGURES
from doublet.accept.ad_touches import TOUCH_USER_KEYS
from doublet.accept.steps import CURRENCIES
from doublet.ads.fields import (
    AD_EXPORTS,
    CLICK_PLATFORMS,
    DATE_STOP,
    FIELDS_OF,
    KNOWN_NAMES,
    AdExport,
    What,
    reported_place,
)
from doublet.imports.fields import REPORTED, plain_name
from doublet.imports.guess import Guess, Guessed, example_of
from doublet.imports.mapping import Mapping as ColumnMapping
from doublet.imports.values import dates_of, decimals_of

NO_CURRENCY = "what is in its brackets is no currency of ISO 4217"

_WHATS: tuple[What, What] = ("days", "touches")
_with_unit = re.compile(r"(.+?)\s*\([^()]+\)").fullmatch
_in_brackets = re.compile(r"(.+?)\s*\(([A-Z]{3})\)").fullmatch


def _bare(column: str) -> tuple[str, str]:
    """A column's name without the currency in it, and that currency.

    >>> _bare("Amount spent (EUR)"), _bare("Clicks (All)")
    (('amountspent', 'EUR'), ('clicksall', ''))
    """
    found = _in_brackets(column.strip())
    if found and found[2] in CURRENCIES:
        return plain_name(found[1]), found[2]
    return plain_name(column), ""


def _has_no_currency(what: What, column: str) -> bool:
    """Whether a column of money has something in brackets, and that is no currency."""
    found = None if _bare(column)[1] else _with_unit(column.strip())
    known = KNOWN_NAMES[what].get(plain_name(found[1])) if found else None
    return known is not None and _is_money(what, known.field)


def guess_what(columns: Sequence[str]) -> What:
    """Whether a file with these columns holds touches or days: click ids, identifiers of people and
    times of day are of touches, unless impressions are counted."""
    names = {_bare(column)[0] for column in columns}
    days, touches = (
        {known.field for name, known in KNOWN_NAMES[what].items() if name in names}
        for what in _WHATS
    )
    signs = touches & {"touched_at", "click_id", "kind", *TOUCH_USER_KEYS}
    return "touches" if signs and not days & {"impressions", "date"} else "days"


def guess_ads(
    what: What,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    given: ColumnMapping,
    currency: str,
    aside: frozenset[str] = frozenset(),
) -> Guessed:
    """Guess what `given` leaves open. `currency` is the account's, `aside` are columns that must
    not be mapped."""
    export = _export(columns) if what == "days" else None
    found = {column: (field, "as you say") for column, field in given.columns.items()}
    taken = {*given.columns.values(), *given.constants}
    open_columns = [each for each in columns if each not in found and each not in aside]
    for column in open_columns if export else ():
        field = export.columns.get(_bare(column)[0]) if export else None
        if field == "" or (field and field not in taken):
            found[column] = (field, export.name if field and export else "")
            taken.add(field)
    _by_name(what, [each for each in open_columns if each not in found], found, taken)
    for column in open_columns:
        if column not in found and _has_no_currency(what, column):
            found[column] = ("", NO_CURRENCY)
    fields = {column: field for column, (field, _) in found.items() if field}
    constants = {field: (text, "as you say") for field, text in given.constants.items()}
    _add_constants(what, fields, constants, export, currency)
    texts = {
        column: [str(row[column]) for row in rows if row.get(column) not in (None, "")]
        for column in columns
    }
    sums = [
        text for column, field in fields.items() if _is_money(what, field) for text in texts[column]
    ]
    times = [
        text
        for column, field in fields.items()
        if field in ("date", DATE_STOP, "touched_at")
        for text in texts[column]
    ]
    mapping = ColumnMapping(
        {column: fields[column] for column in columns if column in fields},
        {field: text for field, (text, _) in constants.items()},
        given.decimals or decimals_of(sums),
        given.dates or dates_of(times),
        given.time_zone,
    )
    shown = []
    for column in columns:
        field, why = found.get(column, ("", "you leave it aside" if column in aside else ""))
        known = FIELDS_OF[what].get(field)
        is_shown = known is None or known.may_be_shown
        shown.append(Guess(column, field, why, example_of(field, texts[column], is_shown)))
    return Guessed(shown, constants, mapping)


def _export(columns: Sequence[str]) -> AdExport | None:
    names = {_bare(column)[0] for column in columns}
    return next((export for export in AD_EXPORTS if export.signs & names), None)


def _by_name(
    what: What, columns: Sequence[str], found: dict[str, tuple[str, str]], taken: set[str]
) -> None:
    candidates: dict[str, list[tuple[int, int, str]]] = {}
    for number, column in enumerate(columns):
        known = KNOWN_NAMES[what].get(_bare(column)[0])
        if known is not None:
            candidates.setdefault(known.field, []).append((known.place, number, column))
        elif column.startswith(REPORTED) and reported_place(column):
            candidates.setdefault(column, []).append((0, number, column))
    for field, named in candidates.items():
        named.sort()
        if field not in taken:
            found[named[0][2]] = (field, "its name")
            taken.add(field)
            for _, _, column in named[1:]:
                found[column] = ("", f"{field} is {named[0][2]!r} already")


def _add_constants(
    what: What,
    fields: Mapping[str, str],
    constants: dict[str, tuple[str, str]],
    export: AdExport | None,
    currency: str,
) -> None:
    has = {*fields.values(), *constants}
    if "platform" not in has:
        clicks = {CLICK_PLATFORMS.get(plain_name(c)) for c, f in fields.items() if f == "click_id"}
        if export is not None:
            constants["platform"] = (export.platform, export.name)
        elif what == "touches" and len(clicks) == 1 and (platform := clicks.pop()):
            constants["platform"] = (platform, "the name of its click ids")
    if has & {"spend", "cost"} and "currency" not in has:
        said = {code for column in fields if (code := _bare(column)[1])}
        if len(said) == 1:
            constants["currency"] = (said.pop(), "a column's name")
        else:
            constants["currency"] = (currency, "the account's")


def _is_money(what: What, field: str) -> bool:
    known = FIELDS_OF[what].get(field)
    return known.kind == "money" if known else bool(reported_place(field))


def missing(what: What, mapping: ColumnMapping) -> list[str]:
    """What every row needs and the mapping does not say, each in words with what to write."""
    has = {*mapping.columns.values(), *mapping.constants}
    found = []
    if "platform" not in has:
        found.append("whose ads these are: --set platform=meta, google, tiktok, taboola, …")
    if what == "touches":
        if "kind" not in has:
            found.append("what happened: --set kind=click, or view, engaged_view, held_out")
        if "touched_at" not in has:
            found.append("when: --map COLUMN=touched_at")
        if not has & {"click_id", *TOUCH_USER_KEYS}:
            found.append("who: --map COLUMN=click_id, or madid, em, external_id, fbp, …")
        return found
    if not has & {f"{level}_id" for level in AD_LEVELS}:
        found.append(
            "which ads these are: export the columns Campaign ID, Ad set ID and Ad ID too, or, "
            "where the links' parameters bear names, take these as ids: "
            '--map "Campaign name=campaign_id"'
        )
    has_figures = has & set(FIGURES) or any(field.startswith(REPORTED) for field in has)
    if "date" not in has and has_figures:
        found.append("of which days: export with a breakdown by day, or --map COLUMN=date")
    return found
