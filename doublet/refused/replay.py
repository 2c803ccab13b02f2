"""Refused events accepted after all, mended, as if they had been right when they came.

A replayed event has its original receipt, by which its times are judged, and says which refused
event it is (`extra.replay_of`: slot, offset, index). So that nothing is counted twice, an event is
left alone when it was replayed before, or when the server sent one with its key at any time from
48 hours before it on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from doublet.accept import HASH_VARIANTS, USER_DATA_FLAGS, Arrival, accept_replayed
from doublet.catalog import Account
from doublet.refusal import Reason, Refusal
from doublet.refused import Refusals, RefusedRequest, fix_of, sql

_GROUP_EVENTS = 5000
_GROUP_SIZE_BYTES = 8 << 20
_WINDOW = timedelta(hours=48)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_digits = re.compile("[0-9]+")
_MILLISECONDS_MIN = 10**11
"""As seconds the year 5138, as milliseconds 1973."""


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What to replay and how. `patch` is a JSON merge patch (RFC 7396) for each event; `seconds`
    turns an event_time in milliseconds into seconds; `without_event_id` takes also events that a
    client's retry may have counted already."""

    ids: list[str] | None = None
    reason: str | None = None
    pixel: str | None = None
    account: str | None = None
    patch: dict[str, Any] = {}
    seconds: bool = False
    without_event_id: bool = False
    dry_run: bool = False


class Failing(msgspec.Struct):
    """Why events would be refused again, how many, and the id of a request with one."""

    reason: str
    message: str
    events: int
    example: str
    fix: str


class Replay(msgspec.Struct):
    """What became of the events: `replayed`, `known` (replayed before, or sent by the server),
    `without_event_id` (left aside), `failing`; and requests without content."""

    replayed: int = 0
    known: int = 0
    without_event_id: int = 0
    requests_without_content: int = 0
    failing: list[Failing] = []


class _Candidate(NamedTuple):
    name: str
    received_at: datetime
    event_key: int
    record: bytes
    is_own: bool
    """It has no key of its sender's, so that nobody knows whether it came again."""


class _Keyed(msgspec.Struct):
    event_key: int


def what_is_wrong(wish: Wish) -> str:
    """Why a wish cannot be fulfilled; empty when it can."""
    if not wish.ids and not wish.reason:
        return "Name requests by id, or a reason."
    reasons = sorted(reason.label for reason in Reason)
    if wish.reason and wish.reason not in reasons:
        return f"reason must be one of {', '.join(reasons)}."
    if "event_id" in wish.patch:
        return "A patch with event_id would make one event of all."
    return ""


