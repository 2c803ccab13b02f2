"""Days of ads in the warehouse: the last word counts, in whatever order the words came."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from doublet.models import model_sql
from doublet.models.ads import AD_MODELS
from doublet.reports.known_ads import known_ads
from tests.ads.messages import TODAY, make_ad_day
from tests.factories import NOON, SECOND, Pipeline
from tests.reports.world import SHOP

OTHER_ACCOUNT = "act_100000000000002"
NO_FIGURES: dict[str, Any] = {"date": None, "impressions": None, "clicks": None, "spend": None}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def days(pipeline: Pipeline) -> list[dict[str, Any]]:
    return pipeline.table(
        "ad_days", "account_id, platform, date, level, campaign_id, adset_id, ad_id"
    )


def names(pipeline: Pipeline) -> list[dict[str, Any]]:
    return pipeline.table("ads", "account_id, platform, level, campaign_id, adset_id, ad_id")


def test_a_later_row_of_the_same_day_replaces_the_earlier(pipeline: Pipeline) -> None:
    pipeline.append([make_ad_day(NOON), make_ad_day(NOON + 1, ad_id="a2", spend=1)])
    pipeline.refresh()
    pipeline.append([make_ad_day(NOON + 2, spend="13.10", clicks=None)])
    pipeline.refresh()
    found = [(str(r["date"]), r["ad_id"], float(r["spend"]), r["clicks"]) for r in days(pipeline)]
    assert found == [(TODAY, "a1", 13.1, None), (TODAY, "a2", 1.0, 20)]


def test_an_ad_is_one_ad_whatever_else_a_row_says(pipeline: Pipeline) -> None:
    """Once with its campaign and once alone, its spend is counted once."""
    alone = make_ad_day(NOON + 2, campaign_id=None, adset_id=None, spend=7)
    pipeline.append([make_ad_day(NOON, date="2026-05-27"), make_ad_day(NOON + 1), alone])
    pipeline.refresh()
    assert [12.5, 7.0] == [float(row["spend"]) for row in days(pipeline)]
    (ad,) = [row for row in names(pipeline) if row["level"] == "ad"]
    assert ("c1", "s1", "Red shoe") == (ad["campaign_id"], ad["adset_id"], ad["ad_name"])


def test_accounts_platforms_and_levels_are_apart(pipeline: Pipeline) -> None:
    pipeline.append(
        [
            make_ad_day(NOON),
            make_ad_day(NOON + 1, OTHER_ACCOUNT),
            make_ad_day(NOON + 2, platform="google"),
            make_ad_day(NOON + 3, date="2026-05-27"),
        ]
    )
    pipeline.refresh()
    assert 4 == len(days(pipeline))
    assert 9 == len(names(pipeline))


def test_spend_of_the_whole_is_not_counted_beside_that_of_its_parts(pipeline: Pipeline) -> None:
    campaign: dict[str, Any] = {"adset_id": None, "ad_id": None}
    pipeline.append(
        [
            make_ad_day(NOON, **campaign, spend=20),
            make_ad_day(NOON + 1, **campaign, spend=30, campaign_id="c2"),
            make_ad_day(NOON + 2, ad_id=None, spend=20),
        ]
    )
    pipeline.refresh()
    counted = "select sum(spend) as spend from ad_days where counts_spend"
    assert 50 == float(pipeline.engine.query(counted)[0]["spend"])
    pipeline.append([make_ad_day(NOON + 3, spend=12), make_ad_day(NOON + 4, spend=8, ad_id="a2")])
    pipeline.refresh()
    assert 50 == float(pipeline.engine.query(counted)[0]["spend"])
    assert {"ad": {True}, "adset": {False}, "campaign": {True, False}} == {
        level: {row["counts_spend"] for row in days(pipeline) if row["level"] == level}
        for level in ("ad", "adset", "campaign")
    }


def test_what_no_part_tells_is_counted_in_the_whole(pipeline: Pipeline) -> None:
    """An ad server knows who saw which ad, the shop what the campaign cost."""
    pipeline.append(
        [
            make_ad_day(NOON, adset_id=None, ad_id=None, impressions=9000, clicks=90, spend=30),
            make_ad_day(NOON + 1, clicks=None, spend=None),
        ]
    )
    pipeline.refresh()
    figures = ("impressions", "clicks", "spend")
    (ad, whole) = sorted(days(pipeline), key=lambda row: str(row["level"]))
    assert [True] * 3 == [ad[f"counts_{figure}"] for figure in figures]
    assert [False, True, True] == [whole[f"counts_{figure}"] for figure in figures]
    found = {row.level: row for row in known_ads(pipeline.engine, SHOP)}
    told = [(found[level].impressions, found[level].clicks) for level in ("campaign", "ad")]
    assert [(1000, 90), (1000, 0)] == told
    assert [30, 0] == [found[level].spend for level in ("campaign", "ad")]


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_later_row_leaves_out_stays_as_it_was_said(
    pipeline: Pipeline, at_once: bool
) -> None:
    bare: dict[str, Any] = dict.fromkeys(
        ("campaign_id", "campaign_name", "adset_id", "adset_name", "ad_name")
    )
    rows = [
        make_ad_day(NOON, spend=1),
        make_ad_day(NOON + 1, **bare, spend=2),
        make_ad_day(NOON + 2, **NO_FIGURES, ad_id="a2", campaign_id=None, campaign_name=None),
        make_ad_day(
            NOON + 3, **NO_FIGURES, ad_id="a2", **{**bare, "ad_name": "Blue shoe"}, currency=None
        ),
    ]
    for records in [rows] if at_once else [[row] for row in rows]:
        pipeline.append(records)
        pipeline.refresh()
    assert [2] == [row["spend"] for row in days(pipeline) if row["date"] is not None]
    fields = ("campaign_id", "campaign_name", "adset_name", "ad_name", "currency")
    assert [
        ("c1", "Spring", "Berlin", "Red shoe", "EUR"),
        ("c1", "Spring", "Berlin", "Blue shoe", "EUR"),
    ] == [tuple(row[name] for name in fields) for row in names(pipeline) if row["ad_id"]]


@pytest.mark.parametrize("is_placed_first", [True, False])
def test_an_ad_that_does_not_say_its_campaign_is_not_counted_beside_it(
    pipeline: Pipeline, is_placed_first: bool
) -> None:
    told = [
        [make_ad_day(NOON, **NO_FIGURES)],
        [
            make_ad_day(NOON + 1, campaign_id=None, adset_id=None, spend=5),
            make_ad_day(NOON + 2, adset_id=None, ad_id=None, spend=5),
        ],
    ]
    for records in told if is_placed_first else told[::-1]:
        pipeline.append(records)
        pipeline.refresh()
    assert [("ad", True), ("campaign", False)] == sorted(
        (r["level"], r["counts_spend"]) for r in days(pipeline) if r["date"] is not None
    )


def test_everything_is_called_as_it_was_called_last(pipeline: Pipeline) -> None:
    renamed: dict[str, Any] = {"campaign_name": "Summer", "adset_id": None, "ad_id": None}
    pipeline.append([make_ad_day(NOON), make_ad_day(NOON + 1, ad_id="a2", ad_name=None)])
    pipeline.refresh()
    pipeline.append([make_ad_day(NOON + 2, **NO_FIGURES, **renamed)])
    pipeline.refresh()
    assert [
        ("ad", "Summer", "Berlin", "Red shoe"),
        ("ad", "Summer", "Berlin", None),
        ("adset", "Summer", "Berlin", None),
        ("campaign", "Summer", None, None),
    ] == [(r["level"], r["campaign_name"], r["adset_name"], r["ad_name"]) for r in names(pipeline)]
    # What has no day is among the days, with nothing to be added up.
    assert [(None, None, True)] == [
        (r["date"], r["spend"], r["counts_spend"]) for r in days(pipeline) if r["date"] is None
    ]


def test_an_ad_told_with_its_ad_set_alone_belongs_to_the_campaign(pipeline: Pipeline) -> None:
    pipeline.append([make_ad_day(NOON), make_ad_day(NOON + 1, ad_id="a2", campaign_id=None)])
    pipeline.refresh()
    ads = [row for row in names(pipeline) if row["level"] == "ad"]
    assert [("a1", "c1", "Spring"), ("a2", "c1", "Spring")] == [
        (row["ad_id"], row["campaign_id"], row["campaign_name"]) for row in ads
    ]


def _random_rows(rng: random.Random, count: int) -> list[bytes]:
    rows = []
    for n in range(count):
        level = rng.choice(["campaign", "adset", "ad"])
        campaign, adset = rng.choice("12"), rng.choice("12")
        rows.append(
            make_ad_day(
                NOON + n * SECOND,
                platform=rng.choice(["meta", "google"]),
                date=rng.choice([TODAY, "2026-05-27"]),
                campaign_id=rng.choice([f"c{campaign}", None]) if level != "campaign" else "c1",
                adset_id=f"s{campaign}{adset}" if level != "campaign" else None,
                ad_id=f"a{campaign}{adset}{rng.choice('12')}" if level == "ad" else None,
                campaign_name=rng.choice([None, f"Campaign {n}"]),
                adset_name=rng.choice([None, f"Set {n}"]),
                ad_name=rng.choice([None, f"Ad {n}"]),
                spend=rng.choice([None, n]),
                impressions=rng.choice([None, n]),
            )
        )
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_and_rebuilding_change_nothing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = _random_rows(rng, 60)
    results = []
    for name in ("together", "apart"):
        pipe = Pipeline(tmp_path / name, rows_max=5)
        if name == "together":
            pipe.append(rows)
            pipe.refresh()
        else:
            # Each slot holds its rows in order; what was received first may be loaded last.
            cuts = sorted({0, *rng.sample(range(1, 60), 5), 60})
            parts = [(at, rows[start:end]) for at, (start, end) in enumerate(pairwise(cuts))]
            rng.shuffle(parts)
            for slot, part in parts:
                pipe.append(part, slot=slot)
                pipe.refresh()
        places = ("log_slot", "log_offset")
        found = [{k: v for k, v in row.items() if k not in places} for row in days(pipe)]
        results.append((found, names(pipe)))
        before = days(pipe), names(pipe)
        pipe.rebuild(7)
        assert before == (days(pipe), names(pipe))
        pipe.close()
    assert results[0] == results[1]
    assert results[0][0]


def test_rows_that_are_in_already_change_nothing(pipeline: Pipeline) -> None:
    for n in range(4):
        pipeline.append([make_ad_day(NOON + n, spend=n)])
        pipeline.refresh()
    before = days(pipeline), names(pipeline)
    paths = [file.path for file in pipeline.lake.ad_days.files()]
    with pipeline.engine.transaction() as tx:
        tx.run("delete from lake_files where path = $path", {"path": paths[1]})
    pipeline.refresh()
    assert before == (days(pipeline), names(pipeline))


@pytest.mark.parametrize("name", AD_MODELS)
def test_the_texts_are_read_by_spark_too(name: str) -> None:
    statement = sqlglot.parse_one(model_sql(name), read="duckdb")
    assert statement.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
