"""Pages of insights: forward and back, from cursors that outlive a change of the figures."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from doublet.graph.question import Question, Row
from doublet.graph.refused import invalid

LIMIT_MAX = 10_000
"""So many rows a page may have."""


class Rows(NamedTuple):
    """An answer before it is cut into pages: the key of each row, which is its own among all, what
    makes the rows from one number to before another, and perhaps a row of totals."""

    keys: list[str]
    make: Callable[[int, int], list[Row]]
    summary: Row | None = None


def insights_page(question: Question, found: Rows) -> dict[str, Any]:
    """The rows behind the cursor `after`, or before `before`, at most `limit`, with cursors for the
    next ones. Raises Refused."""
    limit = question.limit(most=LIMIT_MAX)
    start, stop = _window(question, found, limit)
    rows = found.make(start, stop)
    answer: dict[str, Any] = {"data": rows}
    if rows:
        before, after = _cursor(found, start), _cursor(found, start + len(rows) - 1)
        answer["paging"] = {"cursors": {"before": before, "after": after}}
        if stop < len(found.keys):
            answer["paging"]["next"] = _address(question, limit, "after", after)
        if start > 0:
            answer["paging"]["previous"] = _address(question, limit, "before", before)
    if found.summary is not None:
        answer["summary"] = found.summary
    return answer


def _window(question: Question, found: Rows, limit: int) -> tuple[int, int]:
    after, before = _place(question, found, "after"), _place(question, found, "before")
    if after is not None:
        return after + 1, after + 1 + limit
    if before is not None:
        return max(before - limit, 0), before
    return 0, limit


def _cursor(found: Rows, place: int) -> str:
    text = json.dumps([place, found.keys[place]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(question: Question, found: Rows, name: str) -> int | None:
    """Where the row of a cursor stands now; where it stood if it is gone."""
    text = question.parameters.get(name)
    if not text:
        return None
    try:
        place, key = json.loads(base64.urlsafe_b64decode(text.encode() + b"=="))
        if key in found.keys:
            return found.keys.index(key)
        return min(max(int(place), 0), len(found.keys))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise invalid(name, f"(#100) {name} is no cursor of an earlier answer") from None


def _address(question: Question, limit: int, name: str, cursor: str) -> str:
    given = {
        each: value
        for each, value in question.parameters.items()
        if each not in ("after", "before")
    }
    return f"{question.address}?{urlencode({**given, 'limit': str(limit), name: cursor})}"
