"""One decision: who is left out, who wins, what it costs, and with what probability."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from doublet.delivery.decide import Asked, Terms, decide
from doublet.lift import is_held_out
from tests.delivery.shelves import NOW, TERMS, Money, account, ads_of, ask, shelf_of

HELD = next(f"em={n}" for n in range(1000) if is_held_out("100", f"em={n}", 0.5))
TOLD = next(
    f"em={n}"
    for n in range(1000)
    if not is_held_out("100", f"em={n}", 0.5) and not is_held_out("101", f"em={n}", 0.5)
)


def test_the_highest_total_value_wins_and_pays_what_beats_the_next() -> None:
    shelf = shelf_of(account({}, {}, {}), 1e6, 3e6, 2e6)
    rate = 0.005 * 0.02
    decision = ask(shelf, Asked(places=2))
    assert ["310", "320"] == ads_of(shelf, decision)
    first, second = decision.chosen
    assert (3e6 * rate, 2e6 * rate) == pytest.approx((first.total, second.total))
    # One place after the other: the first beats the second, the second beats the third.
    assert (200, 100) == (first.price, second.price)
    assert ("201", 1.0, False) == (first.lease, first.propensity, first.is_explored)
    assert 3 == decision.candidates


def test_the_only_one_pays_the_floor_and_who_bids_less_is_not_shown() -> None:
    shelf = shelf_of(account({}, {}), 1e6, 1e3)
    decision = ask(shelf, Asked(places=2), terms=Terms(floor=5.0, epsilon=0.0), explain=True)
    assert [5] == [each.price for each in decision.chosen]
    assert decision.explanation is not None
    assert ["shown", "below_floor"] == [each.outcome for each in decision.explanation]
    assert "explain=true" not in decision.reason


def test_where_clicks_are_billed_a_click_costs_what_its_impressions_are_worth() -> None:
    clicks = {"optimization_goal": "LINK_CLICKS", "billing_event": "LINK_CLICKS"}
    shelf = shelf_of(account(clicks, {}), 50_000, 1e6)
    (first,) = ask(shelf).chosen
    # 250 units an impression against 100, at a click in 200 impressions.
    assert 0.005 == pytest.approx(first.p_click)
    assert 100 / 0.005 == pytest.approx(first.price)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"placements": ("sidebar",)}, "other_placement"),
        ({"placements": ("sidebar", "home")}, "shown"),
        ({"start_time": int(NOW) + 1}, "not_scheduled"),
        ({"end_time": int(NOW)}, "not_scheduled"),
        ({"start_time": int(NOW), "end_time": int(NOW) + 1}, "shown"),
        ({"included": ("7",)}, "not_in_audience"),
        ({"included": ("7", "1")}, "shown"),
        ({"excluded": ("2",)}, "in_excluded_audience"),
        ({"included": ("1",), "excluded": ("2",)}, "in_excluded_audience"),
        ({"excluded": ("7",)}, "shown"),
        ({"bid_strategy": "LOWEST_COST_WITH_BID_CAP", "bid_amount": 200}, "shown"),
    ],
)
def test_who_may_not_be_shown_is_left_out_and_told_why(
    fields: dict[str, object], outcome: str
) -> None:
    shelf = shelf_of(account(fields), 1e6)
    asked = Asked(placement="home", audiences=("1", "2"))
    decision = ask(shelf, asked, explain=True)
    assert decision.explanation is not None
    assert [outcome] == [each.outcome for each in decision.explanation]
    assert (outcome == "shown") == bool(decision.chosen)
    assert bool(decision.chosen) != bool(decision.reason)


def test_caps_are_asked_only_where_there_are_any() -> None:
    from doublet.catalog.campaign_rows import FrequencyCap

    shelf = shelf_of(account({"frequency": (FrequencyCap(1, 2),)}, {}), 2e6, 1e6)
    assert ["300"] == ads_of(shelf, ask(shelf))
    decision = ask(shelf, capped=[0], explain=True)
    assert ["310"] == ads_of(shelf, decision)
    assert decision.explanation is not None
    assert "seen_often_enough" == decision.explanation[1].outcome


def test_an_ad_set_without_money_makes_way_and_is_left_alone_for_a_while() -> None:
    shelf, money = shelf_of(account({}, {}), 2e6, 1e6), Money(["200"])
    dry: dict[int, float] = {}
    assert ["310"] == ads_of(shelf, ask(shelf, money=money, dry=dry))
    assert [0] == list(dry)
    money.asked.clear()
    assert ["310"] == ads_of(shelf, ask(shelf, money=money, dry=dry))
    assert [("201", 1)] == money.asked
    dry[0] = NOW
    money.broke.clear()
    assert ["300"] == ads_of(shelf, ask(shelf, money=money, dry=dry))
    assert {} == dry


def test_without_a_pace_or_without_ads_the_answer_is_empty_and_says_why() -> None:
    assert "explain=true" in ask(shelf_of(account({}))).reason
    assert "activate a campaign" in ask(shelf_of(account())).reason


def test_the_held_out_see_the_next_ad_and_it_is_told_what_they_would_have_seen() -> None:
    shelf = shelf_of(account({}, {}, campaign={"holdout_share": 0.5}), 2e6, 1e6)
    assert ["300"] == ads_of(shelf, ask(shelf, Asked(identifier=TOLD)))
    # Who is nobody is held out of nothing.
    assert ["300"] == ads_of(shelf, ask(shelf))
    decision = ask(shelf, Asked(identifier=HELD), explain=True)
    if is_held_out("101", HELD, 0.5):
        assert (0, 1) == decision.held_out
        assert "held out" in decision.reason
    else:
        assert ["310"] == ads_of(shelf, decision)
        assert (0,) == decision.chosen[0].held_out
        assert () == decision.held_out
    assert decision.explanation is not None
    assert "held_out" in [each.outcome for each in decision.explanation]


def test_a_campaign_that_would_not_have_come_first_is_no_opportunity() -> None:
    shelf = shelf_of(account({}, {}, campaign={"holdout_share": 0.5}), 1e6, 2e6)
    both = next(
        f"em={n}"
        for n in range(1000)
        if is_held_out("100", f"em={n}", 0.5) and not is_held_out("101", f"em={n}", 0.5)
    )
    decision = ask(shelf, Asked(identifier=both))
    assert ["310"] == ads_of(shelf, decision)
    assert () == decision.chosen[0].held_out
    # With a second place it would have.
    decision = ask(shelf, Asked(places=2, identifier=both))
    assert ["310"] == ads_of(shelf, decision)
    assert (0,) == decision.held_out


@pytest.mark.parametrize("broke", [(), ("203",), ("200",), ("200", "203")])
def test_stated_probabilities_are_the_true_ones(broke: tuple[str, ...]) -> None:
    """Also where ad sets are known to have no money, and where campaigns are held out."""
    book = account({}, {}, {}, {}, {}, campaign={"holdout_share": 0.3}, learning=(1, 2, 3))
    shelf = shelf_of(book, 5e6, 1e6, 2e6, 3e6, 4e6)
    terms = TERMS._replace(epsilon=0.3)
    rng = np.random.default_rng(5)
    for identifier in (TOLD, HELD):
        counts: Counter[int] = Counter()
        stated: dict[int, float] = {}
        dry = {int(adset_id) - 200: NOW + 1 for adset_id in broke}
        for _ in range(4000):
            decision = decide(
                shelf,
                Asked(identifier=identifier),
                Money(broke),
                dry,
                lambda: (),
                rng,
                NOW,
                terms,
            )
            (one,) = decision.chosen
            counts[one.ad] += 1
            stated[one.ad] = one.propensity
        assert 1 == pytest.approx(sum(stated.values()))
        for ad, propensity in stated.items():
            error = (propensity * (1 - propensity) / 4000) ** 0.5
            assert abs(counts[ad] / 4000 - propensity) < 4 * error + 1e-9


def test_the_same_chance_decides_alike() -> None:
    book = account({}, {}, {}, learning=(0, 1, 2))
    shelf = shelf_of(book, 1e6, 2e6, 3e6)
    terms = TERMS._replace(epsilon=0.9)
    assert ask(shelf, seed=3, terms=terms) == ask(shelf, seed=3, terms=terms)
