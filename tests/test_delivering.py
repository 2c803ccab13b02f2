"""The worker's delivery: what runs is published, budgets are opened, and settled by bills."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet import delivering
from doublet.catalog import Ad, AdSet, Catalog, FrequencyCap
from doublet.decide.answer import Writer
from doublet.decide.asked import DecideRequest, features_of, who
from doublet.decide.desk import Desk
from doublet.delivering import Delivering, forget_in_delivery
from doublet.delivery.book import BOOK_FILE, FREQUENCY_FILE, LEDGER_FILE, Reader
from doublet.delivery.decide import Asked
from doublet.delivery.flow import REMEMBERED_S
from doublet.delivery.ledger import Key, Ledger, Standing
from doublet.delivery.links import CLICK_S, IMPRESSION_S
from doublet.delivery.planning import Plan, plan
from doublet.delivery.purse import LEASE_S
from doublet.delivery.records import touch_records
from doublet.deposit import deposit
from doublet.person import Wish, read_identifiers
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.delivery.test_end_to_end import make_campaign

FBP = "fb.1.1780000000000.1234567890"


class World:
    """A worker's parts and a decider in one process, with a clock that tests set."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        # A zone where it is noon or shortly after, so that no test crosses midnight.
        east = 12 - time.gmtime().tm_hour
        zone = f"Etc/GMT{-east:+d}" if east else "Etc/GMT"
        self.account = self.catalog.create_account("Shop", zone, "EUR")
        self.pixel_id = self.catalog.create_pixel(self.account.account_id, "Site")[0].pixel_id
        self.freshener = Freshener(self.settings)
        self.now = time.time()
        self.delivering = Delivering(self.freshener, self.settings)
        self._desk: Desk | None = None
        forget_in_delivery(self.settings, self.catalog, self.freshener)

    @property
    def folder(self) -> Path:
        """Where delivery keeps its files."""
        return self.settings.delivery_folder

    @property
    def desk(self) -> Desk:
        """The decider."""
        if self._desk is None:
            self._desk = Desk(self.settings)
        return self._desk

    def round(self) -> None:
        """Load all there is, and one round of delivery, now."""
        self.freshener.freshen()
        self.freshener.fresh_at = self.now
        self.delivering.refresh(self.now)

    def campaign(self, **campaign: Any) -> Ad:
        """A running campaign."""
        return make_campaign(self.catalog, self.account.account_id, self.pixel_id, **campaign)

    def ask(
        self, fbp: str | None = None, keep: Callable[[list[bytes]], object] | None = None
    ) -> list[Any]:
        """The links of the ads of one answer, now; its records go into the log, or where `keep`
        puts them."""
        shelf = self.desk.shelf_of(self.account.account_id)
        assert shelf is not None
        request = DecideRequest(fbp=fbp)
        known = who(request, shelf.account_id, "")
        features = features_of(request, set(), self.now, shelf.zone, "")
        question = Asked(1, "", set(), features, known.identifier)
        decision = self.desk.decide(shelf, question, known.person, self.now, explain=False)
        writer = Writer(self.desk.links, "http://127.0.0.1:8702")
        answer, records = writer.write(
            shelf, request, known, features, decision, int(self.now * 1e6)
        )
        if records:
            (keep or self.append)(records)
        return [self.desk.links.open(ad.click_url.partition("t=")[2]) for ad in answer.ads]

    def ready(self) -> None:
        """Have the decider know all, and hold money for what it was asked."""
        for _ in range(2):
            self.round()
            self.desk.take(self.desk.prepare(self.now))
            self.ask()
            self.now += 1
            self.desk.take(self.desk.prepare(self.now))

    def append(self, records: list[bytes]) -> None:
        """Write to the log."""
        with deposit(self.settings, self.account.account_id) as place:
            place.append(records)

    def standing(self, adset_id: str) -> Standing:
        """How the budget of today stands."""
        ledger = Ledger(self.folder / LEDGER_FILE)
        try:
            found = ledger.standings()
        finally:
            ledger.close_file()
        (key,) = [key for key in sorted(found) if key.adset_id == adset_id][:1]
        return found[key]

    def close(self) -> None:
        """Give all back."""
        if self._desk is not None:
            self._desk.close(self.now)
        self.delivering.stop()
        self.freshener.close()
        self.catalog.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_while_nothing_runs_nothing_is_written(world: World) -> None:
    world.round()
    world.round()
    assert not world.folder.exists()


