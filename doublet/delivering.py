"""The worker's delivery: what runs is published, budgets are opened and settled, paces kept.

A thread of its own looks every second. While nothing runs it writes nothing, and deciders need it
only to learn what is new: what they hold is good until it expires.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from zoneinfo import ZoneInfo

from doublet.catalog import Account, AdSet, Catalog
from doublet.delivery import UNITS
from doublet.delivery.book import (
    FREQUENCY_FILE,
    LEDGER_FILE,
    AccountBook,
    Book,
    Reader,
    publish,
    running,
)
from doublet.delivery.budgets import LIFETIME, Budget
from doublet.delivery.examples import AdKey
from doublet.delivery.flow import REMEMBERED_S, Count, Flow, Span
from doublet.delivery.frequency import Frequency, ad_set_keys
from doublet.delivery.learning import stages
from doublet.delivery.ledger import Key, Ledger, Standing, set_aside
from doublet.delivery.links import expiry_s
from doublet.delivery.planning import (
    TRAFFIC_DAYS,
    Plan,
    Traffic,
    budgets_of,
    plan,
    step,
)
from doublet.delivery.purse import LEASE_S
from doublet.delivery.rates import Model, Scorer
from doublet.delivery.shelf import CLICK_GOALS, VIEW_GOALS
from doublet.engine.duckdb import connect
from doublet.errors import CorruptError
from doublet.normalize import identifier_key
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.teaching import read_serving

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0

_LOOK_AGAIN_S = 30.0
_LEARNED_EVERY_S = 60.0
_PLANNED_EVERY_S = 300.0
_SETTLED_EVERY_S = 5.0
_SWEPT_EVERY_S = 3600.0
_LATE_S = 60.0
"""For how long a touch may be under way between its answer and the moment when it can be loaded."""
_KEPT_S = 40 * 86_400
_IDLE_PACE_S = 30.0
_VALUE_PRIOR = 50 * UNITS
_MEMORY_MIB = 256
_LEARNING = ("LEARNING", "FAIL")


class Delivering:
    """Delivery of all accounts."""

    def __init__(self, freshener: Freshener, settings: Settings) -> None:
        self._freshener = freshener
        self._settings = settings
        self._folder = settings.delivery_folder
        self._catalog = Catalog(settings.catalog_url)
        self._reader = Reader(self._folder)
        self._ledger: Ledger | None = None
        self._flow: Flow | None = None
        self._taken_until_s = 0.0
        self._opened: dict[Key, Budget] = {}
        self._known_at: dict[str, float] = defaultdict(lambda: float("-inf"))
        self._objects_version = -1
        self._learning: dict[str, tuple[str, ...]] = {}
        self._looked_at: dict[str, set[str]] = {}
        self._values: dict[str, float] = {}
        self._bills: dict[int, int] = defaultdict(int)
        self._counts: dict[str, Count] = {}
        self._traffic: dict[str, Traffic] = {}
        self._plans: dict[str, Plan] = {}
        self._unplanned: dict[str, AdSet] = {}
        self._standings: dict[Key, Standing] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._let_go()
        self._catalog.close()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.refresh()
            except CorruptError as error:
                self._give_up(error)
            except Exception:
                # What failed is tried again in the next round.
                logger.exception("delivery-failed")

    def _give_up(self, error: CorruptError) -> None:
        """A damaged ledger is made anew from the touches in the lake."""
        logger.error("ledger-damaged error=%s", error)
        self._let_go()
        if self._ledger_file.exists():
            logger.error("ledger-set-aside path=%s", set_aside(self._ledger_file))

    def _let_go(self) -> None:
        if self._ledger is not None:
            self._ledger.close_file()
        if self._flow is not None:
            self._flow.close()
        self._ledger, self._flow = None, None

    def _is_due(self, what: str, every_s: float, now_s: float) -> bool:
        if now_s - self._known_at[what] < every_s:
            return False
        self._known_at[what] = now_s
        return True

    # --- rounds -------------------------------------------------------------------------------

    def refresh(self, now_s: float | None = None) -> None:
        """One round."""
        now = time.time() if now_s is None else now_s
        book = self._publish(now)
        if not book.accounts and not self._ledger_file.exists():
            return
        if not self._freshener.fresh_at:
            # What the log holds of leases is not known yet.
            return
        ledger = self._open(now)
        self._open_budgets(ledger, book, now)
        is_news = self._take_news(now)
        if self._is_due("settled", _SETTLED_EVERY_S, now):
            self._settle(ledger)
        self._pace(ledger, book, now, is_news)
        if self._is_due("swept", _SWEPT_EVERY_S, now):
            kept = [each.adset_id for each in self._catalog.campaigns.ad_sets()]
            ledger.sweep(now - _KEPT_S, kept)
            for each in self._traffic.values():
                each.forget(now - TRAFFIC_DAYS * 86_400)

    @property
    def _ledger_file(self) -> Path:
        return self._folder / LEDGER_FILE

    def _publish(self, now: float) -> Book:
        """The newest book, published where it says something new."""
        self._reader.refresh()
        version = self._catalog.campaigns.version()
        is_looked_at = self._is_due("objects", _LOOK_AGAIN_S, now)
        if version == self._objects_version and not is_looked_at:
            return self._reader.book
        accounts = tuple(
            book for each in self._catalog.accounts() if (book := self._book_of(each, now)).ads
        )
        self._objects_version = version
        last = self._reader.book
        if accounts != last.accounts:
            publish(self._folder, Book(last.version + 1, now, accounts))
            self._reader.refresh()
        return self._reader.book

    def _book_of(self, account: Account, now: float) -> AccountBook:
        kept = self._catalog.campaigns
        account_id = account.account_id
        campaigns, ad_sets, ads, creatives = running(
            kept.campaigns(account_id),
            kept.ad_sets(account_id),
            kept.ads(account_id),
            kept.creatives(account_id),
            now,
        )
        is_new = not {each.adset_id for each in ad_sets} <= self._looked_at.get(account_id, set())
        if ad_sets and (is_new or self._is_due(f"learned {account_id}", _LEARNED_EVERY_S, now)):
            self._learn(account, ad_sets, now)
        return AccountBook(
            account_id=account_id,
            time_zone=account.time_zone,
            currency=account.currency,
            campaigns=campaigns,
            ad_sets=ad_sets,
            ads=ads,
            creatives=creatives,
            learning=self._learning.get(account_id, ()),
            prior_value=self._values.get(account_id, 0.0),
            models=read_serving(self._folder, account_id).shares() if ads else (),
        )

    def _learn(self, account: Account, ad_sets: tuple[AdSet, ...], now: float) -> None:
        """Which ad sets are still learning, and what an action is worth beforehand."""
        account_id = account.account_id
        rules = self._catalog.reporting.rules(account_id)
        found = stages(self._freshener.engine, account_id, rules, ad_sets, int(now))
        self._learning[account_id] = tuple(
            sorted(adset_id for adset_id, stage in found.items() if stage.status in _LEARNING)
        )
        self._looked_at[account_id] = {each.adset_id for each in ad_sets}
        (row,) = self._freshener.engine.query(
            "select cast(avg(value) as double) as value from conversions "
            "where account_id = $account_id and currency = $currency and value > 0",
            {"account_id": account_id, "currency": account.currency},
        )
        mean = row["value"]
        # Rounded, so that every purchase does not make a new book.
        self._values[account_id] = float(f"{mean * UNITS:.1g}") if mean else _VALUE_PRIOR

    # --- money --------------------------------------------------------------------------------

    def _open(self, now: float) -> Ledger:
        """The ledger, and what became of earlier decisions."""
        if self._ledger is not None:
            return self._ledger
        decisions, touches = self._freshener.delivered()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger = Ledger(self._ledger_file)
        leases = ledger.due(float("inf"))
        since = min([each.until_s - LEASE_S for each in leases] + [now]) - REMEMBERED_S
        scratch = self._settings.tmp_folder / "delivery"
        self._flow = Flow(connect(None, scratch, _MEMORY_MIB, threads=1), since)
        self._counts = self._flow.history(decisions, touches)
        self._bills.clear()
        self._traffic.clear()
        answers = self._flow.answers(decisions, now - TRAFFIC_DAYS * 86_400)
        zones = {each.account_id: ZoneInfo(each.time_zone) for each in self._catalog.accounts()}
        for account_id, zone in zones.items():
            self._traffic[account_id] = Traffic(zone)
            self._traffic[account_id].note(a for a in answers if a.account_id == account_id)
        self._ledger = ledger
        return ledger

    def _open_budgets(self, ledger: Ledger, book: Book, now: float) -> None:
        """Make new and changed budgets known. Some of those that the ledger does not know began
        before: what they have spent by then is counted from the lake, once nothing of that time can
        be billed any more."""
        wanted = {
            Key(each.adset_id, each.period): each
            for account in book.accounts
            for each in budgets_of(account.ad_sets, ZoneInfo(account.time_zone), now)
        }
        unknown = ledger.unknown(wanted.values())
        # Such a lifetime has spent already where its ad set had daily budgets at first.
        older = [
            each for each in unknown if each.begin_s < ledger.made_at_s or each.period == LIFETIME
        ]
        awaited = self._awaited(ledger, older, now)
        # As if they were not wanted yet: an edit must not open them either.
        for each in awaited:
            del wanted[Key(each.adset_id, each.period)]
        unknown, older = (
            [each for each in budgets if each not in awaited] for budgets in (unknown, older)
        )
        new = {Key(each.adset_id, each.period) for each in unknown}
        changed = [
            each for key, each in wanted.items() if key not in new and self._opened.get(key) != each
        ]
        if unknown or changed:
            ledger.open([*unknown, *changed], self._billed(book, older) if older else {})
        self._opened = wanted

    def _awaited(self, ledger: Ledger, budgets: list[Budget], now: float) -> list[Budget]:
        """Those of which the lake may not have all that was spent: leases of a lost ledger, or of
        other budgets of the ad set, may still bill."""
        is_young = any(each.begin_s < ledger.made_at_s for each in budgets) and (
            self._may_still_bill(ledger.made_at_s, now)
        )
        leased = {each.adset_id for each in ledger.due(float("inf"))} if budgets else set()
        return [
            each
            for each in budgets
            if (is_young and each.begin_s < ledger.made_at_s)
            or (each.period == LIFETIME and each.adset_id in leased)
        ]

    def _may_still_bill(self, made_at_s: float, now: float) -> bool:
        """Whether what was decided before the ledger was made can still cost anything."""
        outstanding_s = LEASE_S + REMEMBERED_S + _LATE_S
        if now >= made_at_s + outstanding_s:
            return False
        decisions, _ = self._freshener.delivered()
        return any(
            each.first_received_at.timestamp() < made_at_s
            and each.last_received_at.timestamp() >= made_at_s - outstanding_s
            for each in decisions
        )

    def _billed(self, book: Book, budgets: list[Budget]) -> dict[Key, int]:
        """What touches in the lake say was billed of budgets that the ledger does not know. A touch
        counts for the period in which it came: of two days this is at most a few minutes' worth."""
        assert self._flow is not None
        owners = {
            each.adset_id: account.account_id
            for account in book.accounts
            for each in account.ad_sets
        }
        spans = [
            Span(owners[each.adset_id], each.adset_id, each.begin_s, each.end_s + REMEMBERED_S)
            for each in budgets
        ]
        _, touches = self._freshener.delivered()
        keys = [Key(each.adset_id, each.period) for each in budgets]
        return dict(zip(keys, self._flow.billed(touches, spans), strict=True))

    def _take_news(self, now: float) -> bool:
        """Count what has been loaded; whether there was anything."""
        assert self._flow is not None
        # What is loaded from here on is counted in the next round.
        self._taken_until_s = self._freshener.fresh_at
        news = self._flow.take(*self._freshener.delivered(), now)
        for bill in news.bills:
            if bill.lease.isdecimal():
                self._bills[int(bill.lease)] += bill.units
        for count in news.counts:
            known = self._counts.get(count.adset_id)
            self._counts[count.adset_id] = known.plus(count) if known else count
        for each in news.answers:
            if (traffic := self._traffic.get(each.account_id)) is not None:
                traffic.note([each])
        return bool(news.counts)

    def _settle(self, ledger: Ledger) -> None:
        """Give back what was reserved and cannot be billed any more. What an ad set pays for may
        have changed since a decision, so the longer time is waited for."""
        loaded_s = self._taken_until_s - _LATE_S
        over = ledger.due(loaded_s - max(expiry_s(False), expiry_s(True)))
        if not over:
            return
        billed = {}
        for each in over:
            units = self._bills.pop(each.lease_id, 0)
            if units > each.units:
                logger.error("billed-too-much lease=%d units=%d", each.lease_id, units)
            billed[each.lease_id] = min(units, each.units)
        ledger.settle_all(billed)

    # --- paces --------------------------------------------------------------------------------

    def _pace(self, ledger: Ledger, book: Book, now: float, is_news: bool) -> None:
        """Step the paces; while nobody asks for ads only now and then."""
        if self._is_due("planned", _PLANNED_EVERY_S, now) or self._plans_are_old(book, now):
            self._plan(book, now)
        standings = ledger.standings()
        is_moving = is_news or standings != self._standings
        self._standings = standings
        if is_moving or self._is_due("paced", _IDLE_PACE_S, now):
            self._known_at["paced"] = now
            plans = list(self._plans.values())
            changed = step(plans, ledger.paces(), standings, self._counts, now)
            if changed:
                ledger.keep_paces(changed)

    def _plans_are_old(self, book: Book, now: float) -> bool:
        known = {each.adset_id: each for account in book.accounts for each in account.ad_sets}
        planned = {key: each.ad_set for key, each in self._plans.items()}
        is_over = any(each.budget.end_s <= now for each in self._plans.values())
        begins = any(
            key not in planned
            and self._unplanned.get(key) != each
            and each.start_time <= now
            and each.daily_budget + each.lifetime_budget
            for key, each in known.items()
        )
        changed = any(known.get(key) != each for key, each in planned.items())
        return is_over or begins or changed

    def _plan(self, book: Book, now: float) -> None:
        self._plans, self._unplanned = {}, {}
        for account in book.accounts:
            zone = ZoneInfo(account.time_zone)
            traffic = self._traffic.setdefault(account.account_id, Traffic(zone))
            forecast, a_day = traffic.forecast(), traffic.a_day(now)
            rates = self._rates(account)
            for each in account.ad_sets:
                try:
                    made = plan(each, zone, forecast, a_day, rates[each.adset_id], now)
                except Exception:
                    # The others are planned all the same.
                    logger.exception("not-planned adset_id=%s", each.adset_id)
                    self._unplanned[each.adset_id] = each
                    continue
                if made is not None:
                    self._plans[each.adset_id] = made

    def _rates(self, account: AccountBook) -> dict[str, float]:
        """What an impression of each ad set is expected to bring beforehand."""
        model = Model.prior(value=account.prior_value)
        keys = [AdKey("", each.adset_id, each.campaign_id) for each in account.ad_sets]
        scores = Scorer(model, keys).score(())
        found = {}
        for n, each in enumerate(account.ad_sets):
            rate = scores.p_action[n]
            if each.optimization_goal in CLICK_GOALS:
                rate = scores.p_click[n]
            elif each.optimization_goal in VIEW_GOALS:
                rate = 1.0
            elif each.optimization_goal == "VALUE":
                rate = scores.value[n]
            found[each.adset_id] = float(rate)
        return found


def forget_in_delivery(settings: Settings, catalog: Catalog, freshener: Freshener) -> None:
    """Have it forgotten which ads erased persons have seen."""

    def forget(account_id: str, _places: object, identifiers: Collection[str]) -> None:
        file = settings.delivery_folder / FREQUENCY_FILE
        if not file.exists():
            return
        sets = catalog.campaigns.ad_sets(account_id, with_gone=True)
        keys = ad_set_keys(each.adset_id for each in sets)
        frequency = Frequency(file)
        try:
            for identifier in identifiers:
                frequency.forget(identifier_key(account_id, identifier), keys)
        finally:
            frequency.close()

    freshener.when_erasing(forget)
