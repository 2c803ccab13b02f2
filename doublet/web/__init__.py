"""The dashboard: pages made on the server, each with `.json` and `.csv` twins.

Every answer about an account needs that account's access token, or the operator's key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.explain import Outlook, nowhere
from doublet.health import Health
from doublet.web import (
    access,
    alerts,
    assets,
    attribution,
    attribution_pages,
    audiences,
    changes,
    chart,
    check,
    coverage,
    delivery,
    events,
    known_ads,
    leads,
    lift,
    orders,
    overview,
    profile,
    quality,
    refused,
    relay,
    sign_in,
)
from doublet.web.kept import Kept
from doublet.web.protection import Protection
from doublet.web.status import Statuses


def create_app(
    catalog: Catalog,
    engine: Engine,
    *,
    is_operator: Callable[[str], bool],
    cache: Path,
    rates: Path,
    outbox: Path,
    public_url: str,
    health: Callable[[], Health],
    outlook: Outlook = nowhere,
    kept: Kept | None = None,
    now: Callable[[], float] = time.time,
) -> Starlette:
    """The application. `cache` is a folder for what is made once, `rates` that of exchange rates,
    `outbox` the relay's file, `public_url` the address under which browsers reach this server;
    `health` tells how far behind the worker is, `outlook` what was relayed, `now` is a clock."""
    door = access.Access(catalog, is_operator, now)
    files = assets.Assets(cache)
    kept = kept or Kept(lambda: engine.report_changes)
    statuses = Statuses(catalog, engine, outbox, health, kept)
    reports = attribution.Reports(door, catalog, engine, rates, kept)
    app = Starlette(
        routes=[
            Route("/", _front_page),
            *sign_in.routes(door),
            *profile.routes(door),
            *changes.routes(door),
            *overview.routes(door, catalog, engine, files, statuses, public_url),
            *chart.routes(door, catalog, engine),
            *events.routes(door, catalog, engine, outlook),
            *leads.routes(door, catalog, engine, kept),
            *lift.routes(door, catalog, engine, rates),
            *orders.routes(door, catalog, engine, rates),
            *known_ads.routes(door, catalog, engine),
            *coverage.routes(door, catalog, engine),
            *attribution.routes(reports),
            *attribution_pages.routes(reports),
            *alerts.routes(door, catalog),
            *audiences.routes(door, catalog, engine),
            *delivery.routes(door, catalog, engine, rates, kept),
            *relay.routes(door, catalog, outbox),
            *quality.routes(door, catalog, engine, kept),
            *check.routes(door),
            *files.routes(),
        ],
        middleware=[Middleware(Protection)],
        exception_handlers=refused.HANDLERS,
    )
    app.state.door = door
    # A redirect from /overview/ would have to guess scheme and host behind the collector.
    app.router.redirect_slashes = False
    return app


async def _front_page(request: Request) -> Response:
    return RedirectResponse("/overview", 303)
