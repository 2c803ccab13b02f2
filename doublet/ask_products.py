"""How the command line reads products: it asks the running worker, or opens the database itself."""

from __future__ import annotations

from contextlib import closing
from datetime import date

import msgspec

from doublet.ask import ask_worker, own_engine
from doublet.catalog import Account, Catalog
from doublet.products.match import Match
from doublet.settings import Settings
from doublet.web.products import product_match


def read_match(
    settings: Settings, account: Account, since: date | None, until: date | None
) -> Match:
    """How events of some days fit the account's products."""
    given = {"account": account.account_id, "since": since, "until": until}
    asked = {name: str(value) for name, value in given.items() if value}
    answer = ask_worker(settings, "GET", "/v1/products/match", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=Match)
    with own_engine(settings) as engine, closing(Catalog(settings.catalog_url)) as catalog:
        return product_match(catalog, engine, account, since, until)
