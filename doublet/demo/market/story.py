"""What truly happens to one person: ads seen and clicked, visits, purchases, refunds.

A story depends on the market, the seed and the person's number alone. Ads change it in one way
only, by the planted effect: the same draw decides whether a visit ends with a purchase with the ads
and without them, so that for each purchase it is known whether ads have caused it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Literal, NamedTuple

import msgspec

from doublet.demo.market.parameters import Campaign, Market
from doublet.demo.market.population import DESKTOP, IN_APP, PHONE, Person
from doublet.demo.orders import Line, amount_cents
from doublet.demo.products import PRODUCT_BY_SLUG, PRODUCTS

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US

_EAGER_TASTES = frozenset(product.slug for product in PRODUCTS[: len(PRODUCTS) // 2])
_CLICK_ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


class Touch(msgspec.Struct, frozen=True):
    """An ad shown or clicked; `held_out`: left out, since the person is in the holdout.

    Times are µs since 1970, UTC. `browser` is the place in `Person.browsers`.
    """

    person: int
    campaign: str
    kind: Literal["impression", "click", "held_out"]
    happened_at: int
    browser: int
    click_id: str | None = None


class TrueEvent(msgspec.Struct, frozen=True):
    """One thing that a person did on the shop's site. `number` counts the person's events; `lines`
    is the product or the cart, `visit` the place in `Story.visits`."""

    number: int
    visit: int
    event_name: str
    event_id: str
    happened_at: int
    lines: tuple[Line, ...]
    currency: str
    order_id: str | None = None


class Visit(msgspec.Struct, frozen=True):
    """One visit in one browser. `buys_without_ads` is what would have been had no ad been shown,
    `caused_by` the campaigns without any one of which there would have been no purchase."""

    began_at: int
    browser: int
    click_id: str | None
    buys: bool
    buys_without_ads: bool
    exposed_to: tuple[str, ...]
    caused_by: tuple[str, ...]
    chance_draw: float


class Change(msgspec.Struct, frozen=True):
    """A refund or an edit of an order: `amount_cents` is added to its value."""

    kind: Literal["refund", "edit"]
    happened_at: int
    amount_cents: int


class Order(msgspec.Struct, frozen=True):
    """A purchase as the shop's books have it, with all that became of it."""

    order_id: str
    event_number: int
    visit: int
    ordered_at: int
    currency: str
    value_cents: int
    changes: tuple[Change, ...]

    @property
    def net_cents(self) -> int:
        """What the shop has earned in the end."""
        return self.value_cents + sum(change.amount_cents for change in self.changes)


class Story(msgspec.Struct, frozen=True):
    """One person's true story. Touches and visits are in order of time, events and orders in order
    of their visits."""

    touches: list[Touch]
    visits: list[Visit]
    events: list[TrueEvent]
    orders: list[Order]


class _Coming(NamedTuple):
    """A visit that is about to be: unprompted, by a click, or to buy again after `first`."""

    began_at: int
    browser: int
    click: Touch | None = None
    displaces: bool = False
    first: Visit | None = None

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return (self.began_at, self.browser) < other[:2]


def tell_story(
    market: Market, person: Person, chance: random.Random, begins_at: int, days: float
) -> Story:
    """All that happens from `begins_at` (µs since 1970) for `days` days; orders are followed on."""
    ends_at = begins_at + int(days * DAY_US)
    story = Story([], [], [], [])
    comings = _unprompted(market, person, chance, begins_at, ends_at)
    for campaign in market.campaigns:
        comings += _advertise(market, campaign, person, chance, story.touches, begins_at, ends_at)
    story.touches.sort(key=lambda touch: (touch.happened_at, touch.campaign))
    heapify(comings)
    while comings:
        again = _visit(market, person, chance, story, heappop(comings))
        if again is not None and again.began_at < ends_at:
            heappush(comings, again)
    return story


def appeal(market: Market, person: Person) -> float:
    """What a person's taste multiplies the chance of a purchase with."""
    is_eager = person.taste in _EAGER_TASTES
    return 1 + market.taste_effect if is_eager else 1 - market.taste_effect


