"""Takes events, and sends them from a thread of its own in batches.

An event gets its id once, when it is tracked, and keeps it through every attempt: a copy that
arrives twice counts once. Safe for threads, and for servers that fork after the client was made.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import re
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from doublet import __version__
from doublet.accept.user_data import with_wire_names
from doublet.client.events import Event, UserData, to_json, without_personal
from doublet.client.queue import Queue, Row
from doublet.client.visitor import Visitor, current_visitor
from doublet.destinations.answers import judge
from doublet.destinations.contract import Outcome, Response, Verdict
from doublet.entries import check_phone_country
from doublet.errors import ClosedError, SettingsError
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS
from doublet.refusal import quote_name

BATCH_EVENTS_MAX = 1000  # Meta, *Using the API*.
BACKOFF_S_MAX = 300.0
_NAP_S = 0.02

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_is_number = re.compile(r"[0-9]{1,20}").fullmatch
_is_word = re.compile(r"[!-~]+").fullmatch
_KNOWN_KEYS = frozenset((*HASHED_KEYS, *PLAIN_KEYS))


class GivenUp(msgspec.Struct, frozen=True):
    """An event that will not be sent again, as it was sent, and why: `message` is the server's
    `error_user_msg`; `http_status` is 0 when no server was asked."""

    event: dict[str, Any]
    message: str
    http_status: int = 0


class Client:
    """Sends the events of one pixel. Raises SettingsError for what cannot be meant.

    `base_url` is a Doublet server or `https://graph.facebook.com`. With a folder `spool` each event
    is on disk when `track` returns, and is sent by whichever process of the site is there; without,
    events wait in memory. At most `events_max` wait; beyond, the oldest are given up.
    `phone_country` (ISO 3166) is that of phone numbers that neither bear a country code nor stand
    beside a `country`. `on_given_up` is called from the sending thread, for each event that is lost
    for good.
    """

    def __init__(
        self,
        pixel_id: str,
        access_token: str,
        *,
        base_url: str,
        version: str = "v25.0",
        spool: str | os.PathLike[str] | None = None,
        hash_personal: bool = True,
        phone_country: str = "",
        test_event_code: str | None = None,
        token_in: Literal["header", "query"] = "header",
        batch_events: int = BATCH_EVENTS_MAX,
        interval_s: float = 1.0,
        timeout_s: float = 10.0,
        events_max: int = 100_000,
        close_timeout_s: float = 5.0,
        on_given_up: Callable[[GivenUp], None] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise SettingsError(f"base_url {base_url!r} is no address.", "Begin it with https://.")
        # As read from a file or the environment: a line's end would stop every request.
        pixel_id, access_token = str(pixel_id).strip(), access_token.strip()
        if not _is_number(pixel_id):
            raise SettingsError("pixel_id is no number.", "`doublet pixel list` shows them.")
        if not _is_word(access_token):
            raise SettingsError(
                "access_token is empty or not one word.", "Give it as `doublet pixel create` did."
            )
        if not hash_personal and spool is not None:
            raise SettingsError(
                "Personal data would be written to disk.", "Hash it, or leave out the spool."
            )
        self._url = f"{base_url.rstrip('/')}/{version}/{pixel_id}/events"
        in_header = token_in == "header"
        self._headers = {"user-agent": f"doublet-python/{__version__}"}
        self._headers |= {"authorization": f"Bearer {access_token}"} if in_header else {}
        self._params = {} if in_header else {"access_token": access_token}
        self._envelope = {"test_event_code": test_event_code} if test_event_code else {}
        self._hash_personal = hash_personal
        self._phone_country = check_phone_country(phone_country)
        self._batch_events = min(max(batch_events, 1), BATCH_EVENTS_MAX)
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._close_timeout_s = close_timeout_s
        self._on_given_up = on_given_up
        folder = Path(spool) if spool is not None else None
        self._queue = Queue(folder, pixel_id, events_max)
        self._is_spooled = spool is not None
        self._warned_of: set[str] = set()
        self._begin()
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_in_child(me))
        atexit.register(_close, me)

    def _begin(self) -> None:
        """All that belongs to one process."""
        self._lock = threading.Lock()
        self._drain_lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._http: httpx.Client | None = None
        self._closed = False
        self._since_woken = 0
        self._failures = 0
        self._not_before = 0.0

    def track(
        self,
        event: Event | str,
        *,
        user_data: UserData | dict[str, Any] | None = None,
        custom_data: dict[str, Any] | None = None,
        event_id: str | None = None,
        visitor: Visitor | None = None,
    ) -> str:
        """Keep an event for sending; its `event_id`, which the pixel needs for its own copy.

        Nothing personal stays in it but hashes, unless `hash_personal` is off: an id that holds an
        e-mail address becomes its SHA-256. What is not given comes from the visitor, by default
        that of the request being answered where a middleware is installed. Raises TypeError for
        what JSON cannot hold, ClosedError after `close`, and OSError or sqlite3.Error when the
        spool's disk is full.
        """
        source = event if isinstance(event, Event) else Event(event_name=event)
        seen = visitor or current_visitor.get() or Visitor()
        given = {**(source.user_data or {}), **(user_data or {})}
        known = {**seen.user_data(), **with_wire_names(given, source.action_source)}
        custom = {**(source.custom_data or {}), **(custom_data or {})}
        said = source.event_id if source.event_id is not None else ""
        identity = event_id or str(said) or uuid.uuid4().hex
        # The given event is left as it is, so that it can be tracked again.
        complete = msgspec.structs.replace(
            source,
            event_id=identity,
            event_time=source.event_time if source.event_time is not None else int(time.time()),
            action_source=source.action_source or "website",
            event_source_url=source.event_source_url or seen.event_source_url,
            referrer_url=source.referrer_url or seen.referrer_url,
            user_data=known,
            custom_data=custom or None,
        )
        if self._hash_personal:
            self._warn_of(known.keys() - _KNOWN_KEYS)
            plain = without_personal(complete, self._phone_country)
            identity, body = plain["event_id"], _encode(plain)
        else:
            body = to_json(complete)
        with self._lock:
            if self._closed:
                raise ClosedError("This client is closed.", "Track before it, or make another.")
            dropped = self._queue.put(body)
            self._since_woken += 1
            is_full = self._since_woken >= self._batch_events
            self._since_woken = 0 if is_full else self._since_woken
            self._start()
        for lost in dropped:
            self._give_up(lost, Outcome(Verdict.DIVIDE, message="Too many events are waiting."))
        if is_full:
            self._wake.set()
        return identity

    def _warn_of(self, keys: set[str]) -> None:
        """Say once of each key of `user_data` that nobody knows that it is left out."""
        for key in keys - self._warned_of:
            self._warned_of.add(key)
            _log.warning("user_data %s is unknown and left out; is it em or ph?", quote_name(key))

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="doublet-client", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            try:
                with self._drain_lock:
                    if not self._closed:
                        self._drain()
            except Exception:
                # The thread must live: the next event may come in a year.
                _log.exception("sending failed; it goes on in %s s", BACKOFF_S_MAX)
                self._not_before = time.monotonic() + BACKOFF_S_MAX

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Send what waits, now; whether nothing is left. Other processes' events count in a shared
        spool."""
        give_up_at = time.monotonic() + timeout_s
        while True:
            left = give_up_at - time.monotonic()
            if self._drain_lock.acquire(timeout=max(left, 0)):
                try:
                    self._drain(give_up_at)
                finally:
                    self._drain_lock.release()
            with self._lock:
                if not len(self._queue):
                    return True
            if time.monotonic() + max(self._not_before - time.monotonic(), _NAP_S) > give_up_at:
                return False
            time.sleep(max(self._not_before - time.monotonic(), _NAP_S))

    def close(self) -> None:
        """Send what waits, within `close_timeout_s`; called at exit. The spool keeps the rest."""
        if self._closed:
            return
        self.flush(self._close_timeout_s)
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._close_timeout_s)
        with self._lock:
            if not self._is_spooled:
                lost = [event for _, event in self._queue.first(-1)]
                for event in lost:
                    self._give_up(event, Outcome(Verdict.LATER, message="The process has ended."))
            self._queue.close()
        if self._http is not None:
            self._http.close()

    def _drain(self, give_up_at: float = float("inf")) -> None:
        if time.monotonic() < self._not_before:
            return
        with self._queue.sole_sender() as may_send:
            while may_send and time.monotonic() < give_up_at:
                with self._lock:
                    rows = [] if self._closed else self._queue.first(self._batch_events)
                if not rows or not self._send(rows):
                    return

    def _send(self, rows: list[Row]) -> bool:
        """Whether these events are dealt with; otherwise they wait, and so does what follows."""
        answer = self._post([event for _, event in rows])
        if answer.verdict in (Verdict.LATER, Verdict.BLOCKED):
            self._back_off(answer)
            return False
        self._failures, self._not_before = 0, 0.0
        if answer.verdict is Verdict.DIVIDE and len(rows) > 1:
            middle = len(rows) // 2
            return self._send(rows[:middle]) and self._send(rows[middle:])
        with self._lock:
            if self._closed:
                return False
            self._queue.remove([number for number, _ in rows])
        if answer.verdict is Verdict.DIVIDE:
            self._give_up(rows[0][1], answer)
        return True

    def _post(self, events: list[bytes]) -> Outcome:
        if self._http is None:
            self._http = httpx.Client(timeout=self._timeout_s, headers=self._headers)
        body = _encode({"data": [msgspec.Raw(event) for event in events], **self._envelope})
        headers = {"content-type": "application/json"}
        try:
            answer = self._http.post(self._url, params=self._params, content=body, headers=headers)
            return judge(Response(answer.status_code, answer.headers, answer.content))
        except httpx.TransportError as error:
            return Outcome(Verdict.LATER, message=type(error).__name__)

    def _back_off(self, answer: Outcome) -> None:
        self._failures += 1
        # Half of it at random, so that the processes of a site do not come back together.
        longest = min(self._interval_s * 2 ** min(self._failures, 20), BACKOFF_S_MAX)
        wait_s = longest * random.uniform(0.5, 1.0)
        if answer.verdict is Verdict.BLOCKED:
            _log.error("blocked status=%d message=%r", answer.http_status, answer.message)
            wait_s = BACKOFF_S_MAX
        elif self._failures == 1:
            _log.warning("away status=%d message=%r", answer.http_status, answer.message)
        self._not_before = time.monotonic() + max(wait_s, answer.retry_after_s or 0.0)

    def _give_up(self, body: bytes, answer: Outcome) -> None:
        event = msgspec.json.decode(body)
        lost = GivenUp(event, answer.message, answer.http_status)
        if self._on_given_up is None:
            _log.error(
                "given_up event_name=%r event_id=%r status=%d message=%r",
                *(event.get("event_name"), event.get("event_id")),
                *(answer.http_status, answer.message),
            )
            return
        try:
            self._on_given_up(lost)
        except Exception:
            _log.exception("on_given_up failed")


def _begin_in_child(me: weakref.ref[Client]) -> None:
    client = me()
    if client is not None:
        client._begin()
        client._queue.reopen_in_child()


def _close(me: weakref.ref[Client]) -> None:
    client = me()
    if client is not None:
        client.close()
