"""Refused requests: few causes of many refusals, each request with what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.refusal import Reason
from doublet.reports import bounds

_PAGE_ROWS = 25


class Cause(msgspec.Struct):
    """Why requests were refused: how many of them, how many events of theirs are kept, when the
    first and the last came, the id of the last, and what to do. `message` is that of one."""

    reason: str
    message: str
    pixel_id: str
    source: str
    requests: int
    events: int
    first_seen_at: datetime
    last_seen_at: datetime
    example: str
    fix: str


class RefusedRequest(msgspec.Struct):
    """One refused request. `id` is its log slot and offset, `payload` its hashed events: None
    where the body was unreadable or no token proved an account."""

    id: str
    received_at: datetime
    pixel_id: str
    source: str
    reason: str
    message: str
    size_bytes: int
    sha256: str
    fix: str
    payload: Any = None


def fix_of(reason: str) -> str:
    """What to do about a reason; empty for one that this version does not know."""
    known = Reason.__members__.get(reason.upper())
    return known.row.hint if known else ""


@cache
def sql(name: str) -> str:
    """A text of this package."""
    return files("doublet.refused").joinpath(f"{name}.sql").read_text("utf-8")


class Refusals:
    """The refused requests of one state of the lake. `refused` and `events` are the paths of the
    files of both tables."""

    def __init__(self, engine: Engine, refused: Sequence[str], events: Sequence[str]) -> None:
        self.engine = engine
        self.refused = list(refused)
        self.events = list(events)

    def causes(
        self,
        account: Account,
        pixels: Sequence[str],
        *,
        pixel_id: str | None = None,
        reason: str | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[Cause]:
        """The causes, most frequent first. `pixels` are the account's own; days are of its time
        zone, by receipt. Empty when nothing was refused."""
        if not self.refused:
            return []
        asked = self._filters(account, pixels, pixel_id, reason, since, until)
        rows = self.engine.query(sql("causes"), asked)
        return [Cause(**row, fix=fix_of(row["reason"])) for row in rows]

    def requests(
        self,
        account: Account,
        pixels: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        pixel_id: str | None = None,
        reason: str | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> Iterator[RefusedRequest]:
        """The requests, oldest first, read a few at a time."""
        if not self.refused:
            return
        asked = self._filters(account, pixels, pixel_id, reason, since, until)
        asked |= {"ids": None if ids is None else list(ids), "rows_max": _PAGE_ROWS}
        after: dict[str, Any] = {"after_at": None, "after_slot": 0, "after_offset": 0}
        while rows := self.engine.query(sql("requests"), {**asked, **after}):
            for row in rows:
                yield _request(row)
            last = rows[-1]
            after = {
                "after_at": last["received_at"],
                "after_slot": last["log_slot"],
                "after_offset": last["log_offset"],
            }

    def _filters(
        self,
        account: Account,
        pixels: Sequence[str],
        pixel_id: str | None,
        reason: str | None,
        since: date | None,
        until: date | None,
    ) -> dict[str, Any]:
        start, end = bounds(account, since, until)
        return {
            "paths": self.refused,
            "account_id": account.account_id,
            "pixels": list(pixels),
            "pixel_id": pixel_id,
            "reason": reason,
            "since": start,
            "until": end,
        }


def _request(row: dict[str, Any]) -> RefusedRequest:
    payload = row["payload"]
    return RefusedRequest(
        f"{row['log_slot']}-{row['log_offset']}",
        row["received_at"],
        row["pixel_id"],
        row["source"],
        row["reason"],
        row["message"],
        row["size_bytes"],
        row["sha256"],
        fix_of(row["reason"]),
        None if payload is None else msgspec.json.decode(payload),
    )
