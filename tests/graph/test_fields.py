"""`fields` is read as Graph reads it, and whatever else it holds is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.graph.fields import Selection, parse_fields
from doublet.graph.refused import Refused

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
trees: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(names, st.just({}), min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, st.one_of(st.just({}), inner), min_size=1, max_size=3),
    max_leaves=8,
)


def write(tree: dict[str, Any]) -> str:
    """The text that asks for a tree of names."""
    return ",".join(f"{name}{{{write(inner)}}}" if inner else name for name, inner in tree.items())


def tree_of(selection: Selection) -> dict[str, Any]:
    """The names alone."""
    return {name: tree_of(field.fields) for name, field in selection.items()}


@given(trees)
def test_what_is_written_is_read(tree: dict[str, Any]) -> None:
    assert tree == tree_of(parse_fields(write(tree)))
    assert tree == tree_of(parse_fields(json.dumps([write(tree)])))


@given(st.text(alphabet='ab_{},.()[]" \n1é@', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Refused):
        assert all(name in text for name in parse_fields(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" id , name ", {"id": {}, "name": {}}),
        ("web{acr},web{event_name}", {"web": {"acr": {}, "event_name": {}}}),
        ('["id","web{acr}"]', {"id": {}, "web": {"acr": {}}}),
    ],
)
def test_fields_are_read(text: str, expected: dict[str, Any]) -> None:
    assert expected == tree_of(parse_fields(text))


def test_an_edge_keeps_its_parameters() -> None:
    edge = parse_fields("stats.limit(3).aggregation(host){data{value}}")["stats"]
    assert {"limit": "3", "aggregation": "host", "fields": "data{value}"} == edge.parameters


@pytest.mark.parametrize("text", ["id name", "{id}", "id{", "id}", ".limit(3)", "a" * 9000, "[1"])
def test_what_is_no_list_of_fields_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_fields(text)
