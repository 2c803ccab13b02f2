"""The worker's teaching: action rates are learned again when enough is new, tried on a small share
of decisions, and taken back when they do worse.

A thread of its own, since learning may take minutes. What it decides stands in a file per account
beside the models, `models/ACCOUNT.json`, from which the book is made.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from doublet.catalog import Account, AdSet, Catalog
from doublet.delivery.book import LEDGER_FILE, Reader, model_file
from doublet.delivery.calibration import Served, Verdict, learn
from doublet.delivery.decide import Terms
from doublet.delivery.delay import delays, probability
from doublet.delivery.examples import Examples
from doublet.delivery.ledger import Ledger
from doublet.delivery.objects import CONVERSION_GOALS
from doublet.delivery.rates import Model, Scorer
from doublet.delivery.rehearsal import rehearse
from doublet.delivery.serving import Serving
from doublet.delivery.shelf import Shelf, offers_of
from doublet.delivery.training import Goal, read
from doublet.errors import CorruptError
from doublet.rates import load_rates
from doublet.rounds import Freshener
from doublet.settings import Settings

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
LEARNED_FROM_S = 60 * 86_400
"""Impressions of so much time are learned from."""
PRIOR = "prior"
"""What decisions by prior rates name as their policy."""

_KEPT = 3
_FOLDER = "models"


class Teaching:
    """Models of all accounts."""

    def __init__(self, freshener: Freshener, settings: Settings) -> None:
        self._freshener = freshener
        self._settings = settings
        self._folder = settings.delivery_folder
        self._catalog = Catalog(settings.catalog_url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teaching", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a model that is being learned is learned to its end first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._catalog.close()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception:
                logger.exception("teaching-failed")

    def look(self, now_s: float | None = None) -> None:
        """Learn, try and review what is due."""
        now = time.time() if now_s is None else now_s
        for account in self._catalog.accounts():
            ad_sets = self._catalog.campaigns.ad_sets(account.account_id, with_gone=True)
            if not ad_sets or self._stop.is_set():
                continue
            try:
                self._look_at(account, ad_sets, now)
            except Exception:
                # It keeps no other waiting.
                logger.exception("learning-failed account=%s", account.account_id)

    def _look_at(self, account: Account, ad_sets: list[AdSet], now: float) -> None:
        serving = read_serving(self._folder, account.account_id)
        after = serving
        if serving.trial:
            after = self._reviewed(account, ad_sets, serving, now)
        elif serving.is_learning_due(self._impressions(account.account_id, now), now):
            after = self._learned(account, ad_sets, serving, now)
        if after != serving:
            write_serving(self._folder, account.account_id, after)
            logger.info(
                "models account=%s stable=%s trial=%s refused=%s reasons=%s",
                account.account_id,
                after.stable or PRIOR,
                after.trial or "none",
                after.refused or "none",
                "; ".join(after.reasons) or "none",
            )
            self._sweep(account.account_id, after)

    def _impressions(self, account_id: str, now: float) -> int:
        """How many there are to learn from, about: views of our own, repetitions included."""
        _, touched = self._freshener.delivered()
        if not touched:
            return 0
        (row,) = self._freshener.engine.query(
            "select count(*) as count from read_parquet($touched) where account_id = $account_id "
            "and platform = 'doublet' and kind = 'view' and epoch(received_at) >= $since",
            {
                "touched": [file.path for file in touched],
                "account_id": account_id,
                "since": now - LEARNED_FROM_S,
            },
        )
        return int(row["count"])

    def _examples(
        self,
        account: Account,
        ad_sets: list[AdSet],
        since: float,
        until: float,
        policy: str | None = None,
    ) -> Examples:
        chosen, touched = self._freshener.delivered()
        return read(
            self._freshener.engine,
            account.account_id,
            [file.path for file in chosen],
            [file.path for file in touched],
            [_goal(each) for each in ad_sets],
            load_rates(self._settings.rates_folder, account.account_id, account.currency),
            since=since,
            until=until,
            policy=policy,
        )

    def _learned(
        self, account: Account, ad_sets: list[AdSet], serving: Serving, now: float
    ) -> Serving:
        """Learn a model; it goes on trial where its held-out days allow it."""
        examples = self._examples(account, ad_sets, now - LEARNED_FROM_S, now)
        version = f"{account.account_id}-{int(now)}"
        made = learn(
            examples,
            now,
            goals={each.adset_id: each.optimization_goal for each in ad_sets},
            version=version,
            was=self._model(serving.stable),
        )
        verdict = made.verdict()
        if verdict.is_accepted:
            verdict = self._rehearsed(account.account_id, made.model, examples)
        if verdict.is_accepted:
            path = model_file(self._folder, version)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made.model.save(path)
        return serving.learned(version, verdict, len(examples), now)

    def _rehearsed(self, account_id: str, model: Model, examples: Examples) -> Verdict:
        """What the log says of a model that nobody was shown anything by."""
        reader = Reader(self._folder)
        reader.refresh()
        book = next((b for b in reader.book.accounts if b.account_id == account_id), None)
        if book is None:
            return Verdict(True)
        ledger = Ledger(self._folder / LEDGER_FILE)
        try:
            paces = ledger.paces()
        finally:
            ledger.close_file()
        shelf = Shelf(book, model)
        shelf.offer(offers_of(paces))
        return rehearse(shelf, examples, Terms.of(self._settings))

    def _model(self, version: str) -> Model | None:
        if not version:
            return None
        try:
            return Model.load(model_file(self._folder, version))
        except (CorruptError, FileNotFoundError) as error:
            logger.error("model-unreadable version=%s error=%s", version, error)
            return None

    def _reviewed(
        self, account: Account, ad_sets: list[AdSet], serving: Serving, now: float
    ) -> Serving:
        """Compare what came of both models' decisions since the trial began."""
        spent = self._spent(account.account_id, serving.tried_at, now)

        def served(version: str) -> Served:
            policy = version or PRIOR
            examples = self._examples(account, ad_sets, serving.tried_at, now, policy)
            model = self._model(version) or Model.prior()
            return _served(examples, model, spent.get(policy, 0), now)

        return serving.reviewed(served(serving.trial), served(serving.stable), now)

    def _spent(self, account_id: str, since: float, until: float) -> dict[str, int]:
        chosen, touched = self._freshener.delivered()
        if not chosen or not touched:
            return {}
        rows = self._freshener.engine.query(
            _spent_sql(),
            {
                "chosen": [file.path for file in chosen],
                "touched": [file.path for file in touched],
                "account_id": account_id,
                "since": since,
                "until": until,
            },
        )
        return {row["policy"]: row["units"] for row in rows}

    def _sweep(self, account_id: str, serving: Serving) -> None:
        """Remove models that serve no more, but for the last few."""
        used = {serving.stable, serving.trial}
        known = sorted((self._folder / _FOLDER).glob(f"{account_id}-*.npz"))
        for path in [each for each in known if each.stem not in used][:-_KEPT]:
            path.unlink()