def _moments(chance: random.Random, per_day: float, begins_at: int, ends_at: int) -> Iterator[int]:
    """The times of a Poisson process."""
    if per_day <= 0:
        return
    now = begins_at + chance.expovariate(per_day) * DAY_US
    while now < ends_at:
        yield int(now)
        now += chance.expovariate(per_day) * DAY_US


def _unprompted(
    market: Market, person: Person, chance: random.Random, begins_at: int, ends_at: int
) -> list[_Coming]:
    has_desktop = len(person.browsers) > DESKTOP
    comings = []
    for at in _moments(chance, market.visits_per_day * person.activity, begins_at, ends_at):
        on_desktop = chance.random() < market.desktop_visit_share and has_desktop
        comings.append(_Coming(at, DESKTOP if on_desktop else PHONE))
    return comings


def _advertise(
    market: Market,
    campaign: Campaign,
    person: Person,
    chance: random.Random,
    touches: list[Touch],
    begins_at: int,
    ends_at: int,
) -> list[_Coming]:
    """A campaign's impressions and clicks; the visits that the clicks bring.

    The draws are the same whether the person is held out or not, so that only the ads differ.
    """
    has_desktop = len(person.browsers) > DESKTOP
    is_held_out = campaign.name in person.holdouts
    comings = []
    per_day = campaign.impressions_per_day * person.activity
    for at in _moments(chance, per_day, begins_at, ends_at):
        on_phone = chance.random() < market.ad_on_phone_share or not has_desktop
        place = IN_APP if on_phone else DESKTOP
        kind: Literal["held_out", "impression"] = "held_out" if is_held_out else "impression"
        touches.append(Touch(person.number, campaign.name, kind, at, place))
        if chance.random() >= campaign.click_share:
            continue
        in_app = chance.random() < market.in_app_share
        displaces = chance.random() < market.click_displaces_share
        click_id = f"IwAR{''.join(chance.choices(_CLICK_ID, k=57))}"
        clicked_at = at + 3 * SECOND_US
        if is_held_out:
            # The visit that the click would have displaced takes place all the same.
            comings += [_Coming(clicked_at, PHONE if on_phone else DESKTOP)] * displaces
            continue
        place = PHONE if on_phone and not in_app else place
        click = Touch(person.number, campaign.name, "click", clicked_at, place, click_id)
        touches.append(click)
        comings.append(_Coming(clicked_at + SECOND_US, place, click, displaces))
    return comings


def _visit(
    market: Market, person: Person, chance: random.Random, story: Story, coming: _Coming
) -> _Coming | None:
    """Let a visit happen; the one that follows it up, if any."""
    visit = _decide(market, person, chance, story.touches, coming)
    story.visits.append(visit)
    path = _Path(market, person, chance, story, visit)
    if coming.first is None:
        path.look_around()
    else:
        path.step("PageView", ())
    if visit.buys:
        path.buy()
        if chance.random() < market.repeat_share:
            wait_us = int(chance.expovariate(1) * market.repeat_hours * HOUR_US) + HOUR_US // 6
            return _Coming(path.now + wait_us, coming.browser, first=visit)
    else:
        path.give_up()
    return None


def _decide(
    market: Market,
    person: Person,
    chance: random.Random,
    touches: Sequence[Touch],
    coming: _Coming,
) -> Visit:
    """Whether the visit ends with a purchase: with the ads, without any, without each one."""
    at, first, click = coming.began_at, coming.first, coming.click
    click_id = click.click_id if click else None
    if first is not None:
        # Who comes to buy again does so because of the first purchase, and of what caused that.
        known = (first.buys_without_ads, first.exposed_to, first.caused_by, first.chance_draw)
        return Visit(at, coming.browser, click_id, True, *known)
    since = at - int(market.effect_days * DAY_US)
    seen = {t.campaign for t in touches if t.kind == "impression" and since <= t.happened_at < at}
    exposed = tuple(campaign for campaign in market.campaigns if campaign.name in seen)
    base = market.purchase_share * person.propensity * appeal(market, person)
    factor = 1.0
    for campaign in exposed:
        factor *= campaign.effect
    draw = chance.random()
    # A visit that only the click brought would not have been without its campaign.
    brought_by = click.campaign if click and not coming.displaces else None
    buys = draw < min(base * factor, market.purchase_share_max)
    without_ads = brought_by is None and draw < min(base, market.purchase_share_max)
    caused_by = []
    for campaign in market.campaigns if buys else ():
        others = base * factor / campaign.effect if campaign in exposed else base * factor
        would_buy = draw < min(others, market.purchase_share_max)
        if campaign.name == brought_by or not would_buy:
            caused_by.append(campaign.name)
    names = tuple(campaign.name for campaign in exposed)
    return Visit(at, coming.browser, click_id, buys, without_ads, names, tuple(caused_by), draw)


