"""What is told of audiences: who came and went, by what they can be reached, what they share."""

from __future__ import annotations

import msgspec

from doublet.audiences.members import audience_sql
from doublet.engine import Engine

LATELY_S = 86_400
"""Of so long it is told who came and went."""


class Lately(msgspec.Struct, frozen=True):
    """Members now, and how many joined and left in the last `LATELY_S` seconds."""

    members: int = 0
    joined: int = 0
    departed: int = 0


class Reach(msgspec.Struct, frozen=True):
    """By how many `members` an identifier of a `kind` (a key of user_data) is known."""

    kind: str
    members: int


class Overlap(msgspec.Struct, frozen=True):
    """Another audience with `members` of its own, of which `shared` are in both."""

    audience_id: str
    members: int
    shared: int


def lately(engine: Engine, account_id: str, now_s: int) -> dict[str, Lately]:
    """By audience of an account; without those that have and had nobody."""
    if not _is_made(engine):
        return {}
    rows = engine.query(
        audience_sql("lately"), {"account_id": account_id, "since_s": now_s - LATELY_S}
    )
    return {row.pop("audience_id"): Lately(**row) for row in rows}


def reach(engine: Engine, audience_id: str) -> list[Reach]:
    """Most members first; empty where there is nobody."""
    if not _is_made(engine):
        return []
    rows = engine.query(audience_sql("reach"), {"audience_id": audience_id})
    return [Reach(**row) for row in rows]


def overlap(engine: Engine, account_id: str, audience_id: str) -> list[Overlap]:
    """Those that share most first."""
    if not _is_made(engine):
        return []
    parameters = {"account_id": account_id, "audience_id": audience_id}
    return [Overlap(**row) for row in engine.query(audience_sql("overlap"), parameters)]


def _is_made(engine: Engine) -> bool:
    """Whether any worker has looked at audiences yet."""
    return bool(engine.query("select 1 from duckdb_tables() where table_name = 'audience_members'"))
