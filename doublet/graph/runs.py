"""Reports made in the background: `POST …/insights`, then `GET /{report_run_id}` until it is done.

What a report found is kept for 30 days as it was found, so that its pages agree with one another. A
report that a stopped server left undone is made anew when it is asked for.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from doublet.catalog import Catalog, ReportRun
from doublet.errors import DoubletError
from doublet.graph.fields import Shape, names_of, plain
from doublet.graph.insights import INSIGHTS, Insights, Rows, Target, insights_page
from doublet.graph.insights.names import BREAKDOWNS
from doublet.graph.question import Question, Row
from doublet.graph.refused import Refused, invalid

logger = logging.getLogger(__name__)

RUN = Shape(
    "AdReportRun",
    plain(
        *("id", "account_id", "async_percent_completion", "async_status", "date_start"),
        *("date_stop", "error_code", "error_message", "error_subcode", "error_user_msg"),
        *("error_user_title", "friendly_name", "is_bookmarked", "is_running", "schedule_id"),
        *("time_completed", "time_ref", "emails", "async_report_url", "is_async_export"),
    ),
    default=(
        *("id", "account_id", "time_ref", "time_completed", "async_status"),
        *("async_percent_completion", "is_running", "date_start", "date_stop"),
    ),
    always=("id",),
)
"""Fields: facebook_business, AdReportRun."""

NOT_STARTED, RUNNING = "Job Not Started", "Job Running"
COMPLETED, FAILED = "Job Completed", "Job Failed"


class Runs:
    """The reports of all accounts; one is made at a time."""

    def __init__(self, catalog: Catalog, insights: Insights) -> None:
        self._catalog = catalog
        self._insights = insights
        self._pool = ThreadPoolExecutor(1, "insights")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    def start(self, question: Question, node: str, target: Target) -> Row:
        """Begin a report. Raises Refused for parameters that cannot be answered."""
        self._insights.check(question, target)
        parameters = {
            name: value
            for name, value in question.parameters.items()
            if name not in ("access_token", "appsecret_proof", "after", "before", "limit")
        }
        run = self._catalog.reporting.create_run(
            question.account.account_id, node, parameters, NOT_STARTED
        )
        self._submit(run, question, target)
        return {"report_run_id": run.report_run_id}

    def find(self, question: Question, run_id: str) -> ReportRun | None:
        """A report of the account of the question."""
        return self._catalog.reporting.run(question.account.account_id, run_id)

    def resume(
        self,
        question: Question,
        run: ReportRun,
        read: Callable[[ReportRun], tuple[Question, Target]],
    ) -> ReportRun:
        """The report, which is begun anew where nobody is at it; `read` tells what it was asked."""
        with self._lock:
            is_under_way = run.report_run_id in self._under_way
        if run.status in (NOT_STARTED, RUNNING) and not is_under_way:
            # It may have been completed since it was read.
            run = self.find(question, run.report_run_id) or run
            if run.status in (NOT_STARTED, RUNNING):
                self._submit(run, *read(run))
        return run

    def node(self, run: ReportRun) -> Row:
        """How far a report is."""
        is_done = run.status in (COMPLETED, FAILED)
        row: Row = {
            "id": run.report_run_id,
            "account_id": run.account_id.removeprefix("act_"),
            "async_status": run.status,
            "async_percent_completion": 100 if is_done else 0,
            "is_running": not is_done,
            "time_ref": run.created_at,
            "time_completed": run.completed_at,
        }
        if run.status == FAILED:
            row["error_message"] = run.error
        return row

    def page(self, question: Question, run: ReportRun) -> dict[str, Any]:
        """One page of what a report found. Raises Refused while it is not done, or if it failed."""
        if run.status == FAILED:
            raise invalid("report_run_id", f"(#100) The report failed: {run.error}")
        answer = self._catalog.reporting.answer(run.report_run_id)
        if answer is None:
            raise invalid(
                "report_run_id",
                f"(#100) The report is not done: {run.status}. Ask for async_status first",
            )
        found = json.loads(answer)
        rows: list[Row] = found["rows"]
        if question.fields:
            fields = {*names_of(question.fields, INSIGHTS), *BREAKDOWNS}
            rows = [{name: row[name] for name in row if name in fields} for row in rows]
        made = Rows(found["keys"], lambda start, stop: rows[start:stop], found["summary"])
        return insights_page(question, made)

    def _submit(self, run: ReportRun, question: Question, target: Target) -> None:
        with self._lock:
            if run.report_run_id in self._under_way:
                return
            self._under_way.add(run.report_run_id)
        self._pool.submit(self._make, run.report_run_id, question, target)

    def _make(self, run_id: str, question: Question, target: Target) -> None:
        reporting = self._catalog.reporting
        try:
            reporting.change_run(run_id, RUNNING)
            found = self._insights.rows(question._replace(now=datetime.now(UTC)), target)
            rows = found.make(0, len(found.keys))
            answer = {"keys": found.keys, "rows": rows, "summary": found.summary}
            reporting.change_run(run_id, COMPLETED, answer=json.dumps(answer).encode())
        except (Refused, DoubletError) as error:
            reporting.change_run(run_id, FAILED, error=str(error))
        except Exception:
            logger.exception("report failed run=%s", run_id)
            reporting.change_run(run_id, FAILED, error="An unexpected error; the log has more.")
        finally:
            with self._lock:
                self._under_way.discard(run_id)
