"""Which column becomes which field of an event, and what is the same for all rows; as a file, too.

A file of a mapping is TOML or JSON by its name:

    decimals = "comma"
    [columns]
    "E-Mail" = "em"
    [constants]
    event_name = "Purchase"
"""

from __future__ import annotations

import collections.abc
import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from doublet.errors import SenderError
from doublet.imports.fields import CUSTOM, FIELD, REPORTED, USER_FIELDS, Field
from doublet.imports.values import Dates, Decimals
from doublet.normalize import HASHED_KEYS

Fields = collections.abc.Mapping[str, Field]
"""Fields that a column can be mapped to, by name."""


class Mapping(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`columns` are fields by column, `constants` texts by field. `decimals` and `dates` say how
    the file writes sums and days where that could be read in two ways. `time_zone` is that of times
    without an offset; empty: the account's."""

    columns: dict[str, str]
    constants: dict[str, str] = {}
    decimals: Decimals = ""
    dates: Dates = ""
    time_zone: str = ""


def check_field(name: str, fields: Fields = FIELD) -> str:
    """The name of a field of an event, or of another kind's `fields`, as it is. Raises SenderError
    with the nearest one."""
    free = CUSTOM if fields is FIELD else REPORTED
    if name in fields or (name.startswith(free) and len(name) > len(free)):
        return name
    near = difflib.get_close_matches(name, fields, n=1)
    page = "imports" if fields is FIELD else "ads"
    hint = f"Did you mean {near[0]}?" if near else f"docs/{page}.md lists the fields."
    raise SenderError(f"There is no field {name!r}.", hint)


def check_mapping(mapping: Mapping, columns: Iterable[str], fields: Fields = FIELD) -> None:
    """Raises SenderError when the mapping cannot be used for a file with these columns."""
    known = set(columns)
    for column, field in mapping.columns.items():
        check_field(field, fields)
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "The table shows all columns."
            raise SenderError(f"The file has no column {column!r}.", hint)
    for field in mapping.constants:
        check_field(field, fields)
        if field in mapping.columns.values():
            raise SenderError(
                f"{field} is set for all rows, and a column is mapped to it too.",
                "Leave one of them out; --map COLUMN= leaves a column aside.",
            )
    named = list(mapping.columns.values())
    for field in named:
        if named.count(field) > 1 and field not in HASHED_KEYS:
            both = " and ".join(repr(c) for c, f in mapping.columns.items() if f == field)
            raise SenderError(f"{both} are both mapped to {field}.", "Choose one with --map.")
    check_zone(mapping.time_zone)


def check_zone(name: str) -> None:
    """Raises SenderError when there is no such time zone; an empty name is none."""
    try:
        if name:
            ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise SenderError(
            f"There is no time zone {name!r}.", "Write a name such as Europe/Berlin."
        ) from error


def missing(mapping: Mapping) -> list[str]:
    """What every event needs and the mapping does not say, each in words with what to write."""
    has = {*mapping.columns.values(), *mapping.constants}
    found = []
    if "event_name" not in has:
        found.append("what happened: --set event_name=Purchase, or --map COLUMN=event_name")
    if "event_time" not in has:
        found.append("when: --map COLUMN=event_time")
    if "action_source" not in has:
        found.append(
            "where: --set action_source=physical_store for shops and tills, website, phone_call, "
            "system_generated, … or --map COLUMN=action_source"
        )
    if not has & (USER_FIELDS | {"lead_id"}):
        found.append("who: --map COLUMN=em, or ph, external_id, …; no event counts without")
    return found


def read_mapping(file: Path) -> Mapping:
    """The mapping in a file. Raises SenderError when it is none."""
    try:
        text = file.read_text("utf-8")
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        return msgspec.convert(found, Mapping)
    except (UnicodeDecodeError, ValueError) as error:
        raise SenderError(
            f"{file.name} is no mapping: {error}.",
            "Write one with --save-mapping, or see docs/imports.md.",
        ) from error


def write_mapping(file: Path, mapping: Mapping) -> None:
    """Keep a mapping as a file."""
    if file.suffix == ".json":
        file.write_bytes(msgspec.json.format(msgspec.json.encode(mapping), indent=2) + b"\n")
        return
    # A JSON string is a TOML string, too.
    settings = {
        "decimals": mapping.decimals,
        "dates": mapping.dates,
        "time_zone": mapping.time_zone,
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items() if value]
    for name, table in (("columns", mapping.columns), ("constants", mapping.constants)):
        lines += ["", f"[{name}]"]
        lines += [f"{_quoted(key)} = {_quoted(value)}" for key, value in table.items()]
    file.write_text("\n".join(lines).lstrip() + "\n", "utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