def test_what_runs_is_published_and_what_stops_is_taken_away(world: World) -> None:
    ad = world.campaign()
    world.round()
    reader = Reader(world.folder)
    assert reader.refresh()
    (account,) = reader.book.accounts
    assert (ad.ad_id,) == tuple(each.ad_id for each in account.ads)
    assert ("EUR", world.account.time_zone, (ad.adset_id,)) == (
        account.currency,
        account.time_zone,
        account.learning,
    )
    written = (world.folder / BOOK_FILE).stat().st_mtime_ns
    world.now += 60
    world.round()
    assert written == (world.folder / BOOK_FILE).stat().st_mtime_ns
    world.catalog.campaigns.change(ad, status="PAUSED")
    world.round()
    assert reader.refresh()
    assert () == reader.book.accounts


def test_what_is_settled_is_what_the_touches_cost_and_the_rest_returns(world: World) -> None:
    ad = world.campaign()
    world.ready()
    links = [link for _ in range(6) for link in world.ask()]
    assert 6 == len(links)
    # Half of them are seen, one of these twice.
    seen = [*links[:3], links[0]]
    at = int(world.now * 1e6)
    world.append([record for link in seen for record in touch_records(link, "view", at)])
    world.round()
    before = world.standing(ad.adset_id)
    assert 0 == before.settled
    assert before.held >= sum(link.price for link in links)
    world.desk.close(world.now)
    world._desk = None
    world.now += LEASE_S + IMPRESSION_S
    world.round()
    assert 0 == world.standing(ad.adset_id).settled
    world.now += 120
    world.round()
    after = world.standing(ad.adset_id)
    assert (sum(link.price for link in links[:3]), 0) == (after.settled, after.held)


def test_a_worker_that_comes_later_settles_as_well(world: World) -> None:
    ad = world.campaign()
    world.ready()
    links = [link for _ in range(3) for link in world.ask()]
    at = int(world.now * 1e6)
    world.append([record for link in links for record in touch_records(link, "view", at)])
    world.round()
    world.desk.close(world.now)
    world._desk = None
    world.delivering.stop()
    world.now += LEASE_S + IMPRESSION_S + 120
    world.delivering = Delivering(world.freshener, world.settings)
    world.round()
    world.now += 10
    world.round()
    after = world.standing(ad.adset_id)
    assert (sum(link.price for link in links), 0) == (after.settled, after.held)


def test_leases_wait_for_impressions_even_if_clicks_are_paid_for_meanwhile(world: World) -> None:
    ad = world.campaign()
    world.ready()
    (link,) = world.ask()
    store = world.catalog.campaigns
    ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    assert not link.is_per_click
    store.change(ad_set, optimization_goal="LINK_CLICKS", billing_event="LINK_CLICKS")
    world.desk.close(world.now)
    world._desk = None
    begin = world.now
    world.now = begin + LEASE_S + CLICK_S + 120
    world.round()
    assert world.standing(ad.adset_id).held >= link.price
    world.now = begin + IMPRESSION_S - 5
    world.append(list(touch_records(link, "view", int(world.now * 1e6))))
    world.now = begin + LEASE_S + IMPRESSION_S + 120
    world.round()
    after = world.standing(ad.adset_id)
    assert (link.price, 0) == (after.settled, after.held)


def lose_ledger(world: World) -> None:
    """Everything stops, the ledger is gone, and a new worker begins."""
    world.desk.close(world.now)
    world._desk = None
    world.delivering.stop()
    for path in world.folder.glob(f"{LEDGER_FILE}*"):
        path.unlink()
    world.delivering = Delivering(world.freshener, world.settings)
    world.now += 5
    # The clock of this world is ahead of the one that a ledger is made by.
    ledger = Ledger(world.folder / LEDGER_FILE)
    with ledger._write() as db:
        db.execute("update made set at_s = ?", (world.now,))
    ledger.close_file()


