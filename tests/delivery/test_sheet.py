"""Campaigns out of the catalog as a sheet, and into it: again, in part, and with bad rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.catalog import Account, Audience, Catalog, FrequencyCap
from doublet.delivery.objects import ObjectError
from doublet.delivery.sheet import SheetRow, check_columns, read_amount, rows_of
from doublet.delivery.take_in import TakeIn, Taken
from doublet.reports import as_csv
from tests.delivery.objects import DAY_S, LINK, NOW


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def account(catalog: Catalog) -> Account:
    made = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    catalog.create_pixel(made.account_id, "Site")
    for name in ("Warm", "Buyers", "Twice", "Twice"):
        catalog.audiences.create(Audience("", made.account_id, name, "CUSTOM"))
    return made


def take(catalog: Catalog, account: Account, *rows: dict[str, Any], **more: Any) -> list[Taken]:
    return list(TakeIn(catalog, account, now_s=NOW, **more).take(enumerate(rows, 1)))


def row(**more: str) -> dict[str, str]:
    return {
        "campaign": "Autumn",
        "adset": "Warm visitors",
        "daily_budget": "49.90",
        "ad": "Red shoe",
        "link_url": LINK,
        **more,
    }


FULL = row(
    campaign_status="ACTIVE",
    objective="OUTCOME_LEADS",
    holdout_share="0.1",
    adset_status="ACTIVE",
    event_name="Lead",
    bid_strategy="COST_CAP",
    bid_amount="9",
    start_time="2026-12-01T09:00",
    end_time="2026-12-31",
    included="Warm",
    excluded="Buyers | Warm 2",
    placements="feed | home_top",
    frequency="2/7 | 1/1",
    ad_status="ACTIVE",
    title="Red",
    body="=New shoes",
)


def exported(catalog: Catalog, account: Account) -> list[dict[str, str]]:
    """What a spreadsheet saves of an export."""
    text = as_csv(list(rows_of(catalog, account)), SheetRow)
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_makes_a_campaign_an_ad_set_and_an_ad(catalog: Catalog, account: Account) -> None:
    catalog.audiences.create(Audience("", account.account_id, "Warm 2", "CUSTOM"))
    (taken,) = take(catalog, account, FULL)
    assert ("made", "") == (taken.outcome, taken.message)
    (campaign,) = catalog.campaigns.campaigns()
    (ad_set,) = catalog.campaigns.ad_sets()
    (ad,) = catalog.campaigns.ads()
    (creative,) = catalog.campaigns.creatives()
    assert taken[2:5] == (campaign.campaign_id, ad_set.adset_id, ad.ad_id)
    assert ("OUTCOME_LEADS", 0.1, "ACTIVE") == (
        campaign.objective,
        campaign.holdout_share,
        campaign.status,
    )
    (pixel,) = catalog.pixels()
    names = {each.audience_id: each.name for each in catalog.audiences.all()}
    assert (4990, 900, "COST_CAP", "Lead", pixel.pixel_id, 1796112000) == (
        ad_set.daily_budget,
        ad_set.bid_amount,
        ad_set.bid_strategy,
        ad_set.event_name,
        ad_set.pixel_id,
        ad_set.start_time,
    )
    assert [["Warm"], ["Buyers", "Warm 2"]] == [
        [names[each] for each in ids] for ids in (ad_set.included, ad_set.excluded)
    ]
    assert (("feed", "home_top"), (FrequencyCap(7, 2), FrequencyCap(1, 1))) == (
        ad_set.placements,
        ad_set.frequency,
    )
    assert (LINK, "Red", "=New shoes", creative.creative_id) == (
        creative.link_url,
        creative.title,
        creative.body,
        ad.creative_id,
    )


def test_the_same_sheet_again_changes_nothing(catalog: Catalog, account: Account) -> None:
    catalog.audiences.create(Audience("", account.account_id, "Warm 2", "CUSTOM"))
    rows = [FULL, FULL | {"ad": "Blue shoe"}, row(adset="Cold"), row(campaign="Empty", adset="S")]
    rows[3] |= {"ad": "", "link_url": ""}
    assert ["made"] * 4 == [each.outcome for each in take(catalog, account, *rows)]
    version = catalog.campaigns.version()
    assert ["same"] * 4 == [each.outcome for each in take(catalog, account, *rows)]
    out = exported(catalog, account)
    assert 4 == len(out)
    assert ["same"] * 4 == [each.outcome for each in take(catalog, account, *out)]
    assert version == catalog.campaigns.version()
    # By their ids they may be renamed.
    (renamed, *_) = take(catalog, account, out[0] | {"campaign": "Winter"})
    assert "changed" == renamed.outcome
    assert "Winter" == catalog.campaigns.campaigns()[0].name


def test_a_cell_that_is_empty_says_nothing_and_none_empties(
    catalog: Catalog, account: Account
) -> None:
    catalog.audiences.create(Audience("", account.account_id, "Warm 2", "CUSTOM"))
    take(catalog, account, FULL)
    slight = row(daily_budget="", placements="none", included="none", end_time="none")
    (taken,) = take(catalog, account, slight)
    (ad_set,) = catalog.campaigns.ad_sets()
    assert ("changed", 4990, (), (), 0, 2) == (
        taken.outcome,
        ad_set.daily_budget,
        ad_set.placements,
        ad_set.included,
        ad_set.end_time,
        len(ad_set.excluded),
    )
    (taken,) = take(catalog, account, row(daily_budget="", lifetime_budget="900"))
    assert "needs end_time" in taken.message
    later = row(daily_budget="", lifetime_budget="900", end_time="2026-12-31T12:00+01:00")
    (taken,) = take(catalog, account, later)
    (ad_set,) = catalog.campaigns.ad_sets()
    assert (0, 90_000, 1798714800) == (
        ad_set.daily_budget,
        ad_set.lifetime_budget,
        ad_set.end_time,
    )


def test_other_words_make_another_creative(catalog: Catalog, account: Account) -> None:
    take(catalog, account, row(body="New"))
    (taken,) = take(catalog, account, row(body="Newer"))
    assert "changed" == taken.outcome
    bodies = {each.creative_id: each.body for each in catalog.campaigns.creatives()}
    assert {"New", "Newer"} == set(bodies.values())
    assert "Newer" == bodies[catalog.campaigns.ads()[0].creative_id]


WRONG: list[tuple[dict[str, str], str]] = [
    (row(campaign=""), "names no campaign"),
    (row(campaign_id="900"), "Leave campaign_id empty"),
    (row(objective="CONVERSIONS"), "OUTCOME_SALES"),
    (row(daily_budget="fifty"), "'fifty' is no amount"),
    (row(daily_budget="9.999"), "no amount"),
    (row(bid_strategy="COST_CAP"), "needs a bid_amount"),
    (row(start_time="tomorrow"), "2026-12-01T09:00"),
    (row(end_time="2020-01-01"), "is over"),
    (row(included="Nobody"), "no audience 'Nobody'"),
    (row(included="Twice"), "or more than one"),
    (row(frequency="often"), "2/7"),
    (row(frequency="2/700"), "from 1 to 90"),
    (row(holdout_share="x"), "no number"),
    (row(link_url="shop"), "must be an address"),
    (row(ad="", body="x"), "names no ad"),
    (row(placements="a b"), "1 to 64"),
]


def test_a_bad_row_is_told_and_leaves_the_others(catalog: Catalog, account: Account) -> None:
    rows = [each for each, _ in WRONG]
    taken = take(catalog, account, *rows, row())
    assert list(range(1, len(rows) + 2)) == [each.row for each in taken]
    for each, (_, said) in zip(taken, WRONG, strict=False):
        assert "wrong" == each.outcome, said
        assert said in each.message, each.message
    assert "made" == taken[-1].outcome
    assert [1, 1, 1, 1] == [
        len(kind())
        for kind in (
            catalog.campaigns.campaigns,
            catalog.campaigns.ad_sets,
            catalog.campaigns.ads,
            catalog.campaigns.creatives,
        )
    ]


def test_rows_that_say_different_things_of_one_object_are_told(
    catalog: Catalog, account: Account
) -> None:
    taken = take(
        *(catalog, account, row()),
        row(ad="Blue shoe", daily_budget="60"),
        row(ad="Green shoe", holdout_share="0.2"),
    )
    assert ["made", "wrong", "made"] == [each.outcome for each in taken]
    assert "Row 1 says another daily_budget" in taken[1].message
    assert 0.2 == catalog.campaigns.campaigns()[0].holdout_share


def test_a_dry_run_says_the_same_and_keeps_nothing(catalog: Catalog, account: Account) -> None:
    rows = [row(), row(ad="Blue shoe"), row(), row(objective="SALES")]
    version = catalog.campaigns.version()
    dry = take(catalog, account, *rows, dry_run=True)
    assert version == catalog.campaigns.version()
    wet = take(catalog, account, *rows)
    assert ["made", "made", "same", "wrong"] == [each.outcome for each in wet]
    assert [each.outcome for each in wet] == [each.outcome for each in dry]


def test_deleting_by_a_row_may_be_said_again(catalog: Catalog, account: Account) -> None:
    take(catalog, account, row())
    (out,) = exported(catalog, account)
    gone = {name: out[name] for name in ("campaign_id", "adset_id", "ad_id")}
    for expected in ("changed", "same"):
        (taken,) = take(catalog, account, gone | {"ad_status": "DELETED"})
        assert expected == taken.outcome, taken.message
    (taken,) = take(catalog, account, gone | {"ad_status": "ACTIVE"})
    assert "is deleted" in taken.message
    # Its name is free again.
    (taken,) = take(catalog, account, row())
    assert "made" == taken.outcome


def test_amounts_are_exact() -> None:
    assert [5000, 4990, 1, 0] == [read_amount(text) for text in ("50", "49.90", "0.01", "0")]
    for text in ("-1", "nan", "1e99", "1e9999999", "1,50", "0.001"):
        with pytest.raises(ObjectError):
            read_amount(text)


def test_columns_that_mean_nothing_are_told() -> None:
    check_columns(["campaign", "ad"])
    with pytest.raises(ObjectError, match="'budget' means nothing"):
        check_columns(["campaign", "budget"])
    with pytest.raises(ObjectError, match="no titles"):
        check_columns([])


def test_every_column_of_a_row_is_read_back(catalog: Catalog, account: Account) -> None:
    catalog.audiences.create(Audience("", account.account_id, "Warm 2", "CUSTOM"))
    value = FULL | {
        "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
        "optimization_goal": "VALUE",
        "bid_amount": "",
        "roas_floor": "1.5",
        "description": "Free delivery",
        "call_to_action": "SHOP_NOW",
        "image_url": LINK,
    }
    take(catalog, account, value)
    (out,) = rows_of(catalog, account)
    cells = msgspec.structs.asdict(out)
    empty = {name for name, cell in cells.items() if not cell}
    assert {"bid_amount", "lifetime_budget"} == empty
    assert ("2026-12-01T09:00:00+01:00", "1.5", "2/7 | 1/1", "49.90") == (
        cells["start_time"],
        cells["roas_floor"],
        cells["frequency"],
        cells["daily_budget"],
    )
    assert DAY_S * 30 < catalog.campaigns.ad_sets()[0].end_time - NOW
