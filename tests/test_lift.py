"""Lift: who is held out, whether intervals hold the truth, what the warehouse's arms are."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from doublet.catalog import Account
from doublet.lift import is_held_out
from doublet.lift.estimate import CONVERTERS_MIN, Limits, Moments, mismatch
from doublet.lift.power import Plan, lift_detectable, persons_needed
from doublet.lift.report import Asked, LiftRow, Sums, judge, lift_report
from doublet.rates import Rate, Rates
from tests.dashboard import Site
from tests.factories import ACCOUNT, HOUR, NOON, SECOND, Pipeline
from tests.lifting import Arms, Coverage, Trial, coverage, intervals, sums, true_means
from tests.persons.touching import DAY, em, fbp, make, make_touch

OURS = Account(ACCOUNT, "Ours", "UTC", "USD")
NO_RATES = Rates("USD")
LATER = NOON // SECOND + 100 * 86_400
"""When everything in these tests is over, in Unix seconds."""


# --- the draw --------------------------------------------------------------------------------


def test_the_draw_is_the_one_that_is_documented() -> None:
    for number in range(50):
        digest = hashlib.sha256(f"spring\nperson-{number}".encode()).hexdigest()
        expected = int(digest[:16], 16) / 2**64 < 0.3
        assert expected == is_held_out("spring", f"person-{number}", 0.3)


def test_the_share_that_is_held_out_is_the_share_asked_for() -> None:
    drawn = sum(is_held_out("spring", f"person-{n}", 0.1) for n in range(20_000))
    assert abs(drawn - 2000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5
    assert not any(is_held_out("spring", str(n), 0) for n in range(100))
    assert all(is_held_out("spring", str(n), 1) for n in range(100))


def test_a_larger_share_holds_out_the_same_persons_and_more() -> None:
    small, large = ({n for n in range(2000) if is_held_out("a", str(n), s)} for s in (0.1, 0.2))
    assert small < large


def test_experiments_draw_independently() -> None:
    first, second = ({n for n in range(9000) if is_held_out(e, str(n), 0.5)} for e in "ab")
    assert abs(len(first & second) - 2250) < 4 * (9000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        is_held_out("spring", "person-1", share)


# --- intervals -------------------------------------------------------------------------------

SEEDS = range(400)
TRIALS = [
    Trial(2_000, 0.1, 1.0),
    Trial(2_000, 0.1, 1.4, click_share=0.05),
    Trial(1_000, 0.5, 2.0),
    Trial(6_000, 0.1, 1.0, purchase_share=0.012),
]


def is_exact(found: Coverage) -> bool:
    """Within four standard errors of 95 %, and of as many misses on either side; with 400 trials
    these errors are 1.1 % each."""
    return abs(found.held - 0.95) < 0.044 and abs(found.below - found.above) < 0.044


def covered(trial: Trial, kind: str, arms: Arms) -> list[Coverage]:
    """Of the difference, and of the ratio."""
    without, with_ads = true_means(trial, 400_000)[kind]
    truths = (with_ads - without, with_ads / without)
    found = intervals(kind, arms)
    return [coverage(o, t, arms.has_enough) for o, t in zip(found, truths, strict=True)]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda t: f"{t.persons}-{t.effect}")
def test_intervals_hold_the_truth_as_often_as_they_say(trial: Trial) -> None:
    for kind, arms in sums(trial, SEEDS).items():
        assert arms.has_enough.mean() > 0.6
        for found in covered(trial, kind, arms):
            assert is_exact(found), (kind, found)


def test_the_measure_of_intervals_tells_wrong_ones() -> None:
    """As if each purchase were another person's; and Welch's, which is lopsided for values."""
    told = sums(Trial(1_000, 0.1, 1.0), SEEDS)
    numbers, values = told["conversions"], told["value"]
    poisson = [
        Moments(arm.persons, arm.total, arm.total) for arm in (numbers.held_out, numbers.shown)
    ]
    for pair in (poisson, [values.held_out, values.shown]):
        figure = pair[1].mean - pair[0].mean
        half = 1.96 * np.sqrt(sum(arm.variance / arm.persons for arm in pair))
        found = coverage(Limits(figure, figure - half, figure + half), 0.0, figure == figure)
        assert not is_exact(found), found


def test_an_effect_agrees_with_published_figures() -> None:
    """Newcombe (1998), Table II: 56/70 and 48/80 differ by 0.0524 to 0.3339 by method 10."""
    (apart, _) = intervals(
        "converters",
        Arms(Moments(80, 48, 48), Moments(70, 56, 56), np.array(48), np.array(56)),
    )
    assert (0.2, 0.0524, 0.3339) == tuple(round(float(value), 4) for value in apart)


# --- power -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "effect"), [(0.1, 1.5), (0.5, 1.5), (0.3, 0.5)])
def test_as_many_persons_as_needed_show_the_lift_as_often_as_wanted(
    share: float, effect: float
) -> None:
    base = Trial(100_000, 0.5, effect)
    without, with_ads = true_means(base, 400_000)["conversions"]
    (one,) = sums(base, range(1))["conversions"].held_out.variance
    plan = Plan(without, one / without, share)
    lift = with_ads / without - 1
    persons = persons_needed(plan, lift)
    arms = sums(Trial(persons, share, effect), SEEDS)["conversions"]
    apart, _ = intervals("conversions", arms)
    shown = float(((apart.low > 0) | (apart.high < 0)).mean())
    assert abs(shown - 0.8) < 4 * (0.8 * 0.2 / len(SEEDS)) ** 0.5 + 0.02


def test_the_lift_detectable_is_the_one_that_needs_so_many_persons() -> None:
    plan = Plan(0.05, 1.4, 0.1)
    found = lift_detectable(plan, 50_000)
    assert found is not None
    assert abs(persons_needed(plan, found) - 50_000) <= 5
    assert lift_detectable(plan, 100_000) < found  # type: ignore[operator]
    assert lift_detectable(plan, 2) is None


# --- judging ---------------------------------------------------------------------------------


def arm(persons: int, converters: int, **fields: Any) -> Sums:
    """One conversion of 10 for each converter."""
    made = Sums(persons, converters, converters, converters)
    made.value, made.value_squared = Decimal(10 * converters), 100.0 * converters
    made.first_time = LATER - 10 * 86_400
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def judged(held_out: Sums, shown: Sums, **asked: Any) -> LiftRow:
    return judge(Asked(**asked), "spring", None, held_out, shown, LATER)


def test_too_few_converters_give_no_figure_but_say_how_many_persons_are_missing() -> None:
    row = judged(arm(1000, 10, lately=350), arm(9000, 180, lately=3150))
    assert "not enough data" == row.verdict
    assert (None, None, None) == (row.converters, row.conversions, row.value)
    assert "10 of those held out" in row.reason
    # Twice as many persons have twice as many converters; 3,500 came in the last 7 days.
    assert (10_000, 20.0) == (row.more_persons, row.more_days)
    enough = judged(arm(2000, 20), arm(18_000, 360))
    assert enough.conversions is not None


@pytest.mark.parametrize(
    ("held_out", "shown", "said"),
    [
        (Sums(), arm(50, 30), "nobody was held out"),
        (arm(50, 30), Sums(), "nobody was shown"),
        (arm(50, 0), arm(50, 0), "Only 0"),
    ],
)
def test_nothing_to_compare_gives_no_figure(held_out: Sums, shown: Sums, said: str) -> None:
    row = judged(held_out, shown)
    assert said in row.reason
    assert (None, None) == (row.conversions, row.more_persons)


def test_arms_of_the_wrong_size_give_no_figure() -> None:
    row = judged(arm(1000, 100), arm(8000, 900), holdout=0.1)
    assert ("mismatched", None) == (row.verdict, row.conversions)
    assert row.mismatch is not None
    assert row.mismatch.p_value < 0.001
    assert "more" == judged(arm(1000, 70), arm(9000, 900), holdout=0.1).verdict
    assert judged(arm(1000, 70), arm(9000, 900)).mismatch is None


def test_an_effect_is_shown_only_where_both_intervals_leave_zero_out() -> None:
    found = judged(arm(1000, 60), arm(9000, 900)).conversions
    assert found is not None
    assert found.is_shown
    assert not msgspec.structs.replace(found, lift_low=-0.01).is_shown
    assert not msgspec.structs.replace(found, per_person_low=-0.01).is_shown


def test_few_sound_experiments_are_called_mismatched() -> None:
    chance = np.random.default_rng(5)
    held_out = chance.binomial(5000, 0.1, 20_000)
    wrong = sum(mismatch(int(n), 5000 - int(n), 0.1).is_mismatch for n in held_out[:4000])
    assert wrong <= 14


def test_an_interval_that_holds_zero_says_what_it_would_take() -> None:
    row = judged(arm(1000, 100, lately=100), arm(9000, 905, lately=900), lift=0.1)
    assert "not shown" == row.verdict
    assert row.conversions is not None
    assert row.conversions.lift_low < 0 < row.conversions.lift_high
    assert row.lift_detectable is not None
    assert row.more_persons is not None
    assert row.more_persons > 10_000
    assert row.more_days == pytest.approx(row.more_persons * 7 / 1000, abs=0.1)
    again = judged(arm(1000, 100), arm(9000, 905), lift=row.lift_detectable + 0.001)
    assert 0 == again.more_persons


def test_figures_of_an_effect_belong_together() -> None:
    row = judged(arm(1000, 60), arm(9000, 900))
    effect = row.conversions
    assert "more" == row.verdict
    assert effect is not None
    assert row.value is not None
    assert effect.per_person == pytest.approx(0.04)
    assert effect.incremental == pytest.approx(360)
    assert effect.lift == pytest.approx(2 / 3)
    assert row.value.incremental == pytest.approx(3600)
    assert effect.per_person_low < 0.04 < effect.per_person_high
    assert "fewer" == judged(arm(1000, 150), arm(9000, 900)).verdict


# --- from the warehouse ----------------------------------------------------------------------


def touch(kind: str, name: str, at: int = 0, campaign: str = "61", **fields: Any) -> bytes:
    more = {"campaign_id": campaign, "experiment": "spring", "number": int(em(name)[0][:8], 16)}
    return make_touch(kind, at, em=em(name), **{**more, **fields})


def bought(name: str, at: int, value: float = 10, currency: str = "USD", **fields: Any) -> bytes:
    more = {"custom_data": {"value": value, "currency": currency}}
    number = int(em(name)[0][:8], 16)
    return make("Purchase", at, number, em=em(name), more=more, **fields)


RECORDS = [
    touch("held_out", "ada"),
    touch("held_out", "ada", HOUR),
    touch("view", "bea", HOUR),
    touch("view", "cyd", HOUR),
    touch("click", "cyd", HOUR + SECOND),
    touch("engaged_view", "dee", 3 * DAY, campaign="62"),
    touch("held_out", "eve", 2 * HOUR),
    # An ad of no experiment.
    touch("view", "fay", experiment=None),
    # In both arms, the other way round each.
    touch("view", "gil", HOUR),
    touch("held_out", "gil", DAY),
    touch("held_out", "hal", HOUR),
    touch("view", "hal", DAY),
    bought("ada", 0),
    bought("ada", 2 * DAY, 30),
    # Before the opportunity, and the last second and the first beyond the window.
    bought("bea", HOUR - SECOND),
    bought("bea", HOUR + 28 * DAY - SECOND, 5),
    bought("bea", HOUR + 28 * DAY),
    bought("cyd", DAY, 7, "EUR"),
    bought("cyd", 2 * DAY, 20),
    make("AddToCart", DAY, em=em("cyd")),
    bought("dee", 4 * DAY, 8),
    bought("fay", DAY),
    bought("gil", 2 * DAY, 1),
    bought("hal", 2 * DAY, 2),
]


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    made.append(RECORDS)
    made.refresh()
    yield made
    made.close()


def report(
    pipeline: Pipeline, end: int = LATER, rates: Rates = NO_RATES, **asked: Any
) -> list[LiftRow]:
    return lift_report(pipeline.engine, OURS, rates, Asked(**asked), end).rows


def counts(row: LiftRow) -> list[tuple[int, int, int, int]]:
    return [
        (side.persons, side.converters, side.conversions, int(side.value))
        for side in (row.held_out, row.shown)
    ]


def test_arms_are_persons_with_what_they_did_after_their_first_opportunity(
    pipeline: Pipeline,
) -> None:
    first, second = report(pipeline)
    assert ("spring", "61", 2, 1) == (
        first.experiment,
        first.campaign_id,
        first.in_both,
        first.without_rate,
    )
    # Held out: ada, eve, hal. Shown: bea, cyd, gil.
    assert [(3, 2, 3, 42), (3, 3, 4, 26)] == counts(first)
    assert ("62", [(0, 0, 0, 0), (1, 1, 1, 8)]) == (second.campaign_id, counts(second))
    (all_of_it,) = report(pipeline, by_campaign=False)
    assert (None, [(3, 2, 3, 42), (4, 4, 5, 34)]) == (all_of_it.campaign_id, counts(all_of_it))


def test_values_that_only_a_liar_has_break_no_report(pipeline: Pipeline) -> None:
    pipeline.append([bought("bea", DAY + at, 9e13) for at in (1, 2)])
    pipeline.append([bought("cyd", 3 * DAY, 999_999_999_999, "JPY")])
    pipeline.refresh()
    rates = Rates("USD", [Rate(date(2026, 5, 20), "JPY", Decimal(160))])
    first, _ = report(pipeline, rates=rates)
    assert first.shown.value == pytest.approx(Decimal("180000000000000") + 160 * Decimal(10**12))


def test_a_report_is_about_what_was_asked_for(pipeline: Pipeline) -> None:
    (only,) = report(pipeline, campaign_id="62")
    assert "62" == only.campaign_id
    assert [] == report(pipeline, experiment="autumn")
    (carts, _) = report(pipeline, event_name="AddToCart")
    assert [(3, 0, 0, 0), (3, 1, 1, 10)] == counts(carts)
    (short, _) = report(pipeline, window_days=1)
    assert [(3, 1, 1, 10), (3, 1, 1, 0)] == counts(short)
    # NOON is 20:26: the opportunities of that day are all but dee's.
    (day,) = report(pipeline, until=date(2026, 5, 28))
    # What they do later counts, as long as their windows are.
    assert ("61", [(3, 2, 3, 42), (3, 3, 4, 26)], 0) == (
        day.campaign_id,
        counts(day),
        day.still_open,
    )
    (later,) = report(pipeline, since=date(2026, 5, 30))
    assert "62" == later.campaign_id


def test_values_are_converted_where_there_is_a_rate(pipeline: Pipeline) -> None:
    known = Rates("USD", [Rate(date(2026, 5, 20), "EUR", Decimal("1.1"))])
    (row, _) = report(pipeline, rates=known)
    # cyd's 7 EUR are 7.7 USD.
    assert (Decimal("33.7"), 0) == (row.shown.value, row.without_rate)
    (row, _) = report(pipeline)
    assert (Decimal(26), 1) == (row.shown.value, row.without_rate)


def test_what_comes_after_the_end_does_not_count(pipeline: Pipeline) -> None:
    (row,) = report(pipeline, end=NOON // SECOND + 3 * 3600)
    assert [(3, 1, 1, 10), (3, 0, 0, 0)] == counts(row)
    assert 6 == row.still_open
    (whole, _) = report(pipeline)
    assert 0 == whole.still_open


def test_persons_found_to_be_one_are_one_and_bring_what_they_bought(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.append(
        [
            make_touch("held_out", 0, fbp=fbp(1), experiment="spring", campaign_id="61"),
            make_touch("view", HOUR, em=em("ada"), experiment="spring", campaign_id="61"),
            bought("ada", DAY),
        ]
    )
    pipeline.refresh()
    assert [[(1, 0, 0, 0), (1, 1, 1, 10)]] == [counts(row) for row in report(pipeline)]
    pipeline.append([make("ViewContent", 50 * DAY, em=em("ada"), fbp=fbp(1))])
    pipeline.refresh()
    (row,) = report(pipeline)
    assert ([(1, 1, 1, 10), (0, 0, 0, 0)], 1) == (counts(row), row.in_both)
    pipeline.close()


# --- asking ----------------------------------------------------------------------------------


def crowd(account_id: str) -> list[bytes]:
    """40 held out, half of whom buy, and 60 others, two thirds of whom do."""
    records = []
    for number in range(100):
        name = f"person-{number}"
        kind = "held_out" if number < 40 else "view"
        records.append(touch(kind, name, account_id=account_id))
        if number < 20 or number >= 60:
            event = json.loads(bought(name, HOUR, currency="EUR"))
            records.append(json.dumps({**event, "account_id": account_id}).encode())
    return records


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.pipeline.append(crowd(made.ours.account.account_id))
    made.pipeline.refresh()
    yield made
    made.close()


def test_the_report_answers_over_http_to_its_own_account(site: Site) -> None:
    path = "/lift.json?experiment=spring&holdout=0.4&window_days=7"
    (row,) = site.get(path, site.ours).json()["rows"]
    assert (40, 20, 60, 40) == (
        *(row["held_out"]["persons"], row["held_out"]["converters"]),
        *(row["shown"]["persons"], row["shown"]["converters"]),
    )
    assert "not shown" == row["verdict"]
    assert row["conversions"]["lift"] == pytest.approx(1 / 3)
    assert row["mismatch"]["p_value"] == pytest.approx(1)
    assert [] == site.get(path, site.theirs).json()["rows"]
    assert 401 == site.get(path).status_code


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("window_days=0", "window_days"),
        ("window_days=1.5", "window_days"),
        ("holdout=1", "holdout"),
        ("holdout=some", "holdout"),
        ("lift=0", "lift"),
        ("lift=nan", "lift"),
        ("level=ad", "level"),
        ("pixel={pixel}", "pixel"),
    ],
)
def test_what_is_asked_wrongly_is_refused(site: Site, query: str, field: str) -> None:
    answer = site.get(f"/lift.json?{query.format(pixel=site.ours.pixel_id)}", site.ours)
    assert 400 == answer.status_code
    assert [[field]] == answer.json()["error"]["error_data"]["blame_field_specs"]


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "doublet", "lift", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert code == done.returncode, done.stderr
    return done


def test_the_command_tells_persons_and_lifts() -> None:
    plan = ("power", "--rate", "0.05", "--holdout", "0.1")
    needed = json.loads(run(*plan, "--lift", "0.1", "--json").stdout)["persons"]
    assert persons_needed(Plan(0.05, 1.0, 0.1), 0.1) == needed
    assert f"{needed:,} persons" in run(*plan, "--lift", "0.1").stdout
    assert "A lift of 10.0" in run(*plan, "--persons", str(needed)).stdout
    assert "Give --lift or --persons" in run(*plan, code=2).stderr
    assert "must be numbers" in run(*plan, "--rate", "nan", "--lift", "0.1", code=2).stderr
    drawn = run("draw", "spring", "person-1", "person-3", "--holdout", "0.5").stdout
    assert ["person-1  shown", "person-3  held out"] == drawn.splitlines()


def test_the_command_reports_what_the_database_holds(tmp_path: Path) -> None:
    site = Site(tmp_path)
    account_id = site.ours.account.account_id
    site.pipeline.append(crowd(account_id))
    site.pipeline.refresh()
    site.close()
    asked = ("report", "--data", str(tmp_path), "--account", account_id, "--holdout", "0.4")
    (row,) = json.loads(run(*asked, "--json").stdout)["rows"]
    assert (40, 60, "not shown") == (
        row["held_out"]["persons"],
        row["shown"]["persons"],
        row["verdict"],
    )
    said = run(*asked)
    assert "caused by the ads" in said.stdout
    assert "The interval holds zero" in said.stderr
    assert "No opportunities" in run(*asked, "--experiment", "autumn").stderr


def test_figures_need_as_many_converters_as_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "lift.md").read_text("utf-8")
    assert f"{CONVERTERS_MIN} converters in each arm" in text
