"""The worker's lookalikes: made when they are new, old, or their population has moved.

A thread of its own makes one at a time, which takes up to a minute of reading and learning, beside
the members of the others. Who is picked is kept in the warehouse, how it was judged in the catalog.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from doublet.audiences.members import audience_sql, make_tables, pick
from doublet.audiencing import rule_definition
from doublet.catalog import Audience, Catalog
from doublet.engine import Engine
from doublet.errors import DoubletError
from doublet.lookalikes import Figures, drift, make_lookalike, parse_spec
from doublet.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0
_TRY_AGAIN_S = 900.0
_WATCH_EVERY_S = 3600.0


class Likening:
    """Lookalikes of all accounts."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._catalog = Catalog(settings.catalog_url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookalikes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a lookalike under way is made to its end first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._catalog.close()

    def look(self, now: float | None = None) -> list[str]:
        """Make those that are due; the ids of those that were looked at anew."""
        now_s = int(time.time() if now is None else now)
        looked_at = []
        for each in self._catalog.audiences.all():
            if each.subtype != "LOOKALIKE" or self._stop.is_set():
                continue
            try:
                if self._is_due(each, now_s):
                    self._make(each, now_s)
                    looked_at.append(each.audience_id)
            except Exception:
                # It keeps no other waiting, and is tried again later.
                logger.exception("lookalike-failed audience=%s", each.audience_id)
                message = "An error here; the log says more."
                self._note(each, {**_tried(each, now_s), "state": "failed", "message": message})
        return looked_at

    def _is_due(self, each: Audience, now_s: int) -> bool:
        state = self._catalog.audiences.state(each.audience_id)
        if state.get("spec") != [each.origin_audience_id, each.lookalike_spec]:
            return self._is_there(each.origin_audience_id)
        if "figures" not in state or state.get("state") == "failed":
            return bool(now_s - state.get("tried_at", 0) >= _TRY_AGAIN_S)
        if now_s - state.get("watched_at", 0) < _WATCH_EVERY_S:
            return False
        figures = msgspec.convert(state["figures"], Figures)
        found = drift(
            self._engine,
            each.account_id,
            parse_spec(each.lookalike_spec),
            figures.reference,
            figures.trained_at,
            now_s,
            figures.ignored,
        )
        told = {"largest": round(found.largest, 4), "name": found.name}
        self._note(each, {"watched_at": now_s, "drift": told})
        return found.is_retraining_due

    def _is_there(self, origin_id: str) -> bool:
        """Whether the members of a seed are known yet, or never will be."""
        state = self._catalog.audiences.state(origin_id).get("state") if origin_id else "ready"
        return state in ("ready", "failed")

    def _make(self, each: Audience, now_s: int) -> None:
        said = _tried(each, now_s)
        try:
            spec = parse_spec(each.lookalike_spec)
            origins = [each.origin_audience_id] if each.origin_audience_id else []
            origins = origins or list(spec.origin_audience_ids)
            with self._engine.transaction(is_reported=False) as tx:
                make_tables(tx)
            made = make_lookalike(
                self._engine,
                each.account_id,
                self._members(origins),
                self._values(each.account_id, origins),
                spec,
                now_s,
                seed_at=self._seed_at(each.account_id, origins),
            )
        except DoubletError as error:
            # Those who were picked before stay until there are others.
            self._note(each, {**said, "state": "failed", "message": str(error)})
            return
        with self._engine.transaction(is_reported=False) as tx:
            pick(tx, each.audience_id, made.members.tolist())
        figures = msgspec.to_builtins(made.figures)
        ready = {"state": "ready", "message": "", "made_at": now_s, "figures": figures}
        self._note(each, {**said, **ready})

    def _members(self, origins: Sequence[str]) -> list[int]:
        found = self._engine.columns(
            "select distinct person_id from audience_members "
            "where list_contains($origins, audience_id) order by person_id",
            {"origins": list(origins)},
        )
        return [int(person) for person in found["person_id"]]

    def _values(self, account_id: str, origins: Sequence[str]) -> dict[int, float] | None:
        """What persons are worth, of lists that say so."""
        valued: dict[int, float] = {}
        for origin in origins:
            audience = self._catalog.audiences.find(account_id, origin)
            if audience is not None and audience.subtype == "CUSTOM" and audience.is_value_based:
                asked = {"account_id": account_id, "audience_id": origin}
                for row in self._engine.query(audience_sql("list_values"), asked):
                    valued[row["person_id"]] = valued.get(row["person_id"], 0.0) + row["value"]
        return valued or None

    def _seed_at(self, account_id: str, origins: Sequence[str]) -> Any:
        """How to tell who was in the seed at an earlier moment, where rules say it."""
        rules = [
            rule_definition(audience)
            for origin in origins
            if (audience := self._catalog.audiences.find(account_id, origin)) is not None
            and audience.subtype == "WEBSITE"
        ]
        if not rules or len(rules) != len(origins):
            return None

        def ask(at_s: int) -> list[int]:
            found: set[int] = set()
            for rule in rules:
                sql, parameters = rule.sql("behaviours")
                given = {"account_id": account_id, "now_s": at_s, **parameters}
                rows = self._engine.columns(
                    f"select person_id from ({sql}) where is_in",
                    {name: value for name, value in given.items() if f"${name}" in sql},
                )
                found.update(int(person) for person in rows["person_id"])
            return sorted(found)

        return ask

    def _note(self, each: Audience, said: dict[str, Any]) -> None:
        known = self._catalog.audiences.state(each.audience_id)
        self._catalog.audiences.note_state(each.audience_id, {**known, **said})

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except Exception:
                logger.exception("lookalikes-failed")


def _tried(each: Audience, now_s: int) -> dict[str, Any]:
    """What is noted of every attempt, come what may of it."""
    spec = [each.origin_audience_id, each.lookalike_spec]
    return {"tried_at": now_s, "watched_at": now_s, "spec": spec}
