"""When each person has lately seen each ad set, shared by all processes of a machine.

A table of fixed size in one file, mapped into memory. A slot holds a digest of person and ad set
and the moments of the last `SEEN_MAX` impressions, so that windows are exact to the second, of any
length, and counts go up to `SEEN_MAX`. A digest may stand in 16 places, as in a processor's cache
(Hennessy and Patterson, Computer Architecture, appendix B.1); where all are taken, the one that was
used the longest time ago is given up.

So what is lost is lost towards showing: counts are never above the truth, but for two digests that
are equal, of 64 bits. Impressions are counted when they are seen: of several pages that are open at
once none knows of the others. The file is only memory; when it is lost, people may see ads some
times more. Writers lock it against each other, readers do not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from doublet.delivery import SEEN_MAX

Array = np.ndarray[Any, Any]

SLOTS = 1 << 18
"""Pairs of a person and an ad set that are remembered; 32 MiB, as far as they are used."""

_WAYS = 16
_HEADER = b"doublet frequency 1".ljust(4096, b"\0")
_SLOT_BYTES = 8 + 4 * SEEN_MAX


def ad_set_keys(adset_ids: Iterable[str]) -> Array:
    """Digests of ad sets, as `Frequency` wants them."""
    digests = [blake2b(each.encode(), digest_size=8).digest() for each in adset_ids]
    return np.frombuffer(b"".join(digests), np.uint64)


class Frequency:
    """The table of one file. A person is a number, as `doublet.normalize.identifier_key` gives it;
    0 is nobody, who has seen nothing."""

    def __init__(self, file: Path, slots: int = SLOTS) -> None:
        """Make the file, for this user alone, where there is none or one of another format; `slots`
        is a multiple of 16."""
        size = len(_HEADER) + slots * _SLOT_BYTES
        if not _is_good(file, size):
            _make(file, size)
        self._file = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        self._buckets = slots // _WAYS
        # As a plain array: each look into one that knows of its file takes a microsecond more.
        whole = np.asarray(np.memmap(file, np.uint8, "r+"))
        keys, times = whole[len(_HEADER) :][: slots * 8], whole[len(_HEADER) + slots * 8 :]
        self._keys: Array = keys.view(np.uint64).reshape(-1, _WAYS)
        self._times: Array = times.view(np.uint32).reshape(-1, _WAYS, SEEN_MAX)

    def close(self) -> None:
        """Give the file back; what was noted is in it."""
        os.close(self._file)
        del self._keys, self._times

    def seen(self, person: int, ad_sets: Array, windows_s: Array, now_s: float) -> Array:
        """Impressions of each ad set (`ad_set_keys`) within the last so many seconds."""
        if not person or not len(ad_sets):
            return np.zeros(len(ad_sets), np.int64)
        keys = _mixed(person, ad_sets)
        buckets = (keys % np.uint64(self._buckets)).astype(np.int64)
        hits = self._keys[buckets] == keys[:, None]
        times = self._times[buckets, hits.argmax(1)]
        counts: Array = (times > (now_s - windows_s)[:, None]).sum(1) * hits.any(1)
        return counts

    def note(self, person: int, ad_set: int, now_s: float) -> None:
        """Count an impression of an ad set, one of `ad_set_keys`. What is of the same second is the
        same impression."""
        if not person:
            return
        (key,) = _mixed(person, np.array([ad_set], np.uint64))
        bucket = int(key % np.uint64(self._buckets))
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            keys, times = self._keys[bucket], self._times[bucket]
            (places,) = np.nonzero(keys == key)
            if len(places):
                way = int(places[0])
            else:
                # An unused slot has seen nothing, so it is the oldest. A reader must never see the
                # moments of one person under the digest of another.
                way = int(times.max(1).argmin())
                keys[way] = 0
                times[way] = 0
            # What comes again, in another process or after a restart, is the same impression.
            if int(now_s) not in times[way]:
                times[way, times[way].argmin()] = int(now_s)
            keys[way] = key
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def forget(self, person: int, ad_sets: Array) -> None:
        """Take a person out, as far as these ad sets go."""
        if not person:
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            for key in _mixed(person, ad_sets):
                bucket = int(key % np.uint64(self._buckets))
                (places,) = np.nonzero(self._keys[bucket] == key)
                self._keys[bucket, places] = 0
                self._times[bucket, places] = 0
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def _mixed(person: int, ad_sets: Array) -> Array:
    """One digest of a person and each ad set, never 0: the finalizer of SplitMix64 (Steele, Lea,
    Flood 2014, figure 16) over their sum, of which arithmetic modulo 2^64 is part."""
    mixed = ad_sets + np.array([person % 2**64], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    digests: Array = np.maximum(mixed ^ (mixed >> np.uint64(31)), np.uint64(1))
    return digests


def _is_good(file: Path, size: int) -> bool:
    try:
        with file.open("rb") as reading:
            return file.stat().st_size == size and reading.read(len(_HEADER)) == _HEADER
    except FileNotFoundError:
        return False


def _make(file: Path, size: int) -> None:
    """In one step, so that of several processes that start at once none maps half a file."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.touch(0o600)
    with fresh.open("r+b") as writing:
        writing.write(_HEADER)
        writing.truncate(size)
    try:
        os.link(fresh, file)
    except FileExistsError:
        if not _is_good(file, size):
            fresh.replace(file)
    fresh.unlink(missing_ok=True)
