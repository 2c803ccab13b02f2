"""What an account's reports go by: their rules, custom conversions, and reports in the making."""

from __future__ import annotations

import secrets
import time
import zlib
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.rows import CustomConversion, ReportRules, ReportRun
from doublet.catalog.tables import accounts, custom_conversions, report_runs
from doublet.errors import SenderError

CUSTOM_CONVERSIONS_MAX = 100
"""So many an account may have at a time (Ads Help, *Custom conversions*)."""

_RUN_KEPT_S = 30 * 86_400
_RUNS_MAX = 1000
_decode_rules = msgspec.json.Decoder(ReportRules).decode
_run_columns = [column for column in report_runs.c if column.name != "answer"]


def _new_id() -> str:
    return str(10**15 + secrets.randbelow(9 * 10**15))


class Reporting:
    """The tables that reports go by."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- rules --------------------------------------------------------------------------------

    def rules(self, account_id: str) -> ReportRules:
        """The rules of an account's reports."""
        query = sa.select(accounts.c.report_rules).where(accounts.c.account_id == account_id)
        return next((_decode_rules(text) for (text,) in self._database.rows(query)), ReportRules())

    def save_rules(self, account_id: str, rules: ReportRules) -> None:
        """Have an account's reports go by these rules."""
        text = msgspec.json.encode(rules).decode()
        self._database.change(accounts, accounts.c.account_id == account_id, {"report_rules": text})

    # --- custom conversions -------------------------------------------------------------------

    def create_custom_conversion(self, wanted: CustomConversion) -> CustomConversion:
        """Keep a custom conversion under a new id; its rule was checked. Raises SenderError when
        the account has too many."""
        if len(self.custom_conversions(wanted.account_id)) >= CUSTOM_CONVERSIONS_MAX:
            raise SenderError(
                f"The account has {CUSTOM_CONVERSIONS_MAX} custom conversions already.",
                "Delete some of them.",
            )
        made = msgspec.structs.replace(
            wanted, custom_conversion_id=_new_id(), created_at=int(time.time())
        )
        with self._database.write() as connection:
            connection.execute(custom_conversions.insert().values(**msgspec.structs.asdict(made)))
        return made

    def save_custom_conversion(self, row: CustomConversion) -> None:
        """Replace the custom conversion of this id."""
        which = custom_conversions.c.custom_conversion_id == row.custom_conversion_id
        with self._database.write() as connection:
            connection.execute(
                custom_conversions.update().where(which).values(**msgspec.structs.asdict(row))
            )

    def remove_custom_conversion(self, custom_conversion_id: str) -> None:
        """Forget a custom conversion; the events that it chose stay."""
        which = custom_conversions.c.custom_conversion_id == custom_conversion_id
        with self._database.write() as connection:
            connection.execute(custom_conversions.delete().where(which))

    def custom_conversions(self, account_id: str) -> list[CustomConversion]:
        """The custom conversions of an account, oldest first, archived ones too."""
        query = (
            sa.select(custom_conversions)
            .where(custom_conversions.c.account_id == account_id)
            .order_by(custom_conversions.c.created_at, custom_conversions.c.custom_conversion_id)
        )
        return [CustomConversion(*row) for row in self._database.rows(query)]

    # --- reports in the making ----------------------------------------------------------------

    def create_run(
        self, account_id: str, node: str, parameters: dict[str, str], status: str
    ) -> ReportRun:
        """Note what a report is asked for. Those of an account that are older than 30 days, or of
        which there are too many, are forgotten."""
        made = ReportRun(
            _new_id(), account_id, node, parameters, status, "", int(time.time()), None
        )
        oldest = made.created_at - _RUN_KEPT_S
        kept = (
            sa.select(report_runs.c.report_run_id)
            .where(report_runs.c.account_id == account_id, report_runs.c.created_at >= oldest)
            .order_by(report_runs.c.created_at.desc(), report_runs.c.report_run_id)
            .limit(_RUNS_MAX - 1)
        )
        values: dict[str, Any] = msgspec.structs.asdict(made)
        values["parameters"] = msgspec.json.encode(parameters).decode()
        with self._database.write() as connection:
            connection.execute(
                report_runs.delete().where(
                    report_runs.c.account_id == account_id,
                    report_runs.c.report_run_id.not_in(kept),
                )
            )
            connection.execute(report_runs.insert().values(**values))
        return made

    def change_run(
        self, report_run_id: str, status: str, *, error: str = "", answer: bytes | None = None
    ) -> None:
        """Note how far a report is; with `answer` or `error` it is done."""
        values: dict[str, Any] = {"status": status, "error": error}
        if answer is not None or error:
            values["completed_at"] = int(time.time())
        if answer is not None:
            values["answer"] = zlib.compress(answer)
        which = report_runs.c.report_run_id == report_run_id
        with self._database.write() as connection:
            connection.execute(report_runs.update().where(which).values(**values))

    def run(self, account_id: str, report_run_id: str) -> ReportRun | None:
        """One report of an account; None where it has none of this id."""
        query = sa.select(*_run_columns).where(
            report_runs.c.report_run_id == report_run_id, report_runs.c.account_id == account_id
        )
        for row in self._database.rows(query):
            values = dict(zip(ReportRun.__struct_fields__, row, strict=True))
            values["parameters"] = msgspec.json.decode(values["parameters"], type=dict[str, str])
            return ReportRun(**values)
        return None

    def answer(self, report_run_id: str) -> bytes | None:
        """What a report found; None until it is done."""
        query = sa.select(report_runs.c.answer).where(report_runs.c.report_run_id == report_run_id)
        for (answer,) in self._database.rows(query):
            return zlib.decompress(answer) if answer is not None else None
        return None
