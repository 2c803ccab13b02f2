"""The ledger: no budget is exceeded, whatever is asked for, dies, is lowered or gets lost."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doublet.delivery.budgets import Budget
from doublet.delivery.ledger import Key, Ledger, Standing, set_aside
from doublet.delivery.pacing import Pace
from doublet.delivery.purse import LEASE_S, Purse
from doublet.errors import BusyError, CorruptError

TODAY = Key("7", "2026-11-27")
BUDGET = Budget(*TODAY, 1_000, 0, 86_400)


def make_ledger(folder: Path, *budgets: Budget) -> Ledger:
    """A ledger in which these budgets are open."""
    ledger = Ledger(folder / "ledger.sqlite")
    ledger.open(budgets or [BUDGET])
    return ledger


def make_purse(ledger: Ledger, now: float = 1.0, period: str = TODAY.period) -> Purse:
    """A purse with a lease for the ad set."""
    purse = Purse(ledger, "test")
    assert purse.reserve("7", 10, now) is None
    purse.exchange({"7": period}, now)
    return purse


def test_a_lease_is_never_of_more_than_is_left(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    found = [ledger.take(*TODAY, want, "a", 1, 11) for want in (600, 600, 1)]
    assert [600, 400, None] == [lease and lease.units for lease in found]
    assert Standing(1_000, 0, 1_000, 0) == ledger.standings()[TODAY]


def test_a_small_wish_gets_a_share_of_the_budget(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, BUDGET._replace(amount=256_000))
    lease = ledger.take(*TODAY, 1, "a", 1, 11)
    assert lease is not None
    assert 1_000 == lease.units


def test_nothing_is_granted_outside_the_period(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, BUDGET._replace(begin_s=100, end_s=200))
    assert [None, None] == [ledger.take(*TODAY, 5, "a", now, now + 10) for now in (99, 200)]
    assert ledger.take("7", "2026-11-28", 5, "a", 150, 160) is None
    assert ledger.take("8", TODAY.period, 5, "a", 150, 160) is None
    lease = ledger.take(*TODAY, 5, "a", 195, 205)
    assert lease is not None
    assert 200 == lease.until_s


def test_what_is_not_reserved_or_not_billed_goes_back(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    lease = ledger.take(*TODAY, 600, "a", 1, 11)
    assert lease is not None
    ledger.close(lease.lease_id, 250, 5)
    assert Standing(1_000, 0, 250, 250) == ledger.standings()[TODAY]
    assert [] == ledger.due(4.9)
    assert [lease._replace(units=250, until_s=5)] == ledger.due(5)
    ledger.settle(lease.lease_id, 100)
    assert Standing(1_000, 100, 0, 0) == ledger.standings()[TODAY]
    ledger.settle(lease.lease_id, 100)
    ledger.close(lease.lease_id, 0, 6)
    assert 100 == ledger.spent(*TODAY)
    assert 0 == ledger.spent("8", TODAY.period)


def test_no_lease_bills_or_reserves_more_than_it_holds(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    lease = ledger.take(*TODAY, 600, "a", 1, 11)
    assert lease is not None
    with pytest.raises(ValueError, match="holds 600 units, not 601"):
        ledger.settle(lease.lease_id, 601)
    with pytest.raises(ValueError, match="holds 600 units, not 601"):
        ledger.close(lease.lease_id, 601, 5)
    assert Standing(1_000, 0, 600, 0) == ledger.standings()[TODAY]


def test_the_lease_of_a_dead_process_holds_all_until_it_is_settled(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    lease = ledger.take(*TODAY, 1_000, "dead", 1, 11)
    assert lease is not None
    assert ledger.take(*TODAY, 1, "alive", 50, 60) is None
    ledger.settle(lease.lease_id, 300)
    again = ledger.take(*TODAY, 1_000, "alive", 50, 60)
    assert again is not None
    assert 700 == again.units


def test_a_budget_lowered_below_what_is_spent_grants_nothing_more(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    purse = make_purse(ledger)
    assert purse.reserve("7", 10, 2) is not None
    ledger.open([BUDGET._replace(amount=5)])
    purse.exchange({"7": TODAY.period}, 2)
    assert purse.reserve("7", 1, 3) is None
    purse.exchange({"7": TODAY.period}, 3)
    assert Standing(5, 0, 10, 10) == ledger.standings()[TODAY]
    assert -5 == ledger.standings()[TODAY].left
    ledger.open([BUDGET])
    purse.exchange({"7": TODAY.period}, 4)
    assert purse.reserve("7", 1, 4) is None
    purse.exchange({"7": TODAY.period}, 5)
    assert purse.reserve("7", 1, 5) is not None


# --- the purse -------------------------------------------------------------------------------


def test_a_purse_pays_from_memory_and_names_the_lease(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    purse = make_purse(ledger)
    (lease,) = ledger.due(1e9)
    paid = [purse.reserve("7", 10, 2) for _ in range(5)]
    assert [lease.lease_id] * 4 + [None] == paid
    assert ledger.due(1e9) == [lease]
    purse.exchange({"7": TODAY.period}, 2)
    standing = ledger.standings()[TODAY]
    assert (40, 40) == (standing.expected, standing.held - purse_units(ledger, lease.lease_id))


def purse_units(ledger: Ledger, but: int) -> int:
    """Units in all leases but one."""
    return sum(lease.units for lease in ledger.due(1e9) if lease.lease_id != but)


def test_a_purse_pays_nothing_after_its_lease_not_even_by_a_clock_put_back(tmp_path: Path) -> None:
    purse = make_purse(make_ledger(tmp_path))
    assert purse.reserve("7", 1, LEASE_S + 0.9) is not None
    assert purse.reserve("7", 1, LEASE_S + 1) is None
    assert purse.reserve("7", 1, 5) is None


def test_a_purse_that_nobody_asks_gives_back_and_writes_nothing(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    purse = make_purse(ledger)
    purse.exchange({"7": TODAY.period}, LEASE_S + 1)
    assert Standing(1_000, 0, 0, 0) == ledger.standings()[TODAY]
    before = ledger.take(*TODAY, 1, "other", 1, 2)
    purse.exchange({"7": TODAY.period}, LEASE_S + 2)
    assert before is not None
    assert [before.lease_id] == [lease.lease_id for lease in ledger.due(1e9) if lease.units > 0]


def test_a_deleted_ad_set_and_a_new_day_end_leases(tmp_path: Path) -> None:
    tomorrow = Budget("7", "2026-11-28", 1_000, 86_400, 172_800)
    ledger = make_ledger(tmp_path, BUDGET, tomorrow)
    purse = make_purse(ledger, 86_395)
    assert purse.reserve("7", 10, 86_399.9) is not None
    assert purse.reserve("7", 10, 86_400) is None
    purse.exchange({"7": "2026-11-28"}, 86_400)
    assert purse.reserve("7", 10, 86_401) is not None
    purse.exchange({}, 86_402)
    assert purse.reserve("7", 10, 86_403) is None
    held = {key: standing.held for key, standing in ledger.standings().items()}
    assert {TODAY: 10, Key("7", "2026-11-28"): 10} == held


def test_clicks_hold_their_price_and_are_paced_by_their_mean(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, BUDGET._replace(amount=100_000))
    purse = Purse(ledger, "test")
    assert purse.reserve("7", 5_000, 1, expected=50) is None
    purse.exchange({"7": TODAY.period}, 1)
    assert purse.reserve("7", 5_000, 2, expected=50) is not None
    purse.close(3)
    assert Standing(100_000, 0, 5_000, 50) == ledger.standings()[TODAY]


def test_a_purse_goes_on_with_what_it_has_when_the_ledger_takes_no_entries(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    purse = make_purse(ledger)
    assert purse.reserve("7", 10, 2) is not None
    other = sqlite3.connect(tmp_path / "ledger.sqlite")
    ledger._db.execute("pragma busy_timeout = 1")
    other.execute("begin immediate")
    with pytest.raises(BusyError, match="takes no entries"):
        purse.close(3)
    other.execute("rollback")
    other.close()
    assert purse.reserve("7", 10, 3) is None
    purse.exchange({"7": TODAY.period}, 4)
    assert 10 == ledger.due(4)[0].units
    assert 10 == ledger.standings()[TODAY].expected


def test_one_thread_reserves_while_another_exchanges(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, BUDGET._replace(amount=10**9))
    purse = make_purse(ledger)
    is_over = threading.Event()

    def exchange() -> None:
        now = 1.0
        while not is_over.is_set():
            now += 0.5
            purse.exchange({"7": TODAY.period}, now)

    other = threading.Thread(target=exchange)
    other.start()
    paid: dict[int, int] = defaultdict(int)
    while len(paid) < 4:
        lease = purse.reserve("7", 7, 1)
        if lease is not None:
            paid[lease] += 7
    is_over.set()
    other.join()
    purse.close(1)
    held = {lease.lease_id: lease.units for lease in ledger.due(1e9)}
    assert dict(paid) == {lease: units for lease, units in held.items() if units}


def test_a_full_disk_grants_nothing_and_harms_nothing(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    ((pages,),) = ledger._db.execute("pragma page_count").fetchall()
    ledger._db.execute(f"pragma max_page_count = {pages}")

    def fill() -> None:
        for _ in range(100):
            ledger.take(*TODAY, 1, "x" * 3_000, 1, 2)

    with pytest.raises(BusyError, match="full"):
        fill()
    held = ledger.standings()[TODAY].held
    assert held == sum(lease.units for lease in ledger.due(1e9)) < 100
    ledger._db.execute("pragma max_page_count = 1000000")
    assert ledger.take(*TODAY, 1, "a", 1, 2) is not None


# --- upkeep ----------------------------------------------------------------------------------


def test_budgets_are_forgotten_after_their_last_lease(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    lease = ledger.take(*TODAY, 10, "a", 1, 11)
    assert lease is not None
    ledger.sweep(90_000)
    assert [] == ledger.unknown([BUDGET])
    ledger.settle(lease.lease_id, 1)
    ledger.sweep(86_400)
    assert 1 == ledger.spent(*TODAY)
    ledger.sweep(90_000)
    assert [BUDGET] == ledger.unknown([BUDGET])


def test_lifetime_budgets_are_kept_with_their_ad_set(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    lifetime = Budget("8", "lifetime", 100, 0, 86_400)
    ledger.open([BUDGET, lifetime], {Key("8", "lifetime"): 70})
    ledger.sweep(90_000, ["7", "8"])
    assert [BUDGET] == ledger.unknown([BUDGET, lifetime])
    ledger.open([lifetime._replace(end_s=200_000)])
    assert (100, 70, 0, 0) == ledger.standings()[Key("8", "lifetime")]
    ledger.sweep(300_000, ["7"])
    assert {} == ledger.standings()


def test_paces_are_kept(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    paces = {"7": Pace(12.5, 1.5, as_of_s=3, period="lifetime"), "8": Pace(1.0)}
    ledger.keep_paces(paces)
    ledger.keep_paces({"8": Pace(2.0)})
    ledger.close_file()
    assert {**paces, "8": Pace(2.0)} == make_ledger(tmp_path).paces()


def test_a_damaged_ledger_is_known_as_such(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(CorruptError, match="damaged"):
        Ledger(file)
    set_aside(file)
    assert [BUDGET] == Ledger(file).unknown([BUDGET])


def test_a_ledger_that_was_set_aside_is_made_anew(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    purse = make_purse(ledger)
    old = purse.reserve("7", 10, 2)
    file = tmp_path / "ledger.sqlite"
    set_aside(file)
    fresh = Ledger(file)
    assert fresh.made_at_s > ledger.made_at_s
    assert [BUDGET] == fresh.unknown([BUDGET])
    fresh.open([BUDGET], {TODAY: 900})
    # The one that was open finds the new file by itself, and lets go of what the old one granted.
    assert Standing(1_000, 900, 0, 0) == ledger.standings()[TODAY]
    purse.exchange({"7": TODAY.period}, 3)
    assert purse.reserve("7", 10, 3) is None
    purse.exchange({"7": TODAY.period}, 4)
    new = purse.reserve("7", 10, 5)
    assert old is not None
    assert new is not None
    assert new > old
    # What is in the ledger already is not opened a second time with what the lake says.
    fresh.open([BUDGET], {TODAY: 500})
    assert 900 == fresh.spent(*TODAY)


# --- any course of events --------------------------------------------------------------------

ADSETS = ("7", "8")
EXPIRY_S = 30.0
AMOUNT = 2_000


class Money(RuleBasedStateMachine):
    """Several processes decide, die and stall; the worker settles; a person changes budgets. What
    was truly billed is counted beside the ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = Ledger(self.file)
        self.now = 0.0
        self.day = 0
        self.most: dict[Key, int] = {}
        self.billed: dict[Key, int] = defaultdict(int)
        self.decided: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self.purses: list[Purse] = []
        self.set_amount("7", AMOUNT)
        self.set_amount("8", AMOUNT)

    def teardown(self) -> None:
        """Close the file, and remove it."""
        self.ledger.close_file()
        self.folder.cleanup()

    def key(self, adset_id: str) -> Key:
        """The budget of the day."""
        return Key(adset_id, f"day {self.day}")

    def periods(self) -> dict[str, str]:
        """As the book has them."""
        return {adset_id: self.key(adset_id).period for adset_id in ADSETS}

    @rule(adset_id=st.sampled_from(ADSETS), amount=st.integers(0, 2 * AMOUNT))
    def set_amount(self, adset_id: str, amount: int) -> None:
        """A budget is set, raised or lowered; what it held before it was lowered counts."""
        key = self.key(adset_id)
        standing = self.ledger.standings().get(key, Standing(0, 0, 0, 0))
        self.ledger.open([Budget(*key, amount, self.day * 100, self.day * 100 + 100)])
        self.most[key] = max(amount, standing.settled + standing.held)

    @rule(seconds=st.sampled_from([0.1, 1, 3, LEASE_S, EXPIRY_S]))
    def wait(self, seconds: float) -> None:
        """Time goes by; budgets of a day of 100 seconds begin."""
        self.now += seconds
        if self.now >= (self.day + 1) * 100:
            self.day = int(self.now // 100)
            for adset_id in ADSETS:
                self.set_amount(adset_id, AMOUNT)

    @precondition(lambda self: len(self.purses) < 4)
    @rule()
    def start(self) -> None:
        """A process starts, with a connection of its own."""
        self.purses.append(Purse(Ledger(self.file), f"process {len(self.purses)}"))

    @precondition(lambda self: self.purses)
    @rule(n=st.integers(0, 3), is_clean=st.booleans())
    def stop(self, n: int, is_clean: bool) -> None:
        """A process ends or dies."""
        purse = self.purses.pop(n % len(self.purses))
        if is_clean:
            purse.close(self.now)
        purse._ledger.close_file()

    @precondition(lambda self: self.purses)
    @rule(
        n=st.integers(0, 3),
        adset_id=st.sampled_from(ADSETS),
        units=st.integers(0, 400),
        times=st.integers(1, 5),
        is_clock_back=st.booleans(),
    )
    def decide(self, n: int, adset_id: str, units: int, times: int, is_clock_back: bool) -> None:
        """A process decides some times; its clock may be put back after that."""
        purse = self.purses[n % len(self.purses)]
        purse.reserve(adset_id, 0, self.now)
        for _ in range(times):
            lease = purse.reserve(adset_id, units, self.now - 60 * is_clock_back, units / 3)
            if lease is not None:
                self.decided[lease].append((self.now, units))

    @precondition(lambda self: self.purses)
    @rule(n=st.integers(0, 3))
    def exchange(self, n: int) -> None:
        """A process settles up with the ledger."""
        self.purses[n % len(self.purses)].exchange(self.periods(), self.now)

    @rule(seed=st.integers(0, 9))
    def settle(self, seed: int) -> None:
        """The worker settles what has expired, of which any part was billed."""
        rng = random.Random(seed)
        billed = {}
        for lease in self.ledger.due(self.now - EXPIRY_S):
            decided = self.decided.pop(lease.lease_id, [])
            assert all(at + EXPIRY_S <= self.now for at, _ in decided)
            kept = [units for _, units in decided if rng.random() < 0.8]
            billed[lease.lease_id] = sum(kept)
            self.billed[Key(lease.adset_id, lease.period)] += sum(kept)
        self.ledger.settle_all(billed)

    @rule()
    def restart(self) -> None:
        """The worker starts anew."""
        self.ledger.close_file()
        self.ledger = Ledger(self.file)
        assert not self.ledger.unknown([Budget(*self.key("7"), 0, 0, 0)])

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        """By the ledger's own sums, by its leases, and by what could truly be billed."""
        held: dict[Key, int] = defaultdict(int)
        can_bill = dict(self.billed)
        for lease in self.ledger.due(1e12):
            key = Key(lease.adset_id, lease.period)
            decided = self.decided[lease.lease_id]
            reserved = sum(units for _, units in decided)
            assert reserved <= lease.units
            assert all(at <= lease.until_s for at, _ in decided)
            assert all(lease.period == f"day {int(at // 100)}" for at, _ in decided)
            held[key] += lease.units
            can_bill[key] = can_bill.get(key, 0) + reserved
        for key, standing in self.ledger.standings().items():
            assert standing.held == held[key]
            assert standing.settled == self.billed[key]
            assert standing.settled + standing.held <= self.most[key]
            assert can_bill.get(key, 0) <= self.most[key]


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=60, stateful_step_count=60)
