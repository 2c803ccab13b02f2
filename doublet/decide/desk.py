"""What one decider holds: the newest book, models and memberships, its money, and whom it has shown
what."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np

from doublet.audiences.snapshot import Snapshot
from doublet.delivery.book import (
    FREQUENCY_FILE,
    LEDGER_FILE,
    Book,
    Reader,
    model_file,
    share_of,
)
from doublet.delivery.budgets import LIFETIME, day_at
from doublet.delivery.decide import Asked, Decision, Terms, decide
from doublet.delivery.frequency import Frequency, ad_set_keys
from doublet.delivery.ledger import Ledger
from doublet.delivery.links import Link, Links
from doublet.delivery.purse import Purse
from doublet.delivery.rates import Model
from doublet.delivery.shelf import Offer, Shelf, offers_of
from doublet.errors import DoubletError
from doublet.settings import Settings

logger = logging.getLogger(__name__)


class Fresh(NamedTuple):
    """What a look has found: shelves by account and version of the model, where the book is newer,
    and what ad sets bid."""

    shelves: dict[tuple[str, str], Shelf] | None
    offers: dict[str, Offer]


class Desk:
    """All of one process. `prepare` may run beside decisions, everything else between them."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.delivery_folder
        self.links = Links(folder)
        self._folder = folder
        self._reader = Reader(folder)
        self._snapshot = Snapshot(settings.audiences_folder)
        self._ledger = Ledger(folder / LEDGER_FILE)
        self._purse = Purse(self._ledger, f"decider {os.getpid()}")
        self._frequency = Frequency(folder / FREQUENCY_FILE)
        self._terms = Terms.of(settings)
        self._rng = np.random.default_rng(secrets.randbits(128))
        self._models: dict[str, Model] = {}
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._served = {each.account_id: each.models for each in self.book.accounts}
        self._dry: dict[str, dict[int, float]] = {}
        self.is_short = False
        """Whether an ad set has lacked money since the last exchange with the ledger."""

    @property
    def book(self) -> Book:
        """The newest book."""
        return self._reader.book

    def prepare(self, now_s: float) -> Fresh:
        """Look for what is new, and settle up with the ledger."""
        is_newer = self._reader.refresh() or not self._shelves
        shelves = self._compile() if is_newer else None
        try:
            self._purse.exchange(self._periods(now_s), now_s)
            offers = offers_of(self._ledger.paces())
        except DoubletError as error:
            # What is in the purse is good until it expires; then nothing is shown.
            logger.error("ledger-unavailable error=%s", error)
            offers = {}
        return Fresh(shelves, offers)

    def take(self, fresh: Fresh) -> None:
        """Decide by this from now on."""
        if fresh.shelves is not None:
            self._shelves = fresh.shelves
            self._served = {each.account_id: each.models for each in self.book.accounts}
        if fresh.offers:
            for shelf in self._shelves.values():
                shelf.offer(fresh.offers)
        self._dry.clear()
        self.is_short = False
        self._snapshot.refresh()

    def _compile(self) -> dict[tuple[str, str], Shelf]:
        made = {}
        for account in self.book.accounts:
            for version in [each.version for each in account.models] or [""]:
                model = self._model(version) or Model.prior(value=account.prior_value)
                made[account.account_id, version] = Shelf(account, model)
        used = {version for _, version in made}
        self._models = {name: model for name, model in self._models.items() if name in used}
        return made

    def _model(self, version: str) -> Model | None:
        """A model by its version, None where there is none, or it cannot be read."""
        if version and version not in self._models:
            try:
                self._models[version] = Model.load(model_file(self._folder, version))
            except (DoubletError, OSError) as error:
                logger.error("model-unreadable version=%s error=%s", version, error)
        return self._models.get(version)

    def _periods(self, now_s: float) -> dict[str, str]:
        """The period of each running budget, by ad set."""
        found = {}
        for shelf in self._shelves.values():
            day = day_at(shelf.zone, now_s)[0]
            for each in shelf.ad_sets:
                found[each.adset_id] = LIFETIME if each.lifetime_budget else day
        return found

    def shelf_of(self, account_id: str) -> Shelf | None:
        """The ads of an account under the model that makes this decision."""
        version = share_of(self._served.get(account_id, ()), self._rng.random())
        return self._shelves.get((account_id, version))

    def why_empty(self) -> str:
        """Why an account has no shelf."""
        if not self.book.version:
            return "The worker has published no ads yet: start `doublet serve` or `doublet work`."
        return "Nothing runs in this account: activate a campaign, an ad set and an ad."

    def audiences_of(self, account_id: str, identifiers: Iterable[str]) -> set[str]:
        """The audiences of who has one of these identifiers."""
        return self._snapshot.audiences_of(account_id, identifiers)

    def decide(
        self, shelf: Shelf, asked: Asked, person: int, now_s: float, *, explain: bool
    ) -> Decision:
        """One decision."""
        dry = self._dry.setdefault(shelf.account_id, {})
        capped = self._capped(shelf, person, now_s)
        made = decide(
            shelf,
            asked,
            self._purse,
            dry,
            capped,
            self._rng,
            now_s,
            self._terms,
            explain=explain,
        )
        self.is_short = self.is_short or bool(dry)
        return made

    def _capped(self, shelf: Shelf, person: int, now_s: float) -> Callable[[], Collection[int]]:
        caps = shelf.caps

        def capped() -> Collection[int]:
            seen = self._frequency.seen(person, caps.keys, caps.windows_s, now_s)
            return set(caps.ad_sets[seen >= caps.limits].tolist())

        return capped

    def note_view(self, link: Link) -> None:
        """Count an impression for its person's frequency, at the moment of its decision, by which
        it is known again wherever it is told once more."""
        if link.person:
            (key,) = ad_set_keys([link.adset_id])
            self._frequency.note(link.person, key, link.decided_at)

    def close(self, now_s: float) -> None:
        """Give back the money that is not reserved."""
        try:
            self._purse.close(now_s)
        except DoubletError as error:
            # The worker settles what was granted once it has expired.
            logger.error("purse-not-closed error=%s", error)
        self._ledger.close_file()
        self._frequency.close()
