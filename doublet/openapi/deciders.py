"""What deciders answer, at an address of their own."""

from __future__ import annotations

from doublet.decide.answer import DecideAnswer
from doublet.decide.asked import DecideRequest
from doublet.openapi.operation import JSON, Operation

DECIDERS: tuple[Operation, ...] = (
    Operation(
        "post",
        "/v1/decide",
        "Choose ads for a person and a place (docs/deciding.md).",
        answers={JSON: DecideAnswer},
        refused=(400, 401, 413, 415, 503),
        when="What was chosen; the list may be empty, with a reason.",
        bodies={JSON: DecideRequest},
    ),
    Operation(
        "get",
        "/v1/i",
        "Take an impression of an ad.",
        ("link",),
        {"image/gif": None},
        (400, 503),
        when="It is recorded, or was.",
        is_open=True,
    ),
    Operation(
        "get",
        "/v1/c",
        "Take a click on an ad.",
        ("link",),
        refused=(400,),
        status=302,
        when="To the ad's page.",
        is_open=True,
    ),
)