def _goal(ad_set: AdSet) -> Goal:
    is_observed = ad_set.optimization_goal in CONVERSION_GOALS
    return Goal(ad_set.adset_id, ad_set.event_name if is_observed else "", ad_set.pixel_id)


def _served(examples: Examples, model: Model, spent: int, now: float) -> Served:
    """What a model predicted of its own decisions, as far as it can have come, and what came."""
    known = examples.known_at(now)
    if not len(known):
        return Served(0.0, 0, spent)
    clicks, actions = Scorer(model, known.ads).logits(known)
    seen = delays(known, now).all.seen(now - known.decided_at)
    predicted = float((probability(clicks) * probability(actions) * seen).sum())
    return Served(predicted, int(known.acted.sum()), spent)


@cache
def _spent_sql() -> str:
    return files("doublet.delivery").joinpath("spent.sql").read_text("utf-8")


def read_serving(folder: Path, account_id: str) -> Serving:
    """Which models an account has; none where that was not written, or cannot be read."""
    try:
        text = (folder / _FOLDER / f"{account_id}.json").read_bytes()
        return msgspec.json.decode(text, type=Serving)
    except FileNotFoundError:
        return Serving()
    except msgspec.MsgspecError as error:
        logger.error("serving-unreadable account=%s error=%s", account_id, error)
        return Serving()


def write_serving(folder: Path, account_id: str, serving: Serving) -> None:
    """Replace the note in one step."""
    place = folder / _FOLDER
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = place / f"{account_id}.{secrets.token_hex(4)}"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(msgspec.json.encode(serving))
    fresh.replace(place / f"{account_id}.json")
