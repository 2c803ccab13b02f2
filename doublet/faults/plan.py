"""The file of faults, and what it means for each request. Pure but for reading the file."""

from __future__ import annotations

import difflib
import random
import re
import tomllib
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from doublet.errors import SettingsError

Share = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]

SHARES = (
    *("server_error", "reset_before", "timeout_before"),
    *("reset_after", "timeout_after", "truncate"),
)
AFTER = frozenset(SHARES[3:])
"""Faults of the answer: what the request held is durable by then."""
FAULTS = (*SHARES, "rate_limit", "poison")


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After `every` requests the next `burst` are answered 429."""

    every: Count = 200
    burst: Count = 20
    retry_after_s: Annotated[int, Meta(ge=0)] = 1


class Poison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event that refuses its whole request; what is given of id and name must both fit."""

    event_id: str = ""
    event_name: str = ""
    subcode: int = 2804019
    title: str = "Server Side Api Parameter Error"
    message: str = "The file of faults refuses this event."


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file. Shares are of requests and exclude each other; latency is before all else."""

    seed: int = 1
    # With `*` also standing for what holds a slash, these are all addresses of the API.
    paths: tuple[str, ...] = ("/v*/events", "/[0-9]*/events", "/capi/*/events")
    latency_ms: Milliseconds = 0
    latency_jitter_ms: Milliseconds = 0
    server_error: Share = 0
    reset_before: Share = 0
    reset_after: Share = 0
    timeout_before: Share = 0
    timeout_after: Share = 0
    truncate: Share = 0
    rate_limit: RateLimit | None = None
    poison: tuple[Poison, ...] = ()

    def applies_to(self, path: str) -> bool:
        """Whether requests for this path, without its query, meet faults."""
        path = path.rstrip("/") or "/"
        return path != "/health" and any(fnmatchcase(path, pattern) for pattern in self.paths)


class Fate(NamedTuple):
    """What befalls one request: at most one fault, and how long it is under way before."""

    fault: str
    latency_s: float


def decide(plan: Plan, number: int) -> Fate:
    """The fate of request `number`, counted from 1; it depends on the seed and the number alone."""
    chance = random.Random(f"{plan.seed}:{number}")
    point = chance.random()
    latency_s = (plan.latency_ms + plan.latency_jitter_ms * chance.random()) / 1000
    limit = plan.rate_limit
    if limit is not None and (number - 1) % (limit.every + limit.burst) >= limit.every:
        return Fate("rate_limit", latency_s)
    ends = accumulate(getattr(plan, kind) for kind in SHARES)
    fault = next((kind for kind, end in zip(SHARES, ends, strict=True) if point < end), "")
    return Fate(fault, latency_s)


_KEYS = {key for part in (Plan, RateLimit, Poison) for key in part.__struct_fields__}
_unknown = re.compile(r"unknown field `(.*?)`").search


def read_plan(path: str) -> Plan:
    """The plan in a TOML file. Raises SettingsError, which names the key and what to do."""
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.", "Mend the file.") from error
    try:
        plan = msgspec.convert(found, Plan)
    except msgspec.ValidationError as error:
        said = str(error).replace("$.", "")
        unknown = _unknown(said)
        near = difflib.get_close_matches(unknown[1], _KEYS, n=1) if unknown else []
        hint = f"Did you mean {near[0]!r}?" if near else "docs/faults.md has a whole file."
        raise SettingsError(f"{path}: {said}.", hint) from error
    _check(path, plan)
    return plan


def _check(path: str, plan: Plan) -> None:
    total = sum(getattr(plan, kind) for kind in SHARES)
    if total > 1 + 1e-9:
        raise SettingsError(
            f"{path}: {' + '.join(SHARES)} is {total:g}.",
            "They are shares of the same requests; let them add up to at most 1.",
        )
    for pattern in plan.paths:
        if pattern[:1] != "/":
            raise SettingsError(f"{path}: {pattern!r} in paths is no path.", "Begin it with /.")
    for index, poison in enumerate(plan.poison):
        if not poison.event_id and not poison.event_name:
            raise SettingsError(
                f"{path}: poison[{index}] names no event.", "Give it event_id or event_name."
            )
