"""`doublet check FILE`: what would become of a payload; `doublet send FILE` posts it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from doublet.cli.options import (
    AsJson,
    Data,
    SetOption,
    literal,
    out,
    print_json,
    read_settings,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.accept.check import CheckedEvent, Finding

_TOKEN = "DOUBLET_ACCESS_TOKEN"


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

    checked = check_payload(_read(file), time.time_ns() // 1000)
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


def send(
    file: Annotated[Path, typer.Argument(help="File with the payload; - reads standard input.")],
    pixel: Annotated[str, typer.Option("--pixel", help="Pixel (Meta: dataset) to send to.")],
    url: Annotated[
        str | None,
        typer.Option("--url", help="Server, e.g. https://graph.facebook.com; default: this one."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the access token; or DOUBLET_ACCESS_TOKEN."),
    ] = None,
    test_event_code: Annotated[
        str | None, typer.Option("--test-event-code", help="Show it among the test events.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Post a Conversions API payload, and print the answer with its fix.

    Takes what `doublet check` takes, in requests of up to 1000 events. The access token comes from
    the environment or a file, never from the command line, which other users can see. Ends with
    code 4 at the first refusal.

    Example: doublet send payload.json --pixel 123456789012345
    """
    import httpx

    from doublet.accept import EVENTS_PER_REQUEST_MAX, read_elements
    from doublet.refusal import Refusal

    elements = read_elements(_read(file))
    if isinstance(elements, Refusal):
        raise SenderError(elements.message, "`doublet check` says more.")
    token = _token(token_file)
    base = (url or read_settings(data, pairs).local_url).rstrip("/")
    address = f"{base}/v25.0/{pixel}/events"
    more = {"test_event_code": test_event_code} if test_event_code else {}
    answers = []
    for start in range(0, len(elements), EVENTS_PER_REQUEST_MAX):
        body = {"data": elements[start : start + EVENTS_PER_REQUEST_MAX], **more}
        try:
            answer = httpx.post(
                address,
                content=msgspec.json.encode(body),
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
                timeout=30,
            )
            said = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise OperatorError(
                f"{base} gives no answer of an events server: {type(error).__name__}.",
                "Is it running (`doublet serve`)? Is --url its address?",
            ) from error
        if not answer.is_success:
            raise _refused(answer.status_code, said, start)
        answers.append(said)
    if as_json:
        print_json(answers)
    else:
        taken = sum(said.get("events_received", 0) for said in answers)
        traces = ", ".join(literal(str(said.get("fbtrace_id", ""))) for said in answers)
        out.print(f"{taken:,} events received by {literal(base)} (fbtrace_id {traces}).")


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be read: {error.strerror}.", "Name another file, or - for stdin."
        ) from error


def _token(file: Path | None) -> str:
    token = _read(file).decode("utf-8", "replace") if file else os.environ.get(_TOKEN, "")
    if not token.strip():
        raise OperatorError(
            "There is no access token.",
            f"Set {_TOKEN}, or name a file with --token-file; `doublet pixel create` prints one.",
        )
    return token.strip()


def _refused(status: int, said: Any, start: int) -> SenderError:
    error = said.get("error") if isinstance(said, dict) else None
    error = error if isinstance(error, dict) else {}
    numbers = "/".join(str(error[k]) for k in ("code", "error_subcode") if k in error)
    sentence = error.get("error_user_msg") or error.get("message") or "No reason was given."
    before = f" after {start:,} events were taken" if start else ""
    return SenderError(
        f"Refused with {status} ({numbers}){before}: {sentence}",
        "Mend it, `doublet check` shows everything at once, and send it again.",
    )


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
    numbers = "" if finding.error_code is None else f" ({finding.error_code}"
    if finding.error_code is not None:
        numbers += f"/{finding.error_subcode})" if finding.error_subcode else ")"
    said = literal(f"{finding.code}{numbers}: {finding.message} {finding.fix}")
    out.print(f"  [{style}]{finding.severity}[/] {said}", soft_wrap=True)
