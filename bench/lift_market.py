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
from doublet.engine import Engine
from doublet.engine.duckdb import DuckDBEngine
from doublet.event import WireTouch
from doublet.lake import Lake
from doublet.lift.report import WINDOW_DAYS_MAX, Asked, lift_report
from doublet.log import Log
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.rates import Rates, load_rates
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.credit import Model
from doublet.settings import Settings

BEGINS_AT = 1_780_000_000_000_000
_KINDS = {"impression": "view", "click": "click", "held_out": "held_out"}
MODELS: tuple[Model, ...] = typing.get_args(Model)


def touches(told: Iterable[Life]) -> Iterator[bytes]:
    """What the ad platform's own log says: it knows whom it showed what by their address."""
    for life in told:
        for number, touch in enumerate(life.story.touches):
            wire = WireTouch(
                touch_id=f"{touch.person}.{number}",
                kind=_KINDS[touch.kind],
                touched_at=touch.happened_at / 1_000_000,
                platform="meta",
                campaign_id=touch.campaign,
                experiment=touch.campaign,
                click_id=touch.click_id,
                user_data={"em": [life.person.em]},
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


def credits(engine: Engine, account: Account, rates: Rates) -> dict[str, dict[str | None, float]]:
    """The purchases of each campaign by each model, as the report on campaigns has them: clicks of
    7 days, otherwise views of 1 day."""
    asked = CampaignsAsked(event_name=("Purchase",), window=("default",), model=MODELS)
    report = campaigns(engine, account, rates, asked)
    found: dict[str, dict[str | None, float]] = {model: {} for model in MODELS}
    for row in report.rows:
        for result in row.results:
            if row.is_attributed:
                found[result.model][row.campaign_id] = float(result.conversions or 0)
    return found


def market(seed: int, persons: int, days: float) -> list[dict[str, Any]]:
    """A row for each campaign: truth, what of it reached us, each model's credit, lift."""
    plan = read_market()
    told = list(lives(plan, seed, range(persons), BEGINS_AT, days))
    true: Counter[str] = Counter()
    arrived: Counter[str] = Counter()
    for life in told:
        for event in event_rows(life):
            true.update(event.caused_by)
            arrived.update(event.caused_by if event.has_arrived else ())
    with tempfile.TemporaryDirectory() as made:
        engine = modelled(Path(made), told)
        account = Account(ACCOUNT, "market", "UTC", plan.currency)
        rates = load_rates(Path(made) / "rates", ACCOUNT, plan.currency)
        credited = credits(engine, account, rates)
        asked = Asked(window_days=WINDOW_DAYS_MAX)
        end = (BEGINS_AT + int(days * DAY_US)) // 1_000_000
        found = {row.campaign_id: row for row in lift_report(engine, account, asked, end).rows}
        engine.close()
    rows = []
    for campaign in plan.campaigns:
        row, effect = found[campaign.name], found[campaign.name].conversions
        rows.append(
            {
                "seed": seed,
                "campaign": campaign.name,
                "held out": row.held_out.persons,
                "shown": row.shown.persons,
                "truth": true[campaign.name],
                "of it arrived": arrived[campaign.name],
                **{name: round(made.get(campaign.name, 0)) for name, made in credited.items()},
                "lift": round(effect.incremental) if effect else None,
                "low": round(effect.incremental_low) if effect else None,
                "high": round(effect.incremental_high) if effect else None,
            }
        )
    return rows
