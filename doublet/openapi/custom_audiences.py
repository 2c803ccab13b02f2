"""The Graph API's addresses of custom audiences and of the people in customer lists."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.graph.custom_audiences import FILE_SOURCES, RETENTION_DAYS_MAX
from doublet.openapi.answers import Page
from doublet.openapi.operation import JSON, Operation

_FORM = "application/x-www-form-urlencoded"
_TEXT = {"type": "string"}


class AudienceMade(msgspec.Struct):
    """The audience that was made."""

    id: str
    message: str


class UsersTaken(msgspec.Struct):
    """What became of the rows of a payload; samples describe rows of no use, and repeat none."""

    session_id: str
    num_received: int
    num_invalid_entries: int
    invalid_entry_samples: list[str]
    audience_id: str = ""
    success: bool = True


AUDIENCE_PARAMETERS: dict[str, Any] = {
    "audience_id": {
        "name": "audience_id",
        "in": "path",
        "required": True,
        "description": "An audience that is a customer list.",
        "schema": {"type": "string", "pattern": "^[0-9]{15,18}$"},
    },
}
_AUDIENCE = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _TEXT,
        "description": _TEXT,
        "subtype": {"enum": ["CUSTOM", "LOOKALIKE", "WEBSITE"]},
        "rule": {"type": "string", "description": "JSON (docs/audiences.md)."},
        "retention_days": {"type": "integer", "minimum": 1, "maximum": RETENTION_DAYS_MAX},
        "prefill": {"type": "boolean"},
        "pixel_id": _TEXT,
        "customer_file_source": {"enum": list(FILE_SOURCES)},
        "is_value_based": {"type": "boolean"},
        "origin_audience_id": _TEXT,
        "lookalike_spec": {"type": "string", "description": "JSON (docs/audiences.md)."},
    },
}
_USERS = {
    "type": "object",
    "required": ["payload"],
    "properties": {
        "payload": {"type": "string", "description": "JSON: schema, data (docs/audiences.md)."},
        "session": {
            "type": "string",
            "description": "JSON: session_id, batch_seq, last_batch_flag, estimated_num_total.",
        },
    },
}
_ACCOUNT = "/{version}/{account_id}"
_LIST = "/{version}/{audience_id}"


def _people(method: str, path: str, summary: str, when: str) -> Operation:
    bodies = {_FORM: _USERS, JSON: _USERS}
    return Operation(method, path, summary, (), {JSON: UsersTaken}, when=when, bodies=bodies)


CUSTOM_AUDIENCES: tuple[Operation, ...] = (
    Operation(
        "get",
        f"{_ACCOUNT}/customaudiences",
        "Audiences of an account.",
        ("fields",),
        {JSON: Page},
    ),
    Operation(
        "post",
        f"{_ACCOUNT}/customaudiences",
        "Make an audience: by rule, by list, or by likeness.",
        (),
        {JSON: AudienceMade},
        when="It is made; its people are found within seconds, those of a lookalike in minutes.",
        bodies={_FORM: _AUDIENCE, JSON: _AUDIENCE},
    ),
    _people("post", f"{_LIST}/users", "Add people to a list.", "They are in the list."),
    _people("delete", f"{_LIST}/users", "Take people out of a list.", "They are out."),
    _people(
        "post",
        f"{_LIST}/usersreplace",
        "Replace a list, in a session of at most 90 minutes.",
        "Taken; the list is replaced with the last batch.",
    ),
    _people(
        "delete",
        f"{_ACCOUNT}/usersofanyaudience",
        "Take people out of all lists of an account.",
        "They are out.",
    ),
)
"""In the order of the description; a node's own address is that of a pixel."""
