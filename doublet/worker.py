"""The worker: keeps lake and models fresh, and serves every reader from the same database.

One thread loads and models in rounds; the web application answers from others, over a local
socket that the collectors hand requests to.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from doublet import models
from doublet.catalog import Catalog
from doublet.collect.health import State, write_state
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from doublet.processes import FileLock
from doublet.settings import Settings
from doublet.web import create_app

logger = logging.getLogger(__name__)

_CLEAN_UP_ROUNDS = 30


class Freshener:
    """Log → lake → models. Its methods may be called from any thread; rounds never overlap."""

    def __init__(self, settings: Settings, *, wait_s: float = 0.0) -> None:
        """Open everything. Raises LockedError when another process has the database."""
        self._settings = settings
        self._lock = FileLock(settings.run_folder / "worker.lock", str(settings.data), wait_s)
        shutil.rmtree(settings.tmp_folder, ignore_errors=True)
        self.engine = DuckDBEngine(
            settings.warehouse_file,
            settings.tmp_folder / "duckdb",
            memory_limit_mib=settings.engine_memory_limit_mib,
            threads=settings.engine_threads,
        )
        self._log = DiskLog(settings.log_folder)
        self._log.settle_abandoned()
        connection = self.engine.connection.cursor()
        self._lake = Lake(settings.lake_folder, settings.tmp_folder, connection)
        models.prepare(self.engine, self._lake.events)
        self._round = threading.Lock()
        self._tidied = 0

    def freshen(self, on_progress: Callable[[str, int], None] | None = None) -> tuple[int, int]:
        """Load and model all there is; how many records were loaded and copies modelled."""
        loaded = modelled = 0
        with self._round:
            more = True
            while more:
                step = self._lake.load(self._log)
                if on_progress is not None and step.rows:
                    on_progress("loaded", step.rows)
                done = models.refresh(
                    self.engine,
                    self._lake.events,
                    self._settings.load_rows_max,
                    (lambda rows: on_progress("modelled", rows)) if on_progress else None,
                )
                loaded, modelled = loaded + step.rows, modelled + done.copies
                more = step.more
                self.problem = step.problem
        return loaded, modelled

    problem = ""

    def rebuild(self, on_progress: Callable[[str, int], None] | None = None) -> int:
        """Make the models anew from the lake; how many copies they now hold."""
        with self._round:
            self._lake.load(self._log)
            return models.rebuild(
                self.engine,
                self._lake.events,
                self._settings.load_rows_max,
                (lambda rows: on_progress("modelled", rows)) if on_progress else None,
            ).copies

    def tidy(self) -> None:
        """Compact small files, free the log, now and then shorten the Delta logs."""
        with self._round:
            seen = models.seen_files(self.engine)
            models.adopt(self.engine, self._lake.compact(seen))
            self._lake.free_log(self._log, self._settings.log_retention_h)
            self._tidied += 1
            if self._tidied % _CLEAN_UP_ROUNDS == 1:
                self._lake.clean_up(self._settings.vacuum_retention_h)

    def close(self) -> None:
        """Finish the round under way and give the database back."""
        with self._round:
            self.engine.close()
            self._lock.release()


class Rounds:
    """The worker's thread: freshen every `load_interval_s`, tidy every `compact_interval_s`."""

    def __init__(self, freshener: Freshener, settings: Settings) -> None:
        self._freshener = freshener
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._fresh_at = time.monotonic()
        self._tidied_at = time.monotonic()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            problem = ""
            try:
                self._freshener.freshen()
                problem = self._freshener.problem
                self._fresh_at = time.monotonic()
                if time.monotonic() - self._tidied_at >= self._settings.compact_interval_s:
                    self._tidied_at = time.monotonic()
                    self._freshener.tidy()
            except Exception as error:
                # What failed is tried again; the log keeps everything until it succeeds.
                logger.exception("round-failed")
                problem = f"{type(error).__name__} while loading or modelling."
            lag_s = time.monotonic() - self._fresh_at
            write_state(self._settings.run_folder, State(time.time(), lag_s, lag_s, problem))
            self._stop.wait(self._settings.load_interval_s)


class OperatorKey:
    """A secret that only who can read the data folder knows; new with every worker."""

    def __init__(self, folder: Path) -> None:
        self._key = f"opr_{secrets.token_urlsafe(32)}"
        path = folder / "operator.key"
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(self._key)

    def matches(self, token: str) -> bool:
        """In constant time."""
        return hmac.compare_digest(token.encode(), self._key.encode())


def _operator_routes(freshener: Freshener, key: OperatorKey) -> list[Route]:
    """What the command line asks of a running worker."""

    def only_operators(act: Callable[[], dict[str, Any]]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> JSONResponse:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not key.matches(token):
                return JSONResponse({"error": {"message": "Operators only.", "code": 190}}, 401)
            return JSONResponse(await run_in_threadpool(act))

        return endpoint

    def freshen() -> dict[str, Any]:
        loaded, modelled = freshener.freshen()
        return {"loaded": loaded, "modelled": modelled}

    def rebuild() -> dict[str, Any]:
        return {"modelled": freshener.rebuild()}

    return [
        Route("/v1/refresh", only_operators(freshen), methods=["POST"]),
        Route("/v1/rebuild", only_operators(rebuild), methods=["POST"]),
    ]


async def _serve(settings: Settings, freshener: Freshener) -> None:
    key = OperatorKey(settings.run_folder)
    app = create_app(
        Catalog(settings.catalog_url),
        freshener.engine,
        is_operator=key.matches,
        cache=settings.run_folder / "web",
        public_url=settings.url,
    )
    app.router.routes[:0] = _operator_routes(freshener, key)
    socket = settings.worker_socket
    socket.unlink(missing_ok=True)
    server = Server(
        app, uds=socket, interface=Interfaces.ASGINL, log_level=LogLevels.warning, backlog=256
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    finally:
        socket.unlink(missing_ok=True)


def run_worker(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM."""
    logging.basicConfig(
        format="%(levelname)s %(name)s %(message)s", level=logging.INFO, stream=sys.stderr
    )
    freshener = Freshener(settings, wait_s=10.0)
    rounds = Rounds(freshener, settings)
    rounds.start()
    try:
        asyncio.run(_serve(settings, freshener))
    finally:
        rounds.stop()
        freshener.close()
