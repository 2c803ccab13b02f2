"""A purse: the leases of one deciding process, from which it pays without asking anybody.

`reserve` is a matter of memory; `exchange`, called about once a second in another thread, tells the
ledger what was reserved, gives back what was not, and takes new leases for ad sets that were asked
for. An ad set that nobody asks for costs nothing. When the ledger takes no entries (a full disk),
the purse empties, and nothing is spent that was not granted.

Where clicks are billed, each unclicked impression holds the price of a click until its click may no
longer be billed, T seconds. With a click rate r a budget can then be spent no faster than r ÷ T of
what is left of it per second: it lasts T ÷ r at least, so T should be some minutes at most. A click
that comes later can be billed by a reservation of its own, or bills nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from threading import Lock

from doublet.delivery.ledger import Key, Lease, Ledger, Note

LEASE_S = 10.0
_AHEAD_S = 2.0
_LARGEST = 4
_SMOOTHING = 0.3
_ELAPSED_MIN_S = 1e-3


class _Open:
    """A lease in use; `noted` is what the ledger knows of it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.reserved = 0
        self.expected = 0.0
        self.noted = Note(0, 0.0)


class _Wallet:
    """What the purse has for one ad set: what was asked for since the last exchange, in all and at
    most at once, and how it usually is, per second and at once."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.asked, self.most = 0, -1
        self.is_asked = False
        self.rate = self.largest = 0.0

    def look(self, elapsed_s: float) -> None:
        """Take what was asked for into account."""
        self.is_asked = self.most >= 0
        self.rate += _SMOOTHING * (self.asked / elapsed_s - self.rate)
        if self.is_asked:
            self.largest += _SMOOTHING * min(0, self.most - self.largest)
            self.largest = max(self.largest, self.most)
        self.asked, self.most = 0, -1

    def left(self, until_s: float) -> int:
        """Units that are not reserved and can be until a moment."""
        good = (each for each in self.open if each.lease.until_s >= until_s)
        return sum(each.lease.units - each.reserved for each in good)


class Purse:
    """For one thread that reserves and one that exchanges."""

    def __init__(self, ledger: Ledger, holder: str, lease_s: float = LEASE_S) -> None:
        """`holder` names the process, for people who look into the ledger."""
        self._ledger = ledger
        self._holder = holder
        self._lease_s = lease_s
        self._wallets: dict[str, _Wallet] = {}
        self._closing: dict[int, Note] = {}
        self._now = self._exchanged_at = 0.0
        self._lock = Lock()

    def reserve(
        self, adset_id: str, units: int, now: float, expected: float | None = None
    ) -> int | None:
        """Set aside the worst cost of a decision; the lease that pays it. None when there is no
        money for it, or none yet. `expected` is its mean cost, by which the budget is paced; for a
        click that is its price × the click rate."""
        with self._lock:
            # A clock that is put back must not bring expired leases to life.
            now = self._now = max(self._now, now)
            wallet = self._wallets.get(adset_id)
            if wallet is None:
                wallet = self._wallets[adset_id] = _Wallet()
            wallet.asked += units
            if units > wallet.most:
                wallet.most = units
            for each in wallet.open:
                if each.reserved + units <= each.lease.units and now < each.lease.until_s:
                    each.reserved += units
                    each.expected += units if expected is None else expected
                    return each.lease.lease_id
            return None

    def exchange(self, periods: Mapping[str, str], now: float) -> None:
        """Settle up with the ledger. `periods` are those of the budgets that run, by ad set; leases
        of others are given back. Raises BusyError and CorruptError of the ledger; then what the
        purse has is good until it expires, and the next call says all again."""
        with self._lock:
            now = self._now = max(self._now, now)
            for wallet in self._wallets.values():
                wallet.look(max(now - self._exchanged_at, _ELAPSED_MIN_S))
            self._retire(periods, now)
            wanted = self._wanted(periods, now)
            notes = {**self._closing, **self._news()}
            self._exchanged_at = now
        if not notes and not wanted:
            return
        done = self._ledger.exchange(self._holder, notes, wanted, now, now + self._lease_s)
        with self._lock:
            for lease_id in notes:
                self._closing.pop(lease_id, None)
            for wallet in self._wallets.values():
                for each in wallet.open:
                    each.noted = notes.get(each.lease.lease_id, each.noted)
                    if each.lease.lease_id in done.lost:
                        self._close(each)
                wallet.open = [each for each in wallet.open if not each.noted.is_closed]
            for lease in done.granted:
                self._wallets[lease.adset_id].open.append(_Open(lease))

    def close(self, now: float) -> None:
        """Give everything back that is not reserved; the purse is empty then."""
        self.exchange({}, now)

    def _retire(self, periods: Mapping[str, str], now: float) -> None:
        for adset_id, wallet in list(self._wallets.items()):
            for each in wallet.open:
                lease = each.lease
                # Closed, it is settled sooner.
                is_used = lease.units - each.reserved < max(1, wallet.largest)
                if is_used or now >= lease.until_s or periods.get(adset_id) != lease.period:
                    self._close(each)
            wallet.open = [each for each in wallet.open if not each.noted.is_closed]
            if adset_id not in periods:
                del self._wallets[adset_id]

    def _close(self, each: _Open) -> None:
        each.noted = Note(each.reserved, each.expected, is_closed=True)
        self._closing[each.lease.lease_id] = each.noted

    def _wanted(self, periods: Mapping[str, str], now: float) -> dict[Key, int]:
        wanted = {}
        for adset_id, wallet in self._wallets.items():
            need = max(1, wallet.largest, wallet.rate * _AHEAD_S)
            if wallet.is_asked and wallet.left(now + _AHEAD_S) < need:
                ahead = max(1, _LARGEST * wallet.largest, wallet.rate * self._lease_s)
                wanted[Key(adset_id, periods[adset_id])] = math.ceil(ahead)
        return wanted

    def _news(self) -> dict[int, Note]:
        return {
            each.lease.lease_id: Note(each.reserved, each.expected)
            for wallet in self._wallets.values()
            for each in wallet.open
            if each.noted.reserved != each.reserved
        }