class Replaying:
    """One replay over one state of the lake; `outcome` is complete when `groups` has ended."""

    def __init__(
        self, refusals: Refusals, account: Account, pixels: Sequence[str], wish: Wish
    ) -> None:
        self.outcome = Replay(failing=[])
        self._refusals = refusals
        self._account = account
        self._pixels = pixels
        self._wish = wish
        self._failing: dict[tuple[str, str], Failing] = {}
        self._latest: dict[int, datetime] = {}

    def groups(self) -> Iterator[list[bytes]]:
        """The records to append, each group at once; oldest first."""
        wish = self._wish
        candidates: list[_Candidate] = []
        size_bytes = 0
        for request in self._refusals.requests(
            self._account, self._pixels, ids=wish.ids, reason=wish.reason, pixel_id=wish.pixel
        ):
            for candidate in self._candidates(request):
                candidates.append(candidate)
                size_bytes += len(candidate.record)
            if len(candidates) >= _GROUP_EVENTS or size_bytes >= _GROUP_SIZE_BYTES:
                yield self._new(candidates)
                candidates, size_bytes = [], 0
        if candidates:
            yield self._new(candidates)

    def _candidates(self, request: RefusedRequest) -> Iterator[_Candidate]:
        # Messages about orders have no pixel; `order correct` mends them.
        if not isinstance(request.payload, list) or not request.pixel_id:
            self.outcome.requests_without_content += 1
            return
        slot = int(request.id.partition("-")[0])
        received_us = (request.received_at - _EPOCH) // timedelta(microseconds=1)
        for index, event in enumerate(request.payload):
            if not isinstance(event, dict):
                continue  # Erased, or never one.
            name = f"{request.id}-{index}"
            arrival = Arrival(
                self._account.account_id, request.pixel_id, "server", received_us, slot
            )
            mended = _mended(event, self._wish)
            # Copies of a visit to a store are known by time, item and order.
            in_store = mended.get("action_source") == "physical_store"
            is_own = mended.get("event_id") in (None, "") and not in_store
            record = accept_replayed(mended, arrival, name)
            if isinstance(record, Refusal):
                self._fail(record, request.id)
            else:
                key = msgspec.json.decode(record, type=_Keyed).event_key
                yield _Candidate(name, request.received_at, key, record, is_own)

    def _fail(self, refusal: Refusal, request_id: str) -> None:
        label = refusal.reason.label
        shape = (label, _digits.sub("", refusal.message))
        known = self._failing.get(shape)
        if known is None:
            known = Failing(label, refusal.message, 0, request_id, fix_of(label))
            self._failing[shape] = known
            self.outcome.failing.append(known)
        known.events += 1

    def _new(self, candidates: list[_Candidate]) -> list[bytes]:
        """The records of those that are not there yet."""
        names, copies = self._known(candidates)
        records = []
        for name, received_at, event_key, record, is_own in candidates:
            latest = max(
                filter(None, (copies.get(event_key), self._latest.get(event_key))), default=None
            )
            if name in names or (latest is not None and latest >= received_at - _WINDOW):
                self.outcome.known += 1
                continue
            if is_own and not self._wish.without_event_id:
                self.outcome.without_event_id += 1
                continue
            self._latest[event_key] = received_at
            self.outcome.replayed += 1
            records.append(record)
        return records

    def _known(self, candidates: list[_Candidate]) -> tuple[set[str], dict[int, datetime]]:
        """Which events were replayed before, and when the last copy of each key came."""
        names: set[str] = set()
        copies: dict[int, datetime] = {}
        if not self._refusals.events:
            return names, copies
        rows = self._refusals.engine.query(
            sql("known"),
            {
                "events": self._refusals.events,
                "account_id": self._account.account_id,
                "since": min(candidate.received_at for candidate in candidates) - _WINDOW,
                "keys": [candidate.event_key for candidate in candidates],
                "ids": [candidate.name for candidate in candidates],
            },
        )
        for row in rows:
            names.add(row["replay_of"])
            key, received_at = row["event_key"], row["received_at"]
            copies[key] = max(received_at, copies.get(key, received_at))
        return names, copies


def _mended(event: dict[str, Any], wish: Wish) -> dict[str, Any]:
    mended = patched(event, wish.patch) if wish.patch else event
    if wish.seconds:
        try:
            time = int(float(mended.get("event_time") or 0))
        except (TypeError, ValueError, OverflowError):
            return mended  # It is no number: accepting says so.
        if time >= _MILLISECONDS_MIN:
            mended = {**mended, "event_time": time // 1000}
    return mended


def patched(event: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """An event after a patch. What was noted of a value that the patch has replaced is gone."""
    mended: dict[str, Any] = merge_patch(event, patch)
    for noted in (HASH_VARIANTS, USER_DATA_FLAGS):
        mended.pop(noted, None)
    if isinstance(flags := event.get(USER_DATA_FLAGS), list):
        replaced = patch.get("user_data", {})
        keys = tuple(f"_{key}" for key in replaced) if isinstance(replaced, dict) else ("",)
        mended[USER_DATA_FLAGS] = [flag for flag in flags if not flag.endswith(keys)]
    if isinstance(variants := event.get(HASH_VARIANTS), dict):
        sent, kept = event.get("user_data") or {}, mended.get("user_data")
        kept = kept if isinstance(kept, dict) else {}
        mended[HASH_VARIANTS] = {
            key: hashes for key, hashes in variants.items() if kept.get(key) == sent.get(key)
        }
    return mended


def merge_patch(target: Any, patch: Any) -> Any:
    """A JSON value after a merge patch (RFC 7396): null removes a field.

    >>> merge_patch({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}})
    {'b': {'c': 4, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
