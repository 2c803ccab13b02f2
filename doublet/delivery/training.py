"""Examples to learn from, out of the lake and the warehouse: what was chosen and seen, and what it
led to by the attribution that reports use (the last click, otherwise the last view)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from doublet.delivery.delay import WINDOW_S
from doublet.delivery.examples import AdKey, Examples
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.conversions import rate_parameters

VIEW_WINDOW_S = 86_400.0


class Goal(NamedTuple):
    """What an ad set is optimised for: an event of a pixel ("": of any). Without a name, as where
    clicks or impressions are wanted, no actions are looked for."""

    adset_id: str
    event_name: str
    pixel_id: str = ""


@cache
def _text() -> str:
    return files("doublet.delivery").joinpath("training.sql").read_text("utf-8")


def read(
    engine: Engine,
    account_id: str,
    chosen: Sequence[str],
    touched: Sequence[str],
    goals: Sequence[Goal],
    rates: Rates,
    *,
    since: float,
    until: float,
    click_s: float = WINDOW_S,
    view_s: float = VIEW_WINDOW_S,
    browser_only: bool = False,
    policy: str | None = None,
) -> Examples:
    """An account's impressions decided in [since, until) (Unix seconds), in their order.

    `chosen` and `touched` are the lake's files of `ad_decisions` and `ad_touches`. With
    `browser_only` conversions count only if the browser has told of them, to see what the
    server's copies are worth; who a person is goes by both still. With `policy` only what this
    model has chosen is read."""
    if not chosen or not touched:
        return Examples.of([])
    parameters = {
        "chosen": list(chosen),
        "touched": list(touched),
        "account_id": account_id,
        # DuckDB wants lists to hold something: no ad set is without an id.
        "adset_ids": [goal.adset_id for goal in goals] or [""],
        "event_names": [goal.event_name for goal in goals] or [""],
        "pixel_ids": [goal.pixel_id for goal in goals] or [""],
        "since": since,
        "until": until,
        "click_s": click_s,
        "view_s": view_s,
        "browser_only": browser_only,
        "policy": policy,
        **rate_parameters(rates),
    }
    return _examples(engine.columns(_text(), parameters))


def _examples(columns: Mapping[str, Any]) -> Examples:
    words: dict[str, int] = {}
    known: dict[str, list[int]] = {}
    rows = []
    for text in columns["features"]:
        places = known.get(text)
        if places is None:
            features = dict.fromkeys(text.split("\n")) if text else ()
            places = known[text] = [words.setdefault(word, len(words)) for word in features]
        rows.append(places)
    ads: dict[AdKey, int] = {}
    keys = zip(columns["ad_id"], columns["adset_id"], columns["campaign_id"], strict=True)
    ad = [ads.setdefault(AdKey(*key), len(ads)) for key in keys]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = (place for places in rows for place in places)
    clicked_at, acted_at = (
        np.where(columns[name] > 0, columns[name], np.nan) for name in ("clicked_s", "acted_s")
    )
    return Examples(
        tuple(words),
        np.append(0, np.cumsum(counts)),
        np.fromiter(flat, np.int32, int(counts.sum())),
        tuple(ads),
        np.array(ad, np.int32),
        columns["decided_s"],
        clicked_at,
        acted_at,
        columns["value"],
        columns["propensity"],
    )
