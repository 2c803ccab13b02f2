"""Funnels: how many persons go which steps, in order, and where they are lost."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rates import Rates
from doublet.reports import bounds
from doublet.reports.asked import DAY_S, Asked
from doublet.reports.conversions import ask, conversion_parameters
from doublet.reports.paths import share

STEPS = ("ViewContent", "AddToCart", "InitiateCheckout", "Purchase")
_STEPS_MAX = 20


class FunnelAsked(Asked, frozen=True, kw_only=True):
    """`event_name` are the steps, in order. Days are those of the first step; the others count
    within `days` days of it, whenever that is. By channel, a person belongs to the last click of
    the 28 days before their first step."""

    counts_all: ClassVar[bool] = True
    event_name: tuple[str, ...] = STEPS
    days: Annotated[int, Meta(ge=1, le=90)] = 7
    by: Literal["all", "channel"] = "all"

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        Asked.check(self)
        if not 2 <= len(self.event_name) <= _STEPS_MAX:
            raise SenderError(
                f"A funnel of {len(self.event_name)} steps.",
                f"Give event_name 2 to {_STEPS_MAX} times, in order.",
            )
        if len(set(self.event_name)) < len(self.event_name):
            raise SenderError("A step of the funnel is there twice.", "Name each event once.")
        if "PageView" in self.event_name:
            raise SenderError(
                "PageView is no step of a funnel: page views are not kept by person.",
                "Begin with ViewContent, or send an event of your own.",
            )


class FunnelRow(msgspec.Struct):
    """One step, of one channel when asked by channel (then None is no channel): how many persons
    came so far. Shares (0–1) are of those of the first step and of the step before; `lost` went no
    further; half of those who came needed at most `median_s` seconds from the first step."""

    channel: str | None
    step: int
    event_name: str
    persons: int
    share: float | None
    share_of_previous: float | None
    lost: int
    median_s: int | None


class FunnelReport(msgspec.Struct):
    """The rows by channel, the largest first, and step. `persons` entered the funnel: the sum of
    all first steps. `without_person` counts the events of the first step that belong to nobody
    known, and so are in no row."""

    rows: list[FunnelRow]
    persons: int
    completed: int
    without_person: int


def funnels(engine: Engine, account: Account, rates: Rates, asked: FunnelAsked) -> FunnelReport:
    """The steps of the funnel. Without rows when nobody took the first one."""
    start, end = bounds(account, asked.since, asked.until)
    given = {
        "account_id": account.account_id,
        "pixel_id": asked.pixel_id,
        "steps": list(asked.event_name),
        "window_s": asked.days * DAY_S,
        "since": start,
        "until": end,
        "by_channel": asked.by == "channel",
        "click_s": 28 * DAY_S,
    }
    found: dict[str | None, dict[int, tuple[int, int]]] = {}
    for row in ask(engine, given, "funnels"):
        steps = found.setdefault(row["channel"] or None, {})
        steps[row["step"]] = (row["persons"], row["median_s"])
    rows = []
    for channel, steps in sorted(
        found.items(), key=lambda pair: (-pair[1][1][0], pair[0] is None, pair[0] or "")
    ):
        counts = [steps.get(n + 1, (0, None)) for n in range(len(asked.event_name))]
        for n, ((persons, median_s), name) in enumerate(zip(counts, asked.event_name, strict=True)):
            before = counts[n - 1][0] if n else persons
            after = counts[n + 1][0] if n + 1 < len(counts) else persons
            rows.append(
                FunnelRow(
                    channel,
                    n + 1,
                    name,
                    persons,
                    share(persons, counts[0][0]),
                    share(persons, before),
                    persons - after,
                    median_s,
                )
            )
    first = msgspec.structs.replace(asked, event_name=asked.event_name[:1])
    (counted,) = ask(
        engine, conversion_parameters(account, rates, first), "counted", "chosen_conversions"
    )
    last = len(asked.event_name)
    return FunnelReport(
        rows,
        sum(row.persons for row in rows if row.step == 1),
        sum(row.persons for row in rows if row.step == last),
        counted["conversions"] - counted["with_person"],
    )
