"""The relay's process: a sender for each destination of the catalog, as it is now."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from doublet import __version__
from doublet.catalog import Catalog, Destination
from doublet.destinations.kinds import KINDS
from doublet.outbox import Outbox
from doublet.processes import FileLock
from doublet.relay.loop import TIMEOUT_S, Sender, Writer
from doublet.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_STOP_S = 10.0
"""So long requests under way may take at the end; what they held is sent again."""


class Relay:
    """All senders. One process at a time may have an outbox."""

    def __init__(self, settings: Settings) -> None:
        """Raises LockedError while another relay has the outbox."""
        self._lock = FileLock(settings.run_folder / "relay.lock", str(settings.outbox_file), 10.0)
        self._catalog = Catalog(settings.catalog_url)
        self._outbox = Outbox(settings.outbox_file)
        self._writer = Writer(self._outbox)
        self._senders: dict[str, tuple[Sender, asyncio.Task[None]]] = {}
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End after the requests under way."""
        self._stop.set()

    async def run(self) -> None:
        """Send until `stop`."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        headers = {"user-agent": f"doublet/{__version__}"}
        # No cookies: destinations share the client, and nobody's answers are to pile up in it.
        none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        async with httpx.AsyncClient(
            timeout=TIMEOUT_S, limits=limits, headers=headers, cookies=none
        ) as client:
            while not self._stop.is_set():
                try:
                    self._follow_catalog(client)
                except Exception:
                    logger.exception("relay-catalog-failed")
                try:
                    await asyncio.wait_for(self._stop.wait(), _LOOK_S)
                except TimeoutError:
                    continue
            for sender, _ in self._senders.values():
                sender.stop()
            tasks = [task for _, task in self._senders.values()]
            if tasks:
                await asyncio.wait(tasks, timeout=_STOP_S)
            for sender, _ in self._senders.values():
                sender.abandon()
            await asyncio.gather(*tasks)

    def _follow_catalog(self, client: httpx.AsyncClient) -> None:
        known = {d.destination_id: d for d in self._catalog.destinations() if d.kind in KINDS}
        for destination_id in self._senders.keys() - known.keys():
            sender, _ = self._senders.pop(destination_id)
            sender.stop()
        for destination in known.values():
            self._follow(destination, client)

    def _follow(self, destination: Destination, client: httpx.AsyncClient) -> None:
        if destination.destination_id not in self._senders:
            sender = Sender(destination, self._outbox, self._writer, client)
            self._senders[destination.destination_id] = (sender, asyncio.create_task(sender.run()))
            return
        sender, _ = self._senders[destination.destination_id]
        if destination != sender.destination:
            sender.destination = destination
            # Whoever changed it has put right what was wrong, perhaps.
            self._outbox.end_pause(destination.destination_id)

    def close(self) -> None:
        """Give the files back."""
        self._outbox.close()
        self._catalog.close()
        self._lock.release()


def run_relay(settings: Settings) -> None:
    """Send until SIGINT or SIGTERM."""
    logging.basicConfig(
        format="%(levelname)s %(name)s %(message)s", level=logging.INFO, stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    relay = Relay(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, relay.stop)
    try:
        await relay.run()
    finally:
        relay.close()
