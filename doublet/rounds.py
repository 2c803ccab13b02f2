"""Rounds: log → lake → models, again and again; tidying what that leaves behind; erasing."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import duckdb

from doublet import models
from doublet.engine.duckdb import DuckDBEngine, connect
from doublet.errors import OperatorError
from doublet.health import State, write_state
from doublet.lake import Lake
from doublet.lake.table import File, Table
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.models.ads import expire_touches
from doublet.person import Eraser, Erasure, Erasures, Found, Records, Wish, export, find
from doublet.processes import FileLock, check_restored
from doublet.refused import Refusals
from doublet.settings import Settings

logger = logging.getLogger(__name__)

_CLEAN_UP_ROUNDS = 30
_ERASE_AGAIN_S = 30.0
_REBUILD_ROWS_PER_MIB = 1300
"""Larger steps are quicker, as long as they fit into memory."""
_BETWEEN_TURNS_S = 0.02
_SAY_S = 5.0


class Freshener:
    """Log → lake → models. Its methods may be called from any thread; rounds never overlap."""

    def __init__(
        self, settings: Settings, *, wait_s: float = 0.0, keeps_rules: bool = False
    ) -> None:
        """Open everything. Raises LockedError when another process has the database, and with
        `keeps_rules` OperatorError when its tables were made by other rules."""
        self._settings = settings
        self._lock = FileLock(settings.run_folder / "worker.lock", str(settings.data), wait_s)
        try:
            check_restored(settings)
        except OperatorError:
            self._lock.release()
            raise
        shutil.rmtree(settings.tmp_folder, ignore_errors=True)
        self.engine = DuckDBEngine(
            settings.warehouse_file,
            settings.tmp_folder / "duckdb",
            memory_limit_mib=settings.engine_memory_limit_mib,
            threads=settings.engine_threads,
        )
        self._rules = models.Rules(settings.dedup == "meta", settings.late_copy)
        if keeps_rules:
            try:
                models.check_rules(self.engine, self._rules)
            except OperatorError:
                self.engine.close()
                self._lock.release()
                raise
        self._log = DiskLog(settings.log_folder, Limits(first_offset=fresh_offset()))
        self._log.settle_abandoned()
        connection = self.engine.connection.cursor()
        self._lake = Lake(settings.lake_folder, settings.tmp_folder, connection)
        models.prepare(self.engine, self._rules)
        # A database of its own: merging must not take memory from the refresh beside it.
        self._merging = connect(
            None, settings.tmp_folder / "merge", settings.merge_memory_limit_mib, threads=1
        )
        self._round = threading.Lock()
        self._tidying = threading.Lock()
        self._rebuilding = threading.Lock()
        self.replaying = threading.Lock()
        """Held while refused events are replayed: two replays must not take the same ones."""
        self.erasures = Erasures(settings.erasures_folder)
        self.is_asked = threading.Event()
        """Set when there may be something to erase."""
        self._eraser = Eraser(
            self.erasures,
            self.engine,
            self._lake,
            self._log,
            self._merging,
            self._round,
            self._rules,
            self._freshen_for_erasure,
            self._forget_backup,
        )
        self._tidied = 0
        self._expired_before: date | None = None
        self._unmergeable: set[str] = set()
        self._is_closing = False
        self.problem = ""
        """What hinders loading; empty while all is well."""
        self.modelled = 0
        """How many copies this process has modelled."""
        self.positions: dict[int, int] = {}
        """The first offset of each log slot that the tables may lack."""
        self.fresh_at = 0.0
        """All that was durable at this moment (Unix seconds) is in the lake; 0 before the first
        round."""

    def freshen(self, on_progress: Callable[[str, int], None] | None = None) -> tuple[int, int]:
        """Load and model all there is; how many records were loaded and copies modelled."""
        loaded = modelled = 0
        with self._round:
            began_at = time.time()
            more = True
            while more:
                step = self._lake.load(self._log, before=self.erasures.loading)
                if on_progress is not None and step.rows:
                    on_progress("loaded", step.rows)
                done = models.refresh(
                    self.engine,
                    self._lake,
                    self._rules,
                    self._settings.load_rows_max,
                    (lambda rows: on_progress("modelled", rows)) if on_progress else None,
                )
                loaded, modelled = loaded + step.rows, modelled + done.copies
                self.modelled += done.copies
                more = step.more
                self.problem = step.problem
            if not self.problem:
                self.fresh_at = began_at
            self.positions = {
                slot: self._lake.events.position(slot) for slot in self._log.partitions()
            }
        return loaded, modelled

    def when_erased(self, tell: Callable[[Collection[tuple[int, int]]], object]) -> None:
        """Let somebody who remembers records know which of them are nobody's any more."""
        self._eraser.on_erased = tell

    def when_erasing(
        self, tell: Callable[[str, Collection[tuple[int, int]], Collection[str]], object]
    ) -> None:
        """Let somebody who keeps something of persons take one out of an account: copies by their
        places, and identifiers. Told more than once; what fails is told again later."""
        self._eraser.on_erasing.append(tell)

    @property
    def copies(self) -> int:
        """How many copies of events the lake holds."""
        return sum(file.rows for file in self._lake.events.files())

    def rebuild(self, on_progress: Callable[[str, int], None] | None = None) -> int:
        """Make the models anew from the lake; how many copies they now hold. Loading goes on
        meanwhile, step by step in turns."""
        with self._round:
            self._lake.load(self._log, before=self.erasures.loading)
        with self._rebuilding:
            return models.rebuild(
                self.engine,
                self._lake,
                self._rules,
                max(
                    self._settings.load_rows_max,
                    self._settings.engine_memory_limit_mib * _REBUILD_ROWS_PER_MIB,
                ),
                (lambda rows: on_progress("modelled", rows)) if on_progress else None,
                self._take_turn,
            ).copies

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Do a step of long work; whoever waits for the lock comes before the next step."""
        with self._round:
            if self._is_closing:
                raise OperatorError(
                    "The worker stops, so the rebuild was given up.", "Start it again later."
                )
            yield
        time.sleep(_BETWEEN_TURNS_S)

    def tidy(self) -> None:
        """Compact small files, free the log, now and then shorten the Delta logs.

        Loading goes on while files are merged; only the commits take turns with it.
        """
        with self._tidying:
            if self._tidied % _CLEAN_UP_ROUNDS == 0:
                # What failed because the disk was full, say, may succeed by now.
                self._unmergeable.clear()
            for table in self._lake.tables:
                self._compact(table)
            with self._round:
                self.engine.checkpoint()
                self._expire()
                self._lake.free_log(self._log, self._log_retention_h())
                self._tidied += 1
                if self._tidied % _CLEAN_UP_ROUNDS == 1:
                    self._lake.clean_up(self._settings.vacuum_retention_h)

    def _expire(self) -> None:
        """Drop the dates that have been kept long enough, from the lake first: what derives from
        them follows, after a crash in the next round."""
        settings, today = self._settings, datetime.now(UTC).date()
        if settings.retention_refused_d:
            self._lake.refused.drop_before(today - timedelta(days=settings.retention_refused_d))
        if settings.retention_events_d:
            first = today - timedelta(days=settings.retention_events_d)
            # Both are dropped in any case: one must not keep the other from being looked at.
            gone = [t.drop_before(first) for t in (self._lake.events, self._lake.ad_touches)]
            self._lake.ad_decisions.drop_before(first)
            if any(gone) or first != self._expired_before:
                since = datetime(first.year, first.month, first.day, tzinfo=UTC)
                expire_touches(self.engine, self._lake, since)
                models.expire(self.engine, self._lake, self._rules, since)
                self._expired_before = first

    def _log_retention_h(self) -> float:
        """The log is no longer kept than what was loaded from it."""
        settings = self._settings
        days = [d for d in (settings.retention_events_d, settings.retention_refused_d) if d]
        return min([settings.log_retention_h, *(24.0 * d for d in days)])

    def _compact(self, table: Table) -> None:
        is_modelled = table in self._lake.modelled
        with self._round:
            seen = models.seen_files(self.engine) if is_modelled else None
            groups = table.mergeable(seen, self._unmergeable)
        for group in groups:
            try:
                actions = table.merge(self._merging, group)
            except duckdb.FatalException:
                raise
            except duckdb.Error as error:
                logger.warning(
                    "merge-failed table=%s files=%d first=%s error=%s",
                    table.folder.name,
                    len(group),
                    group[0].path,
                    error,
                )
                self._unmergeable.update(file.path for file in group)
                continue
            with self._round:
                made = table.replace(group, actions)
                if made and is_modelled:
                    models.adopt(self.engine, made, [file.path for file in group])

    def refusals(self) -> Refusals:
        """The refused requests that are loaded."""
        with self._round:
            tables = (self._lake.refused, self._lake.events)
            paths = ([file.path for file in table.files()] for table in tables)
            return Refusals(self.engine, *paths)

    def delivered(self) -> tuple[list[File], list[File]]:
        """The files of `ad_decisions` and `ad_touches` that are loaded."""
        with self._round:
            return self._lake.ad_decisions.files(), self._lake.ad_touches.files()

    # --- persons ------------------------------------------------------------------------------

    def find_person(self, wish: Wish) -> Found:
        """What an account holds of a person now."""
        with self._tidying:
            self.freshen()
            return _find(wish, self._eraser.records(wish.account_id))

    def export_person(self, wish: Wish) -> list[dict[str, Any]]:
        """All that an account holds of a person now; see `doublet.person.export`."""
        with self._tidying:
            self.freshen()
            records = self._eraser.records(wish.account_id)
            found = _find(wish, records)
            return list(export(records, self.engine, self._log, found, self._settings.data))

    def ask_to_erase(self, wish: Wish) -> Erasure:
        """Make the request durable; `erase` does it."""
        erasure = self.erasures.ask(wish)
        self.is_asked.set()
        return erasure

    def erase(self) -> int:
        """Do what was asked and is not done; how many persons were erased."""
        self.is_asked.clear()
        # Tables that are being built hold what was read before.
        with self._tidying, self._rebuilding:
            return self._eraser.run()

    def close(self) -> None:
        """Finish the round under way and give the database back."""
        self._is_closing = True
        with self._tidying, self._rebuilding, self._round:
            self._lake.close()
            self._merging.close()
            self.engine.close()
            self._lock.release()

    def _forget_backup(self) -> None:
        """A backup that was interrupted has left links to files of the lake."""
        run = self._settings.run_folder
        what = "The lake (for a backup)"
        FileLock(run / "backup.lock", what).release()
        shutil.rmtree(run / "backup", ignore_errors=True)

    def _freshen_for_erasure(self) -> str:
        self.freshen()
        return self.problem


def _find(wish: Wish, records: Records) -> Found:
    now = datetime.now(UTC)
    return find(records, wish.identifiers, now, exact=wish.exact, shared=wish.shared)


class CatchingUp:
    """Says in the log how far a long round is: the first one after a restore models everything."""

    def __init__(self, of: Callable[[], int], now: Callable[[], float] = time.monotonic) -> None:
        self._of = of
        self._now = now
        self._said_at = now()
        self._rows = {"loaded": 0, "modelled": 0}

    def tell(self, what: str, rows: int) -> None:
        """Count what was just loaded or modelled."""
        self._rows[what] += rows
        if self._now() - self._said_at >= _SAY_S:
            self._said_at = self._now()
            logger.info(
                "catching-up loaded=%(loaded)d modelled=%(modelled)d of=%(of)d",
                self._rows | {"of": self._of()},
            )


class Rounds:
    """The worker's threads: freshen every `load_interval_s`, tidy every `compact_interval_s`, erase
    when asked and at the start. `then` is called after each refresh with the log's positions up to
    which the tables are complete."""

    def __init__(
        self,
        freshener: Freshener,
        settings: Settings,
        then: Callable[[Mapping[int, int]], object] = lambda positions: None,
    ) -> None:
        self._freshener = freshener
        self._then = then
        self._settings = settings
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._freshen, name="freshen", daemon=True),
            threading.Thread(target=self._tidy, name="tidy", daemon=True),
            threading.Thread(target=self._erase, name="erase", daemon=True),
        ]
        self._tidying_problem = ""
        self._erasing_problem = ""

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the rounds under way, and a last one for what has just been accepted."""
        self._stop.set()
        self._freshener.is_asked.set()
        for thread in self._threads:
            thread.join()
        self._attempt(self._freshener.freshen)

    def _freshen(self) -> None:
        fresh_at = time.monotonic()
        while True:
            progress = CatchingUp(lambda: self._freshener.copies)
            freshen = partial(self._freshener.freshen, progress.tell)
            problem = self._attempt(freshen) or self._freshener.problem
            if not problem:
                fresh_at = time.monotonic()
            lag_s = time.monotonic() - fresh_at
            # Whatever befalls it, loading goes on.
            then_problem = self._attempt(partial(self._then, self._freshener.positions))
            problem = problem or then_problem or self._tidying_problem or self._erasing_problem
            state = State(time.time(), lag_s, lag_s, problem)
            self._attempt(partial(write_state, self._settings.run_folder, state))
            if self._stop.wait(self._settings.load_interval_s):
                return

    def _tidy(self) -> None:
        while not self._stop.wait(self._settings.compact_interval_s):
            self._tidying_problem = self._attempt(self._freshener.tidy)

    def _erase(self) -> None:
        while not self._stop.is_set():
            self._erasing_problem = self._attempt(self._freshener.erase)
            # Erasing forgets that it was asked, and with it what `stop` has just said.
            if not self._stop.is_set():
                # Also without being asked: what failed is tried again, and late records may come.
                self._freshener.is_asked.wait(_ERASE_AGAIN_S)

    @staticmethod
    def _attempt(work: Callable[[], object]) -> str:
        """What failed is tried again in the next round; the log keeps everything until then."""
        try:
            work()
        except duckdb.FatalException:
            # The database is unusable in this process; a new worker recovers it from its log.
            logger.exception("database-lost")
            os._exit(1)
        except Exception as error:
            logger.exception("round-failed")
            return f"{type(error).__name__} in the worker; its log says more."
        return ""
