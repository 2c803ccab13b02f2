"""What has become of decisions: costs by lease, counts by ad set, as the log is loaded.

Each row of the lake is taken once, by its place in the log. A touch that is loaded before its
decision waits for it; one that comes again, from another process, counts no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files as package_files
from typing import NamedTuple

import duckdb

from doublet.delivery.links import CLICK_S, IMPRESSION_S
from doublet.lake.table import File

REMEMBERED_S = max(CLICK_S, IMPRESSION_S) + 600
"""For how long after its decision a touch still finds it, in seconds."""

_QUARTER_S = 900


class Bill(NamedTuple):
    """What one lease has newly cost, in units."""

    lease: str
    units: int


class Count(NamedTuple):
    """What is new of an ad set: ads chosen, seen and clicked, units that this cost, and the clicks,
    actions and value (units) that were expected of what was chosen."""

    adset_id: str
    chosen: int = 0
    views: int = 0
    clicks: int = 0
    units: int = 0
    p_clicks: float = 0.0
    p_actions: float = 0.0
    value: float = 0.0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(
            self.adset_id,
            self.chosen + other.chosen,
            self.views + other.views,
            self.clicks + other.clicks,
            self.units + other.units,
            self.p_clicks + other.p_clicks,
            self.p_actions + other.p_actions,
            self.value + other.value,
        )


class Answers(NamedTuple):
    """How many answers with an ad an account has newly had in a quarter of an hour, which is given
    by the Unix time of its beginning."""

    account_id: str
    quarter_s: int
    answers: int


class Span(NamedTuple):
    """An ad set of an account from `begin_s` until before `end_s` (Unix seconds)."""

    account_id: str
    adset_id: str
    begin_s: float
    end_s: float


class News(NamedTuple):
    """What has come since the last look."""

    bills: list[Bill]
    counts: list[Count]
    answers: list[Answers]


@cache
def _sql(name: str) -> str:
    return package_files("doublet.delivery").joinpath(f"flow_{name}.sql").read_text("utf-8")


_COLUMNS = {
    "chosen": "name varchar, account_id varchar, adset_id varchar, lease varchar, "
    "position integer, p_click double, p_action double, value double, decided_s double",
    "touches": "account_id varchar, touch_id varchar, name varchar, kind varchar, units bigint, "
    "received_s double, log_slot integer, log_offset bigint",
}


class Flow:
    """Reads what is new in `ad_decisions` and `ad_touches`. Used by one thread, with a database of
    its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, since_s: float = 0.0) -> None:
        """Rows that were received before `since_s` (Unix seconds) are left to `history`."""
        self._connection = connection
        self._since = datetime.fromtimestamp(since_s, UTC)
        self._positions: dict[str, dict[int, int]] = {name: {} for name in _COLUMNS}
        self._seen: dict[str, set[str]] = {name: set() for name in _COLUMNS}
        for table, columns in (
            (
                "chosen",
                "account_id varchar, name varchar, adset_id varchar, lease varchar, "
                "decided_s double",
            ),
            (
                "waiting",
                "account_id varchar, touch_id varchar, name varchar, kind varchar, units bigint, "
                "received_s double",
            ),
            ("taken", "account_id varchar, touch_id varchar, received_s double"),
        ):
            connection.execute(f"create or replace temp table {table} ({columns})")

    def close(self) -> None:
        """Give the database back."""
        self._connection.close()

    def history(self, decisions: Sequence[File], touches: Sequence[File]) -> dict[str, Count]:
        """All that became of each ad set before this flow begins."""
        chosen, touched = (self._before(each) for each in (decisions, touches))
        if not chosen or not touched:
            return {}
        rows = self._connection.execute(
            _sql("history"), {"chosen": chosen, "touched": touched, "since": self._since}
        ).fetchall()
        return {row[0]: Count(*row) for row in rows}

    def answers(self, decisions: Sequence[File], from_s: float) -> list[Answers]:
        """Answers from a moment on, until this flow begins."""
        chosen = self._before(decisions)
        if not chosen:
            return []
        first = datetime.fromtimestamp(from_s, UTC)
        rows = self._connection.execute(
            _sql("answers"), {"chosen": chosen, "from": first, "since": self._since}
        ).fetchall()
        return [Answers(*row) for row in rows]

    def billed(self, touches: Sequence[File], spans: Sequence[Span]) -> list[int]:
        """What the touches of each span cost, in units, whenever they were loaded."""
        found = [0] * len(spans)
        paths = [file.path for file in touches]
        if not paths or not spans:
            return found
        account_ids, adset_ids, begins_s, ends_s = map(list, zip(*spans, strict=True))
        asked = {
            "numbers": list(range(len(spans))),
            "account_ids": account_ids,
            "adset_ids": adset_ids,
            "begins_s": begins_s,
            "ends_s": ends_s,
        }
        for number, units in self._connection.execute(
            _sql("billed"), {"touched": paths, **asked}
        ).fetchall():
            found[number] = units
        return found

    def _before(self, files: Sequence[File]) -> list[str]:
        return [file.path for file in files if file.first_received_at < self._since]

    def take(self, decisions: Sequence[File], touches: Sequence[File], now_s: float) -> News:
        """What these files hold and was not taken yet."""
        is_chosen, is_touched = self._read("chosen", decisions), self._read("touches", touches)
        if not is_chosen and not is_touched:
            return News([], [], [])
        run = self._connection.execute
        run(
            "insert into chosen select account_id, name, adset_id, lease, decided_s "
            "from fresh_chosen"
        )
        run(
            "insert into waiting select account_id, touch_id, name, kind, units, received_s "
            "from fresh_touches anti join taken using (account_id, touch_id) "
            "qualify row_number() over (partition by account_id, touch_id "
            "order by received_s, log_slot, log_offset) = 1"
        )
        run(
            "insert into taken select account_id, touch_id, min(received_s) from fresh_touches "
            "anti join taken using (account_id, touch_id) group by account_id, touch_id"
        )
        run(
            "create or replace temp table matched as select account_id, waiting.touch_id, "
            "waiting.kind, waiting.units, chosen.adset_id, chosen.lease "
            "from waiting join chosen using (account_id, name)"
        )
        run(
            "delete from waiting where (account_id, touch_id) in "
            "(select (account_id, touch_id) from matched)"
        )
        bills = [Bill(*row) for row in run(_sql("bills")).fetchall()]
        counts = [Count(*row) for row in run(_sql("counts")).fetchall()]
        answers = self._answered()
        self._forget(now_s)
        return News(bills, counts, answers)

    def _read(self, name: str, files: Sequence[File]) -> bool:
        """Put what is new into `fresh_NAME`; whether there is anything. A file that others were
        merged into has nothing new, since places in the log rise."""
        run = self._connection.execute
        known, seen = self._positions[name], self._seen[name]
        paths = [
            file.path
            for file in files
            if file.path not in seen and file.last_received_at >= self._since
        ]
        self._seen[name] = {file.path for file in files}
        if not paths:
            run(f"create or replace temp table fresh_{name} ({_COLUMNS[name]})")
            return False
        positions = [known.get(slot, 0) for slot in range(max(known, default=-1) + 1)]
        run(
            f"create or replace temp table fresh_{name} as {_sql(name)}",
            {"paths": paths, "positions": positions, "since": self._since},
        )
        newest = run(
            f"select log_slot, max(log_offset) + 1 from fresh_{name} group by log_slot"
        ).fetchall()
        known.update(newest)
        return bool(newest)

    def _answered(self) -> list[Answers]:
        return [
            Answers(*row)
            for row in self._connection.execute(
                "select account_id, cast(floor(decided_s / $q) * $q as bigint), count(*) "
                "from fresh_chosen where position = 1 group by 1, 2 order by 1, 2",
                {"q": _QUARTER_S},
            ).fetchall()
        ]

    def _forget(self, now_s: float) -> None:
        before = {"before": now_s - REMEMBERED_S}
        for table, moment in (
            ("chosen", "decided_s"),
            ("waiting", "received_s"),
            ("taken", "received_s"),
        ):
            self._connection.execute(f"delete from {table} where {moment} < $before", before)
