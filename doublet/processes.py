"""Operating-system matters that several processes share: locks, lives, ports."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import time
from pathlib import Path

from doublet.errors import LockedError, OperatorError

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone (Linux, *prctl(2)*).

    Without it, kill -9 of a main process leaves workers behind that go on answering.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


class FileLock:
    """Exclusive use of something for as long as this process lives."""

    def __init__(self, path: Path, what: str, wait_s: float = 0.0) -> None:
        """Raises LockedError when another process holds the lock for longer than `wait_s`."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up_at = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() >= give_up_at:
                    os.close(self._file)
                    raise LockedError(
                        f"{what} is in use by another process.",
                        "Stop the other one, or choose another folder with --data.",
                    ) from None
                time.sleep(0.05)

    def release(self) -> None:
        """Give it back."""
        os.close(self._file)


def check_port(host: str, port: int) -> None:
    """Raises OperatorError when somebody listens there already.

    The collectors share their port with SO_REUSEPORT, so that binding it a second time would
    succeed without a word and split the traffic.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise OperatorError(
                f"Port {port} on {host} is taken."
                if taken
                else f"Cannot listen on {host}:{port}: {error.strerror}.",
                "Stop the other program, or choose another with --port."
                if taken
                else "Choose an address of this machine with --host.",
            ) from error
