"""How the command line reads: it asks the running worker, or opens the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TypedDict, Unpack

import httpx
import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import OperatorError
from doublet.processes import private_socket
from doublet.reports import CurrencyRow, OverviewRow, as_csv, overview, overview_by_currency
from doublet.settings import Settings

_CONNECT_TIMEOUT_S = 5.0
_REPORT_TIMEOUT_S = 60.0
ROUND_TIMEOUT_S = 3600.0
"""For what may take as long as all of the data is large."""


class Filters(TypedDict, total=False):
    """What part of an account's events a report is about; all of them without any."""

    pixel_id: str | None
    since: date | None
    until: date | None


def ask_for_round(settings: Settings, path: str) -> dict[str, int] | None:
    """Have the running worker do what may take an hour; its figures, None when no worker runs.
    Raises OperatorError like `ask_worker`."""
    answer = ask_worker(settings, "POST", path, timeout_s=ROUND_TIMEOUT_S)
    return None if answer is None else msgspec.json.decode(answer, type=dict[str, int])


def ask_worker(
    settings: Settings,
    method: str,
    path: str,
    parameters: dict[str, str] | None = None,
    timeout_s: float = _REPORT_TIMEOUT_S,
    body: bytes | None = None,
) -> bytes | None:
    """The running worker's answer, None when no worker runs. Raises OperatorError when it refuses,
    stops while answering or says nothing for `timeout_s`."""
    try:
        key = (settings.run_folder / "operator.key").read_text("ascii")
    except FileNotFoundError:
        return None
    transport = httpx.HTTPTransport(uds=str(private_socket(settings)))
    timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
    with httpx.Client(transport=transport, timeout=timeout) as client:
        try:
            answer = client.request(
                method,
                f"http://worker{path}",
                params=parameters,
                content=body,
                headers={"authorization": f"Bearer {key}"},
            )
        except httpx.ConnectError:
            return None
        except httpx.TimeoutException as error:
            raise OperatorError(
                "The worker runs, but does not answer.",
                "It may be busy: try again. If it stays silent, end its process (`doublet work`): "
                "`doublet serve` starts it again, and nothing is lost.",
            ) from error
        except httpx.TransportError as error:
            raise OperatorError("The worker stopped while answering.", "Try again.") from error
    if not answer.is_success:
        raise OperatorError(f"The worker answered {answer.status_code}: {_said(answer)}")
    return answer.content


def _said(answer: httpx.Response) -> str:
    """What an error answer says to people."""
    try:
        return str(answer.json()["error"]["error_user_msg"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def read_overview(
    settings: Settings, account: Account, **filters: Unpack[Filters]
) -> list[OverviewRow]:
    """The overview from whoever has the database; `filters` are those of `reports.overview`."""
    answer = ask_worker(settings, "GET", "/overview.json", _parameters(account, **filters))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[OverviewRow])
    with _own_engine(settings) as engine:
        return overview(engine, account, **filters)


def read_overview_csv(settings: Settings, account: Account, **filters: Unpack[Filters]) -> str:
    """The same as CSV, a row per event name and currency."""
    answer = ask_worker(settings, "GET", "/overview.csv", _parameters(account, **filters))
    if answer is not None:
        return answer.decode()
    with _own_engine(settings) as engine:
        return as_csv(overview_by_currency(engine, account, **filters), CurrencyRow)


def _parameters(account: Account, **filters: Unpack[Filters]) -> dict[str, str]:
    given = {"account": account.account_id, "pixel": filters.get("pixel_id")}
    days = {"since": filters.get("since"), "until": filters.get("until")}
    return {name: str(value) for name, value in (given | days).items() if value}


@contextmanager
def _own_engine(settings: Settings) -> Iterator[Engine]:
    """The database of a server that is not running, with its models as they were left."""
    from doublet.rounds import Freshener

    freshener = Freshener(settings)
    try:
        yield freshener.engine
    finally:
        freshener.close()
