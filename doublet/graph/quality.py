"""`/dataset_quality`: how well the server's events of a dataset can be matched and deduplicated."""

from __future__ import annotations

from typing import Any

from doublet.engine import Engine
from doublet.graph.checks import last_days
from doublet.graph.fields import Shape, check, pick, plain
from doublet.graph.question import Question, Row
from doublet.reports.diagnostics import DiagnosticRow, diagnostics
from doublet.reports.quality import COVERAGE_GOAL_SHARE, DedupeKey, QualityRow, quality

_TOLD = Shape("AdsDatasetMetric", plain("percentage", "description"))
_DEDUPE = Shape(
    "AdsDatasetDedupKeyFeedback",
    {
        **plain("dedupe_key"),
        "browser_events_with_dedupe_key": _TOLD,
        "server_events_with_dedupe_key": _TOLD,
        "overall_browser_coverage_from_dedupe_key": _TOLD,
    },
)
_MATCH_KEY = Shape(
    "AdsPixelCAPIEMQMatchKeyFeedback",
    {
        **plain("identifier"),
        "coverage": _TOLD,
        "potential_aly_acr_increase": _TOLD,
    },
)
_DIAGNOSTIC = Shape(
    "AdsPixelCAPIEMQDiagnostics",
    plain(
        *("name", "description", "solution", "percentage"),
        *("affected_event_count", "total_event_count"),
    ),
)
_MATCH_QUALITY = Shape(
    "AdsPixelCAPIEMQ",
    {
        **plain("composite_score"),
        "match_key_feedback": _MATCH_KEY,
        "diagnostics": _DIAGNOSTIC,
    },
)
_COVERAGE = Shape(
    "AdsDatasetEventCoverage",
    {
        **plain("percentage", "goal_percentage", "description"),
        "potential_aly_acr_increase": _TOLD,
    },
)
WEB = Shape(
    "AdsPixelCAPIIntegrationQuality",
    {
        **plain("event_name", "event_spend", "event_delay", "event_ad_sets", "value_diagnostics"),
        "event_match_quality": _MATCH_QUALITY,
        "event_coverage": _COVERAGE,
        "dedupe_key_feedback": _DEDUPE,
        "data_freshness": Shape(
            "AdsDatasetDataFreshness", plain("upload_frequency", "description")
        ),
        "acr": _TOLD,
        "event_potential_aly_acr_increase": _TOLD,
    },
)
"""Fields: facebook_business, AdsPixelCAPIIntegrationQuality; below them, Dataset Quality API."""

DATASET = Shape(
    "AdsDatasetQuality",
    {
        "web": WEB,
        "offline": Shape(
            "AdsDatasetOfflineQuality",
            plain("event_name", "composite", "match_key", "frequency", "freshness"),
        ),
    },
    default=("web",),
)

_IDENTIFIERS = {
    "em": "email",
    "ph": "phone",
    "external_id": "external_id",
    "fbc": "fbc",
    "fbp": "fbp",
    "db": "db",
    "ct": "ct",
    "st": "st",
    "zp": "zp",
    "country": "country",
}
"""Meta's names of match keys; those that none of its pages shows keep their wire names."""

_LACKING = {"ip_address": "s2s_missing_ip", "user_agent": "s2s_missing_ua"}
"""Match keys of which the report counts only the pair, and who lacks each."""

_COVERED = "The percentage of browser events that the server sent too."


def dataset_quality(engine: Engine, question: Question, pixel_id: str) -> Row:
    """Per event name over seven days. Raises Refused for a field that does not exist."""
    check(question.fields, DATASET)
    since, until = last_days(question)
    found: dict[str, list[DiagnosticRow]] = {}
    for row in diagnostics(engine, question.account, since=since, until=until, pixel_id=pixel_id):
        found.setdefault(row.event_name, []).append(row)
    rows = quality(engine, question.account, since=since, until=until, pixel_id=pixel_id)
    web = [web_row(row, found.get(row.event_name, [])) for row in rows]
    return pick({"web": web, "offline": []}, question.fields, DATASET)


def web_row(row: QualityRow, found: list[DiagnosticRow]) -> Row:
    """One event name in Meta's fields; what nobody can know is left out."""
    made: Row = {
        "event_name": row.event_name,
        "event_match_quality": _match_quality(row, found),
        "acr": _additional(row),
    }
    if row.event_coverage_share is not None:
        coverage = _told(row.event_coverage_share, _COVERED)
        made["event_coverage"] = {**coverage, "goal_percentage": 100 * COVERAGE_GOAL_SHARE}
    if row.dedupe_keys and row.browser_events and row.server_events:
        made["dedupe_key_feedback"] = [
            _dedupe_key(key, shares) for key, shares in row.dedupe_keys.items()
        ]
    if row.freshness is not None:
        made["data_freshness"] = {
            "upload_frequency": row.freshness.upload_frequency,
            "description": f"{_percentage(row.freshness.within_2_hours_share):g} % of the server's "
            "events came within two hours.",
        }
    return made


def _dedupe_key(key: str, shares: DedupeKey) -> dict[str, Any]:
    told = {
        "browser_events_with_dedupe_key": (
            shares.browser_share,
            f"The percentage of the browser's events that bear {key}.",
        ),
        "server_events_with_dedupe_key": (
            shares.server_share,
            f"The percentage of the server's events that bear {key}.",
        ),
        "overall_browser_coverage_from_dedupe_key": (
            shares.covered_share,
            f"The percentage of the browser's events whose copy only {key} found.",
        ),
    }
    known = {
        name: _told(share, words) for name, (share, words) in told.items() if share is not None
    }
    return {"dedupe_key": key, **known}


def _match_quality(row: QualityRow, found: list[DiagnosticRow]) -> dict[str, Any] | None:
    if row.score is None:
        return None
    coverage = {name: row.coverage[key] for key, name in _IDENTIFIERS.items()}
    lacking = {each.diagnostic: each.share for each in found}
    coverage |= {name: 1 - lacking.get(key, 0.0) for name, key in _LACKING.items()}
    return {
        "composite_score": row.score,
        "match_key_feedback": [
            {"identifier": name, "coverage": {"percentage": _percentage(share)}}
            for name, share in sorted(coverage.items(), key=lambda item: (-item[1], item[0]))
            if share
        ],
        "diagnostics": [
            {
                "name": each.title,
                "description": f"{each.diagnostic}: at least one event of the last seven days.",
                "solution": each.fix,
                "percentage": _percentage(each.share),
                "affected_event_count": each.affected,
                "total_event_count": each.total,
            }
            for each in found
        ],
    }


def _additional(row: QualityRow) -> dict[str, Any] | None:
    """How many more events there are than the browser alone reported."""
    if not row.browser_events or not row.server_events:
        return None
    share = (row.events - row.browser_events) / row.browser_events
    return _told(
        share,
        f"In the last 7 days, {_percentage(share):g} % more {row.event_name} events were reported "
        "than by the browser alone.",
    )


def _told(share: float | None, description: str) -> dict[str, Any]:
    """A measure as Meta tells it."""
    return {"percentage": _percentage(share or 0.0), "description": description}


def _percentage(share: float) -> float:
    return round(100 * share, 1)
