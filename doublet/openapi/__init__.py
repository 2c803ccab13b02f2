"""The OpenAPI 3.1 description of every HTTP interface, made from the types that the code answers
with, its list of refusals and the table `OPERATIONS`.

An address that is added gets one entry there; a test looks for those without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from doublet import __version__
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS
from doublet.openapi.deciders import DECIDERS
from doublet.openapi.operation import Operation
from doublet.openapi.operations import OPERATIONS
from doublet.openapi.parameters import PARAMETERS
from doublet.refusal import Reason
from doublet.settings import Settings

_PLACES = "#/components/schemas/{name}"
_REQUIRED = {
    "EventsBody": ["data"],
    "WireEvent": ["event_name", "event_time", "user_data"],
    "OrdersRequest": ["data"],
    "WireOrder": ["order_id", "kind", "changed_at"],
    "TouchesRequest": ["data"],
    "WireTouch": ["kind", "touched_at", "platform"],
    "AdDaysRequest": ["data"],
    "WireAdDay": ["platform"],
}
_path_names = re.compile(r"{(\w+)}").findall


def document(server_url: str = "", deciders_url: str = "") -> dict[str, Any]:
    """The whole description, ready for JSON. The addresses are where this server and its deciders
    are reached."""
    types = _types()
    schemas, components = msgspec.json.schema_components(types, ref_template=_PLACES)
    schema_of = dict(zip(map(str, types), map(_with_numbers, schemas), strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        described = _operation(operation, schema_of)
        paths.setdefault(operation.path, {})[operation.method] = described
    servers = [{"url": deciders_url or Settings().deciders_url}]
    for operation in DECIDERS:
        described = {**_operation(operation, schema_of), "servers": servers}
        paths.setdefault(operation.path, {})[operation.method] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Doublet",
            "version": __version__,
            "summary": "Pixel, Conversions API, deduplication and reports for ad conversions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        **({"servers": [{"url": server_url}]} if server_url else {}),
        "security": [{"bearer": []}, {"access_token": []}],
        "paths": paths,
        "components": {
            "schemas": _components(components),
            "parameters": PARAMETERS,
            "responses": {
                str(status): _refused(status)
                for status in sorted({reason.row.http_status for reason in Reason})
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "access_token": {"type": "apiKey", "in": "query", "name": "access_token"},
            },
        },
    }


def _types() -> list[Any]:
    """Every type of a body or an answer, once."""
    every = (*OPERATIONS, *DECIDERS)
    found = [body for operation in every for body in operation.bodies.values()]
    found += [answer for operation in every for answer in operation.answers.values()]
    return list({str(kind): kind for kind in found if not isinstance(kind, dict | None)}.values())


def _operation(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    def content(kinds: Mapping[str, Any]) -> dict[str, Any]:
        return {
            media: {} if kind is None else {"schema": schema_of.get(str(kind), kind)}
            for media, kind in kinds.items()
        }

    names = (*_path_names(operation.path), *operation.parameters)
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "responses": {
            str(operation.status): {
                "description": operation.when,
                **({"content": content(operation.answers)} if operation.answers else {}),
            },
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in operation.refused
            },
        },
    }
    for status in operation.also:
        described["responses"][str(status)] = {"description": operation.also[status]}
    if operation.bodies:
        described["requestBody"] = {"required": True, "content": content(operation.bodies)}
    if operation.is_open:
        described["security"] = []
    return described


def _with_numbers(schema: Any) -> Any:
    """A schema in which exact decimals are numbers, as answers write them."""
    if isinstance(schema, list):
        return [_with_numbers(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {"type": "number"}
    return {key: _with_numbers(part) for key, part in schema.items()}


def _components(made: dict[str, Any]) -> dict[str, Any]:
    """The types that bodies and answers are made of, with what the structs leave open: they take
    less than is needed, so that a refusal can say in Meta's words what is missing."""
    found: dict[str, Any] = _with_numbers(made)
    for name, required in _REQUIRED.items():
        found[name]["required"] = required
    found["WireEvent"]["properties"]["user_data"] = {"$ref": _PLACES.format(name="UserData")}
    return {**found, "Error": _error(), "UserData": _user_data()}


def _user_data() -> dict[str, Any]:
    text: dict[str, Any] = {"type": ["string", "integer", "null"]}
    hashed = {"anyOf": [text, {"type": "array", "items": text}]}
    about = {"description": "Plain text, which is normalised and hashed on arrival, or SHA-256."}
    return {
        "type": "object",
        "description": "Customer information (docs/concepts.md); other keys are dropped.",
        "properties": {
            **{key: {**about, **hashed} for key in HASHED_KEYS},
            **dict.fromkeys(PLAIN_KEYS, text),
        },
    }


def _error() -> dict[str, Any]:
    rows = [reason.row for reason in Reason]
    text = {"type": "string"}
    properties: dict[str, Any] = {
        "message": text,
        "type": {"enum": sorted({row.type for row in rows})},
        "code": {"enum": sorted({row.code for row in rows})},
        "error_subcode": {"enum": sorted({row.subcode for row in rows if row.subcode})},
        "is_transient": {"type": "boolean"},
        "error_user_title": text,
        "error_user_msg": text,
        "error_data": {"type": "object"},
        "fbtrace_id": text,
    }
    inner = {
        "type": "object",
        "properties": properties,
        "required": ["message", "type", "code", "fbtrace_id"],
    }
    return {"type": "object", "properties": {"error": inner}, "required": ["error"]}


def _refused(status: int) -> dict[str, Any]:
    """The answer with this status: every reason that has it, with what to do."""
    reasons = [reason for reason in Reason if reason.row.http_status == status]
    lines = [f"- `{reason.label}`: {reason.row.title}. {reason.row.hint}" for reason in reasons]
    return {
        "description": "\n".join(lines),
        "headers": {
            "X-Doublet-Refused": {
                "description": "The reason.",
                "schema": {"enum": [reason.label for reason in reasons]},
            }
        },
        "content": {"application/json": {"schema": {"$ref": _PLACES.format(name="Error")}}},
    }
