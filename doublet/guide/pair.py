"""Whether events came from both sides and became one: the check's own pair, and a person's test.

Questions to the tables; the answers are findings. The server's copy of a shop's order cannot carry
the test code: it belongs to the test because it has the event id of a browser's copy that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from doublet.accept import stored_event_id
from doublet.catalog import Setup
from doublet.engine import Engine
from doublet.guide.answers import EVENT_OF_GOAL
from doublet.guide.finding import Finding, failed, noted, passed, skipped, unseen, waiting
from doublet.refused import Cause

EVENTS_MAX = 200
_NEAR = timedelta(minutes=15)


class Arrived(NamedTuple):
    """An event as the tables have it now."""

    event_id: str | None
    event_name: str
    browser_copies: int
    server_copies: int
    value: Decimal | None
    currency: str | None
    order_id: str | None
    is_test: bool
    last_received_at: datetime

    @property
    def is_pair(self) -> bool:
        """Whether both sides reported it."""
        return self.browser_copies > 0 and self.server_copies > 0


_ASK = (
    "select event_id, event_name, browser_copies, server_copies, value, currency, order_id, "
    "is_test, last_received_at from events_deduplicated "
    "where account_id = $account_id and pixel_id = $pixel_id and event_name = $event_name "
    "and last_received_at >= to_timestamp($since) "
    "order by last_received_at desc, event_key limit $events_max"
)


def arrived(engine: Engine, setup: Setup, event_name: str) -> list[Arrived]:
    """Events of a name since the setup was made, the newest first."""
    rows = engine.query(
        _ASK,
        {
            "account_id": setup.account_id,
            "pixel_id": setup.pixel_id,
            "event_name": event_name,
            "since": setup.created_at,
            "events_max": EVENTS_MAX,
        },
    )
    return [Arrived(**row) for row in rows]


class Sent(NamedTuple):
    """What became of the check's own event from a server: the answer's status, or why there was
    none. `url` is where it was sent."""

    url: str
    status: int | None = None
    refused: str = ""
    message: str = ""


def judge_road(sent: Sent | None, public_url: str) -> Finding:
    """Whether a server can report events."""
    if sent is None:
        return unseen(
            "There is no access token at hand to try it with.",
            "Make a new one below, or sign in with the account's own token, and check again.",
        )
    if sent.status is None:
        return failed(
            "server_unreachable",
            f"{sent.url} cannot be reached from here: {sent.message}",
            "Look at the name, the certificate and the web server in front, which must pass "
            "/v25.0/… on with POST.",
        )
    if sent.status >= 400:
        return failed(
            "server_refused",
            f"{sent.url} answers {sent.status}: {sent.message}",
            "Send the token of this account in DOUBLET_ACCESS_TOKEN; where the answer is not "
            "Doublet's, have the web server in front pass /v25.0/… on.",
        )
    if not sent.url.startswith(public_url + "/"):
        return noted(
            "server_local",
            f"The server's event was taken at {sent.url}; {public_url} cannot be reached from "
            "this machine.",
            "Nothing, if servers elsewhere reach it; many routers do not lead a machine back to "
            "itself.",
        )
    return passed(f"A server's event was taken at {sent.url}.")


def judge_pair(events: Sequence[Arrived], event_id: str | None, sent: Sent | None) -> Finding:
    """Whether the check's own two copies are one event."""
    if not event_id:
        return skipped("No PageView was sent.")
    if sent is None or sent.status is None or sent.status >= 400:
        return skipped("The server's copy was not taken.")
    found = next((event for event in events if event.event_id == event_id), None)
    if found is None:
        return waiting("Both copies are durable and not loaded yet.", "Check again in a moment.")
    if not found.is_pair:
        return failed(
            "pair_apart",
            f"The copies with the id {event_id} did not become one event.",
            "Look at `doublet explain` with this id, and whether `doublet work` runs.",
        )
    return passed(f"Browser's and server's copy of {event_id} are one event.")


class Trial(NamedTuple):
    """What came of a person's test."""

    browser: Finding
    server: Finding
    one: Finding
    event_id: str = ""


