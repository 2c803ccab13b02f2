"""The addresses about audiences, those of the Graph API excepted."""

from __future__ import annotations

from doublet.openapi.operation import CSV, JSON, Operation
from doublet.web.audience_export import ExportAsked
from doublet.web.audience_of import AudiencesOf, WhoAsked
from doublet.web.audiences import AudienceRow, AudienceStory

AUDIENCES: tuple[Operation, ...] = (
    Operation(
        "get",
        "/audiences.json",
        "Audiences and their members now.",
        ("account",),
        {JSON: list[AudienceRow]},
    ),
    Operation("get", "/audiences.csv", "The same.", ("account",), {CSV: None}),
    Operation(
        "get",
        "/audience.json",
        "One audience: rule, sizes, reach, overlap.",
        ("account", "audience"),
        {JSON: AudienceStory},
        (400, 401, 404, 503),
    ),
    Operation(
        "get",
        "/audience.csv",
        "Its sizes over time.",
        ("account", "audience"),
        {CSV: None},
        (400, 401, 404, 503),
    ),
    Operation(
        "post",
        "/v1/audiences/export",
        "The hashes of an audience's members, as a file (docs/audiences.md).",
        answers={CSV: None, "application/vnd.apache.parquet": None},
        refused=(400, 401, 403, 404, 413, 503),
        bodies={JSON: ExportAsked},
    ),
    Operation(
        "post",
        "/v1/audiences/of",
        "The audiences that a person is in (docs/audiences.md).",
        answers={JSON: AudiencesOf},
        refused=(400, 401, 404, 413, 503),
        bodies={JSON: WhoAsked},
    ),
)
