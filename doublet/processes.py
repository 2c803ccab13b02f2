"""Operating-system matters that several processes share: locks, lives, ports."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import time
from pathlib import Path

from doublet.errors import LockedError, OperatorError
from doublet.settings import Settings

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone (Linux, *prctl(2)*).

    Without it, kill -9 of a main process leaves workers behind that go on answering.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def allow_open_files(wanted: int) -> int:
    """Let this process and those it starts open `wanted` files at once, or as many as the system
    concedes; how many that are."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder that outlives a power cut, and those above it; one that exists is left as it
    is."""
    if folder.is_dir():
        return
    make_folder(folder.parent, mode=0o777)
    folder.mkdir(mode, exist_ok=True)
    # A new entry is durable only when the folder that holds it is (fsync(2)).
    above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)


RESTORING = "restoring"
"""Folder in a data folder while a restore is under way."""


def check_restored(settings: Settings) -> None:
    """Raises OperatorError for a data folder into which a restore began and did not end."""
    if (settings.data / RESTORING).exists():
        raise OperatorError(
            f"A restore into {settings.data} has not come to its end.",
            "Wait for it; if it was interrupted, run `doublet restore` again with --replace.",
        )


def make_data_folders(settings: Settings) -> None:
    """Make the folders whose loss would be a loss of events. Raises OperatorError like
    `check_restored`."""
    check_restored(settings)
    for folder in (settings.data, settings.log_folder, settings.lake_folder):
        make_folder(folder)


def private_socket(settings: Settings) -> Path:
    """The path of the worker's socket, once nobody else can have put his own there.

    Raises OperatorError when its folder among the temporary files, whose name can be guessed, is
    somebody else's or open to others.
    """
    path = settings.worker_socket
    folder = path.parent
    if folder != settings.run_folder.absolute():
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o077:
            raise OperatorError(
                f"{folder} is not a folder that only this user can enter.",
                "Remove it, or choose a data folder with a shorter path with --data.",
            )
    return path


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


def check_port(host: str, port: int, wait_s: float = 2.0, flag: str = "--port") -> None:
    """Raises OperatorError when somebody listens there already and goes on doing so; `flag` is
    what sets the port.

    The collectors share their port with SO_REUSEPORT, so that binding it a second time would
    succeed without a word and split the traffic. A server that was just killed may take a moment
    to be gone.
    """
    give_up_at = time.monotonic() + wait_s
    while (error := _bind(host, port)) is not None:
        if error.errno != errno.EADDRINUSE:
            raise OperatorError(
                f"Cannot listen on {host}:{port}: {error.strerror}.",
                "Choose an address of this machine with --host.",
            ) from error
        if time.monotonic() >= give_up_at:
            raise OperatorError(
                f"Port {port} on {host} is taken.",
                f"Stop the other program, or choose another with {flag}.",
            ) from error
        time.sleep(0.05)


def reserve_port() -> socket.socket:
    """A socket that keeps a free port of the loopback address for those who share it, as collectors
    do, while it is open."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


def _bind(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
