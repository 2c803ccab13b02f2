"""The decider processes behind one port: granian with the decider's application."""

from __future__ import annotations

import gc
import logging
import os
import sys
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from doublet.processes import allow_open_files, die_with_parent, make_data_folders
from doublet.settings import Settings

_CONNECTIONS_MAX = 4_096
_HEADER_TIMEOUT_MS = 5_000
_OTHER_FILES = 256


def run_deciders(settings: Settings, workers: int) -> None:
    """Serve until SIGINT or SIGTERM with so many processes; one that dies is replaced."""
    make_data_folders(settings)
    allowed = allow_open_files(_CONNECTIONS_MAX + _OTHER_FILES)
    server = Server(
        "doublet.decide.app",
        address=settings.host,
        port=settings.decide_port,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops.auto,
        runtime_mode=RuntimeModes.st,
        backlog=2048,
        http=HTTPModes.http1,
        backpressure=max(_OTHER_FILES, allowed - _OTHER_FILES),
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS),
        websockets=False,
        log_enabled=True,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=0.2,
        workers_kill_timeout=20,
    )
    server.serve(target_loader=partial(_load, settings, os.getpid()), wrap_loader=False)


def _load(settings: Settings, parent_pid: int) -> Any:
    """Runs in each decider process."""
    die_with_parent(parent_pid)
    # The writer's thread wakes between requests; the default of 5 ms would be its latency.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    from doublet.decide.app import Decider

    # What is loaded by now stays for ever, and requests leave few cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    return Decider(settings)
