"""`doublet send FILE`: post a payload to a Conversions API, this server's or another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from doublet.cli.check import read_input
from doublet.cli.options import (
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    not_empty,
    open_catalog,
    print_json,
    read_settings,
)
from doublet.errors import DestinationError, OperatorError, SenderError
from doublet.settings import ACCESS_TOKEN_VARIABLE

if TYPE_CHECKING:
    import httpx

    from doublet.settings import Settings

_TIMEOUT_S = 60.0
_EVENTS_MAX = 1000  # Meta, *Using the API*.


def send(
    file: Annotated[Path, typer.Argument(help="File with the payload; - reads standard input.")],
    pixel: Annotated[
        str | None, typer.Option("--pixel", help="Pixel id.", callback=not_empty)
    ] = None,
    test_event_code: Annotated[
        str | None, typer.Option(help="Code of the test view.", callback=not_empty)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Base of another API: https://graph.facebook.com/v24.0.", callback=not_empty
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the access token; otherwise {ACCESS_TOKEN_VARIABLE}."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Post a Conversions API payload to the running server, or to any other with --url.

    Takes what `doublet check` takes, in requests of up to 1000 events. The access token is read
    from the environment variable DOUBLET_ACCESS_TOKEN or a file, since others on this machine can
    see a command's arguments.

    Example: doublet send payload.json --pixel 1234567890123456 --test-event-code TEST123
    """
    body = _body(read_input(file))
    token = (
        read_input(token_file).decode("utf-8", "replace")
        if token_file
        else os.environ.get(ACCESS_TOKEN_VARIABLE, "")
    ).strip()
    if token:
        body["access_token"] = token
    elif not body.get("access_token"):
        raise OperatorError(
            "There is no access token to send with.",
            f"Put it into the environment variable {ACCESS_TOKEN_VARIABLE}, or name a file with "
            "--token-file.",
        )
    if test_event_code:
        body["test_event_code"] = test_event_code
    chosen = read_settings(data, pairs)
    base = (url or chosen.url).rstrip("/")
    address = f"{base}/{pixel or _only_pixel(chosen, url)}/events"
    answers: list[dict[str, Any]] = []
    events = body["data"]
    for start in range(0, len(events), _EVENTS_MAX):
        part = {**body, "data": events[start : start + _EVENTS_MAX]}
        answer = _post(address, part, url is None)
        found = _decoded(answer)
        if not answer.is_success:
            raise _error(answer, found, start)
        answers.append(found)
    _tell(answers, as_json)


def _tell(answers: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(answers[0] if len(answers) == 1 else answers)
    else:
        print(f"{sum(found.get('events_received', 0) for found in answers):,} events received.")
        for message in (text for found in answers for text in found.get("messages", [])):
            err.print(literal(str(message)), soft_wrap=True)
    refused = sum(len(found.get("refused", [])) for found in answers)
    if refused:
        raise SenderError(f"{refused} events were refused.", "The others are kept.")


def _body(payload: bytes) -> dict[str, Any]:
    """The payload as the body of a request. Raises SenderError when it holds no events."""
    from doublet.accept import read_payload
    from doublet.refusal import Refusal

    elements, beside = read_payload(payload)
    if isinstance(elements, Refusal):
        raise SenderError(elements.message, elements.reason.row.hint)
    return {**beside, "data": elements}


def _only_pixel(chosen: Settings, url: str | None) -> str:
    pixels = []
    if url is None and (chosen.catalog or chosen.data.is_dir()):
        catalog = open_catalog(chosen)
        pixels = [p for a in catalog.accounts() for p in catalog.pixels(a.account_id)]
    if len(pixels) != 1:
        raise OperatorError(
            "It is not clear to which pixel to send.",
            "Name it with --pixel; `doublet pixel list` shows the pixels of this server.",
        )
    return pixels[0].pixel_id


def _post(address: str, body: dict[str, Any], is_own: bool) -> httpx.Response:
    import httpx

    try:
        return httpx.post(
            address,
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
            timeout=_TIMEOUT_S,
            trust_env=not is_own,
        )
    except (httpx.TransportError, httpx.InvalidURL) as error:
        # Nothing of the request may appear in what is said: it holds the token.
        message = f"{address} does not answer: {type(error).__name__}."
        if is_own:
            raise OperatorError(message, "Start the server: `doublet serve`.") from None
        raise DestinationError(message, "Look at the address after --url.") from None


def _decoded(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.content)
    except (msgspec.MsgspecError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(
    answer: httpx.Response, found: dict[str, Any], taken: int
) -> SenderError | DestinationError:
    """What a refusal says, and the fix where the answer does not hold it."""
    from doublet.refusal import Reason

    told = found.get("error")
    told = told if isinstance(told, dict) else {}
    code, subcode = told.get("code", answer.status_code), told.get("error_subcode")
    said = told.get("error_user_msg") or told.get("message") or "The answer does not say why."
    numbers = f"{code}/{subcode}" if subcode else f"{code}"
    hints = [r.row.hint for r in Reason if subcode and r.row.subcode == subcode]
    hint = hints[0] if len(hints) == 1 and hints[0] not in said else ""
    kind = DestinationError if answer.status_code >= 500 else SenderError
    before = f" after {taken:,} events were taken" if taken else ""
    return kind(f"Refused with {answer.status_code} ({numbers}){before}: {said}", hint)
