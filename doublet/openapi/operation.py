"""What describes one method of one address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
SVG = "image/svg+xml"


class Operation(NamedTuple):
    """One method of one address. `bodies` and `answers` map media types to a type, to a schema or
    to None; `refused` are the statuses of refusals, `also` other statuses with their meaning."""

    method: str
    path: str
    summary: str
    parameters: tuple[str, ...] = ()
    answers: Mapping[str, Any] = {}
    refused: tuple[int, ...] = (400, 401, 403, 404, 429, 503)
    status: int = 200
    when: str = "Found."
    bodies: Mapping[str, Any] = {}
    also: Mapping[int, str] = {}
    is_open: bool = False
