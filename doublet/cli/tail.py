"""`doublet tail`: events in the terminal as they arrive."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    Data,
    PixelOption,
    SetOption,
    err,
    literal,
    not_empty,
    open_catalog,
    out,
    own_pixel,
    read_kept_settings,
)
from doublet.errors import OperatorError

if TYPE_CHECKING:
    from doublet.settings import Settings

_CONNECT_TIMEOUT_S = 5.0
_SILENT_S_MAX = 30.0
_AGAIN_S = 1.0
_STYLES = {"processed": "green", "deduplicated": "cyan", "received": "dim"}


def tail(
    account: AccountOption = None,
    pixel: PixelOption = None,
    code: Annotated[
        str | None,
        typer.Option("--code", help="Only this test_event_code.", callback=not_empty),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All events, not only those with a test_event_code.")
    ] = False,
    count: Annotated[
        int | None, typer.Option(help="End after so many events and refused requests.", min=1)
    ] = None,
    data: Data = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line for programs.")
    ] = False,
    pairs: SetOption = None,
) -> None:
    """Show test events and refused requests as they arrive; those of the last hour first.

    Needs a running server. Ctrl-C ends it.

    Example: doublet tail --code TEST1
    """
    if everything and code:
        raise OperatorError("--all and --code exclude each other.", "Leave one of them out.")
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    asked = {
        "account": owner.account_id,
        "pixel": own_pixel(catalog, owner, pixel) or "",
        "code": code or "",
        "all": "1" if everything else "0",
    }
    catalog.close()
    shown = 0
    for told in _listen(chosen, asked):
        _print(told, as_json)
        shown += told["kind"] in ("event", "refused")
        if shown == count:
            return


def _listen(chosen: Settings, asked: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What the stream tells; comes again when it breaks off, and misses nothing meanwhile. Raises
    OperatorError when no worker has been there from the beginning, or when it refuses."""
    import httpx

    from doublet.processes import private_socket

    transport = httpx.HTTPTransport(uds=str(private_socket(chosen)))
    timeout = httpx.Timeout(_SILENT_S_MAX, connect=_CONNECT_TIMEOUT_S)
    last_id = ""
    with httpx.Client(transport=transport, timeout=timeout) as client:
        while True:
            try:
                key = (chosen.run_folder / "operator.key").read_text("ascii")
                headers = {"authorization": f"Bearer {key}"}
                if last_id:
                    headers["last-event-id"] = last_id
                with client.stream(
                    "GET", "http://worker/v1/test_events", params=asked, headers=headers
                ) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise OperatorError(_said(answer))
                    for event_id, content in _events(_lines(answer.iter_bytes())):
                        last_id = event_id or last_id
                        if content:
                            yield msgspec.json.decode(content)
            except (httpx.TransportError, FileNotFoundError) as error:
                if not last_id:
                    raise OperatorError(
                        "No server runs on this data folder.",
                        "Start `doublet serve`, or name another folder with --data.",
                    ) from error
                err.print("The worker is not there; trying again.")
            time.sleep(_AGAIN_S)


def _said(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["error_user_msg"])
    except (ValueError, KeyError, TypeError):
        return f"The worker answered {answer.status_code}: {answer.text[:300]}"


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""The lines of a stream. Unlike `httpx.Response.iter_lines` this ends none at the other line
    breaks of Unicode, such as U+2028, which are ordinary characters inside JSON.

    >>> list(_lines([b"data: a\xe2\x80", b"\xa8b\n", b"\nid: 0"]))
    ['data: a\u2028b', '']
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Id and data of each server-sent event.

    >>> list(_events(iter(["retry: 1", "", "id: 0-5", "event: gap", "data: {}", ""])))
    [('', ''), ('0-5', '{}')]
    """
    event_id = content = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            content = value
        elif not line:
            yield event_id, content
            event_id = content = ""


def _print(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(told).decode(), flush=True)
        return
    kind = told["kind"]
    if kind == "gap":
        err.print(f"[yellow]{literal(told['says'])}[/]")
    elif kind == "status":
        style = _STYLES.get(told["status"], "")
        place = f"{told['log_slot']}:{told['log_offset']}"
        out.print(
            f"         [{style}]{told['status']}[/] {place}  {literal(told['says'])}",
            soft_wrap=True,
        )
    elif kind == "refused":
        out.print(
            f"{_clock(told)} [red]refused[/] {told['source']} {literal(told['reason'])}: "
            f"{literal(told['message'])} {literal(told['fix'])}",
            soft_wrap=True,
        )
    else:
        _print_event(told)


def _print_event(told: dict[str, Any]) -> None:
    words = [
        f"{_clock(told)} {told['source']:7} [bold]{literal(told['event_name'])}[/bold]",
        *(f"{name}={literal(told[name])}" for name in ("event_id", "order_id") if told[name]),
        f"place={told['log_slot']}:{told['log_offset']}",
        f"user_data={','.join(told['user_data_keys']) or '-'}",
    ]
    if told["test_event_code"]:
        words.insert(1, f"code={literal(told['test_event_code'])}")
    if told["custom_data"]:
        words.append(f"custom_data={literal(msgspec.json.encode(told['custom_data']).decode())}")
    if told["event_source_url"]:
        words.append(literal(told["event_source_url"]))
    out.print("  ".join(words), soft_wrap=True)
    for advice in told["warnings"]:
        out.print(
            f"         [yellow]{literal(advice['says'])}[/] {literal(advice['fix'])}",
            soft_wrap=True,
        )


def _clock(told: dict[str, Any]) -> str:
    return str(told["received_at"])[11:19]
