"""How the command line reads: it asks the running worker, or opens the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import httpx
import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import OperatorError
from doublet.reports import OverviewRow, overview
from doublet.settings import Settings

_TIMEOUT_S = 3600.0


def ask_worker(
    settings: Settings,
    method: str,
    path: str,
    parameters: dict[str, str] | None = None,
    kind: Any = Any,
) -> Any:
    """The running worker's JSON answer as a `kind`, None when no worker runs. Raises OperatorError
    when it refuses or stops while answering."""
    try:
        key = (settings.run_folder / "operator.key").read_text("ascii")
    except FileNotFoundError:
        return None
    transport = httpx.HTTPTransport(uds=str(settings.worker_socket))
    with httpx.Client(transport=transport, timeout=_TIMEOUT_S) as client:
        try:
            answer = client.request(
                method,
                f"http://worker{path}",
                params=parameters,
                headers={"authorization": f"Bearer {key}"},
            )
        except httpx.ConnectError:
            return None
        except httpx.TransportError as error:
            raise OperatorError("The worker stopped while answering.", "Try again.") from error
    if answer.status_code != 200:
        raise OperatorError(f"The worker answered {answer.status_code}: {_said(answer)}")
    return msgspec.json.decode(answer.content, type=kind)


def _said(answer: httpx.Response) -> str:
    """What an error answer says to people."""
    try:
        return str(answer.json()["error"]["error_user_msg"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def read_overview(
    settings: Settings,
    account: Account,
    *,
    pixel_id: str | None,
    since: date | None,
    until: date | None,
) -> list[OverviewRow]:
    """The overview from whoever has the database."""
    given = {"account": account.account_id, "pixel": pixel_id, "since": since, "until": until}
    parameters = {name: str(value) for name, value in given.items() if value}
    rows: list[OverviewRow] | None = ask_worker(
        settings, "GET", "/overview.json", parameters, list[OverviewRow]
    )
    if rows is not None:
        return rows
    with _own_engine(settings) as engine:
        return overview(engine, account, pixel_id=pixel_id, since=since, until=until)


@contextmanager
def _own_engine(settings: Settings) -> Iterator[Engine]:
    """The database of a server that is not running, with its models as they were left."""
    from doublet.rounds import Freshener

    freshener = Freshener(settings)
    try:
        yield freshener.engine
    finally:
        freshener.close()