def test_a_lost_ledger_is_made_anew_from_the_touches(world: World) -> None:
    ad = world.campaign()
    world.ready()
    (link,) = world.ask()
    world.append(list(touch_records(link, "view", int(world.now * 1e6))))
    world.round()
    periods = {key.period for key in ledger_keys(world)}
    assert 2 == len(periods)
    lose_ledger(world)
    world.round()
    # Leases that nobody knows may still bill: only what begins tomorrow is open.
    assert {Key(ad.adset_id, max(periods))} == ledger_keys(world)
    world.now += LEASE_S + REMEMBERED_S + 120
    world.round()
    assert 2 == len(ledger_keys(world))
    assert (link.price, 0) == (
        world.standing(ad.adset_id).settled,
        world.standing(ad.adset_id).held,
    )


def test_an_edit_does_not_open_a_budget_that_is_waited_for(world: World) -> None:
    ad = world.campaign()
    world.ready()
    (link,) = world.ask()
    world.append(list(touch_records(link, "view", int(world.now * 1e6))))
    world.round()
    lose_ledger(world)
    world.round()
    store = world.catalog.campaigns
    for budget in (40_000, 50_000):
        ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
        assert ad_set is not None
        store.change(ad_set, daily_budget=budget)
        world.now += 5
        world.round()
        assert 1 == len(ledger_keys(world))
    # Nor does one more worker that begins while it is waited.
    world.delivering.stop()
    world.delivering = Delivering(world.freshener, world.settings)
    world.round()
    assert 1 == len(ledger_keys(world))
    world.now += LEASE_S + REMEMBERED_S + 120
    world.round()
    standing = world.standing(ad.adset_id)
    assert link.price == standing.settled
    assert 0 < standing.amount <= 5_000_000


def test_a_lifetime_budget_begins_with_what_daily_ones_spent(world: World) -> None:
    ad = world.campaign()
    world.ready()
    (link,) = world.ask()
    world.append(list(touch_records(link, "view", int(world.now * 1e6))))
    world.round()
    store = world.catalog.campaigns
    ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    store.change(ad_set, daily_budget=0, lifetime_budget=70_000)
    world.now += 5
    world.round()
    key = Key(ad.adset_id, "lifetime")
    # Leases of the day may still bill.
    assert key not in ledger_keys(world)
    world.desk.close(world.now)
    world._desk = None
    for seconds in (LEASE_S + IMPRESSION_S + 120, 10):
        world.now += seconds
        world.round()
    ledger = Ledger(world.folder / LEDGER_FILE)
    found = ledger.standings()[key]
    ledger.close_file()
    assert (7_000_000, link.price, 0) == found[:3]


def test_an_end_that_is_moved_on_reopens_no_budget_as_new(world: World) -> None:
    ad = world.campaign()
    world.ready()
    store = world.catalog.campaigns
    ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    end_s = int(world.now) + 3600
    key = Key(ad.adset_id, "lifetime")
    ended = store.change(ad_set, daily_budget=0, lifetime_budget=70_000, end_time=end_s)
    world.desk.close(world.now)
    world._desk = None
    for seconds in (LEASE_S + IMPRESSION_S + 120, 10):
        world.now += seconds
        world.round()
    ledger = Ledger(world.folder / LEDGER_FILE)
    lease = ledger.take(*key, 500, "somebody", world.now, world.now)
    assert lease is not None
    ledger.settle(lease.lease_id, 500)
    world.now += 60 * 86_400
    world.round()
    store.change(ended, end_time=int(world.now) + 3600)
    world.round()
    assert 500 == ledger.standings()[key].settled
    ledger.close_file()


def test_a_damaged_ledger_is_set_aside(world: World) -> None:
    world.campaign()
    world.round()
    world.delivering.stop()
    path = world.folder / LEDGER_FILE
    path.write_bytes(b"no database" * 1000)
    world.delivering = Delivering(world.freshener, world.settings)
    with pytest.raises(Exception, match="damaged") as caught:
        world.round()
    world.delivering._give_up(caught.value)  # type: ignore[arg-type]
    world.round()
    assert list(world.folder.glob("*.damaged"))
    ledger = Ledger(path)
    assert ledger.standings()
    ledger.close_file()


