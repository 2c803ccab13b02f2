"""Erasing persons everywhere, in steps each of which may be repeated after a crash."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from threading import Lock

import duckdb

from doublet import models
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import OperatorError
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from doublet.models.ads import forget_touches, retake_decisions
from doublet.person.bonds import find_bonds
from doublet.person.erasures import Erasure, Erasures
from doublet.person.find import Found, Place, Records, find, resolve
from doublet.person.identifiers import EVENT_KINDS, kind_of, texts_of
from doublet.person.rewrite import Rewriter, rewrite_log

logger = logging.getLogger(__name__)


class Eraser:
    """What a data folder holds of persons, found and erased. Used by one thread, which keeps the
    lake's files from being merged or deleted meanwhile.

    `turn` is held whenever lake or warehouse change; loading goes on between.
    """

    def __init__(
        self,
        erasures: Erasures,
        engine: DuckDBEngine,
        lake: Lake,
        log: DiskLog,
        connection: duckdb.DuckDBPyConnection,
        turn: Lock,
        rules: models.Rules,
        freshen: Callable[[], str],
        forget_copies: Callable[[], object],
    ) -> None:
        """`connection` is for the eraser's own queries; `freshen` loads and models all there is
        and says what hinders it; `forget_copies` removes what others have left of older files,
        and raises OperatorError while they still use them."""
        self._erasures = erasures
        self._engine = engine
        self._lake = lake
        self._log = log
        self._connection = connection
        self._turn = turn
        self._rules = rules
        self._freshen = freshen
        self._forget_copies = forget_copies
        self._rewriter = Rewriter(connection, turn)
        self.on_erased: Callable[[Collection[Place]], object] = lambda places: None
        """Is told the places of records that the log holds of nobody any more."""
        self.on_erasing: list[Callable[[str, Collection[Place], Collection[str]], object]] = []
        """Are told an account, copies and identifiers of a person, so that nothing of theirs is
        kept elsewhere: before they are taken out, while it is known which these are, and again
        after."""

    def pending(self) -> list[Erasure]:
        """What is left to do; also what a restored table has not been through."""
        with self._turn:
            tables = self._lake.tables
            for table in tables:
                table.update()
            lost = [
                erasure
                for erasure in self._erasures.all()
                if erasure.state == "done"
                and any(table.mark(erasure.mark) < erasure.round for table in tables)
            ]
        if lost:
            logger.warning("erasures-lost count=%d done-again=yes", len(lost))
            self._erasures.reopen(lost)
        return [erasure for erasure in self._erasures.all() if erasure.state != "done"]

    def records(self, account_id: str) -> Records:
        """What an account's files hold now."""
        with self._turn:
            for table in self._lake.tables:
                table.update()
            return Records(self._connection, self._lake, account_id)

    def run(self) -> int:
        """Do all that is pending; how many erasures were finished. Raises OperatorError when
        something hinders it; nothing is lost by trying again."""
        erasures = self.pending()
        if not erasures:
            return 0
        self._log.close_segments()
        problem = self._freshen()
        if problem:
            raise OperatorError(f"An erasure waits for the log: {problem}")
        for erasure in erasures:
            found = self._look(erasure)
            self._rewrite(erasure, found)
        self._finish(erasures)
        return len(erasures)

    def _look(self, erasure: Erasure) -> Found:
        """Find the person and write down where, before anything is taken away."""
        known = erasure.state == "found"
        with self._turn:
            erasure.state = "found" if known else "searching"
            self._erasures.save(erasure)
        records = self.records(erasure.account_id)
        digests = self._erasures.digests
        given = self._erasures.given.get(erasure.erasure_id) or resolve(
            records, digests, erasure.digests, erasure.until
        )
        # What was found to be theirs before is theirs, however many share it by now.
        known = known or erasure.round > 1 or erasure.done_at > 0
        found = find(
            records, given, erasure.until, exact=erasure.exact, shared=erasure.shared or known
        )
        of = partial(digests.of, erasure.account_id)
        theirs = {of(i) for i in found.identifiers if kind_of(i) not in EVENT_KINDS}
        erasure.digests = sorted(theirs.union(erasure.digests if known else ()))
        erasure.copies = sorted(found.copies.union(erasure.copies))
        erasure.refused = sorted(found.refused.union(erasure.refused))
        erasure.touches = sorted(found.touches.union(erasure.touches))
        erasure.decisions = sorted(found.decisions.union(erasure.decisions))
        erasure.state = "found"
        self._erasures.save(erasure)
        return found

    def _rewrite(self, erasure: Erasure, found: Found) -> None:
        digests = self._erasures.digests
        bonds = find_bonds(self._engine, digests, erasure.account_id, erasure.copies)
        copies = sorted(bonds.keys() | set(erasure.copies))
        texts = texts_of(found.identifiers)
        for tell in self.on_erasing:
            tell(erasure.account_id, copies, found.identifiers)
        rewrite_log(
            self._log,
            erasure.account_id,
            [*copies, *erasure.refused, *erasure.touches, *erasure.decisions],
            bonds,
            found.identifiers,
            texts,
        )
        self.on_erased({*copies, *erasure.refused, *erasure.touches})
        erasure.erased_refused += self._rewriter.refused(
            self._lake.refused, erasure.refused, found.identifiers, texts
        )
        erasure.erased_copies += self._rewriter.events(
            self._lake.events, copies, bonds, partial(models.adopt, self._engine)
        )
        erasure.erased_touches += self._rewriter.touches(
            self._lake.ad_touches, erasure.touches, partial(models.adopt, self._engine)
        )
        self._rewriter.decisions(
            self._lake.decisions, erasure.decisions, partial(models.adopt, self._engine)
        )
        with self._turn:
            models.forget(self._engine, self._lake, self._rules, copies)
            forget_touches(self._engine, self._lake, erasure.touches)
            retake_decisions(self._engine, self._lake)
        for tell in self.on_erasing:
            tell(erasure.account_id, copies, found.identifiers)

    def _finish(self, erasures: list[Erasure]) -> None:
        """Take what is gone out of all that remembers it: scratch files, free blocks of the
        warehouse, older versions of the tables."""
        with self._turn:
            self._forget_copies()
            self._lake.forget_scratch()
            self._lake.connection.close()
            try:
                self._engine.rewrite()
            finally:
                self._lake.connection = self._engine.connection.cursor()
            for table in self._lake.tables:
                for erasure in erasures:
                    table.set_mark(erasure.mark, erasure.round)
                table.forget_history()
        for erasure in erasures:
            self._erasures.finish(erasure)
            logger.info(
                "person-erased erasure=%s copies=%d refused=%d touches=%d seconds=%.1f",
                erasure.erasure_id,
                erasure.erased_copies,
                erasure.erased_refused,
                erasure.erased_touches,
                time.time() - erasure.asked_at / 1e6,
            )