class _Path:
    """The steps of one visit, noted in the story as they are made."""

    def __init__(
        self, market: Market, person: Person, chance: random.Random, story: Story, visit: Visit
    ) -> None:
        self._market = market
        self._person = person
        self._taste = PRODUCT_BY_SLUG[person.taste]
        self._chance = chance
        self._story = story
        self.now = visit.began_at
        is_second = chance.random() < market.second_currency_share
        self._currency = market.second_currency if is_second else market.currency
        self._cart: tuple[Line, ...] = ()

    def step(self, event_name: str, lines: tuple[Line, ...], order_id: str | None = None) -> None:
        """The next thing done."""
        chance, story = self._chance, self._story
        bits = f"{chance.getrandbits(128):032x}"
        # The form of a random UUID (RFC 9562, version 4), as plug-ins make them.
        event_id = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
        number, visit = len(story.events), len(story.visits) - 1
        told = (event_name, event_id, self.now, lines, self._currency, order_id)
        story.events.append(TrueEvent(number, visit, *told))
        self.now += int((0.2 + 1.6 * chance.random()) * self._market.step_s * SECOND_US)

    def look_around(self) -> None:
        """The landing page and some products."""
        self.step("PageView", ())
        chance = self._chance
        for _ in range(1 + int(chance.random() * self._market.products_seen_max)):
            is_taste = chance.random() < self._market.taste_share
            product = self._taste if is_taste else chance.choice(PRODUCTS)
            self.step("ViewContent", (Line(product, 1),))
            self._cart = (Line(product, 1),)

    def give_up(self) -> None:
        """Leave without a purchase, perhaps from the cart or the checkout."""
        if self._chance.random() < self._market.cart_share:
            self.step("AddToCart", self._cart)
            if self._chance.random() < self._market.checkout_share:
                self.step("InitiateCheckout", self._cart)

    def buy(self) -> None:
        """Fill the cart, pay; and what becomes of the order."""
        product = self._cart[0].product if self._cart else self._taste
        self._cart = (Line(product, 1 + int(self._chance.random() * 2)),)
        self.step("AddToCart", self._cart)
        if self._chance.random() < 0.3:
            other = self._chance.choice([one for one in PRODUCTS if one is not product])
            self.step("AddToCart", (Line(other, 1),))
            self._cart += (Line(other, 1),)
        self.step("InitiateCheckout", self._cart)
        orders = self._story.orders
        order_id = f"M{self._person.number}-{len(orders) + 1}"
        ordered_at, number = self.now, len(self._story.events)
        self.step("Purchase", self._cart, order_id)
        value = amount_cents(self._cart)
        visit = len(self._story.visits) - 1
        known = (order_id, number, visit, ordered_at, self._currency, value)
        orders.append(Order(*known, self._changes(ordered_at, value)))

    def _changes(self, ordered_at: int, value_cents: int) -> tuple[Change, ...]:
        market, chance = self._market, self._chance
        changes = []
        if chance.random() < market.edit_share:
            price = self._cart[-1].product.price_cents
            # Of a single line nothing is taken off: that would be a refund.
            amount = -price if len(self._cart) > 1 and chance.random() < 0.5 else price
            changes.append(Change("edit", self._later(ordered_at), amount))
            value_cents += amount
        if chance.random() < market.refund_share:
            amount = -value_cents if chance.random() < 0.5 else -(value_cents // 2)
            at = self._later(changes[-1].happened_at if changes else ordered_at)
            changes.append(Change("refund", at, amount))
        return tuple(changes)

    def _later(self, at: int) -> int:
        return at + int(self._chance.expovariate(1) * self._market.change_days * DAY_US)
