"""The parameter `fields` of the Graph API: which fields an answer has, at every depth.

`web{event_name,acr{percentage}}` names fields of fields; `stats.aggregation(host).limit(3){data}`
gives an edge its parameters (Graph API, *Field expansion*).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from doublet.graph.refused import invalid, nonexisting

_DEPTH_MAX = 8
_LENGTH_MAX = 8192
_token = re.compile(r"\s*(?:([A-Za-z0-9_]+)|\.([a-z_]+)\(([^()]*)\)|([{},]))\s*")


class Field(NamedTuple):
    """What is asked of one field: the parameters that an edge would be read with, and fields of its
    own; none mean those that it has by default."""

    parameters: dict[str, str]
    fields: Selection


Selection = dict[str, Field]


class Shape(NamedTuple):
    """A kind of object: its type as Graph names it, its fields, those of them that are objects
    with their shapes, and the fields that it has when none are named (empty: all)."""

    type: str
    fields: Mapping[str, Shape | None]
    default: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    """Fields that are there whatever is named."""


def plain(*names: str) -> dict[str, Shape | None]:
    """Fields that hold plain values."""
    return dict.fromkeys(names)


def parse_fields(text: str) -> Selection:
    """What `fields` asks for, as a list with commas or as JSON; empty when it names nothing.

    >>> parse_fields("web{event_name,acr{percentage}}")["web"].fields.keys()
    dict_keys(['event_name', 'acr'])

    Raises Refused for what is no list of fields.
    """
    if len(text) > _LENGTH_MAX:
        raise invalid("fields", f"fields is longer than {_LENGTH_MAX} characters.")
    if text.lstrip().startswith("["):
        try:
            text = ",".join(map(str, json.loads(text)))
        except (ValueError, RecursionError):
            raise invalid("fields", "fields begins like a JSON array, but is none.") from None
    selection, end = _parse(text, 0, 0)
    if end < len(text):
        raise _syntax(text, end)
    return selection


def _parse(text: str, at: int, depth: int) -> tuple[Selection, int]:
    """Fields from a position on, and where they end: at the end of the text or before a brace."""
    if depth > _DEPTH_MAX:
        raise invalid("fields", f"fields is nested more than {_DEPTH_MAX} deep.")
    selection: Selection = {}
    name = ""
    while at < len(text):
        found = _token.match(text, at)
        if found is None:
            raise _syntax(text, at)
        word, parameter, value, mark = found.groups()
        if mark == "}":
            break
        if word is not None and not name:
            name = word
            selection.setdefault(name, Field({}, {}))
        elif mark == ",":
            name = ""
        elif parameter is not None and name:
            selection[name].parameters[parameter] = value
        elif mark == "{" and name:
            inner, end = _parse(text, found.end(), depth + 1)
            closing = _token.match(text, end)
            if closing is None or closing[4] != "}":
                raise _syntax(text, end)
            selection[name].fields.update(inner)
            selection[name].parameters["fields"] = text[found.end() : end]
            found = closing
        else:
            raise _syntax(text, at)
        at = found.end()
    return selection, at


def _syntax(text: str, at: int) -> Exception:
    # Graph's own words, without the text: it may be anything.
    return invalid("fields", f"Syntax error in fields at character {at} of {len(text)}.")


def check(wanted: Selection, shape: Shape) -> None:
    """Raises Refused for a field that objects of this shape do not have, at any depth."""
    for name, field in wanted.items():
        if name not in shape.fields:
            raise nonexisting(name, shape.type)
        inner = shape.fields[name]
        if inner is not None:
            check(field.fields, inner)
        elif field.fields:
            raise invalid("fields", f"(#100) Subfields are unsupported for {name}")


def names_of(wanted: Selection, shape: Shape) -> tuple[str, ...]:
    """The fields that an answer has: the named ones or those by default."""
    names = tuple(wanted) or shape.default or tuple(shape.fields)
    return (*names, *(name for name in shape.always if name not in names))


def pick(found: Mapping[str, Any], wanted: Selection, shape: Shape) -> dict[str, Any]:
    """The wanted fields of an object; one without a value is left out, as Graph does."""
    picked = {}
    for name in names_of(wanted, shape):
        value = found.get(name)
        if value is None:
            continue
        inner = shape.fields[name]
        if inner is not None:
            fields = wanted[name].fields if name in wanted else {}
            if isinstance(value, list):
                value = [pick(each, fields, inner) for each in value]
            else:
                value = pick(value, fields, inner)
        picked[name] = value
    return picked
