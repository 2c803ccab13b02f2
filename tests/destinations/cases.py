"""The golden cases of destinations: `{event, request, response, outcome}`, a JSON file each."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from doublet.catalog import Destination, DestinationRules
from doublet.destinations.contract import Outcome, Outgoing, Response, Verdict

FOLDER = Path(__file__).parent.parent / "golden" / "destinations"


def make_destination(
    kind: str,
    target: dict[str, Any],
    secret: str = "",
    rules: DestinationRules | None = None,
) -> Destination:
    """A destination that no catalog knows."""
    return Destination(
        *("dst_000000000001", "act_000000000000001", kind, "Case", 0, False),
        *(target, secret, rules or DestinationRules()),
    )


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One case. `about` says what it shows, `source` names the public page that says so; `event`
    is one or several, `request` and `response` have bodies as JSON or, where they are none, text;
    that of a Parquet file is its rows. `sent_at` (Unix seconds) is for what is signed. What a
    request has more than the case names (a user agent, say) is not compared."""

    about: str
    source: str
    target: dict[str, Any]
    event: dict[str, Any] | list[dict[str, Any]]
    request: dict[str, Any]
    response: dict[str, Any]
    outcome: dict[str, Any]
    secret: str = "SECRET"
    sent_at: int = 1790000100
    rules: DestinationRules = DestinationRules()

    @property
    def events(self) -> list[Outgoing]:
        """As the relay hands them to `encode`."""
        events = self.event if isinstance(self.event, list) else [self.event]
        return [msgspec.convert(event, Outgoing) for event in events]

    def destination(self, kind: str) -> Destination:
        """As the catalog has it."""
        return make_destination(kind, self.target, self.secret, self.rules)

    @property
    def answer(self) -> Response:
        """As the relay hands it to `decide`."""
        body = self.response.get("body", "")
        encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return Response(self.response["status"], self.response.get("headers", {}), encoded)


def cases(kind: str) -> list[tuple[str, Case]]:
    """The cases of a kind by name."""
    return [
        (path.stem, msgspec.json.decode(path.read_bytes(), type=Case))
        for path in sorted((FOLDER / kind).glob("*.json"))
    ]


def body_of(body: bytes) -> Any:
    """As a case writes it."""
    if body.startswith(b"PAR1"):
        return _rows_of(body)
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def _rows_of(parquet: bytes) -> list[dict[str, Any]]:
    """As another program reads it; decimals as text, what is null left out."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        Path(file.name).write_bytes(parquet)
        found = duckdb.execute(f"select * from '{file.name}'")
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [
        {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    ]


def outcome_of(outcome: Outcome) -> dict[str, Any]:
    """As a case writes it: what is not empty."""
    found: dict[str, Any] = {"verdict": outcome.verdict.value}
    if outcome.verdict is not Verdict.DONE:
        found |= {"code": outcome.code, "message": outcome.message}
    if outcome.retry_after_s is not None:
        found["retry_after_s"] = outcome.retry_after_s
    if outcome.refused:
        found["refused"] = {str(index): why for index, why in outcome.refused.items()}
    return found
