"""Match quality: how well the server's events can be matched to people, from 0 to 10.

score = 10 × Σ weight(key) × coverage(key), where coverage is the share (0–1) of the server's
website events that bear the key in what the server itself sent. `WEIGHTS` sum to 1, so that
sending a key always would add 10 × weight × (1 − coverage): no more is claimed than that.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import bounds, report_sql

WEIGHTS: dict[str, float] = {
    "em": 0.25,
    "ip_and_ua": 0.15,
    "fbc": 0.15,
    "ph": 0.15,
    "fbp": 0.10,
    "external_id": 0.10,
    "fn_and_ln": 0.04,
    "db": 0.02,
    "ct": 0.01,
    "st": 0.01,
    "zp": 0.01,
    "country": 0.01,
}
"""What each key adds. Meta publishes which keys are strong (Conversions API, best practices:
e-mail address, IP address, names, phone number) but no weights; these are ours."""

LABELS: dict[str, str] = {
    "em": "E-mail address",
    "ip_and_ua": "IP address and user agent",
    "fbc": "Click id",
    "ph": "Phone number",
    "fbp": "Browser id",
    "external_id": "External id",
    "fn_and_ln": "First and last name",
    "db": "Date of birth",
    "ct": "City",
    "st": "State",
    "zp": "Postal code",
    "country": "Country",
}
"""What people call the keys of `WEIGHTS`."""

DEDUPE_KEYS = ("event_id", "external_id", "fbp")
"""What copies of one event can be found by, the strongest first (Meta, *Handling duplicate pixel
and Conversions API events*)."""

LINK_KEYS = ("em", "ph", "external_id", "fbc", "fbp")
"""Keys that one person's events share, and hardly another's."""

COVERAGE_GOAL_SHARE = 0.75
"""The share of the browser's events that Meta wants from the server too (Dataset Quality API)."""

_GRADES = ((8.0, "great"), (6.0, "good"), (4.0, "OK"), (0.0, "poor"))
_WINDOW_DAYS = 7


class DedupeKey(msgspec.Struct):
    """What one key does for deduplication, in shares (0–1, None of nothing): of the browser's
    events those that bear it, of the server's, of the fewer of both those that bear one value on
    both sides, and of the browser's events those whose copy from the server was found by it and by
    no stronger one (event_id, then external_id, then fbp)."""

    browser_share: float | None
    server_share: float | None
    shared_share: float | None
    covered_share: float | None


class Freshness(msgspec.Struct):
    """How late the server's copies come, receipt minus event_time: shares (0–1) of those within
    five minutes, two hours and a day. upload_frequency is the shortest of these that holds for
    half of them: real_time, hourly, daily, otherwise weekly."""

    within_5_minutes_share: float
    within_2_hours_share: float
    within_a_day_share: float
    upload_frequency: str


class QualityDay(msgspec.Struct):
    """One day of an event name; see QualityRow."""

    day: date
    judged: int
    score: float | None
    event_coverage_share: float | None


class QualityRow(msgspec.Struct):
    """One event name: events after deduplication, those of which the browser, the server and both
    sent a copy, and `judged`: the server's with action_source website, which the score (0–10), the
    coverage of keys and joinable_share are of. coverage is by what the server itself sent;
    joinable_share bear em, ph, fbc, fbp or external_id in any copy. event_coverage_share of the
    browser's events the server sent too (Meta's goal: 0.75); additional_share of all events only
    the server saw; gain is what a key would add to the score if every event bore it. Shares are
    0–1; of nothing they, the score and freshness are None.
    dedupe_keys are event_id, external_id and fbp. linked_share of the judged share a person's key
    with another event of the pixel, in any copy; newly_linked is the share that a key would link
    besides if every event bore it: those that lack it and have no link, times the share of its
    bearers that it links. A key that no event bears is not in it: nothing is known of it. `days`
    are those on which something happened, in the account's time zone."""

    event_name: str
    events: int
    browser_events: int
    server_events: int
    both: int
    judged: int
    score: float | None
    joinable_share: float | None
    event_coverage_share: float | None
    additional_share: float | None
    coverage: dict[str, float]
    gain: dict[str, float]
    dedupe_keys: dict[str, DedupeKey] = {}
    freshness: Freshness | None = None
    linked_share: float | None = None
    newly_linked: dict[str, float] = {}
    days: list[QualityDay] = []


class QualityKeyRow(msgspec.Struct):
    """One key of one event name, of those that have a score; see QualityRow. `points` of `score`
    are the key's, `newly_linked_share` is None where it is not known."""

    event_name: str
    key: str
    judged: int
    score: float
    coverage_share: float
    points: float
    gain: float
    newly_linked_share: float | None


def by_key(rows: list[QualityRow]) -> list[QualityKeyRow]:
    """The rows for spreadsheets, which have no tables in a cell."""
    return [
        QualityKeyRow(
            row.event_name,
            key,
            row.judged,
            row.score,
            share,
            round(10 * WEIGHTS[key] * share, 2),
            row.gain[key],
            row.newly_linked.get(key),
        )
        for row in rows
        if row.score is not None
        for key, share in row.coverage.items()
    ]


