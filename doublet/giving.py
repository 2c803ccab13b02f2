"""The worker's giving: shared audiences are pushed, and webhooks told, by threads of their own, so
that a server that is slow to answer keeps nothing else waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from doublet.audiences.push import Pusher, client_of
from doublet.audiences.webhook import Teller
from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.settings import Settings

logger = logging.getLogger(__name__)

LOOK_S = 1.0
_STOP_S = 5.0


class Giving:
    """Gives what is due until `stop`."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._catalog = Catalog(settings.catalog_url)
        self._client = client_of()
        self._pusher = Pusher(self._catalog, engine, self._client)
        self._teller = Teller(self._catalog, engine, self._client)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(act,), name=name, daemon=True)
            for name, act in (
                ("pushes", self._pusher.push_due),
                ("webhooks", self._teller.deliver),
            )
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a request under way is sent again by the next worker."""
        self._stop.set()
        self._client.close()
        for thread in self._threads:
            thread.join(_STOP_S)
        self._catalog.close()

    def _work(self, act: Callable[[], int]) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                act()
            except Exception:
                if not self._stop.is_set():
                    logger.exception("giving-failed")
