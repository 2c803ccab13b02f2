"""How the command line reads reports of conversions: from the running worker, or by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.ask import ask_worker, own_engine
from doublet.catalog import Account, Catalog
from doublet.rates import load_rates
from doublet.reports.asked import Asked, parameters
from doublet.reports.registry import REPORTS
from doublet.settings import Settings


def read_report(settings: Settings, account: Account, name: str, asked: Asked) -> Any:
    """A report of `doublet.reports.registry` from whoever has the database."""
    report = REPORTS[name]
    given = {"account": account.account_id, **parameters(asked)}
    answer = ask_worker(settings, "GET", f"/{name}.json", given)
    if answer is not None:
        return msgspec.json.decode(answer, type=report.answer)
    rates = load_rates(settings.rates_folder, account.account_id, account.currency)
    rules = Catalog(settings.catalog_url).reporting.rules(account.account_id)
    with own_engine(settings) as engine:
        return report.make(engine, account, rates, asked.under(rules))
