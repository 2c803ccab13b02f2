"""The ASGI application of a collector: which path goes where."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading

import msgspec

from doublet import pixel
from doublet.collect.events import answer_events, gateway_pixel_of, pixel_of
from doublet.collect.hits import PATHS as HIT_PATHS
from doublet.collect.hits import answer_hit, cors
from doublet.collect.intake import Intake, refuse
from doublet.collect.messages import DOORS
from doublet.collect.postback import POSTBACK_PATH, answer_postback
from doublet.collect.proxy import Proxy
from doublet.collect.request import Receive, Scope, Send, json_headers, respond
from doublet.collect.scripts import CONFIG_PATH, Scripts, answer_config
from doublet.collect.shops import SHOPS_PATH, ShopDoor
from doublet.errors import BusyError
from doublet.health import health
from doublet.processes import private_socket
from doublet.refusal import Reason, Refusal
from doublet.settings import Settings

logger = logging.getLogger(__name__)


class Collector:
    """Answers the hot paths itself and hands the rest to the worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._intake: Intake
        self._proxy: Proxy
        self._shops: ShopDoor
        self._scripts = Scripts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            try:
                if scope["path"] in HIT_PATHS:
                    await answer_hit(self._intake, scope, receive, send)
                else:
                    await self._answer(scope, receive, send)
            except Exception:
                # A bug of ours must not hang the client, and must not tell it anything either.
                logger.exception("request-failed path=%s", scope["path"][:100])
                refusal = Refusal(Reason.INTERNAL, "An unknown error occurred.")
                is_hit = scope["path"] in HIT_PATHS
                await refuse(send, refusal, more=cors(dict(scope["headers"])) if is_hit else ())
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if pixel_id := pixel_of(path):
            await answer_events(self._intake, scope, receive, send, pixel_id)
        elif pixel_id := gateway_pixel_of(path):
            await answer_events(self._intake, scope, receive, send, pixel_id, 202)
        elif path in DOORS:
            await DOORS[path].answer(self._intake, scope, receive, send)
        elif path == POSTBACK_PATH:
            await answer_postback(self._intake, scope, receive, send)
        elif path.startswith(SHOPS_PATH):
            await self._shops.answer(scope, receive, send)
        elif path in pixel.SCRIPTS:
            await self._scripts.answer(scope, send)
        elif path.startswith(CONFIG_PATH):
            try:
                await answer_config(self._intake.accounts, scope, send)
            except BusyError as error:
                await refuse(send, Refusal(Reason.BUSY, error.message))
        elif path == "/health":
            body = msgspec.json.encode(
                health(self._settings.run_folder, self._settings.disk_free_bytes_min)
            )
            await respond(send, 200, json_headers(body), body, head=scope["method"] == "HEAD")
        else:
            await self._proxy.forward(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan: open before the first request, close after the last."""
        await receive()
        try:
            self._intake = Intake(self._settings)
            self._shops = ShopDoor(self._intake)
            self._proxy = Proxy(private_socket(self._settings), self._settings)
            await self._intake.accounts.open()
        except Exception as error:
            logger.exception("collector-start-failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._hang_up_on_signals()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._shops.close()
        self._intake.close()
        await self._proxy.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _hang_up_on_signals(self) -> None:
        """The server waits for every answer before it stops, also for those without end. A handler
        of Python's is called besides that of the loop, which is the server's own."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._proxy.hang_up))
