"""The catalog's campaigns: ids, moments, limits, and what a change means for other objects."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from doublet.catalog import AdSet, Campaign, Catalog, FrequencyCap
from doublet.catalog import campaigns as store_module
from doublet.catalog.campaigns import InUseError, LimitError
from tests.delivery.objects import DAY_S, NOW, Made


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.migrate()
    yield made
    made.close()


def test_what_is_kept_is_read_back_whole(catalog: Catalog) -> None:
    made = Made(
        catalog,
        included=("1", "2"),
        excluded=("3",),
        placements=("feed",),
        frequency=(FrequencyCap(7, 2), FrequencyCap(1, 1)),
        roas_floor=1.25,
    )
    store, account_id = made.store, made.account_id
    assert made.ad_set == made.ad_set_now() == store.ad_sets(account_id)[0]
    assert ([made.campaign], [made.ad], [made.creative]) == (
        store.campaigns(account_id),
        store.ads(account_id),
        store.creatives(account_id),
    )
    for each, object_id in (
        (made.campaign, made.campaign.campaign_id),
        (made.ad, made.ad.ad_id),
        (made.creative, made.creative.creative_id),
    ):
        assert each == store.find(account_id, object_id)
        assert store.find("act_other", object_id) is None
        assert (18, "9") == (len(object_id), object_id[0])
    assert store.get(Campaign, account_id, made.ad.ad_id) is None
    assert {("campaign", made.campaign.campaign_id): "Autumn"} == store.names(
        account_id, {made.campaign.campaign_id}
    )


SIGNIFICANT: list[dict[str, Any]] = [
    {"included": ("1",)},
    {"excluded": ("1",)},
    {"placements": ("feed",)},
    {"frequency": (FrequencyCap(7, 1),)},
    {"optimization_goal": "VALUE"},
    {"event_name": "Lead"},
    {"bid_strategy": "COST_CAP", "bid_amount": 100},
    {"daily_budget": 6001},
    {"daily_budget": 3999},
    {"daily_budget": 0, "lifetime_budget": 5000, "end_time": NOW + DAY_S},
]
SLIGHT: list[dict[str, Any]] = [
    {"name": "Other"},
    {"daily_budget": 6000},
    {"daily_budget": 4000},
    {"end_time": NOW + 9 * DAY_S},
    {"status": "PAUSED"},
]


def test_significant_edits_of_an_ad_set_move_its_edited_at_and_others_do_not(
    catalog: Catalog,
) -> None:
    for changes in (*SIGNIFICANT, *SLIGHT):
        made = Made(catalog)
        before = made.store.version()
        after = made.store.change(made.ad_set, NOW + 60, **changes)
        assert after == made.ad_set_now()
        assert NOW + 60 == after.updated_at
        expected = NOW + 60 if changes in SIGNIFICANT else NOW
        assert expected == after.edited_at, changes
        assert before < made.store.version()


def test_a_pause_of_a_week_is_an_edit_when_it_ends(catalog: Catalog) -> None:
    for days, is_edit in ((7, True), (6, False)):
        end = NOW + days * DAY_S
        for of in ("ad_set", "campaign"):
            made = Made(catalog)
            each = getattr(made, of)
            paused = made.store.change(each, NOW, status="PAUSED")
            # The pause goes on, whatever else is changed of it.
            made.store.change(paused, NOW + 60, name="Later")
            active = made.store.change(paused, end, status="ACTIVE")
            assert (NOW, 0) == (paused.paused_at, active.paused_at)
            assert (end if is_edit else NOW) == made.ad_set_now().edited_at, (of, days)


def test_an_added_ad_or_another_creative_is_an_edit_of_the_ad_set(catalog: Catalog) -> None:
    made = Made(catalog)
    made.make_ad(NOW + 60)
    assert NOW + 60 == made.ad_set_now().edited_at
    other = made.make_creative()
    made.store.change(made.ad, NOW + 120, creative_id=other.creative_id)
    assert NOW + 120 == made.ad_set_now().edited_at
    made.store.change(made.ad, NOW + 180, name="Renamed", status="PAUSED")
    assert NOW + 120 == made.ad_set_now().edited_at


@pytest.mark.parametrize("status", ["DELETED", "ARCHIVED"])
def test_parts_go_with_their_whole_and_stay_for_reports(catalog: Catalog, status: str) -> None:
    made = Made(catalog)
    made.store.change(made.campaign, status=status)
    assert ([], [], []) == (
        made.store.campaigns(made.account_id),
        made.store.ad_sets(made.account_id),
        made.store.ads(made.account_id),
    )
    (ad,) = made.store.ads(made.account_id, with_gone=True)
    assert (made.ad.ad_id, status) == (ad.ad_id, ad.status)
    assert status == made.ad_set_now().status
    assert [made.creative] == made.store.creatives(made.account_id)


def test_an_ad_set_that_goes_leaves_its_campaign_and_other_ad_sets(catalog: Catalog) -> None:
    made = Made(catalog)
    wanted = AdSet(
        adset_id="",
        account_id=made.account_id,
        campaign_id=made.campaign.campaign_id,
        name="Cold",
        daily_budget=100,
    )
    other = made.store.create(wanted)
    made.store.change(made.ad_set, status="DELETED")
    assert [other] == made.store.ad_sets()
    assert [made.campaign] == made.store.campaigns()
    assert [] == made.store.ads()


def test_a_creative_that_an_ad_shows_does_not_go(catalog: Catalog) -> None:
    made = Made(catalog)
    with pytest.raises(InUseError, match="1 ad shows this creative"):
        made.store.change(made.creative, status="DELETED")
    assert [made.creative] == made.store.creatives()
    made.store.change(made.ad, status="DELETED")
    made.store.change(made.creative, status="DELETED")
    assert [] == made.store.creatives()


def test_there_is_a_limit_and_what_is_gone_does_not_count(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(catalog)
    monkeypatch.setattr(store_module, "ADS_PER_ADSET_MAX", 2)
    second = made.make_ad()
    with pytest.raises(LimitError, match="2 ads already"):
        made.make_ad()
    made.store.change(second, status="ARCHIVED")
    made.make_ad()
    kinds: dict[type[Any], Any] = dict(store_module._KINDS)
    kinds[Campaign] = kinds[Campaign]._replace(most=1)
    monkeypatch.setattr(store_module, "_KINDS", kinds)
    with pytest.raises(LimitError, match="1 campaigns already"):
        made.store.create(Campaign(campaign_id="", account_id=made.account_id, name="B"))


def test_those_who_change_different_fields_at_once_lose_nothing(catalog: Catalog) -> None:
    made = Made(catalog)
    fields = [{"name": "New"}, {"daily_budget": 7000}, {"status": "PAUSED"}, {"bid_amount": 5}]
    before = made.store.version()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: made.store.change(made.ad_set, **each), fields * 5))
    now = made.ad_set_now()
    assert ("New", 7000, "PAUSED", 5) == (now.name, now.daily_budget, now.status, now.bid_amount)
    assert before + 20 == made.store.version()
