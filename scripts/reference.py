"""Print docs/reference.md, made from the code.

`python scripts/reference.py > docs/reference.md` brings it up to date.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, get_type_hints

import typer.main

from doublet.accept.flags import FLAGS
from doublet.cli import app
from doublet.lake.columns import (
    AD_DAYS,
    AD_DECISIONS,
    AD_TOUCHES,
    DECISIONS,
    EVENTS,
    ORDER_MESSAGES,
    REFUSED,
    Column,
)
from doublet.models import LASTING
from doublet.refusal import Reason
from doublet.reports import OverviewRow, TimelineRow
from doublet.reports.coverage import CoverageCurrencyRow, CoverageRow
from doublet.reports.diagnostics import DIAGNOSTICS, DiagnosticRow
from doublet.reports.orders import OrdersRow
from doublet.reports.quality import QualityKeyRow, QualityRow
from doublet.settings import SETTINGS


def cell(text: object) -> str:
    """Text that cannot end a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def commands() -> Iterator[str]:
    """Every command with its options and the example from its help."""
    yield "## Commands\n"
    yield "Every command takes `--help`. Exit codes: 0 fine, 1 our bug, 2 usage, 3 operator, "
    yield "4 sender, 5 destination.\n"
    group: Any = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        inner = getattr(command, "commands", None)
        parts = {f"{name} {sub}": c for sub, c in inner.items()} if inner else {name: command}
        for full, part in sorted(parts.items()):
            if not part.hidden:
                yield from _command(full, part)


def flags() -> Iterator[str]:
    """What flags of an event mean."""
    yield "## Flags of an event\n"
    yield "In the column `flags`. `dud_KEY` (a placeholder), `invalid_KEY` (no usable value) and "
    yield "`too_many_KEY` are about keys of `user_data`. Flagged events count like others, unless "
    yield "docs/traffic.md says otherwise.\n"
    rows: list[tuple[object, ...]] = [(f"`{f}`", what, fix) for f, (what, fix) in FLAGS.items()]
    yield table(("flag", "what it says", "the fix"), rows) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
    yield f"### `doublet {' '.join([name, *arguments])}`\n"
    yield f"{command.help.strip()}\n"
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    rows: list[tuple[object, ...]] = [
        (
            ", ".join(f"`{o}`" for o in option.opts),
            option.help or "",
            "" if option.default in (None, False, "") else f"`{option.default}`",
        )
        for option in options
        if option.name != "help"
    ]
    if rows:
        yield table(("option", "meaning", "default"), rows) + "\n"


def settings() -> Iterator[str]:
    """Every setting."""
    yield "## Settings\n"
    yield "As `--set name=value`, as `DOUBLET_NAME` in the environment, or as `name = value` in "
    yield "`doublet.toml`; the first of these that is given counts. Sizes are bytes unless the "
    yield "name says otherwise.\n"
    yield table(
        ("setting", "default", "takes effect", "meaning"),
        [(f"`{s.name}`", f"`{s.default}`", s.effect, s.help) for s in SETTINGS],
    )


def reasons() -> Iterator[str]:
    """Every reason for a refusal."""
    yield "\n## Why a request is refused\n"
    yield "The reason is the header `X-Doublet-Refused` of the answer and the column `reason` of "
    yield "the table `refused`. Numbers are the Graph API's.\n"
    rows: list[tuple[object, ...]] = []
    for reason in Reason:
        row = reason.row
        code = f"{row.code} / {row.subcode}" if row.subcode else str(row.code)
        rows.append((f"`{reason.label}`", row.http_status, code, row.title, row.hint))
    yield table(("reason", "HTTP", "code / subcode", "title", "what to do"), rows)


def tables() -> Iterator[str]:
    """Every stored table and its columns."""
    yield "\n## Tables\n"
    lake: list[tuple[str, str, tuple[Column, ...]]] = [
        ("events", "One row per accepted copy (Delta table in the lake).", EVENTS),
        ("refused", "One row per refused request (Delta table in the lake).", REFUSED),
        (
            "order_messages",
            "One row per accepted message about an order (Delta table in the lake).",
            ORDER_MESSAGES,
        ),
        (
            "ad_touches",
            "One row per view or click of an ad that was reported (Delta table in the lake).",
            AD_TOUCHES,
        ),
        (
            "ad_days",
            "One row per campaign, ad set or ad and day, imported (Delta table in the lake).",
            AD_DAYS,
        ),
        (
            "ad_decisions",
            "One row per ad that delivery has chosen (Delta table in the lake).",
            AD_DECISIONS,
        ),
        ("decisions", "One row per decision of an operator (Delta table in the lake).", DECISIONS),
    ]
    for name, about, columns in lake:
        yield f"### `{name}`\n\n{about}\n"
        yield table(
            ("column", "type", "meaning"), [(f"`{c.name}`", c.type, c.about) for c in columns]
        )
        yield ""
    schema = tomllib.loads(files("doublet.models").joinpath("schema.toml").read_text("utf-8"))
    for name in LASTING:
        about = schema[name].pop("about")
        yield f"### `{name}`\n\n{about} (Table in the warehouse.)\n"
        yield table(
            ("column", "meaning"),
            [(f"`{column}`", text) for column, text in schema[name].items()],
        )
        yield ""


def reports() -> Iterator[str]:
    """Every report and what its rows hold."""
    yield "## Reports\n"
    for name, row in (
        ("overview", OverviewRow),
        ("timeline", TimelineRow),
        ("coverage", CoverageRow),
        ("orders", OrdersRow),
        ("quality", QualityRow),
        ("diagnostics", DiagnosticRow),
        ("coverage --csv", CoverageCurrencyRow),
        ("quality --csv", QualityKeyRow),
    ):
        about = " ".join((row.__doc__ or "").split())
        yield f"### `{name}`\n\n{about}\n"
        hints = get_type_hints(row)
        yield ", ".join(f"`{field}`" for field in hints) + "\n"


def diagnostics() -> Iterator[str]:
    """Every diagnostic, when it holds and how to mend it."""
    yield "## Diagnostics\n"
    yield table(
        ("diagnostic", "severity", "share of", "when", "what to do"),
        [(f"`{d.key}`", d.severity, d.of, d.condition, d.fix) for d in DIAGNOSTICS],
    )


def main() -> None:
    """Print the page."""
    print("# Reference\n\nMade from the code by `scripts/reference.py`; a test compares.\n")
    for part in (commands, settings, reasons, flags, tables, reports, diagnostics):
        print("\n".join(part()))


if __name__ == "__main__":
    main()