def score(coverage: dict[str, float]) -> float:
    """The score of a coverage of keys, 0–10, with one decimal.

    >>> score({"em": 1.0, "fbp": 0.5})
    3.0
    """
    return round(10 * sum(WEIGHTS[key] * share for key, share in coverage.items()), 1)


def grade(points: float) -> str:
    """A word for a score. From 6 on it is good: what Meta recommends at least.

    >>> grade(6.0), grade(5.9)
    ('good', 'OK')
    """
    return next(word for least, word in _GRADES if points >= least)


def filters(
    account: Account,
    since: date,
    until: date,
    pixel_id: str | None,
    event_name: str | None,
) -> dict[str, Any]:
    """The parameters that the texts on quality share."""
    start, end = bounds(account, since, until)
    return {
        "account_id": account.account_id,
        "pixel_id": pixel_id,
        "event_name": event_name,
        "since": start,
        "until": end,
    }


def quality(
    engine: Engine,
    account: Account,
    *,
    since: date,
    until: date,
    pixel_id: str | None = None,
    event_name: str | None = None,
) -> list[QualityRow]:
    """Per event name, most frequent first, from one day to another, both of the account's time
    zone and by event_time. Empty when nothing arrived."""
    asked = filters(account, since, until, pixel_id, event_name)
    rows = judged_rows(engine, account, asked)
    if not rows:
        return rows
    sides = _by_name(engine, "dedupe_keys", asked)
    links = _by_name(engine, "links", asked)
    for row in rows:
        if row.event_name in sides:
            row.dedupe_keys = _dedupe_keys(sides[row.event_name])
            row.freshness = _freshness(sides[row.event_name])
        if row.event_name in links:
            found = links[row.event_name]
            row.linked_share = _share(found["linked"], found["judged"])
            row.newly_linked = _newly_linked(found)
    return rows


def _by_name(engine: Engine, report: str, asked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["event_name"]: found for found in engine.query(report_sql(report), asked)}


def _newly_linked(found: dict[str, Any]) -> dict[str, float]:
    """What each key would link, by how many of its present bearers it links."""
    return {
        key: round(
            found[f"lacking_{key}"] / found["judged"] * found[f"by_{key}"] / found[f"has_{key}"], 6
        )
        for key in LINK_KEYS
        if found[f"has_{key}"]
    }


def judged_rows(engine: Engine, account: Account, asked: dict[str, Any]) -> list[QualityRow]:
    """The rows without what only deduplication and others' keys tell."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for found in engine.query(report_sql("quality"), {**asked, "zone": account.time_zone}):
        by_name.setdefault(found["event_name"], []).append(found)
    rows = [_row(name, days) for name, days in by_name.items()]
    return sorted(rows, key=lambda row: (-row.events, row.event_name))


def _row(event_name: str, days: list[dict[str, Any]]) -> QualityRow:
    counts = {name for name in days[0] if name not in ("event_name", "day")}
    found = {name: sum(day[name] for day in days) for name in counts}
    judged = found["judged"]
    coverage = _coverage(found)
    return QualityRow(
        event_name,
        found["events"],
        found["browser_events"],
        found["server_events"],
        found["both"],
        judged,
        score(coverage) if judged else None,
        _share(found["joinable"], judged),
        _share(found["both"], found["browser_events"]),
        _share(found["events"] - found["browser_events"], found["events"]),
        coverage,
        {key: round(10 * WEIGHTS[key] * (1 - share), 2) for key, share in coverage.items()},
        days=[
            QualityDay(
                day["day"],
                day["judged"],
                score(_coverage(day)) if day["judged"] else None,
                _share(day["both"], day["browser_events"]),
            )
            for day in days
        ],
    )


def _coverage(found: dict[str, Any]) -> dict[str, float]:
    judged = found["judged"]
    return {key: round(found[key] / judged, 6) for key in WEIGHTS} if judged else {}


def _dedupe_keys(found: dict[str, Any]) -> dict[str, DedupeKey]:
    browser, server = found["browser_events"], found["server_events"]
    return {
        key: DedupeKey(
            _share(found[f"browser_{key}"], browser),
            _share(found[f"server_{key}"], server),
            _share(found[f"shared_{key}"], min(browser, server)),
            _share(found[f"covered_{key}"], browser),
        )
        for key in DEDUPE_KEYS
    }


def _freshness(found: dict[str, Any]) -> Freshness | None:
    copies = found["server_copies"]
    if not copies:
        return None
    shares = [found[f"within_{time}"] / copies for time in ("5_minutes", "2_hours", "a_day")]
    words = ("real_time", "hourly", "daily", "weekly")
    frequency = next(
        word for word, share in zip(words, [*shares, 1.0], strict=True) if share >= 0.5
    )
    minutes, hours, day = (round(share, 6) for share in shares)
    return Freshness(minutes, hours, day, frequency)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def window(since: date | None, until: date | None, today: date) -> tuple[date, date]:
    """First and last day of a report: as asked, otherwise seven days up to today.

    >>> window(None, date(2026, 5, 28), date(2026, 6, 1))
    (datetime.date(2026, 5, 22), datetime.date(2026, 5, 28))
    """
    last = until or max(today, since or today)
    first = date.fromordinal(max(1, last.toordinal() - _WINDOW_DAYS + 1))
    return since or first, last
