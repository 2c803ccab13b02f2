"""`lookalike_spec`: for whom a lookalike is made and how large it is, as the Graph API has it.

Doublet finds people like those of other audiences. What Meta makes from fans of pages and from
campaigns' conversions is refused, and so are groups of countries other than the whole world.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from doublet.countries import country_code
from doublet.errors import SenderError
from doublet.redact import redact

RATIO_MAX = 0.20
RATIO_STEP = 0.01
_SHOWN_MAX = 60
RATIO_BY_TYPE = {"similarity": 0.01, "reach": 0.05}
_TYPES = (*RATIO_BY_TYPE, "custom_ratio")
_FIELDS = {
    *("type", "ratio", "starting_ratio", "country", "target_countries", "location_spec"),
    *("origin", "origin_audience_id", "allow_international_seeds", "is_financial_service"),
    # Said by Meta when it is read; they decide nothing.
    *("target_country_names", "origin_event_name", "origin_event_source_name"),
    *("origin_event_source_type", "product_set_name", "is_parent_lal"),
    "is_created_by_recommended_dfca",
}


class LookalikeSpecError(SenderError):
    """A `lookalike_spec` that cannot be used; `graph_code` is what the Graph API says."""

    code = "lookalike_spec"
    graph_code = 100
    graph_subcode: int | None = None


class SeedTooSmallError(SenderError):
    """There are too few people to be like."""

    code = "seed_too_small"
    graph_code = 100
    graph_subcode: int | None = 1713232


class NobodyLeftError(SenderError):
    """Nearly everyone is in the seed."""

    code = "nobody_left"
    graph_code = 100
    graph_subcode: int | None = None


class LookalikeSpec(msgspec.Struct, frozen=True):
    """What is asked for: the people whose place in the order of likeness is from `starting_ratio`
    to `ratio`, both shares of the population of `countries` (two letters, lower case; none: all).
    """

    ratio: float
    starting_ratio: float = 0.0
    countries: tuple[str, ...] = ()
    excluded_countries: tuple[str, ...] = ()
    origin_audience_ids: tuple[str, ...] = ()
    allow_international_seeds: bool = False


def country_hash(country: str) -> str:
    """As `user_data` has it."""
    return sha256(country.encode()).hexdigest()


def parse_spec(text: str) -> LookalikeSpec:
    """Read a `lookalike_spec`. Raises LookalikeSpecError.

    >>> parse_spec('{"type": "similarity", "country": "US"}').ratio
    0.01
    """
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise LookalikeSpecError(
            "lookalike_spec is no JSON object.",
            'Send JSON text such as {"ratio": 0.01, "country": "US"}.',
        )
    _refuse_what_is_not_ours(said)
    ratio = _ratio(said)
    start = _share(said, "starting_ratio") if said.get("starting_ratio") else 0.0
    if start >= ratio:
        raise LookalikeSpecError(
            f"starting_ratio is {start:g}, but must be less than the ratio, {ratio:g}.",
            "People from starting_ratio to ratio are taken, e.g. from 0.01 to 0.02.",
        )
    countries, excluded = _countries(said)
    return LookalikeSpec(
        ratio,
        start,
        countries,
        excluded,
        _origins(said),
        _flag(said, "allow_international_seeds"),
    )


def _refuse_what_is_not_ours(said: Mapping[str, Any]) -> None:
    kind = said.get("conversion_type")
    if kind is not None or "origin_ids" in said or "page_id" in said:
        what = f"conversion_type {_shown(kind)}" if kind is not None else "origin_ids or page_id"
        raise LookalikeSpecError(
            f"Lookalikes of campaigns and pages are not made here: lookalike_spec has {what}.",
            "Make an audience of those people first and name it as origin_audience_id.",
        )
    unknown = sorted(set(said) - _FIELDS)
    if unknown:
        raise LookalikeSpecError(
            f"lookalike_spec has an unknown field {_shown(unknown[0])}.",
            "Known are ratio, starting_ratio, type, country, location_spec, origin and "
            "allow_international_seeds.",
        )


def _ratio(said: Mapping[str, Any]) -> float:
    kind = said.get("type")
    if kind is not None and kind not in _TYPES:
        raise LookalikeSpecError(
            f"type is {_shown(kind)}, but must be similarity (1 %) or reach (5 %).",
            "Or give a ratio from 0.01 to 0.20 instead.",
        )
    if said.get("ratio") is not None:
        return _share(said, "ratio")
    if kind in RATIO_BY_TYPE:
        return RATIO_BY_TYPE[kind]
    raise LookalikeSpecError(
        "lookalike_spec says neither ratio nor type.",
        "Give a ratio from 0.01 to 0.20, or the type similarity (1 %) or reach (5 %).",
    )


def _share(said: Mapping[str, Any], name: str) -> float:
    """A ratio in whole steps; numbers may be texts, as forms send them."""
    value = said[name]
    try:
        share = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        share = float("nan")
    steps = share / RATIO_STEP
    if not (
        1 - 1e-6 <= steps <= RATIO_MAX / RATIO_STEP + 1e-6 and abs(steps - round(steps)) < 1e-6
    ):
        raise LookalikeSpecError(
            f"{name} is {_shown(value)}, but must be from 0.01 to 0.20 in steps of 0.01.",
            "0.01 is the one percent of people who are most alike.",
        )
    return round(steps) / 100


def _shown(value: Any) -> str:
    """What was sent, as far as it may be said again: errors are read by others than its sender."""
    text = repr(redact(value))
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _flag(said: Mapping[str, Any], name: str) -> bool:
    value = said.get(name, False)
    if value in (True, "true", "1", 1):
        return True
    if value in (False, "false", "0", 0, None):
        return False
    raise LookalikeSpecError(f"{name} is {_shown(value)}, but must be true or false.", "Send true.")


def _countries(said: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are asked for, and those that are left out."""
    place = said.get("location_spec") or {}
    inside = place.get("geo_locations") or {} if isinstance(place, dict) else None
    outside = place.get("excluded_geo_locations") or {} if isinstance(place, dict) else None
    if not isinstance(inside, dict) or not isinstance(outside, dict):
        raise LookalikeSpecError(
            "location_spec is not of the documented form.",
            'Send {"geo_locations": {"countries": ["US"]}}.',
        )
    named = [*([said["country"]] if said.get("country") else []), *_list(said, "target_countries")]
    named += _list(inside, "countries")
    groups = _list(inside, "country_groups")
    for where in (inside, outside):
        if unknown := sorted(set(where) - {"countries", "country_groups", "location_types"}):
            raise LookalikeSpecError(
                f"location_spec has {_shown(unknown[0])}, but only countries can be named.",
                "Name countries by their two-letter codes.",
            )
    if others := [group for group in groups if group != "worldwide"]:
        raise LookalikeSpecError(
            f"The country group {_shown(others[0])} is not known here.",
            "Name its countries, or use worldwide.",
        )
    if groups and named:
        raise LookalikeSpecError(
            "Both the whole world and countries are named.", "Leave one of them out."
        )
    return _codes(named), _codes(_list(outside, "countries"))


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    value = said.get(name) or []
    if not isinstance(value, list):
        form = '[{"id": "<audience id>"}]' if name == "origin" else '["US"]'
        raise LookalikeSpecError(f"{name} is {_shown(value)}, but must be a list.", f"Send {form}.")
    return value


def _codes(named: list[Any]) -> tuple[str, ...]:
    codes = []
    for name in named:
        code = country_code(name) if isinstance(name, str) else None
        if code is None or len(str(name).strip()) != 2:
            raise LookalikeSpecError(
                f"{_shown(name)} is no country.", "Use codes of two letters (ISO 3166-1), e.g. US."
            )
        codes.append(code)
    return tuple(dict.fromkeys(codes))


def _origins(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of audiences, from `origin` ([{"id": …}], as Meta's answers have it) or one id."""
    entries = [*_list(said, "origin")]
    if said.get("origin_audience_id"):
        entries.append({"id": said["origin_audience_id"]})
    ids = []
    for entry in entries:
        origin = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        kind = entry.get("type", "custom_audience") if isinstance(entry, dict) else ""
        if not (origin.isascii() and origin.isdigit()) or kind != "custom_audience":
            raise LookalikeSpecError(
                f"origin {_shown(entry)} is no audience.",
                'Send [{"id": "<audience id>", "type": "custom_audience"}].',
            )
        ids.append(origin)
    return tuple(dict.fromkeys(ids))
