"""The simulated market with its ads in the log: what truly came of each campaign, and what is said.

Apart from `bench/lift.py`, which prints it.
"""

from __future__ import annotations

import tempfile
import typing
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from load import ACCOUNT, PIXEL, load_all

from doublet import models
from doublet.accept import Arrival
from doublet.accept.ad_touches import touch_record
from doublet.catalog import Account
from doublet.demo.market.drive import into_log
from doublet.demo.market.lives import Life, in_order, lives
from doublet.demo.market.parameters import read_market
from doublet.demo.market.story import DAY_US, HOUR_US
from doublet.demo.market.truth import event_rows
from doublet.engine.duckdb import DuckDBEngine
from doublet.event import WireTouch
from doublet.lake import Lake
from doublet.lift.report import WINDOW_DAYS_MAX, Asked, LiftRow, Sums, judge, lift_report
from doublet.log import Log
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.rates import Rates
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.credit import Model
from doublet.settings import Settings

BEGINS_AT = 1_780_000_000_000_000
_KINDS = {"impression": "view", "click": "click", "held_out": "held_out"}
_MODELS: tuple[Model, ...] = typing.get_args(Model)


def touches(told: Iterable[Life]) -> Iterator[bytes]:
    """What the ad platform's own log says, as it is received: it knows whom it showed what by their
    address."""
    found = (
        (touch, number, life.person.em)
        for life in told
        for number, touch in enumerate(life.story.touches)
    )
    for touch, number, em in sorted(found, key=lambda each: each[0].happened_at):
        wire = WireTouch(
            touch_id=f"{touch.person}.{number}",
            kind=_KINDS[touch.kind],
            touched_at=touch.happened_at / 1_000_000,
            platform="meta",
            campaign_id=touch.campaign,
            experiment=touch.campaign,
            click_id=touch.click_id,
            user_data={"em": [em]},
        )
        arrival = Arrival(ACCOUNT, "", "server", touch.happened_at + HOUR_US, 0)
        record = touch_record(wire, arrival)
        assert isinstance(record, bytes), record
        yield record


def append(log: Log, records: Iterable[bytes]) -> None:
    """Write records to a slot of the log of their own."""
    failed: list[object] = []
    writer = log.writer(lambda tokens, error: failed.extend([error] if error else []))
    writer.submit(list(records), None)
    writer.close()
    assert not failed, failed


def modelled(folder: Path, told: list[Life]) -> DuckDBEngine:
    """The warehouse made of all that reached us."""
    settings = Settings(data=folder)
    log = DiskLog(settings.log_folder, Limits(queue_size_bytes_max=1 << 30))
    into_log(in_order(told), log, ACCOUNT, PIXEL)
    append(log, touches(told))
    engine = DuckDBEngine(settings.warehouse_file, settings.tmp_folder / "duckdb")
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    models.prepare(engine, models.Rules())
    load_all(lake, log)
    models.refresh(engine, lake, models.Rules(), 100_000)
    lake.close()
    return engine


def credit(engine: DuckDBEngine, account: Account) -> dict[str, dict[str | None, float]]:
    """By model, the purchases that each campaign is credited with under the default setting."""
    asked = CampaignsAsked(window=("default",), model=_MODELS)
    report = campaigns(engine, account, Rates(account.currency), asked)
    return {
        model: {row.campaign_id: float(row.results[n].conversions or 0) for row in report.rows}
        for n, model in enumerate(_MODELS)
    }


def known_arms(told: Iterable[Life], campaign: str) -> tuple[Sums, Sums]:
    """Held out and shown, as whoever knew all persons and purchases would have them."""
    arms = (Sums(), Sums())
    for life in told:
        times = [touch.happened_at for touch in life.story.touches if touch.campaign == campaign]
        if not times:
            continue
        first = min(times)
        purchases = sum(order.ordered_at >= first for order in life.story.orders)
        arm = arms[campaign not in life.person.holdouts]
        arm.persons += 1
        arm.converters += purchases > 0
        arm.conversions += purchases
        arm.conversions_squared += purchases**2
        arm.first_time = min(first // 1_000_000, arm.first_time or first)
    return arms


def market(seed: int, persons: int, days: float, through: bool) -> list[dict[str, Any]]:
    """A row for each campaign: truth, and the lift of whoever knew all; `through` the machine also
    what of it reached us, what models credit and the lift that the report shows."""
    plan = read_market()
    told = list(lives(plan, seed, range(persons), BEGINS_AT, days))
    end = (BEGINS_AT + int(days * DAY_US)) // 1_000_000
    true: Counter[str] = Counter()
    arrived: Counter[str] = Counter()
    for life in told:
        for event in event_rows(life):
            true.update(event.caused_by)
            arrived.update(event.caused_by if event.has_arrived else ())
    asked = Asked(window_days=WINDOW_DAYS_MAX)
    credits: dict[str, dict[str | None, float]] = {}
    found: dict[str | None, LiftRow] = {}
    if through:
        with tempfile.TemporaryDirectory() as made:
            engine = modelled(Path(made), told)
            account = Account(ACCOUNT, "market", "UTC", plan.currency)
            credits = credit(engine, account)
            report = lift_report(engine, account, Rates(account.currency), asked, end)
            found = {row.campaign_id: row for row in report.rows}
            engine.close()
    rows = []
    for name in (campaign.name for campaign in plan.campaigns):
        known = judge(asked, name, name, *known_arms(told, name), end)
        row: dict[str, Any] = {"seed": seed, "campaign": name, "truth": true[name]}
        if through:
            row["of it arrived"] = arrived[name]
            row |= {m.replace("_", " "): round(credits[m].get(name, 0)) for m in _MODELS}
            row |= {"held out": found[name].held_out.persons, "shown": found[name].shown.persons}
            row |= _lift("lift", found[name])
        rows.append(row | _lift("known lift", known))
    return rows


def _lift(title: str, row: LiftRow) -> dict[str, int | None]:
    effect = row.conversions
    return {
        title: round(effect.incremental) if effect else None,
        f"{title}, low": round(effect.incremental_low) if effect else None,
        f"{title}, high": round(effect.incremental_high) if effect else None,
    }


def held(rows: Iterable[dict[str, Any]], title: str, truth: str) -> str:
    """How many of the intervals of that title hold the truth."""
    given = [row for row in rows if row.get(title) is not None]
    good = sum(row[f"{title}, low"] <= row[truth] <= row[f"{title}, high"] for row in given)
    return f"{good} of {len(given)} intervals of {title} hold {truth}."
