"""Erasures as small files: requests that outlive a crash, later tombstones that outlive a restore.

`FOLDER/ID.json` holds who asked for what as keyed digests, never an identifier; `FOLDER/key` is
the key of them all. Files of two folders are united by copying those that are missing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from doublet.errors import CorruptError
from doublet.person.find import Place
from doublet.person.identifiers import Digests
from doublet.processes import make_folder


class Wish(NamedTuple):
    """What is asked: identifiers as `KEY=VALUE`, whether to follow others from them, whether to
    take also the records of those that many share."""

    account_id: str
    identifiers: frozenset[str]
    exact: bool = False
    shared: bool = False


class Erasure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One erasure of one person; moments are µs since 1970.

    Received up to `asked_at` counts. `round` rises when it is to be done again; the lake's tables
    hold the last one that went through them. Places are kept until it is done, so that it can be
    taken up where it was left.
    """

    erasure_id: str
    account_id: str
    asked_at: int
    state: Literal["asked", "searching", "found", "done"] = "asked"
    round: int = 1
    done_at: int = 0
    exact: bool = False
    shared: bool = False
    again: bool = False
    digests: list[str] = []
    copies: list[Place] = []
    refused: list[Place] = []
    touches: list[Place] = []
    decisions: list[Place] = []
    erased_copies: int = 0
    erased_refused: int = 0
    erased_touches: int = 0

    @property
    def until(self) -> datetime:
        """The last moment of receipt that it covers."""
        return datetime.fromtimestamp(self.asked_at / 1e6, UTC)

    @property
    def mark(self) -> str:
        """The name under which the lake's tables note the round."""
        return f"erasure/{self.erasure_id}"


class Erasures:
    """The erasures of a data folder. Thread-safe; every change is durable when it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self.given: dict[str, frozenset[str]] = {}
        """Identifiers of erasures that were asked of this process, by erasure id; in memory only,
        so that they need not be looked for by their digests."""
        self._newest = max((erasure.asked_at for erasure in self.all()), default=0)

    @property
    def digests(self) -> Digests:
        """Made with this installation's key, which is made when it is first wanted."""
        path = self.folder / "key"
        if not path.exists():
            _write(path, secrets.token_bytes(32))
        key = path.read_bytes()
        if len(key) != 32:
            raise CorruptError(
                f"{path} is not the key of the tombstones.", "Restore it from a backup."
            )
        return Digests(key)

    def all(self) -> list[Erasure]:
        """All of them, oldest first."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Erasure))
            except msgspec.MsgspecError as error:
                raise CorruptError(
                    f"{path} cannot be read: {error}.", "Restore it from a backup."
                ) from error
        return sorted(found, key=lambda erasure: (erasure.asked_at, erasure.erasure_id))

    def ask(self, wish: Wish) -> Erasure:
        """Make a request durable."""
        digests = self.digests
        erasure = Erasure(
            erasure_id=secrets.token_hex(8),
            account_id=wish.account_id,
            asked_at=time.time_ns() // 1000,
            exact=wish.exact,
            shared=wish.shared,
            digests=sorted(digests.of(wish.account_id, i) for i in wish.identifiers),
        )
        with self._lock:
            self.given[erasure.erasure_id] = wish.identifiers
            self._newest = max(self._newest, erasure.asked_at)
            self._save(erasure)
        return erasure

    def save(self, erasure: Erasure) -> None:
        """Replace what is known of it."""
        with self._lock:
            current = self._read(erasure.erasure_id)
            erasure.again = erasure.again or (current is not None and current.again)
            self._save(erasure)

    def finish(self, erasure: Erasure) -> None:
        """It is done, unless records came meanwhile that it covers: then it is asked again."""
        with self._lock:
            current = self._read(erasure.erasure_id)
            is_again = current is not None and current.again
            erasure.copies, erasure.refused = [], []
            erasure.touches, erasure.decisions = [], []
            erasure.again = False
            erasure.state = "asked" if is_again else "done"
            erasure.done_at = time.time_ns() // 1000
            erasure.round += is_again
            self.given.pop(erasure.erasure_id, None)
            self._save(erasure)

    def loading(self, first_received_at: int) -> None:
        """Records are about to be loaded that were received from then on (µs): the erasures that
        cover them are done again."""
        if first_received_at > self._newest:
            return
        with self._lock:
            for erasure in self.all():
                if erasure.asked_at < first_received_at or erasure.state == "asked":
                    continue
                if erasure.state == "done":
                    erasure.state, erasure.round = "asked", erasure.round + 1
                else:
                    erasure.again = True
                self._save(erasure)

    def reopen(self, erasures: Iterable[Erasure]) -> None:
        """Have these done again, for a table has lost what they did."""
        with self._lock:
            for erasure in erasures:
                erasure.state = "asked"
                self._save(erasure)

    def _read(self, erasure_id: str) -> Erasure | None:
        with contextlib.suppress(FileNotFoundError):
            return msgspec.json.decode(self._path(erasure_id).read_bytes(), type=Erasure)
        return None

    def _path(self, erasure_id: str) -> Path:
        return self.folder / f"{erasure_id}.json"

    def _save(self, erasure: Erasure) -> None:
        _write(self._path(erasure.erasure_id), msgspec.json.encode(erasure))


def unite(kept: Path, restored: Path) -> None:
    """Bring tombstones from one folder (`data/erasures` of a backup or of what a restore replaces)
    into another. Raises CorruptError when they were made with different keys.

    Whatever is restored, call this with the tombstones of both; the worker then sees at its start
    which erasures the lake has not been through, and does them again.
    """
    if not kept.exists():
        return
    keys = {path.read_bytes() for path in (kept / "key", restored / "key") if path.exists()}
    if len(keys) > 1:
        raise CorruptError(
            f"{kept} and {restored} hold tombstones of two installations.",
            "Restore into the folder that the backup was made of, or into an empty one.",
        )
    make_folder(restored)
    for path in sorted(kept.iterdir()):
        if path.suffix in (".json", "") and not (restored / path.name).exists():
            _write(restored / path.name, path.read_bytes())


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
