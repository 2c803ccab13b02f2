"""The worker: keeps lake and models fresh, and serves every reader from the same database.

Threads of their own load and tidy in rounds; the web application answers from others, over a local
socket that the collectors hand requests to.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doublet.alerting import Watch
from doublet.audiencing import Audiencing, forget_in_lists
from doublet.catalog import Catalog
from doublet.delivering import Delivering, forget_in_delivery
from doublet.errands import Errands, Runner
from doublet.errors import OperatorError
from doublet.giving import Giving
from doublet.graph import routes as graph_routes
from doublet.guiding import guide_of
from doublet.health import health
from doublet.likening import Likening
from doublet.live.feed import Feed
from doublet.live.statuses import statuses
from doublet.openapi import document
from doublet.processes import private_socket
from doublet.reconciling import reconcile_routes, reconcile_text
from doublet.refusal import Reason, Refusal
from doublet.relay.fill import Filler
from doublet.relay.outlook import outlook
from doublet.relaying import backfill_routes, filler_of, preview_routes
from doublet.replay import replay
from doublet.rounds import Freshener, Rounds
from doublet.sending import send_payload
from doublet.settings import Settings
from doublet.teaching import Teaching
from doublet.unmerging import unmerge
from doublet.web import create_app
from doublet.web.access import Access
from doublet.web.as_of import as_of_routes
from doublet.web.audience_export import audience_export_routes
from doublet.web.audience_of import audience_of_routes
from doublet.web.kept import Kept
from doublet.web.live import live_routes
from doublet.web.payload import payload_routes
from doublet.web.person import person_routes
from doublet.web.persons import persons_routes
from doublet.web.persons_page import persons_page_routes
from doublet.web.products import product_routes
from doublet.web.reconcile import reconcile_page_routes
from doublet.web.refusals import refusal_routes, replay_routes
from doublet.web.refused import as_graph_error
from doublet.web.settings import settings_routes
from doublet.web.setup import setup_routes

logger = logging.getLogger(__name__)

_LOOK_S = 1.0


class OperatorKey:
    """A secret that only who can read the data folder knows; new with every worker."""

    def __init__(self, folder: Path) -> None:
        self._key = f"opr_{secrets.token_urlsafe(32)}"
        self.path = folder / "operator.key"
        self.path.unlink(missing_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(self._key)

    def matches(self, token: str) -> bool:
        """In constant time."""
        return hmac.compare_digest(token.encode(), self._key.encode())


def _operator_routes(freshener: Freshener, key: OperatorKey) -> list[Route]:
    """What the command line asks of a running worker."""

    def only_operators(act: Callable[[], dict[str, Any]]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not key.matches(token):
                return as_graph_error(Refusal(Reason.TOKEN_INVALID, "Operators only."))
            return JSONResponse(await run_in_threadpool(act))

        return endpoint

    def freshen() -> dict[str, Any]:
        loaded, modelled = freshener.freshen()
        return {"loaded": loaded, "modelled": modelled}

    def rebuild() -> dict[str, Any]:
        return {"modelled": freshener.rebuild()}

    return [
        Route("/v1/refresh", only_operators(freshen), methods=["POST"]),
        Route("/v1/rebuild", only_operators(rebuild), methods=["POST"]),
    ]


async def _stop_without(paths: Sequence[Path], stop: Callable[[], None]) -> None:
    """Stop serving when one of its files is gone, without which nobody finds or may ask it."""

    async def wait_while(are_there: bool) -> None:
        while are_there == all(path.exists() for path in paths):
            await asyncio.sleep(_LOOK_S)

    await wait_while(False)
    await wait_while(True)
    stop()


def feed_of(settings: Settings, catalog: Catalog, freshener: Freshener) -> Feed:
    """What has just arrived, for all who listen; it begins with `start`."""
    feed = Feed(
        settings.log_folder,
        lambda: catalog.directory().account_of_pixel,
        partial(statuses, freshener.engine),
        lambda: freshener.modelled,
    )
    freshener.when_erased(feed.forget)
    return feed


def application(
    settings: Settings,
    catalog: Catalog,
    freshener: Freshener,
    key: OperatorKey,
    feed: Feed,
    filler: Filler,
) -> Starlette:
    """All that the worker answers: pages and their twins, our own API, Graph."""
    description = msgspec.json.encode(document(settings.url, settings.deciders_url))

    async def describe(request: Request) -> Response:
        return Response(description, media_type="application/json")

    kept = Kept(lambda: freshener.engine.report_changes)
    freshener.when_erasing(kept.forget)
    app = create_app(
        catalog,
        freshener.engine,
        is_operator=key.matches,
        cache=settings.run_folder / "web",
        rates=settings.rates_folder,
        outbox=settings.outbox_file,
        public_url=settings.url,
        health=partial(health, settings.run_folder, settings.disk_free_bytes_min),
        kept=kept,
        outlook=partial(outlook, catalog, settings.outbox_file),
    )
    door: Access = app.state.door

    def decide(account_id: str, a: str, b: str, reason: str, revoked: bool) -> None:
        unmerge(settings, account_id, a, b, reason, revoked=revoked)

    app.router.routes[:0] = [
        *_operator_routes(freshener, key),
        *person_routes(door, catalog, freshener),
        *audience_export_routes(door, catalog, freshener.engine),
        *product_routes(door, catalog, freshener.engine),
        *persons_routes(door, catalog, freshener.engine, decide),
        *persons_page_routes(door, catalog, freshener.engine, decide, freshener),
        *graph_routes(catalog, freshener.engine, settings.url, settings.rates_folder),
        *audience_of_routes(door, catalog, settings.audiences_folder),
        *live_routes(door, catalog, feed),
        *as_of_routes(
            door,
            catalog,
            lambda: (freshener.modelled, freshener.positions.copy()),
            lambda: feed.is_closing,
        ),
        Route("/openapi.json", describe),
        *refusal_routes(door, catalog, freshener.refusals),
        *backfill_routes(door, catalog, filler),
        *preview_routes(door, catalog, settings, freshener),
        *reconcile_routes(door, catalog, settings, freshener, filler),
        *reconcile_page_routes(
            door, catalog, partial(reconcile_text, settings, catalog, freshener, filler)
        ),
        *replay_routes(door, catalog, partial(replay, settings, freshener)),
        *payload_routes(door, catalog, settings.url, partial(send_payload, settings)),
        *settings_routes(door, settings),
        *setup_routes(door, guide_of(settings, catalog, freshener)),
    ]
    return app


async def _serve(settings: Settings, freshener: Freshener, filler: Filler) -> None:
    key = OperatorKey(settings.run_folder)
    catalog = Catalog(settings.catalog_url)
    feed = feed_of(settings, catalog, freshener)
    app = application(settings, catalog, freshener, key, feed, filler)
    socket = private_socket(settings)
    socket.unlink(missing_ok=True)
    server = Server(
        app, uds=socket, interface=Interfaces.ASGINL, log_level=LogLevels.error, backlog=256
    )
    stop_server: Callable[[], None] = server.stop

    def stop() -> None:
        # The server waits for every answer, and a listener's has no end of its own.
        feed.hang_up()
        stop_server()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    watch = asyncio.create_task(_stop_without((socket, key.path), stop))
    feed.start()
    try:
        await server.serve()
    finally:
        socket.unlink(missing_ok=True)
        feed.stop()
    if watch.done():
        raise OperatorError(
            f"Somebody removed {socket.name} or {key.path}, which a running worker needs.",
            "A new worker makes them again; `doublet serve` starts one by itself.",
        )


def run_worker(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM. Raises OperatorError when its files are taken away."""
    logging.basicConfig(
        format="%(levelname)s %(name)s %(message)s", level=logging.INFO, stream=sys.stderr
    )
    # It tells every address that the guide opens.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    freshener = Freshener(settings, wait_s=10.0)
    catalog = Catalog(settings.catalog_url)
    filler = filler_of(settings, catalog, freshener)
    forget_in_lists(catalog, freshener)
    forget_in_delivery(settings, catalog, freshener)
    rounds = Rounds(freshener, settings, filler.fill)
    watch = Watch(freshener.engine, settings)
    errands = Errands(Runner(settings, freshener))
    audiencing = Audiencing(freshener.engine, settings)
    likening = Likening(freshener.engine, settings)
    giving = Giving(freshener.engine, settings)
    delivering = Delivering(freshener, settings)
    teaching = Teaching(freshener, settings)
    rounds.start()
    watch.start()
    errands.start()
    audiencing.start()
    likening.start()
    giving.start()
    delivering.start()
    teaching.start()
    try:
        asyncio.run(_serve(settings, freshener, filler))
    finally:
        teaching.stop()
        delivering.stop()
        giving.stop()
        likening.stop()
        audiencing.stop()
        errands.stop()
        watch.stop()
        rounds.stop()
        filler.close()
        freshener.close()
