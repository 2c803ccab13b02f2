"""The book: all that runs, as deciders know it. The worker publishes it, deciders read it.

One file, replaced in one step, so that a reader never sees half of a version. It names the models
in use; these, the paces and the money have places of their own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from doublet.catalog.campaign_rows import Ad, AdSet, Campaign, Creative

BOOK_FILE = "book.json"
LEDGER_FILE = "ledger.sqlite"
FREQUENCY_FILE = "frequency"
"""Files beside the book: the money, and who has seen what."""


def model_file(folder: Path, version: str) -> Path:
    """Where a model lies."""
    return folder / "models" / f"{version}.npz"


class Share(msgspec.Struct, frozen=True):
    """A model in use, by its version, and the share of decisions in [0, 1] that it makes."""

    version: str
    share: float


class AccountBook(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in one account. `learning` are ad sets whose rates are not known well yet;
    `prior_value` is what an action is worth while nothing is learned, in units."""

    account_id: str
    time_zone: str
    currency: str
    campaigns: tuple[Campaign, ...] = ()
    ad_sets: tuple[AdSet, ...] = ()
    ads: tuple[Ad, ...] = ()
    creatives: tuple[Creative, ...] = ()
    learning: tuple[str, ...] = ()
    prior_value: float = 0.0
    models: tuple[Share, ...] = ()


class Book(msgspec.Struct, frozen=True):
    """All accounts in which something runs; `as_of` in Unix seconds."""

    version: int = 0
    as_of: float = 0.0
    accounts: tuple[AccountBook, ...] = ()


def running(
    campaigns: Iterable[Campaign],
    ad_sets: Iterable[AdSet],
    ads: Iterable[Ad],
    creatives: Iterable[Creative],
    now_s: float,
) -> tuple[tuple[Campaign, ...], tuple[AdSet, ...], tuple[Ad, ...], tuple[Creative, ...]]:
    """Of each kind what is active with all that it belongs to, and has not ended. What begins later
    is among it."""
    active = {each.campaign_id: each for each in campaigns if each.status == "ACTIVE"}
    open_sets = {
        each.adset_id: each
        for each in ad_sets
        if each.status == "ACTIVE"
        and each.campaign_id in active
        and (not each.end_time or each.end_time > now_s)
    }
    known = {each.creative_id: each for each in creatives}
    shown = tuple(
        each
        for each in ads
        if each.status == "ACTIVE" and each.adset_id in open_sets and each.creative_id in known
    )
    sets = {each.adset_id for each in shown}
    ids = {open_sets[adset_id].campaign_id for adset_id in sets}
    used = {each.creative_id for each in shown}
    return (
        tuple(each for key, each in active.items() if key in ids),
        tuple(each for key, each in open_sets.items() if key in sets),
        shown,
        tuple(each for key, each in known.items() if key in used),
    )


def share_of(models: Sequence[Share], draw: float) -> str:
    """The version of the model that makes a decision, by a draw in [0, 1); empty where there is
    none. Shares are taken in order, and the first model has what is left.

    >>> share_of([Share("a", 0.95), Share("b", 0.05)], 0.97)
    'b'
    >>> share_of([Share("a", 0.95), Share("b", 0.05)], 0.5), share_of([], 0.5)
    ('a', '')
    """
    at = 1.0
    for each in reversed(models[1:]):
        at -= each.share
        if draw >= at:
            return each.version
    return models[0].version if models else ""


def publish(folder: Path, book: Book) -> None:
    """Make a book the newest one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder / f"{BOOK_FILE}.{secrets.token_hex(4)}"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(msgspec.json.encode(book))
    fresh.replace(folder / BOOK_FILE)


class Reader:
    """The newest book of a folder, read again when there is a newer one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BOOK_FILE
        self._read = (0, 0)
        self._decode = msgspec.json.Decoder(Book).decode
        self.book = Book()
        """What was read last; empty when nothing was published yet."""

    def refresh(self) -> bool:
        """Look for a newer one; whether there was one. One that cannot be read changes nothing."""
        try:
            state = self._path.stat()
            read = (state.st_mtime_ns, state.st_ino)
            if read == self._read:
                return False
            self.book = self._decode(self._path.read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return False
        self._read = read
        return True