def judge_trial(
    events: Sequence[Arrived],
    setup: Setup,
    *,
    pasted: str = "",
    refused: Sequence[Cause] = (),
    from_shop: bool = False,
    rule_of: Callable[[str], str] = lambda event_id: "event_id",
) -> Trial:
    """What came of a person's test order or form. `pasted` is the event id that they name
    themselves, `refused` why requests of this pixel were refused, `from_shop` says that the
    server's copy comes by a webhook. `rule_of` tells by which rule an event's copies are one."""
    name = EVENT_OF_GOAL[setup.goal]
    wanted = stored_event_id(pasted) if pasted else ""
    mine = [e for e in events if (e.event_id == wanted if wanted else e.is_test)]
    both = next((event for event in mine if event.is_pair), None)
    mine_of_browser = [event for event in mine if event.browser_copies]
    if both is None and not mine_of_browser:
        return _without_browser(events, name, setup, wanted)
    event = both or mine_of_browser[0]
    browser = _judge_browser(event, name)
    if both is not None:
        return Trial(
            browser,
            passed(f"The server's {name} came."),
            _of_both(both, name, rule_of),
            both.event_id or "",
        )
    return Trial(
        browser,
        _judge_server(event, events, name, refused, from_shop),
        waiting(f"For both copies of the {name}."),
        event.event_id or "",
    )


def _without_browser(events: Sequence[Arrived], name: str, setup: Setup, wanted: str) -> Trial:
    then = waiting(f"For the browser's {name} first.")
    if wanted:
        browser = waiting(
            f"No {name} with the event id {wanted} came from a browser.",
            "Look at its spelling: it is the eventID of the browser's call.",
        )
        return Trial(browser, then, then)
    uncoded = next((event for event in events if event.browser_copies and not event.is_test), None)
    if uncoded is not None:
        browser = failed(
            "test_without_code",
            f"A {name} came from a browser without the test code ({uncoded.event_id}), so it "
            "counts as a real one.",
            "Open the site by the link with the test code first and stay in that tab, or name that "
            "event id to have it checked as it is.",
        )
        return Trial(browser, then, then)
    action = "make a test order" if setup.goal == "purchases" else "send the form in"
    browser = waiting(
        f"No {name} with the test code came from a browser yet.",
        f"Open the site by the link with the test code, and {action} in the same tab.",
    )
    return Trial(browser, then, then)


def _judge_browser(event: Arrived, name: str) -> Finding:
    if name == "Purchase" and (event.value is None or event.currency is None):
        lacking = "value" if event.value is None else "currency"
        return failed(
            "test_without_value",
            f"The browser's Purchase {event.event_id} has no {lacking}.",
            'Give both in the call: fbq("track", "Purchase", {value: 49.90, currency: "EUR"}, …); '
            "value is a number.",
        )
    amount = f" of {event.value:f} {event.currency}" if event.value is not None else ""
    return passed(f"The browser's {name}{amount} has the event id {event.event_id}.")


def _judge_server(
    event: Arrived,
    events: Sequence[Arrived],
    name: str,
    refused: Sequence[Cause],
    from_shop: bool,
) -> Finding:
    alone = [e for e in events if _may_be_copy(e, event)]
    other = next((e for e in alone if e.event_id is not None), None)
    if other is not None:
        return failed(
            "ids_differ",
            f"The server's {name} has the event id {other.event_id}, the browser's "
            f"{event.event_id}: they stay two events.",
            "Give both the same event id: the browser's eventID and the server's event_id are made "
            "once, for an order best of its own id.",
        )
    if alone:
        return failed(
            "server_without_id",
            f"The server's {name} has no event id.",
            f"Send event_id with the server's copy; the browser's is {event.event_id}.",
        )
    cause = next((c for c in refused if c.source == "server"), None)
    if cause is not None:
        return failed(
            "server_event_refused", f"The server's request was refused: {cause.message}", cause.fix
        )
    if from_shop:
        return waiting(
            f"The shop has not reported the {name} yet.",
            "Look at the webhook's address, topics and secret in the step above; the shop's own "
            "log of deliveries says what was answered.",
        )
    return waiting(
        f"The server has not reported the {name} {event.event_id} yet.",
        "Look whether the server's piece runs where the order or form is taken, and has "
        "DOUBLET_ACCESS_TOKEN.",
    )


def _may_be_copy(other: Arrived, event: Arrived) -> bool:
    """Whether an event of a server alone looks like the copy that lacks; a shop has other orders
    too."""
    apart = abs(other.last_received_at - event.last_received_at)
    same = other.value == event.value and other.currency == event.currency
    return bool(other.server_copies and not other.browser_copies and same and apart <= _NEAR)


def _of_both(event: Arrived, name: str, rule_of: Callable[[str], str]) -> Finding:
    says = (
        f"{event.browser_copies} of the browser and {event.server_copies} of the server are one "
        f"{name}, {event.event_id}."
    )
    rule = rule_of(event.event_id) if event.event_id else ""
    if rule in ("", "event_id"):
        return passed(says)
    return noted(
        "joined_otherwise",
        f"{says} They were joined by {rule}, since their event ids differ.",
        "Give both the same event id, which also joins what has no order id.",
    )
