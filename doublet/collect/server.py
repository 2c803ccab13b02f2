"""The collector processes behind one port: granian with the collector's application."""

from __future__ import annotations

import gc
import logging
import os
import sys
from functools import partial
from typing import Any

from granian.constants import Interfaces, Loops, RuntimeModes
from granian.log import LogLevels
from granian.server import Server

from doublet.processes import die_with_parent
from doublet.settings import Settings


def run_collectors(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a collector that dies is replaced."""
    server = Server(
        "doublet.collect.app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.auto,
        runtime_mode=RuntimeModes.st,
        backlog=2048,
        # Requests that may wait at once; what their large bodies hold together has a bound of its
        # own (`Room`).
        backpressure=1024,
        websockets=False,
        log_enabled=True,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=0.2,
        workers_kill_timeout=20,
    )
    server.serve(target_loader=partial(_load, settings, os.getpid()), wrap_loader=False)


def _load(settings: Settings, parent_pid: int) -> Any:
    """Runs in each collector process."""
    die_with_parent(parent_pid)
    # The writer's thread wakes between requests; the default of 5 ms would be its latency.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from doublet.collect.app import Collector

    # What is loaded by now stays for ever, and requests leave few cycles behind; without this a
    # batch of a thousand events is looked through for them again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    return Collector(settings)