def test_a_changed_budget_counts_at_once_and_tomorrow_is_open_already(world: World) -> None:
    ad = world.campaign()
    world.round()
    store = world.catalog.campaigns
    ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    store.change(ad_set, daily_budget=40_000)
    world.round()
    ledger = Ledger(world.folder / LEDGER_FILE)
    amounts = {key: each.amount for key, each in ledger.standings().items()}
    ledger.close_file()
    days = sorted(key for key in amounts if key.adset_id == ad.adset_id)
    assert 2 == len(days)
    # The first day is not a whole one: the ad set was made in the middle of it.
    assert 4_000_000 == amounts[days[1]]
    assert amounts[days[0]] <= 4_000_000


def test_a_person_is_shown_an_ad_set_no_more_than_it_says_and_forgotten_on_request(
    world: World,
) -> None:
    ad = world.campaign()
    store = world.catalog.campaigns
    ad_set = store.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    store.change(ad_set, frequency=(FrequencyCap(1, 2),))
    world.ready()
    for _ in range(2):
        (link,) = world.ask(FBP)
        world.append(list(touch_records(link, "view", int(world.now * 1e6))))
        world.desk.note_view(link)
        # Told once more, it is the same impression.
        world.desk.note_view(link)
        world.now += 1
    assert [] == world.ask(FBP)
    assert 1 == len(world.ask("fb.1.1780000000000.2"))
    world.freshener.ask_to_erase(
        Wish(ad.account_id, read_identifiers({"fbp": FBP}), exact=True, shared=True)
    )
    world.freshener.erase()
    assert (world.folder / FREQUENCY_FILE).exists()
    assert 1 == len(world.ask(FBP))


def test_the_pace_follows_what_was_spent(world: World) -> None:
    ad = world.campaign()
    ad_set = world.catalog.campaigns.get(AdSet, ad.account_id, ad.adset_id)
    assert ad_set is not None
    # Bids for rare actions begin at all that the budget has.
    world.catalog.campaigns.change(ad_set, optimization_goal="IMPRESSIONS")
    world.ready()
    ledger = Ledger(world.folder / LEDGER_FILE)
    first = ledger.paces()[ad.adset_id]
    for _ in range(5):
        world.now += 60
        world.round()
    later = ledger.paces()[ad.adset_id]
    ledger.close_file()
    # Nobody asks, so that it falls behind its plan and bids more.
    assert later.bid > first.bid
    assert msgspec.json.encode(later)
    assert Key(ad.adset_id, later.period) in ledger_keys(world)


def test_one_ad_set_that_cannot_be_planned_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads = [world.campaign() for _ in range(3)]
    far = world.catalog.campaigns.get(AdSet, ads[1].account_id, ads[1].adset_id)
    assert far is not None
    year_9999_s = 253_370_764_800
    ended = {"daily_budget": 0, "lifetime_budget": 70_000, "end_time": year_9999_s}
    world.catalog.campaigns.change(far, **ended)
    tried = []

    def failing(ad_set: AdSet, *known: Any) -> Plan | None:
        tried.append(ad_set.adset_id)
        if ad_set.adset_id == ads[0].adset_id:
            raise OverflowError
        return plan(ad_set, *known)

    monkeypatch.setattr(delivering, "plan", failing)
    for _ in range(3):
        world.round()
        world.now += 1
    ledger = Ledger(world.folder / LEDGER_FILE)
    assert {each.adset_id for each in ads[1:]} == set(ledger.paces())
    ledger.close_file()
    # It is not tried again each second.
    assert 3 == len(tried)


def ledger_keys(world: World) -> set[Key]:
    """The budgets that the ledger knows."""
    ledger = Ledger(world.folder / LEDGER_FILE)
    found = set(ledger.standings())
    ledger.close_file()
    return found
