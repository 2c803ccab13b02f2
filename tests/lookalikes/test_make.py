"""A lookalike finds a planted taste, sees no future, keeps to its bands, and says what it knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from doublet.engine.duckdb import DuckDBEngine
from doublet.lookalikes import (
    Figures,
    Lookalike,
    LookalikeSpec,
    NobodyLeftError,
    SeedTooSmallError,
    drift,
    make_lookalike,
)
from tests.lookalikes.shop import (
    ACCOUNT,
    DAY_S,
    NOW_S,
    Row,
    buyers,
    country_hash,
    engine_of,
    likings,
    tasteful,
)

TENTH = LookalikeSpec(0.10)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    """4,000 persons with tastes."""
    engine = engine_of(tmp_path_factory.mktemp("shop"), tasteful(4000, seed=5))
    yield engine
    engine.close()


def made(
    engine: DuckDBEngine, spec: LookalikeSpec = TENTH, random_seed: int = 1, now_s: int = NOW_S
) -> Lookalike:
    """A lookalike of all buyers, whose earlier seeds are known."""
    return make_lookalike(
        engine,
        ACCOUNT,
        list(buyers(engine, now_s)),
        None,
        spec,
        now_s,
        seed_at=lambda at: buyers(engine, at),
        random_seed=random_seed,
    )


@pytest.fixture(scope="module")
def lookalike(shop: DuckDBEngine) -> Lookalike:
    """Of that shop."""
    return made(shop)


def found_share(engine: DuckDBEngine, found: Lookalike) -> float:
    """How much of those who have the liking and have not bought is in a lookalike of a tenth."""
    everyone = {row["p"] for row in engine.query("select distinct person_id as p from behaviours")}
    rest = np.array(sorted(everyone - set(buyers(engine, NOW_S))))
    return float((likings(found.members) == 0).sum() / (likings(rest) == 0).sum())


def lift_at_tenth(figures: Figures, name: str) -> float:
    """Of one candidate, held out."""
    (found,) = [candidate for candidate in figures.candidates if candidate.name == name]
    return next(reached.lift for reached in found.reached if reached.ratio == 0.1)


def test_a_planted_taste_is_found_where_simple_ways_see_nothing(
    shop: DuckDBEngine, lookalike: Lookalike
) -> None:
    # Most with the liking that buys readily have bought: of the rest it is that of one in twelve.
    everyone = {row["p"] for row in shop.query("select distinct person_id as p from behaviours")}
    rest = np.array(sorted(everyone - set(buyers(shop, NOW_S))))
    assert 0.05 < float((likings(rest) == 0).mean()) < 0.12
    assert found_share(shop, lookalike) > 0.7
    assert float((likings(lookalike.members[:100]) == 0).mean()) > 0.8
    figures = lookalike.figures
    assert "joined_later" == figures.judged_by
    assert figures.model in ("tastes", "boosting", "blend")
    assert figures.difference > 1.96 * figures.difference_error
    assert figures.is_better_than_chance
    assert lift_at_tenth(figures, figures.model) > 1.5
    assert lift_at_tenth(figures, figures.model) > lift_at_tenth(figures, "rfm") + 0.4


def test_the_figures_hold_for_those_who_join_afterwards(tmp_path: Path) -> None:
    # Made at a moment in the middle; judged by who buys after it, of whom nothing was read.
    engine = engine_of(tmp_path, tasteful(4000, seed=6))
    now_s = NOW_S - 21 * DAY_S
    found = made(engine, now_s=now_s)
    before = set(buyers(engine, now_s))
    joined = set(buyers(engine, NOW_S)) - before
    known = {
        row["p"]
        for row in engine.query(
            "select distinct person_id as p from behaviours where event_time <= $at", {"at": now_s}
        )
    }
    findable = joined & known
    recall = len(findable & set(found.members.tolist())) / len(findable)
    told = next(
        reached
        for candidate in found.figures.candidates
        if candidate.name == found.figures.model
        for reached in candidate.reached
        if reached.ratio == 0.1
    )
    # Three standard errors of a share of so many, besides the told interval.
    error = 3 * (recall * (1 - recall) / len(findable)) ** 0.5
    assert told.recall_low - error < recall < told.recall_high + error
    assert recall > 0.13
    engine.close()


def test_nothing_is_found_when_the_seed_is_drawn_by_lot(shop: DuckDBEngine) -> None:
    everyone = sorted(r["p"] for r in shop.query("select distinct person_id as p from behaviours"))
    rng = np.random.default_rng(3)
    seed = rng.choice(everyone, 1200, replace=False)
    joined_s = rng.uniform(NOW_S - 90 * DAY_S, NOW_S, len(seed))
    timed = make_lookalike(
        shop,
        ACCOUNT,
        seed.tolist(),
        None,
        TENTH,
        NOW_S,
        seed_at=lambda at: seed[joined_s <= at].tolist(),
    )
    listed = make_lookalike(shop, ACCOUNT, seed.tolist(), None, TENTH, NOW_S)
    assert ("joined_later", "left_out") == (timed.figures.judged_by, listed.figures.judged_by)
    assert not listed.figures.is_better_than_chance
    for figures in (timed.figures, listed.figures):
        for candidate in figures.candidates:
            lift = next(reached for reached in candidate.reached if reached.ratio == 0.1)
            # Of sixteen intervals of 95 % one may miss, though not by far.
            assert lift.lift_low - 0.15 < 1 < lift.lift_high + 0.15, candidate


def test_the_same_input_gives_the_same_people(shop: DuckDBEngine, lookalike: Lookalike) -> None:
    again = made(shop)
    assert lookalike.members.tolist() == again.members.tolist()
    assert msgspec.structs.replace(lookalike.figures, seconds=0) == msgspec.structs.replace(
        again.figures, seconds=0
    )


def test_bands_follow_each_other_and_leave_the_seed_out(
    shop: DuckDBEngine, lookalike: Lookalike
) -> None:
    population = lookalike.figures.population
    assert 3990 < population <= 4000
    assert round(0.1 * population) == len(lookalike.members) == lookalike.figures.members
    assert not set(lookalike.members.tolist()) & set(buyers(shop, NOW_S))
    assert len(set(lookalike.members.tolist())) == len(lookalike.members)
    first, second = made(shop, LookalikeSpec(0.05)), made(shop, LookalikeSpec(0.10, 0.05))
    together = [*first.members.tolist(), *second.members.tolist()]
    assert lookalike.members.tolist() == together


def test_a_seed_that_is_too_small_is_refused_as_graph_does(shop: DuckDBEngine) -> None:
    seed = list(buyers(shop, NOW_S))
    with pytest.raises(SeedTooSmallError, match="99 people") as raised:
        make_lookalike(shop, ACCOUNT, seed[:99], None, TENTH, NOW_S)
    assert (100, 1713232) == (raised.value.graph_code, raised.value.graph_subcode)
    # Who was never seen does not count.
    with pytest.raises(SeedTooSmallError, match="of 199 in the audience"):
        make_lookalike(shop, ACCOUNT, [*seed[:99], *range(-100, 0)], None, TENTH, NOW_S)
    with pytest.raises(SeedTooSmallError, match="The seed has 0 people"):
        make_lookalike(shop, ACCOUNT, [], None, TENTH, NOW_S)


def test_a_seed_of_nearly_everyone_is_refused(shop: DuckDBEngine) -> None:
    everyone = sorted(r["p"] for r in shop.query("select distinct person_id as p from behaviours"))
    with pytest.raises(NobodyLeftError, match="Only 99 people"):
        make_lookalike(shop, ACCOUNT, everyone[:-99], None, TENTH, NOW_S)


def _of_countries(rows: list[Row]) -> list[Row]:
    """A fifth of the persons is in Germany, a fifth in no known country, the rest in the US."""
    codes = ("de", "", "us", "us", "us")
    return [
        row._replace(country=country_hash(code) if (code := codes[row.person // 31 % 5]) else "")
        for row in rows
    ]


def test_people_are_of_the_country_or_of_none_known(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, _of_countries(tasteful(3000, seed=7)))

    def countries(found: Lookalike) -> set[int]:
        return set((found.members // 31 % 5).tolist())

    german = made(engine, LookalikeSpec(0.1, 0.0, ("de",)))
    assert {0, 1} == countries(german)
    assert german.figures.population == pytest.approx(1200, abs=5)
    assert 120 == pytest.approx(len(german.members), abs=1)
    both = made(engine, LookalikeSpec(0.1, 0.0, ("de", "us")))
    assert {0, 1, 2, 3, 4} == countries(both)
    without = made(engine, LookalikeSpec(0.1, 0.0, (), ("us",)))
    assert {0, 1} == countries(without)
    seed = [person for person in buyers(engine, NOW_S) if person // 31 % 5 == 2]
    with pytest.raises(SeedTooSmallError, match="0 people in DE"):
        make_lookalike(engine, ACCOUNT, seed, None, LookalikeSpec(0.1, 0.0, ("de",)), NOW_S)
    spec = LookalikeSpec(0.1, 0.0, ("de",), allow_international_seeds=True)
    abroad = make_lookalike(engine, ACCOUNT, seed, None, spec, NOW_S)
    assert {0, 1} == countries(abroad)
    engine.close()


def test_values_change_who_comes_first(shop: DuckDBEngine) -> None:
    seed = sorted(buyers(shop, NOW_S))
    liking = likings(seed)
    # Those who buy readily are worth least: the others' likings come to the top.
    values = {p: 0.01 if like == 0 else 100.0 for p, like in zip(seed, liking, strict=True)}
    asked = (shop, ACCOUNT, seed, values, TENTH, NOW_S)
    valued = make_lookalike(*asked, seed_at=lambda at: buyers(shop, at))
    plain = made(shop)
    assert valued.figures.is_value_based
    assert not plain.figures.is_value_based
    share, usual = ((likings(each.members) == 0).mean() for each in (valued, plain))
    assert share < usual / 2


def test_a_list_of_buyers_is_known_by_its_mark_and_learned_from_before(
    shop: DuckDBEngine,
) -> None:
    found = make_lookalike(shop, ACCOUNT, list(buyers(shop, NOW_S)), None, TENTH, NOW_S)
    assert ("Purchase",) == found.figures.marks
    assert "joined_later" == found.figures.judged_by
    assert found_share(shop, found) > 0.7


def test_what_marks_a_seed_is_blanked_where_moments_cannot_be_known(tmp_path: Path) -> None:
    # All have bought long ago, and the list holds half of them: purchases tell who is on it.
    rows = [row for row in tasteful(2000, seed=8, strength=0) if row.name != "Purchase"]
    buying = range(0, 800)
    rows += [Row(n * 31 + 7, "Purchase", NOW_S - 99 * DAY_S, 5.0, "prize") for n in buying]
    rows += [Row(n * 31 + 7, "PageView", NOW_S - 100 * DAY_S) for n in range(2000)]
    engine = engine_of(tmp_path, rows)
    # Half of each liking, so that nothing else tells them.
    seed = [n * 31 + 7 for n in buying if n // 4 % 2]
    found = make_lookalike(engine, ACCOUNT, seed, None, TENTH, NOW_S)
    assert "left_out" == found.figures.judged_by
    assert ("Purchase",) == found.figures.marks
    bought = {n * 31 + 7 for n in buying}
    share = len(bought & set(found.members.tolist())) / len(found.members)
    # 400 of the 1,600 others have bought: a quarter, if purchases are not seen.
    assert 0.25 == pytest.approx(share, abs=0.15)
    engine.close()


def test_progress_is_told_from_nothing_to_all(shop: DuckDBEngine) -> None:
    told: list[tuple[str, float]] = []
    seed = list(buyers(shop, NOW_S))
    spec = LookalikeSpec(0.01)
    make_lookalike(shop, ACCOUNT, seed, None, spec, NOW_S, lambda *step: told.append(step))
    shares = [share for _, share in told]
    assert sorted(shares) == shares
    assert (0.0, 1.0) == (shares[0], shares[-1])
    assert all(what for what, _ in told)


def test_figures_are_json_and_come_back(lookalike: Lookalike) -> None:
    text = msgspec.json.encode(lookalike.figures)
    assert lookalike.figures == msgspec.json.decode(text, type=Figures)
    names = [candidate.name for candidate in lookalike.figures.candidates]
    assert names[:5] == ["random", "popularity", "rfm", "neighbours", "logistic"]
    for candidate in lookalike.figures.candidates:
        assert [0.01, 0.05, 0.1] == [reached.ratio for reached in candidate.reached]
        for reached in candidate.reached:
            assert reached.recall_low <= reached.recall <= reached.recall_high
            assert reached.lift == pytest.approx(reached.recall / reached.ratio, abs=0.01)


def test_drift_is_none_at_once_and_much_when_behaviour_changes(
    tmp_path: Path, shop: DuckDBEngine, lookalike: Lookalike
) -> None:
    figures = lookalike.figures
    still = drift(shop, ACCOUNT, TENTH, figures.reference, figures.trained_at, NOW_S)
    assert still.largest < 0.02
    assert not still.is_retraining_due
    late = drift(shop, ACCOUNT, TENTH, figures.reference, figures.trained_at - 3 * DAY_S, NOW_S)
    assert late.is_retraining_due
    busier = tasteful(4000, seed=9)
    changed = engine_of(tmp_path, [*busier, *(row._replace(at=row.at - 3600) for row in busier)])
    moved = drift(changed, ACCOUNT, TENTH, figures.reference, figures.trained_at, NOW_S)
    assert moved.largest > 0.25
    assert moved.is_retraining_due
    assert moved.by_name["events"] > 0.25
    changed.close()
