"""What of a true story reaches the servers: which copies are sent, when, and with which ids.

The draws are those of a stream of their own, and each event uses up the same number of them: with
another share of losses the same people still do the same things.
"""

from __future__ import annotations

import random
from typing import Literal

import msgspec

from doublet.demo.market.parameters import Market
from doublet.demo.market.population import Browser, Person
from doublet.demo.market.story import DAY_US, HOUR_US, SECOND_US, Story, TrueEvent, Visit
from doublet.demo.market.wire import events_body, hit_query, page_url

Fate = Literal["sent", "not_made", "no_consent", "blocked", "redirected", "lost"]
"""What became of a side's report: `not_made` where that side never reports such events."""

_RETRIES_MAX = 5
_REPLAY_FROM_US = 49 * HOUR_US
_REPLAY_UNTIL_US = 6 * DAY_US
_MINUTE_US = 60 * SECOND_US


class Signal(msgspec.Struct, frozen=True, array_like=True):
    """One request as a client sends it at `send_at`, µs since 1970; (person, number) names the
    true event, `copy` counts that event's requests. `content` is the query of a hit without `id`,
    or the JSON body of an events request."""

    send_at: int
    person: int
    number: int
    copy: int
    source: Literal["browser", "server"]
    content: str
    agent: str
    client_ip: str


class Copies(msgspec.Struct, frozen=True):
    """What was sent of one true event: by each side its fate and the times of its requests. The
    event_id is None where the copies bear none; `fbp` is the cookie at that moment."""

    event_id: str | None
    fbp: str | None
    browser_fate: Fate
    browser_at: tuple[int, ...]
    server_fate: Fate
    server_at: tuple[int, ...]


class _Jar:
    """The pixel's cookies in one browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._kept_at: int | None = None
        self.fbp: str | None = None
        self.fbc: str | None = None

    def visit(self, market: Market, chance: random.Random, visit: Visit) -> None:
        """Forget what was deleted since the last visit, then keep what this one brings."""
        digits, is_lost = chance.getrandbits(59), chance.random()
        if self._kept_at is not None:
            days = (visit.began_at - self._kept_at) / DAY_US
            is_short = self._browser.has_short_cookies and days > market.short_cookie_days
            if is_short or is_lost >= (1 - market.cookie_loss_per_day) ** max(days, 0.0):
                self.fbp = self.fbc = None
        self._kept_at = visit.began_at
        now_ms = visit.began_at // 1000
        self.fbp = self.fbp or f"fb.1.{now_ms}.{digits}"
        if visit.click_id:
            self.fbc = f"fb.1.{now_ms}.{visit.click_id}"


def send(
    market: Market, person: Person, story: Story, chance: random.Random
) -> tuple[list[Signal], list[Copies]]:
    """All requests of a person's story, and per true event what was sent of it."""
    signals: list[Signal] = []
    copies: list[Copies] = []
    jars = [_Jar(browser) for browser in person.browsers]
    visit_of_jars = -1
    for event in story.events:
        visit = story.visits[event.visit]
        browser, jar = person.browsers[visit.browser], jars[visit.browser]
        if event.visit != visit_of_jars:
            visit_of_jars = event.visit
            jar.visit(market, chance, visit)
        # Where the pixel never ran there are no cookies.
        has_cookies = person.has_consent and not browser.is_blocked
        fbp, fbc = (jar.fbp, jar.fbc) if has_cookies else (None, None)
        event_id = event.event_id if chance.random() >= market.without_id_share else None
        browser_fate, browser_at = _hits(market, person, browser, event, chance)
        server_fate, server_at = _reports(market, person, event, chance)
        has_server_cookies = chance.random() < market.server_cookie_share
        copies.append(Copies(event_id, fbp, browser_fate, browser_at, server_fate, server_at))
        if not browser_at and not server_at:
            continue
        url = page_url(event, visit.click_id)
        told = (person, browser, event, event_id, url)
        identity = (browser.agent, browser.client_ip)
        if browser_at:
            query = hit_query(*told, fbp, fbc)
            for n, at in enumerate(browser_at):
                place = (at, person.number, event.number, n)
                signals.append(Signal(*place, "browser", query, *identity))
        if server_at:
            cookies = (fbp, fbc) if has_server_cookies else (None, None)
            body = events_body(*told, *cookies)
            for n, at in enumerate(server_at, len(browser_at)):
                place = (at, person.number, event.number, n)
                signals.append(Signal(*place, "server", body, *identity))
    return signals, copies


def _hits(
    market: Market, person: Person, browser: Browser, event: TrueEvent, chance: random.Random
) -> tuple[Fate, tuple[int, ...]]:
    """The browser's requests: none, one, or the same one again when the page is loaded again."""
    is_lost = chance.random() < market.hit_loss_share
    at = [event.happened_at + int(chance.random() * SECOND_US)]
    if event.event_name == "Purchase":
        is_redirected = chance.random() < market.redirect_loss_share
        if chance.random() < market.redirect_double_share:
            at.append(at[0] + SECOND_US + int(chance.random() * 3 * SECOND_US))
        reload_draw, wait = chance.random(), chance.expovariate(1)
        if reload_draw < market.reload_share:
            at.append(at[-1] + SECOND_US + int(wait * market.reload_minutes * _MINUTE_US))
    else:
        is_redirected = False
    if not person.has_consent:
        return "no_consent", ()
    if browser.is_blocked:
        return "blocked", ()
    if is_redirected:
        return "redirected", ()
    return ("lost", ()) if is_lost else ("sent", tuple(at))


def _reports(
    market: Market, person: Person, event: TrueEvent, chance: random.Random
) -> tuple[Fate, tuple[int, ...]]:
    """The server's requests: none, one, or the same one retried and replayed."""
    if event.event_name not in market.server_event_names:
        return "not_made", ()
    is_lost = chance.random() < market.server_loss_share
    late_draw, lateness = chance.random(), chance.random()
    wait_us = int(chance.expovariate(1) * market.server_delay_s * SECOND_US)
    if late_draw < market.server_late_share:
        wait_us = int((1 + lateness * (market.server_late_hours_max - 1)) * HOUR_US)
    at = [event.happened_at + wait_us]
    retries = _retries(market, chance.random())
    pause_us = int(chance.expovariate(1) * market.retry_minutes * _MINUTE_US)
    for _ in range(retries):
        at.append(at[-1] + SECOND_US + min(pause_us, HOUR_US))
    replay_draw, moment = chance.random(), chance.random()
    if replay_draw < market.replay_share:
        span_us = _REPLAY_UNTIL_US - _REPLAY_FROM_US
        at.append(event.happened_at + _REPLAY_FROM_US + int(moment * span_us))
        at.sort()
    if not person.has_consent:
        return "no_consent", ()
    return ("lost", ()) if is_lost else ("sent", tuple(at))


def _retries(market: Market, draw: float) -> int:
    """How often a delivery is repeated: each attempt with the same chance, by one draw."""
    count = 0
    while count < _RETRIES_MAX and draw < market.retry_share ** (count + 1):
        count += 1
    return count
