"""What people may enter of a destination: each check gives back what is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from doublet.catalog import Destination, DestinationRules
from doublet.destinations.contract import Kind
from doublet.destinations.kinds import kind_named
from doublet.entries import check_domains
from doublet.errors import SettingsError

IN_FLIGHT_MAX = 64

_SECONDS_MAX = {"merge_wait_s": 48 * 3600, "batch_wait_s": 24 * 3600}
"""After 48 hours no copy joins any more."""

_SECRET_LENGTH_MAX = 4096


class TargetField(NamedTuple):
    """A field of a target: what it means, its default (None: it must be given), and the words that
    it may have where these are few."""

    name: str
    about: str
    default: str | None
    choices: tuple[str, ...]


def fields_of(kind: Kind) -> list[TargetField]:
    """What a kind must be told to reach its platform."""
    return [_field(field) for field in msgspec.structs.fields(kind.target)]


def _field(field: msgspec.structs.FieldInfo) -> TargetField:
    plain, *more = get_args(field.type) if get_origin(field.type) is Annotated else [field.type]
    about = " ".join(meta.description or "" for meta in more if isinstance(meta, msgspec.Meta))
    choices = get_args(plain) if get_origin(plain) is Literal else ()
    default = None if field.required else str(field.default)
    return TargetField(field.name, about, default, choices)


def check_destination(destination: Destination) -> Destination:
    """A destination as it is kept, whether new or changed. Raises SettingsError for what cannot be
    meant, OperatorError for a kind or domain that is none."""
    kind = kind_named(destination.kind)
    checked = msgspec.structs.replace(
        destination,
        target=_target(kind, destination.target),
        secret=_secret(kind, destination.secret),
        rules=_rules(kind, destination.rules),
    )
    kind.check(checked)
    return checked


def _target(kind: Kind, target: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was given, so that a default may change with the platform."""
    fields = {field.name: field for field in fields_of(kind)}
    for name, value in target.items():
        if name not in fields:
            raise SettingsError(f"{kind.name} has no field {name!r}.", _listed(fields))
        if fields[name].choices and value not in fields[name].choices:
            raise SettingsError(
                f"{name} {value!r} is none.", f"Choose {' or '.join(fields[name].choices)}."
            )
    for name, field in fields.items():
        if field.default is None and not target.get(name):
            raise SettingsError(f"{kind.name} needs {name}=…: {field.about}", _listed(fields))
    try:
        whole = msgspec.structs.asdict(msgspec.convert(dict(target), kind.target, strict=False))
    except msgspec.ValidationError as error:
        raise SettingsError(f"{kind.name}: {error}.", _listed(fields)) from None
    return {name: whole[name] for name in target}


def _listed(fields: Mapping[str, TargetField]) -> str:
    each = (f"{f.name} ({'needed' if f.default is None else f.default})" for f in fields.values())
    return f"Its fields: {', '.join(each)}; `doublet destination kinds` says more."


def _secret(kind: Kind, secret: str) -> str:
    if kind.secret and not secret:
        raise SettingsError(f"{kind.name} needs a secret: {kind.secret}", "Give --secret-file.")
    # It travels in headers and addresses.
    if not secret.isascii() or not secret.isprintable() or len(secret) > _SECRET_LENGTH_MAX:
        raise SettingsError("The secret is not one line of plain characters.", "Copy it again.")
    return secret


def _rules(kind: Kind, rules: DestinationRules) -> DestinationRules:
    try:
        rules = msgspec.convert(msgspec.to_builtins(rules), DestinationRules)
    except msgspec.ValidationError as error:
        raise SettingsError(f"Rules: {error}.", "`doublet destination edit --help`.") from None
    for name, longest in _SECONDS_MAX.items():
        seconds = getattr(rules, name)
        if not 0 <= seconds <= longest:
            raise SettingsError(f"{name} {seconds} is no time.", f"Give 0 to {longest:,} seconds.")
    if not (math.isfinite(rules.value_times) and rules.value_times > 0):
        raise SettingsError(f"value_times {rules.value_times} is no factor.", "Give 0.2, say.")
    if not 0 <= rules.batch_events <= kind.events_max:
        raise SettingsError(
            f"batch_events {rules.batch_events} is no number of events for {kind.name}.",
            f"Give 1 to {kind.events_max:,}, or 0 for as many as it takes.",
        )
    if not 1 <= rules.in_flight <= IN_FLIGHT_MAX:
        raise SettingsError(
            f"in_flight {rules.in_flight} is no number of requests.",
            f"Give 1 to {IN_FLIGHT_MAX}.",
        )
    if not all(old.strip() and new.strip() for old, new in rules.rename.items()):
        raise SettingsError("rename has an empty name.", "Write OLD=NEW.")
    return msgspec.structs.replace(rules, domains=check_domains(rules.domains))
