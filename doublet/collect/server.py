"""The collector processes behind one port: granian with the collector's application."""

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

from doublet.accept import read_networks
from doublet.processes import (
    allow_open_files,
    die_with_parent,
    make_data_folders,
    private_socket,
)
from doublet.settings import Settings

_CONNECTIONS_MAX = 16_384
_HEADER_TIMEOUT_MS = 5_000
_OTHER_FILES = 256
"""What a collector opens besides: log, catalog, connections to the worker."""


def _connections_max() -> int:
    """As many connections as one collector may hold without running out of open files."""
    return max(_OTHER_FILES, allow_open_files(_CONNECTIONS_MAX + _OTHER_FILES) - _OTHER_FILES)


def run_collectors(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a collector that dies is replaced.

    Raises OperatorError when the worker's socket would lie in somebody else's folder, SettingsError
    when a file that a setting names cannot be read.
    """
    read_networks(settings.datacenter_networks)
    make_data_folders(settings)
    private_socket(settings)
    server = Server(
        "doublet.collect.app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.auto,
        runtime_mode=RuntimeModes.st,
        backlog=2048,
        # To tell HTTP/2 from HTTP/1.1 the server would wait for the first bytes without limit.
        http=HTTPModes.http1,
        # Connections per collector, silent ones too: at this many it accepts no more. What large
        # bodies hold together has a bound of its own (`Room`).
        backpressure=_connections_max(),
        # Whoever connects and says nothing loses the place; an idle connection is closed after
        # the same time, and clients open a new one.
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
