"""What became of leads: the stages that CRMs reported back."""

from __future__ import annotations

from datetime import date

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import bounds, report_sql


class LeadStageRow(msgspec.Struct):
    """One stage: leads that reached it, their share (0–1) of all leads, those of them that a
    browser reported as a Lead event, and after how many seconds half of those with a Lead event had
    reached it (None when there is none)."""

    stage: str
    leads: int
    share: float
    matched: int
    median_s: float | None


class LeadsReport(msgspec.Struct):
    """All leads, from forms or known from a CRM alone; those that a browser reported; the stages,
    that of most leads first."""

    leads: int
    matched: int
    rows: list[LeadStageRow]


def leads(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> LeadsReport:
    """The stages of the leads that came between two days; without rows when none is known."""
    start, end = bounds(account, since, until)
    found = engine.query(
        report_sql("leads"),
        {"account_id": account.account_id, "pixel_id": pixel_id, "since": start, "until": end},
    )
    total = next(row for row in found if row["stage"] is None)
    rows = [
        LeadStageRow(share=row["leads"] / total["leads"], **row)
        for row in found
        if row["stage"] is not None
    ]
    return LeadsReport(total["leads"], total["matched"], rows)


def duration(seconds: float | None) -> str:
    """A span of time for people, in its largest unit.

    >>> duration(45), duration(5400), duration(200_000), duration(None)
    ('45 s', '1.5 h', '2.3 days', '–')
    """
    if seconds is None:
        return "–"
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} s"
