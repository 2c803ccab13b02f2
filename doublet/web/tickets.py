"""What was looked for, between two forms: identifiers of a person wait here, and in no page."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

TICKETS_MAX = 500
TICKET_AGE_S = 15 * 60.0


class Search(NamedTuple):
    """Who was looked for: the identifiers of an account, as `KEY=VALUE`."""

    account_id: str
    identifiers: frozenset[str]


class Tickets:
    """Keeps what was looked for, in memory and for a quarter of an hour, under names that say
    nothing. Thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[str, tuple[float, Search]] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self, search: Search) -> str:
        """A new ticket; the oldest of too many is forgotten."""
        ticket = secrets.token_urlsafe(18)
        with self._lock:
            self._forget()
            self._kept[ticket] = (self._now(), search)
            if len(self._kept) > TICKETS_MAX:
                self._kept.popitem(last=False)
        return ticket

    def search(self, ticket: str, account_id: str) -> Search | None:
        """What it stands for in this account, None where that is over."""
        with self._lock:
            self._forget()
            found = self._kept.get(ticket)
        return found[1] if found and found[1].account_id == account_id else None

    def _forget(self) -> None:
        while self._kept:
            at, _ = next(iter(self._kept.values()))
            if self._now() - at <= TICKET_AGE_S:
                return
            self._kept.popitem(last=False)
