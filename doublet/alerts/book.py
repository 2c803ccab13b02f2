"""The alerts as they are kept: opened when a series leaves its band, closed when it has been back
for a while, each told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from doublet.alerts.bands import Band
from doublet.alerts.watch import Finding, Series
from doublet.catalog import AlertRow, Catalog

BACK_FOR = timedelta(hours=1)
"""A series that has been usual for so long is over its fault."""


class Alert(msgspec.Struct):
    """An alert for people and programs. Counts for the volume, shares from 0 to 1 otherwise."""

    alert_id: int
    account_id: str
    pixel_id: str
    measure: str
    event_name: str
    source: str
    opened_at: datetime
    closed_at: datetime | None
    window_s: int
    seen: float
    expected: float
    sentence: str


def as_alert(row: AlertRow) -> Alert:
    """A row of the catalog with its sentence."""
    return Alert(
        row.alert_id,
        row.account_id,
        row.pixel_id,
        row.measure,
        row.event_name,
        row.source,
        _moment(row.opened_at),
        _moment(row.closed_at) if row.closed_at is not None else None,
        row.window_s,
        round(row.seen, 4),
        round(row.expected, 4),
        _sentence(row),
    )


_ADVICE = {
    "volume": {
        True: "Look whether the pixel or the server side still runs after the last release.",
        False: "Look for events that fire twice, robots, or a campaign that just began.",
    },
    "deduplication": {
        True: "Look whether both sides still send the same event_id.",
        False: "More events than usual come from both sides; often a repair.",
    },
    "freshness": {
        True: "The server sends later than two hours after the event: look at its queue.",
        False: "Events come sooner than usual.",
    },
    "matching": {
        True: "Look whether em, ph or external_id were lost from the server's events.",
        False: "More events than usual name a person.",
    },
}


def _sentence(row: AlertRow) -> str:
    hours = f"{row.window_s / 3600:g} h"
    low = row.seen < row.lowest
    # Others chose the name; it must not break a line of mail or terminal.
    name = "".join(c for c in row.event_name if c.isprintable())
    who = f"{name[:60]} from the {row.source}"
    if row.measure == "volume":
        said = (
            f"{who}: {row.seen:,.0f} in {hours}, usually about {row.expected:,.0f} "
            f"({row.lowest:,.0f} to {row.highest:,.0f})."
        )
    else:
        shares = {
            "deduplication": "were sent by the browser too",
            "freshness": "came within two hours",
            "matching": "name a person by em, ph or external_id",
        }
        said = (
            f"{who}: {row.seen:.0%} {shares[row.measure]} in {hours}, usually about "
            f"{row.expected:.0%} ({row.lowest:.0%} to {row.highest:.0%})."
        )
    return f"{said} {_ADVICE[row.measure][low]}"


def note(
    catalog: Catalog, findings: Iterable[Finding], owners: Mapping[str, str], now: datetime
) -> None:
    """Open, keep open and close alerts by what was just found; `owners` names the account of each
    pixel."""
    now_us = _microseconds(now)
    known = {_series(row): row for row in catalog.alerts(unsettled=True) if row.closed_at is None}
    for finding in findings:
        account_id = owners.get(finding.series.pixel_id)
        row = known.pop(finding.series, None)
        if row is not None:
            row.seen_at = now_us
            catalog.save_alert(row)
        elif account_id is not None:
            catalog.save_alert(_opened(finding, account_id, now_us))
    for row in known.values():
        if now - _moment(row.seen_at) >= BACK_FOR:
            row.closed_at = now_us
            catalog.save_alert(row)


def _opened(finding: Finding, account_id: str, now_us: int) -> AlertRow:
    series, band = finding.series, finding.band
    return AlertRow(
        0,
        account_id,
        series.pixel_id,
        series.measure,
        series.event_name,
        series.source,
        now_us,
        now_us,
        None,
        finding.window_s,
        finding.seen,
        *Band(band.expected, band.lowest, band.highest),
    )


def _series(row: AlertRow) -> Series:
    return Series(row.measure, row.pixel_id, row.event_name, row.source)


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
