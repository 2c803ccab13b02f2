"""The worker's audiences: members follow the events within seconds, and are published.

A thread of its own looks every `audience_interval_s` for definitions, lists and persons that have
changed; for those whose events have grown too old once a minute. While nothing has changed, it
writes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec

from doublet.audiences import lists_sync
from doublet.audiences.compile import evaluation
from doublet.audiences.lists_sync import match
from doublet.audiences.members import Definition, Moved, audience_sql, refresh, sizes
from doublet.audiences.rule import parse_audience_rule
from doublet.audiences.snapshot import Publisher
from doublet.catalog import Audience, Catalog
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rounds import Freshener
from doublet.settings import Settings

logger = logging.getLogger(__name__)

_DUE_EVERY_S = 60
_SIZES_EVERY_S = 900
_TRY_AGAIN_S = 60.0
_MATCHED_EVERY_S = 60.0
_SWEPT_EVERY_S = 3600.0


class Audiencing:
    """Audiences of all accounts, from the catalog's definitions and the models' tables."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._catalog = Catalog(settings.catalog_url)
        self._interval_s = settings.audience_interval_s
        self._publisher = Publisher(engine, settings.audiences_folder)
        self._sizes: dict[str, int] = {}
        self._resting: dict[str, float] = {}
        self._versions: dict[str, int] = {}
        self._defined: dict[str, tuple[Audience, Definition]] = {}
        self._matched_at = float("-inf")
        self._swept_at = float("-inf")
        self._published = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audiences", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._catalog.close()

    def refresh(self, now: float | None = None) -> Moved:
        """Bring members and snapshot up to date."""
        at = time.time() if now is None else now
        if at - self._swept_at >= _SWEPT_EVERY_S:
            self._catalog.lists.sweep(int(at))
            self._catalog.audiences.thin(int(at))
            self._swept_at = at
        audiences = self._catalog.audiences.all()
        self._sync([each for each in audiences if each.subtype == "CUSTOM"])
        definitions = [made for each in audiences if (made := self._define(each)) is not None]
        for audience_id in self._defined.keys() - {each.audience_id for each in audiences}:
            del self._defined[audience_id]
        clock = time.monotonic()
        resting = [name for name, until in self._resting.items() if clock < until]
        # In a large shop somebody's event grows too old every second.
        due_by_s = int(at // _DUE_EVERY_S * _DUE_EVERY_S)
        moved = refresh(self._engine, definitions, int(at), resting, due_by_s)
        for audience_id in moved.built:
            self._note(audience_id, {"state": "ready", "message": "", "built_at": int(at)})
        for audience_id in moved.failed:
            self._resting[audience_id] = clock + _TRY_AGAIN_S
            message = "An error here; the log says more."
            self._note(audience_id, {"state": "failed", "message": message})
        if moved.joined or moved.left or moved.built:
            self._note_sizes(definitions, int(at))
        self._note_matches(audiences, moved)
        names = [(each.account_id, each.audience_id) for each in definitions]
        if names or self._published:
            self._publisher.publish(names, at)
            self._published = bool(names)
        return moved

    def _sync(self, lists: Sequence[Audience]) -> None:
        """Bring the warehouse's copy of lists up to date."""
        versions = self._catalog.lists.versions() if lists else {}
        versions = {each.audience_id: versions.get(each.audience_id, 0) for each in lists}
        if versions == self._versions:
            return
        with self._engine.transaction(is_reported=False) as tx:
            lists_sync.make_tables(tx)
            lists_sync.forget_others(tx, versions)
        for each in lists:
            lists_sync.sync(self._engine, self._catalog, each)
        self._versions = versions
        self._matched_at = float("-inf")

    def _define(self, each: Audience) -> Definition | None:
        """What makes its members; None while that is not known, or cannot be read."""
        if each.subtype == "CUSTOM":
            version = str(self._versions[each.audience_id])
            return _of_text(each, "list_members", version)
        if each.subtype == "LOOKALIKE":
            made_at = self._catalog.audiences.state(each.audience_id).get("made_at")
            return None if made_at is None else _of_text(each, "lookalike_members", str(made_at))
        known = self._defined.get(each.audience_id)
        if known is not None and known[0] == each:
            return known[1]
        try:
            made = rule_definition(each)
            self._defined[each.audience_id] = (each, made)
            return made
        except SenderError as error:
            self._note(each.audience_id, {"state": "failed", "message": str(error)})
            return None

    def _note(self, audience_id: str, said: dict[str, Any]) -> None:
        known = self._catalog.audiences.state(audience_id)
        if {**known, **said} != known:
            self._catalog.audiences.note_state(audience_id, {**known, **said})

    def _note_sizes(self, definitions: Sequence[Definition], now_s: int) -> None:
        """The number of members now; of each quarter of an hour the last one is kept."""
        counted = sizes(self._engine)
        for each in definitions:
            members = counted.get(each.audience_id, 0)
            if self._sizes.get(each.audience_id) != members:
                at = now_s - now_s % _SIZES_EVERY_S
                self._catalog.audiences.note_size(each.audience_id, at, members)
                self._sizes[each.audience_id] = members

    def _note_matches(self, audiences: Sequence[Audience], moved: Moved) -> None:
        """How lists match: when one has changed, and now and then as persons come and go."""
        now = time.monotonic()
        if not (moved.persons or moved.built) or now - self._matched_at < _MATCHED_EVERY_S:
            return
        self._matched_at = now
        for each in audiences:
            if each.subtype == "CUSTOM":
                found = match(self._engine, each.account_id, each.audience_id)
                self._note(each.audience_id, {"match": msgspec.to_builtins(found)})

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.refresh()
            except Exception:
                # What failed is tried again in the next round; the tables stay as they were.
                logger.exception("audiences-failed")


def forget_in_lists(catalog: Catalog, freshener: Freshener) -> None:
    """Have erased persons taken out of customer lists."""

    def forget(account_id: str, _places: object, identifiers: Collection[str]) -> None:
        catalog.lists.forget(account_id, identifiers)

    freshener.when_erasing(forget)


def rule_definition(each: Audience) -> Definition:
    """Members by a rule. Raises SenderError for a rule that cannot be read."""
    pixel_ids = {each.pixel_id} if each.pixel_id else None
    days = each.retention_days or 30
    rule = parse_audience_rule(each.rule, retention_days=days, pixel_ids=pixel_ids)
    since_s = 0 if each.prefill else each.created_at

    def sql(events: str) -> tuple[str, dict[str, Any]]:
        select, parameters = evaluation(rule, events)
        return select, {**parameters, "since_s": since_s}

    fingerprint = f"{each.rule}|{each.retention_days}|{since_s}|{each.pixel_id}"
    return Definition(each.account_id, each.audience_id, fingerprint, sql)


def _of_text(each: Audience, name: str, fingerprint: str) -> Definition:
    """Members by a text of `doublet.audiences` that reads no events."""

    def sql(text: str, _events: str) -> tuple[str, dict[str, Any]]:
        return text, {}

    made = partial(sql, audience_sql(name))
    return Definition(each.account_id, each.audience_id, f"{name}|{fingerprint}", made)
