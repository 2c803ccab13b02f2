"""How the command line reads: it asks the running worker, or opens the database itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TypedDict, Unpack

import httpx
import msgspec

from doublet.catalog import Account, Catalog
from doublet.engine import Engine
from doublet.errors import OperatorError, SenderError
from doublet.explain import Story, explain
from doublet.lift.report import Asked, LiftReport, lift_report
from doublet.processes import private_socket
from doublet.rates import load_rates
from doublet.relay.outlook import outlook
from doublet.reports import CurrencyRow, OverviewRow, as_csv, overview, overview_by_currency
from doublet.reports.coverage import (
    CoverageCurrencyRow,
    CoverageRow,
    coverage,
    coverage_by_currency,
)
from doublet.reports.diagnostics import DiagnosticRow, diagnostics
from doublet.reports.known_ads import KnownAdRow, known_ads
from doublet.reports.leads import LeadsReport, leads
from doublet.reports.orders import OrderLedger, OrdersReport, order_ledger, orders
from doublet.reports.quality import QualityRow, quality
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
    with_marked: bool


class NotFoundError(OperatorError):
    """The worker has nothing at that address, or nothing of that name."""


class QualityFilters(TypedDict):
    """What reports on quality are about; they always have a first and a last day."""

    pixel_id: str | None
    event_name: str | None
    since: date
    until: date


class CoverageFilters(Filters, total=False):
    """The same for the report on coverage, which may be about one event name and by day."""

    event_name: str | None
    by_day: bool


def ask_for_round(settings: Settings, path: str) -> dict[str, int] | None:
    """Have the running worker do what may take an hour; its figures, None when no worker runs.
    Raises OperatorError like `ask_worker`."""
    answer = ask_worker(settings, "POST", path, timeout_s=ROUND_TIMEOUT_S)
    return None if answer is None else msgspec.json.decode(answer, type=dict[str, int])


def ask_worker(
    settings: Settings,
    method: str,
    path: str,
    parameters: Mapping[str, str | list[str]] | None = None,
    timeout_s: float = _REPORT_TIMEOUT_S,
    body: bytes | None = None,
) -> bytes | None:
    """The running worker's answer, None when no worker runs. Raises OperatorError when it refuses,
    stops while answering or says nothing for `timeout_s`, its kind NotFoundError for a 404."""
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
    if answer.status_code == 404:
        raise NotFoundError(_said(answer))
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
    with own_engine(settings) as engine:
        return overview(engine, account, **filters)


def read_overview_csv(settings: Settings, account: Account, **filters: Unpack[Filters]) -> str:
    """The same as CSV, a row per event name and currency."""
    answer = ask_worker(settings, "GET", "/overview.csv", _parameters(account, **filters))
    if answer is not None:
        return answer.decode()
    with own_engine(settings) as engine:
        return as_csv(overview_by_currency(engine, account, **filters), CurrencyRow)


def read_stories(
    settings: Settings, account: Account, event_id: str, pixel_id: str | None
) -> list[Story]:
    """See `doublet.explain.explain`."""
    parameters = _parameters(account, pixel_id=pixel_id) | {"event_id": event_id}
    answer = ask_worker(settings, "GET", "/explain.json", parameters)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[Story])
    catalog = Catalog(settings.catalog_url)
    try:
        with own_engine(settings) as engine:
            told = partial(outlook, catalog, settings.outbox_file)
            return explain(engine, account, event_id, pixel_id, told)
    finally:
        catalog.close()


def read_orders(
    settings: Settings, account: Account, *, since: date | None = None, until: date | None = None
) -> OrdersReport:
    """The orders of each day from whoever has the database; see `reports.orders.orders`."""
    asked = _parameters(account, since=since, until=until)
    answer = ask_worker(settings, "GET", "/orders.json", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=OrdersReport)
    rates = load_rates(settings.rates_folder, account.account_id, account.currency)
    with own_engine(settings) as engine:
        return orders(engine, account, rates, since=since, until=until)


def read_order(settings: Settings, account: Account, order_id: str) -> OrderLedger:
    """The ledger of one order from whoever has the database. Raises SenderError when nothing is
    known of it."""
    asked = {"account": account.account_id, "order_id": order_id}
    found: OrderLedger | None
    try:
        answer = ask_worker(settings, "GET", "/order.json", asked)
    except NotFoundError:
        found = None
    else:
        if answer is not None:
            found = msgspec.json.decode(answer, type=OrderLedger)
        else:
            with own_engine(settings) as engine:
                found = order_ledger(engine, account, order_id)
    if found is None:
        raise SenderError(
            f"Nothing is known of order {order_id!r}.",
            "Look at its spelling; `doublet refresh` takes in what has just been accepted.",
        )
    return found


def read_known_ads(
    settings: Settings, account: Account, *, since: date | None = None, until: date | None = None
) -> list[KnownAdRow]:
    """What is known of ads from whoever has the database; see `reports.known_ads.known_ads`."""
    asked = _parameters(account, since=since, until=until)
    answer = ask_worker(settings, "GET", "/ads.json", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[KnownAdRow])
    with own_engine(settings) as engine:
        return known_ads(engine, account, since=since, until=until)


def read_leads(
    settings: Settings,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> LeadsReport:
    """The stages of leads from whoever has the database; see `reports.leads.leads`."""
    asked = _parameters(account, pixel_id=pixel_id, since=since, until=until)
    answer = ask_worker(settings, "GET", "/leads.json", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=LeadsReport)
    with own_engine(settings) as engine:
        return leads(engine, account, pixel_id=pixel_id, since=since, until=until)


def read_lift(settings: Settings, account: Account, asked: Asked) -> LiftReport:
    """What ads have caused, from whoever has the database; see `lift.report.lift_report`."""
    given = msgspec.to_builtins(asked) | {"account": account.account_id}
    given["level"] = "campaign" if given.pop("by_campaign") else "experiment"
    parameters = {name: str(value) for name, value in given.items() if value is not None}
    answer = ask_worker(settings, "GET", "/lift.json", parameters)
    if answer is not None:
        return msgspec.json.decode(answer, type=LiftReport)
    rates = load_rates(settings.rates_folder, account.account_id, account.currency)
    with own_engine(settings) as engine:
        return lift_report(engine, account, rates, asked, int(time.time()))


def read_coverage(
    settings: Settings, account: Account, **filters: Unpack[CoverageFilters]
) -> list[CoverageRow]:
    """The report on coverage from whoever has the database; `filters` are those of
    `reports.coverage.coverage`."""
    answer = ask_worker(settings, "GET", "/coverage.json", _parameters(account, **filters))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[CoverageRow])
    with own_engine(settings) as engine:
        return coverage(engine, account, **filters)


def read_coverage_csv(
    settings: Settings, account: Account, **filters: Unpack[CoverageFilters]
) -> str:
    """The same as CSV, a row per event name, day and currency."""
    answer = ask_worker(settings, "GET", "/coverage.csv", _parameters(account, **filters))
    if answer is not None:
        return answer.decode()
    with own_engine(settings) as engine:
        return as_csv(coverage_by_currency(engine, account, **filters), CoverageCurrencyRow)


def read_quality(
    settings: Settings, account: Account, **filters: Unpack[QualityFilters]
) -> list[QualityRow]:
    """Match quality from whoever has the database; see `reports.quality.quality`."""
    answer = ask_worker(settings, "GET", "/quality.json", _parameters(account, **filters))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[QualityRow])
    with own_engine(settings) as engine:
        return quality(engine, account, **filters)


def read_diagnostics(
    settings: Settings, account: Account, **filters: Unpack[QualityFilters]
) -> list[DiagnosticRow]:
    """Diagnostics from whoever has the database; see `reports.diagnostics.diagnostics`."""
    answer = ask_worker(settings, "GET", "/diagnostics.json", _parameters(account, **filters))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[DiagnosticRow])
    with own_engine(settings) as engine:
        return diagnostics(engine, account, **filters)


def _parameters(account: Account, **filters: Unpack[CoverageFilters]) -> dict[str, str]:
    given = {
        "account": account.account_id,
        "pixel": filters.get("pixel_id"),
        "event_name": filters.get("event_name"),
        "since": filters.get("since"),
        "until": filters.get("until"),
        "marked": "1" if filters.get("with_marked") else None,
        "by": "day" if filters.get("by_day") else None,
    }
    return {name: str(value) for name, value in given.items() if value}


@contextmanager
def own_engine(settings: Settings) -> Iterator[Engine]:
    """The database of a server that is not running, brought up to date: after a restore or an
    upgrade its tables hold nothing yet."""
    from doublet.rounds import Freshener

    freshener = Freshener(settings, keeps_rules=True)
    try:
        freshener.freshen()
        yield freshener.engine
    finally:
        freshener.close()
