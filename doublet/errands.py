"""The worker's errands for shops: orders completed through a platform's API, persons exported and
erased. Each is tried again until it is done or too old to be of use."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
from tenacity import wait_random_exponential

from doublet.catalog import Catalog, Shop
from doublet.deliveries import Deliveries, Errand
from doublet.deposit import deposit
from doublet.errors import BusyError, DoubletError, OperatorError
from doublet.person import Wish, read_identifiers
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.shops import PLATFORMS, Told, UnreadableError
from doublet.shops import Errand as Wanted
from doublet.shops.client import LaterError, StatusError, ask, client_of
from doublet.shops.records import records_of
from doublet.waiting import seconds_until
from doublet.web.person import as_lines

logger = logging.getLogger(__name__)

LOOK_S = 1.0
_TIDY_S = 3600.0
_REFUSED_S = 600.0
_GIVEN_UP_S = 14 * 86_400
_EXPORT_S = 30 * 86_400
_LATER = wait_random_exponential(multiplier=2.0, min=1.0, max=3600.0)


class Runner:
    """Does what is due; `run` is one round."""

    def __init__(self, settings: Settings, freshener: Freshener) -> None:
        self._settings = settings
        self._freshener = freshener
        self._catalog = Catalog(settings.catalog_url)
        self._deliveries: Deliveries | None = None
        self._tidied_at = float("-inf")
        freshener.when_erasing(self.forget)

    def run(self, now: float | None = None) -> int:
        """Do what is due; how many errands that were."""
        deliveries = self._opened()
        if deliveries is None:
            return 0
        now = time.time() if now is None else now
        if time.monotonic() > self._tidied_at + _TIDY_S:
            deliveries.tidy(now)
            for path in self._settings.exports_folder.glob("*.jsonl"):
                if path.stat().st_mtime < now - _EXPORT_S:
                    path.unlink()
            self._tidied_at = time.monotonic()
        due = deliveries.due(now)
        for errand in due:
            self._attempt(deliveries, errand, now)
        return len(due)

    def forget(
        self, account_id: str, copies: Collection[tuple[int, int]], identifiers: Collection[str]
    ) -> None:
        """Take a person's visits out."""
        deliveries = self._opened()
        if deliveries is not None:
            shops = [shop.shop_id for shop in self._catalog.shops.all(account_id)]
            deliveries.forget(shops, identifiers)

    def close(self) -> None:
        """Give the file back."""
        if self._deliveries is not None:
            self._deliveries.close()
        self._catalog.close()

    def _opened(self) -> Deliveries | None:
        if self._deliveries is None and self._settings.deliveries_file.exists():
            self._deliveries = Deliveries(self._settings.deliveries_file)
        return self._deliveries

    def _attempt(self, deliveries: Deliveries, errand: Errand, now: float) -> None:
        try:
            outcome = self._do(errand)
        except (LaterError, BusyError) as error:
            is_late = now - errand.asked_at / 1e9 > _GIVEN_UP_S
            if is_late:
                deliveries.settle(errand, f"given up: {error}")
                return
            wait_s = max(
                seconds_until(errand.tries + 1, _LATER), getattr(error, "wait_s", None) or 0.0
            )
            deliveries.postpone(errand, now + wait_s, str(error))
            logger.warning(
                "errand-postponed errand=%d kind=%s wait_s=%.0f problem=%s",
                *(errand.errand_id, errand.kind, wait_s, error),
            )
        except (DoubletError, UnreadableError) as error:
            deliveries.settle(errand, f"failed: {error}")
            logger.error("errand-failed errand=%d kind=%s", errand.errand_id, errand.kind)
        else:
            deliveries.settle(errand, outcome)

    def _do(self, errand: Errand) -> str:
        if errand.kind == "order":
            return self._complete(errand)
        wish = Wish(errand.account_id, read_identifiers(errand.subject["user_data"]))
        if errand.kind == "erase":
            erasure = self._freshener.ask_to_erase(wish)
            self._forget_exports(errand)
            return f"asked to erase: {erasure.erasure_id}"
        return self._export(errand, wish)

    def _forget_exports(self, erase: Errand) -> None:
        """Take away what was exported of the same customer."""
        deliveries = self._opened()
        assert deliveries is not None
        for errand in deliveries.errands([erase.shop_id]):
            if errand.kind == "export" and errand.subject == erase.subject:
                self._export_file(errand).unlink(missing_ok=True)

    def _export_file(self, errand: Errand) -> Path:
        return self._settings.exports_folder / f"{errand.shop_id}-{errand.errand_id}.jsonl"

    def _export(self, errand: Errand, wish: Wish) -> str:
        """All that is kept of a person, for the shop's owner to hand on."""
        path = self._export_file(errand)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        rows = self._freshener.export_person(wish)
        part = path.with_suffix(".part")
        with open(part, "wb", opener=_private) as file:
            file.write(as_lines(rows))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return f"{len(rows)} lines in {path.name}"

    def _complete(self, errand: Errand) -> str:
        """Ask the platform for what its delivery only names."""
        try:
            shop = self._catalog.shops.one(errand.shop_id)
        except OperatorError:
            return "the shop was removed"
        platform = PLATFORMS[shop.platform]
        wanted = Wanted("order", errand.subject)
        found = self._fetch(shop, platform.wanted(wanted))
        if found is None:
            return "the platform knows nothing of it"
        told = platform.complete(wanted, found, shop)
        return self._keep(shop, told)

    def _fetch(self, shop: Shop, paths: dict[str, str]) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        with client_of(shop) as client:
            for name, path in paths.items():
                found[name] = _get(client, path)
                if found[name] is None and name == "order":
                    return None
        return found

    def _keep(self, shop: Shop, told: Told) -> str:
        deliveries = self._opened()
        assert deliveries is not None
        visitor = deliveries.visitor(shop.shop_id, told.tokens) if told.tokens else {}
        with deposit(self._settings, shop.account_id) as slot:
            arrival = slot.arrival(shop.pixel_id)
            arrival.phone_country = self._catalog.pixel_rules(shop.pixel_id).phone_country
            made = records_of(told, arrival, {**visitor, **told.visitor})
            if made.records:
                slot.append(made.records)
        said = f"{made.events} events, {made.orders} messages"
        return f"{said}, {len(made.refused)} refused" if made.refused else said


def _get(client: httpx.Client, path: str) -> Any:
    """A resource, None where there is none. Raises LaterError."""
    try:
        return ask(client, path).found
    except StatusError as error:
        if error.status == 404:
            return None
        message = f"The platform's API answers {error.status}: check the shop's API token."
        raise LaterError(message, _REFUSED_S) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Errands:
    """A thread that does what is due."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="errands", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the errand under way."""
        self._stop.set()
        self._thread.join()
        self._runner.close()

    def _work(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._runner.run()
            except Exception:
                logger.exception("errands-failed")
