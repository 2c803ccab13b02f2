"""`lookalike_spec` is read as the Graph API documents it, and what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doublet.lookalikes import LookalikeSpec, LookalikeSpecError, parse_spec


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"type": "similarity", "country": "US"}, LookalikeSpec(0.01, 0.0, ("us",))),
        ({"type": "reach", "country": "de"}, LookalikeSpec(0.05, 0.0, ("de",))),
        ({"ratio": 0.2}, LookalikeSpec(0.2)),
        ({"ratio": "0.03", "starting_ratio": "0.01"}, LookalikeSpec(0.03, 0.01)),
        ({"type": "custom_ratio", "ratio": 0.07}, LookalikeSpec(0.07)),
        (
            {
                "ratio": 0.1,
                "location_spec": {
                    "geo_locations": {"countries": ["US", "CA", "us"]},
                    "excluded_geo_locations": {"countries": ["MX"]},
                },
            },
            LookalikeSpec(0.1, 0.0, ("us", "ca"), ("mx",)),
        ),
        (
            {"ratio": 0.1, "location_spec": {"geo_locations": {"country_groups": ["worldwide"]}}},
            LookalikeSpec(0.1),
        ),
        (
            {
                "ratio": 0.01,
                "country": "GB",
                "origin": [{"id": "123", "type": "custom_audience"}],
                "allow_international_seeds": True,
            },
            LookalikeSpec(0.01, 0.0, ("gb",), (), ("123",), True),
        ),
    ],
)
def test_documented_forms_are_read(said: dict[str, Any], expected: LookalikeSpec) -> None:
    assert expected == parse_spec(json.dumps(said))


@pytest.mark.parametrize("ratio", [round(n / 100, 2) for n in range(1, 21)])
def test_every_documented_ratio_is_taken(ratio: float) -> None:
    assert ratio == parse_spec(json.dumps({"ratio": ratio})).ratio


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("no json", "no JSON object"),
        ("[1]", "no JSON object"),
        ({}, "neither ratio nor type"),
        ({"type": "similar"}, "type is 'similar'"),
        ({"ratio": 0}, "ratio is 0"),
        ({"ratio": 0.21}, "ratio is 0.21"),
        ({"ratio": 0.015}, "ratio is 0.015"),
        ({"ratio": -0.01}, "ratio is -0.01"),
        ({"ratio": True}, "ratio is True"),
        ({"ratio": [0.01]}, "ratio is [0.01]"),
        ({"ratio": "nan"}, "ratio is 'nan'"),
        ({"ratio": 1e300}, "ratio is 1e+300"),
        ({"ratio": 0.02, "starting_ratio": 0.02}, "starting_ratio is 0.02"),
        ({"ratio": 0.02, "starting_ratio": 0.03}, "starting_ratio is 0.03"),
        ({"ratio": 0.02, "starting_ratio": 0.001}, "starting_ratio is 0.001"),
        ({"ratio": 0.01, "country": "Atlantis"}, "'Atlantis' is no country"),
        ({"ratio": 0.01, "country": "USA"}, "'USA' is no country"),
        ({"ratio": 0.01, "country": 1}, "1 is no country"),
        ({"ratio": 0.01, "location_spec": "US"}, "location_spec"),
        ({"ratio": 0.01, "location_spec": {"geo_locations": {"cities": []}}}, "'cities'"),
        ({"ratio": 0.01, "location_spec": {"geo_locations": {"countries": "US"}}}, "a list"),
        (
            {"ratio": 0.01, "location_spec": {"geo_locations": {"country_groups": ["eea"]}}},
            "country group 'eea'",
        ),
        (
            {
                "ratio": 0.01,
                "country": "US",
                "location_spec": {"geo_locations": {"country_groups": ["worldwide"]}},
            },
            "whole world",
        ),
        ({"ratio": 0.01, "origin": [{"id": "1", "type": "page"}]}, "no audience"),
        ({"ratio": 0.01, "origin": [{"id": "x"}]}, "no audience"),
        ({"ratio": 0.01, "allow_international_seeds": "maybe"}, "true or false"),
        ({"ratio": 0.01, "conversion_type": "page_like", "page_id": "1"}, "page_like"),
        (
            {"ratio": 0.01, "origin_ids": ["1"], "conversion_type": "campaign_conversions"},
            "campaign_conversions",
        ),
        ({"ratio": 0.01, "origin_ids": ["1"]}, "origin_ids"),
        ({"ratio": 0.01, "colour": 1}, "'colour'"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_fix(said: Any, named: str) -> None:
    text = said if isinstance(said, str) else json.dumps(said)
    with pytest.raises(LookalikeSpecError) as raised:
        parse_spec(text)
    assert named in raised.value.message
    assert raised.value.hint
    assert 100 == raised.value.graph_code


@pytest.mark.parametrize(
    "said",
    [
        {"ratio": 0.01, "country": "jo@example.org"},
        {"ratio": "jo@example.org"},
        {"ratio": 0.01, "origin": [{"id": "jo@example.org"}]},
        {"ratio": 0.01, "location_spec": {"geo_locations": {"jo@example.org": 1}}},
        {"ratio": 0.01, "jo@example.org": 1},
    ],
)
def test_what_is_refused_is_repeated_without_addresses(said: Any) -> None:
    with pytest.raises(LookalikeSpecError) as raised:
        parse_spec(json.dumps(said))
    assert "_removed_" in raised.value.message
    assert "example.org" not in str(raised.value)


def test_what_is_refused_is_repeated_in_part() -> None:
    with pytest.raises(LookalikeSpecError) as raised:
        parse_spec(json.dumps({"ratio": 0.01, "country": "x" * 100_000}))
    assert len(str(raised.value)) < 200


def test_what_is_no_list_is_told_with_the_form_of_that_list() -> None:
    with pytest.raises(LookalikeSpecError) as raised:
        parse_spec('{"ratio": 0.01, "origin": {"id": "1"}}')
    assert "audience id" in raised.value.hint
