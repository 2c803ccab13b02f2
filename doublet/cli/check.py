"""`doublet check FILE`: what would become of a payload."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from doublet.cli.options import (
    AsJson,
    literal,
    out,
    print_json,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.accept.check import CheckedEvent, Finding


def check(
    file: Annotated[Path, typer.Argument(help="File with the payload; - reads standard input.")],
    as_json: AsJson = False,
) -> None:
    """Say what would become of a Conversions API payload, without storing anything of it.

    Takes a body {"data": […]}, one event, an array, or JSON lines. Ends with code 4 when something
    would be refused.

    Example: doublet check payload.json
    """
    from doublet.accept import check_payload

    checked = check_payload(read_input(file), time.time_ns() // 1000)
    if as_json:
        print_json(msgspec.to_builtins(checked) | {"errors": checked.errors})
    else:
        for finding in checked.findings:
            _print_finding(finding)
        for event in checked.events:
            _print_event(event)
        if not checked.errors:
            out.print(f"{len(checked.events):,} events would be accepted.")
    if checked.errors:
        if as_json:
            raise typer.Exit(SenderError.exit_code)
        raise SenderError(
            f"The request would be refused: {checked.errors} errors.",
            "Mend them and check again; one bad event refuses the whole request.",
        )


def read_input(file: Path) -> bytes:
    """The content of a file, or of standard input for `-`. Raises OperatorError."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be read: {error.strerror}.", "Name another file, or - for stdin."
        ) from error


def _print_event(event: CheckedEvent) -> None:
    out.print(f"[bold]Event {event.index}[/]: {literal(event.event_name) or 'without a name'}")
    for key, form in event.user_data.items():
        out.print(f"  user_data.{literal(key)}: {form}", soft_wrap=True)
    keys = ", ".join(event.dedup_keys) or "none, so that it counts by itself"
    out.print(f"  deduplication keys: {keys}")
    for finding in event.findings:
        _print_finding(finding)


def _print_finding(finding: Finding) -> None:
    style = "bold red" if finding.severity == "error" else "yellow"
    codes = (finding.error_code, finding.error_subcode)
    numbers = "/".join(str(number) for number in codes if number)
    said = literal(f"{finding.code}{numbers and f' ({numbers})'}: {finding.message} {finding.fix}")
    out.print(f"  [{style}]{finding.severity}[/] {said}", soft_wrap=True)
