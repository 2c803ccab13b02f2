"""What one request asks: by whom, of what, and how much of it at a time."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from doublet.catalog import Account
from doublet.graph.fields import Selection, Shape, check, pick
from doublet.graph.refused import invalid

LIMIT_MAX = 1000
_LIMIT = 25
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_is_number = re.compile(r"[0-9]{1,18}", re.ASCII).fullmatch


class Question(NamedTuple):
    """One reading of a node or an edge. `parameters` are those of the address, or of the edge where
    it is a field of a node; `address` is the whole one without parameters."""

    account: Account
    parameters: Mapping[str, str]
    fields: Selection
    address: str
    now: datetime
    who: str = ""
    """Who asks, in the words of the record of changes."""

    @property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        return ZoneInfo(self.account.time_zone)

    def limit(self, default: int = _LIMIT, most: int = LIMIT_MAX) -> int:
        """Rows of a page, at most `most`. Raises Refused."""
        text = self.parameters.get("limit") or str(default)
        if not _is_number(text) or not 1 <= int(text) <= most:
            raise invalid("limit", f"(#100) limit must be a number from 1 to {most}")
        return int(text)

    @property
    def after(self) -> str | None:
        """Of which row the page that was read last ended. Raises Refused for a made-up cursor."""
        text = self.parameters.get("after")
        if not text:
            return None
        try:
            return base64.urlsafe_b64decode(text.encode() + b"==").decode()
        except (binascii.Error, ValueError):
            raise invalid("after", "(#100) after is no cursor of an earlier answer") from None

    def moment(self, name: str) -> datetime | None:
        """A parameter that is Unix seconds or ISO 8601, without an offset in the account's zone;
        None when it is not given. Raises Refused."""
        text = self.parameters.get(name, "").strip()
        if not text:
            return None
        try:
            read = self._read_moment(text)
            if _EARLIEST <= read < _LATEST:
                return read
        except (ValueError, OverflowError, OSError):
            pass
        form = "Unix seconds or ISO 8601 from 1970 to 2099, e.g. 2026-06-01T00:00:00Z"
        raise invalid(name, f"(#100) {name} must be {form}")

    def _read_moment(self, text: str) -> datetime:
        if _is_number(text):
            return datetime.fromtimestamp(int(text), UTC)
        # A plus that was not escaped arrives as a space.
        read = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text))
        return read if read.tzinfo else read.replace(tzinfo=self.zone)

    def as_time(self, moment: datetime) -> str:
        """A moment as Graph writes it: `2026-06-01T14:00:00+0200`."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%dT%H:%M:%S%z")

    def of_seconds(self, seconds: int) -> str:
        """Unix seconds as Graph writes moments."""
        return self.as_time(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))


Row = dict[str, Any]


def page(
    question: Question, rows: Sequence[Row], key: Callable[[Row], str], shape: Shape, limit: int
) -> dict[str, Any]:
    """One page of an edge: the first `limit` rows, their cursors, and where the next page is if
    there are more rows."""
    check(question.fields, shape)
    shown = rows[:limit]
    answer: dict[str, Any] = {"data": [pick(row, question.fields, shape) for row in shown]}
    if not shown:
        return answer
    after = _cursor(key(shown[-1]))
    paging: dict[str, Any] = {"cursors": {"before": _cursor(key(shown[0])), "after": after}}
    if len(rows) > limit:
        parameters = {**question.parameters, "limit": str(limit), "after": after}
        paging["next"] = f"{question.address}?{urlencode(parameters)}"
    return {**answer, "paging": paging}


def rows_after(question: Question, rows: Sequence[Row], key: Callable[[Row], str]) -> Sequence[Row]:
    """The rows behind the cursor of the question; all when it has none."""
    after = question.after
    if after is None:
        return rows
    places = (place for place, row in enumerate(rows) if key(row) == after)
    return rows[next(places, len(rows)) + 1 :]


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
