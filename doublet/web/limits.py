"""How often something may be done, counted in memory that does not grow."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request

from doublet.refusal import Reason, Refusal
from doublet.web.refused import Refused

T = TypeVar("T")

KEYS_MAX = 10_000


class Limit:
    """At most `count` times in `window_s` for each key; a key's window begins with its first time.
    Beyond KEYS_MAX keys those are forgotten that began the longest ago."""

    def __init__(self, count: int, window_s: float, now: Callable[[], float]) -> None:
        self._count = count
        self._window_s = window_s
        self._now = now
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str) -> int:
        """Count one; 0 if it may be done, otherwise after how many seconds it may."""
        begun, count = self._counted.get(key, (self._now(), 0))
        if not 0 <= self._now() - begun < self._window_s:
            del self._counted[key]
            begun, count = self._now(), 0
        if count >= self._count:
            return max(1, math.ceil(begun + self._window_s - self._now()))
        self._counted[key] = (begun, count + 1)
        while len(self._counted) > KEYS_MAX:
            self._counted.popitem(last=False)
        return 0

    def give_back(self, key: str) -> None:
        """Take back one that was counted."""
        if key in self._counted:
            begun, count = self._counted[key]
            self._counted[key] = (begun, max(0, count - 1))

    def forget(self, key: str) -> None:
        """Begin anew for a key."""
        self._counted.pop(key, None)

    def __len__(self) -> int:
        return len(self._counted)


class Queue:
    """For work that takes long and much memory: two at a time. What waits holds no thread that
    pages need, and only so much may wait. For one event loop."""

    def __init__(self, waiting_max: int = 20) -> None:
        self._waiting_max = waiting_max
        self._inside = 0
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What the work gives. Raises Refused when too much waits already."""
        if self._inside >= 2 + self._waiting_max:
            refusal = Refusal(Reason.BUSY, "Too many sign in at this moment.")
            raise Refused(refusal, headers={"retry-after": "5"})
        self._limiter = self._limiter or CapacityLimiter(2)
        self._inside += 1
        try:
            return await run_sync(work, *arguments, limiter=self._limiter)
        finally:
            self._inside -= 1


def address_of(request: Request) -> str:
    """Where a request comes from: the address that the collector vouches for, of IPv6 the network
    that one customer has (RFC 6177), since its addresses cost nothing."""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    text = told or (request.client.host if request.client else "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
