"""The addresses about people who sign in, and about an account's settings."""

from __future__ import annotations

from typing import Any

from doublet.openapi.operation import CSV, JSON, Operation
from doublet.web.changes import ChangeRow
from doublet.web.profile import SessionRow
from doublet.web.settings import SettingsShown


def _twins(path: str, summary: str, answer: Any, *parameters: str) -> tuple[Operation, ...]:
    return (
        Operation("get", f"{path}.json", summary, parameters, {JSON: answer}),
        Operation("get", f"{path}.csv", "The same.", parameters, {CSV: None}),
    )


PEOPLE: tuple[Operation, ...] = (
    *_twins("/profile", "Where one is signed in; of a token nothing.", list[SessionRow]),
    *_twins("/settings", "Settings of an account.", SettingsShown, "account"),
    *_twins(
        "/changes", "Who changed what, newest first.", list[ChangeRow], "account", "before_change"
    ),
)
