"""The pages on attribution: what they show is what their twins say, whatever ads are called."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.lift.report import Asked, Sums, judge
from doublet.web import attribution_pages
from doublet.web.attribution_pages import as_share, conversions
from doublet.web.lift import intervals
from doublet.web.page import ATTRIBUTION
from tests.dashboard import HOSTILE, Site
from tests.persons.touching import DAY, make_touch
from tests.reports.tables import COUNTED
from tests.reports.world import DAY_S, World, fill
from tests.server import wait_for

PAGES = [path for path, _ in ATTRIBUTION]


def text_of(page: str) -> str:
    """What a person reads of a page."""
    plain = html.unescape(re.sub(r"<[^>]+>", " ", page))
    return re.sub(r"\s+", " ", plain)


def rows_of(page: str) -> list[list[str]]:
    """The cells of each row of each table."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.S)
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S) for row in rows)
    return [[text_of(cell).strip() for cell in row] for row in cells]


def world() -> World:
    """Two campaigns of two channels: one with a hostile name, an ad set and an ad; conversions of
    many lags, some without a touch; figures that the platform reports."""
    made = World()
    ids = {"campaign_id": "7", "adset_id": "70", "ad_id": "700"}
    names = {"campaign_name": HOSTILE, "adset_name": "Everybody", "ad_name": "Red & blue"}
    whose = {"platform": "meta", "account_id": ""}
    made.ads += [
        {**whose, "level": "campaign", "campaign_id": "7", "campaign_name": HOSTILE},
        {**whose, "level": "adset", **dict(list(ids.items())[:2]), "adset_name": "Everybody"},
        {**whose, "level": "ad", **ids, **names},
    ]
    reported = {"purchase": {"value": {"count": "9", "value": "900"}}}
    made.ad_days.append(
        {
            **whose,
            **ids,
            "level": "ad",
            "date": date(2026, 5, 29),
            "impressions": 12_345,
            "clicks": 67,
            "spend": Decimal("89.5"),
            "currency": "EUR",
            "reported": json.dumps(reported),
            **COUNTED,
        }
    )
    for person in range(1, 6):
        made.touch(person, 0, "meta", **ids)
    for person in (4, 5, 6):
        made.touch(person, 600, "google", campaign_id="8")
    made.touch(7, 0, "newsletter / email")
    for person, days in ((1, 0), (2, 3), (3, 10), (4, 0), (5, 4), (6, 1), (7, 1)):
        made.convert(person, days * DAY_S + 7200, str(10 * person))
    made.convert(None, 60, "1000")
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    made = world()
    for table in made.tables().values():
        for row in table:
            row["account_id"] = site.ours.account.account_id  # type: ignore[index]
    fill(site.pipeline.engine, made)
    yield site
    site.close()


def report(site: Site, path: str) -> Any:
    """What the twin of a page says, with exact numbers."""
    answer = site.get(path, site.ours)
    assert 200 == answer.status_code, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def shown(site: Site, path: str) -> str:
    answer = site.get(path, site.ours)
    assert 200 == answer.status_code, answer.text
    assert HOSTILE not in answer.text
    assert " style=" not in answer.text
    return answer.text


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


# --- what ads brought ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "",
        "level=channel&model=last_touch&window=1d_click&window=28d_click",
        "level=ad&model=linear&model=shapley&window=default",
        "level=adset&campaign_id=7&model=last_touch",
    ],
)
def test_the_page_of_ads_shows_what_its_twin_says(site: Site, query: str) -> None:
    found = report(site, f"/attribution.json?{query}")
    table = rows_of(shown(site, f"/attribution?{query}"))
    rows = [row for row in table if len(row) == 4 + 4 * len(found["total"]["results"])]
    (claimed,) = (row for row in rows if row[0] == "Claimed by ads")
    rows.remove(claimed)
    for n in range(len(found["total"]["results"])):
        own = [row["results"][n] for row in found["rows"] if row["is_attributed"]]
        value = sum((Decimal(result["value"]) for result in own), Decimal(0))
        count = sum((Decimal(result["conversions"]) for result in own), Decimal(0))
        assert [conversions(count), money(value)] == claimed[4 + 4 * n : 6 + 4 * n]
        assert f"{value / found['total']['spend']:,.2f}" == claimed[7 + 4 * n]
    total = [] if "campaign_id" in query else [found["total"]]
    assert len(found["rows"]) + len(total) == len(rows)
    for told, cells in zip([*found["rows"], *total], rows, strict=True):
        if told["is_attributed"]:
            delivered = [money(told["spend"]), f"{told['impressions']:,}", f"{told['clicks']:,}"]
            assert delivered == cells[1:4]
        expected = []
        for result in told["results"]:
            cost, roas = result["cost_per_action"], result["roas"]
            expected += [
                conversions(Decimal(result["conversions"])),
                money(Decimal(result["value"])),
                "–" if cost is None else money(cost),
                "–" if roas is None else f"{roas:,.2f}",
            ]
        assert expected == cells[4:]


def test_the_headline_is_of_what_ads_claim_by_the_first_model(site: Site) -> None:
    text = text_of(shown(site, "/attribution?level=channel"))
    found = report(site, "/attribution.json?level=channel")
    claimed = [row["results"][0] for row in found["rows"] if row["is_attributed"]]
    value = sum(result["value"] for result in claimed)
    assert [found["attributed"]] == [sum(result["conversions"] for result in claimed)]
    assert "Spend 89.50 EUR, 12,345 impressions, 67 clicks" in text
    assert f"Claimed by ads 5 {as_share(5 / 8)} of 8 Purchase events, last touch" in text
    assert f"Cost per conversion {money(Decimal('89.5') / 5)}" in text
    assert f"Return on ad spend {value / Decimal('89.5'):.2f} {money(value)} EUR claimed" in text


def test_a_name_leads_to_what_lies_beneath_it(site: Site) -> None:
    page = shown(site, "/attribution?level=campaign&model=last_touch&since=2026-05-01")
    (href,) = re.findall(r'href="([^"]*campaign_id=7[^"]*)"', page)
    address = html.unescape(href)
    assert "level=adset" in address
    assert "since=2026-05-01" in address
    beneath = shown(site, address)
    text = text_of(beneath)
    assert f"All campaigns {HOSTILE}" in text
    assert "Everybody" in text
    assert "Not claimed" not in text
    (href,) = re.findall(r'href="([^"]*adset_id=70[^"]*)"', beneath)
    assert "Red & blue" in text_of(shown(site, html.unescape(href)))


@pytest.mark.parametrize("model", ["last_touch", "markov"])
def test_every_link_of_the_page_is_of_the_same_models_and_windows(site: Site, model: str) -> None:
    page = shown(site, f"/attribution?model={model}&window=7d_click")
    links = [html.unescape(link) for link in re.findall(r'(?:href|src|srcset)="([^"]+)"', page)]
    asking = [link for link in links if "model=" in link or "/attribution." in link]
    # Two campaigns, the picture in two schemes, and the three twins.
    assert 7 == len(asking)
    for link in asking:
        assert f"window=7d_click&model={model}" in link
        assert 1 == link.count("model=")


def test_one_figure_may_stand_for_all(site: Site) -> None:
    models = "model=last_touch&model=first_touch&model=linear&window=default"
    found = report(site, f"/attribution.json?{models}")
    for figure in ("conversions", "value", "roas"):
        table = rows_of(shown(site, f"/attribution?{models}&show={figure}"))
        (total,) = (row for row in table if row[0].startswith("All conversions") and len(row) == 7)
        values = [result[figure] for result in found["total"]["results"]]
        form = conversions if figure == "conversions" else "{:,.2f}".format
        assert [form(Decimal(value)) for value in values] == total[4:]


def test_the_page_says_what_the_choice_of_a_model_changes(site: Site) -> None:
    models = "model=last_touch&model=first_touch&window=default"
    text = text_of(shown(site, f"/attribution?{models}"))
    found = report(site, f"/attribution.json?{models}")
    (row,) = (row for row in found["rows"] if row["campaign_id"] == "8")
    last, first = (result["conversions"] for result in row["results"])
    assert last > first
    assert f"First touch in place of last touch: 8 {last} → {first} (−67 %); {HOSTILE}" in text
    same = text_of(shown(site, "/attribution?model=first_touch&window=7d_click&window=28d_click"))
    assert "28-day click in place of 7-day click" in same


def test_views_that_nobody_saw_are_no_zero(site: Site) -> None:
    query = "model=last_touch&window=default&window=1d_view&show=conversions"
    page = shown(site, f"/attribution?{query}")
    assert "not seen" in text_of(page)
    assert "no ad log here tells who saw ads of google, meta" in text_of(page)
    assert "not seen" in text_of(shown(site, "/windows"))


# --- the others ------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "by=campaign&repeats=1", "limit=1"])
def test_the_page_of_paths_shows_what_its_twin_says(site: Site, query: str) -> None:
    found = report(site, f"/paths.json?{query}")
    page = shown(site, f"/paths?{query}")
    rows = [row for row in rows_of(page) if len(row) == 7][1:]
    told = [
        [f"{row['conversions']:,}", as_share(float(row["share"])), money(Decimal(row["value"]))]
        for row in found["rows"]
    ]
    assert told == [[row[2], row[3], row[5]] for row in rows]
    lengths = [row for row in rows_of(page) if len(row) == 6 and row[0] != "Steps"]
    assert [str(row["conversions"]) for row in found["lengths"]] == [row[2] for row in lengths]
    text = text_of(page)
    assert f"After a touch {as_share(found['touched'] / found['conversions'])}" in text
    if query == "":
        assert "meta → , then google 2 2" in text
    if query == "limit=1":
        assert "other paths" in text


def test_the_page_of_times_shows_what_its_twin_says(site: Site) -> None:
    found = report(site, "/time_to_conversion.json?days=14")
    page = shown(site, "/time_to_conversion?days=14")
    rows = [row for row in rows_of(page) if len(row) == 7]
    for n, touch in enumerate(("first", "last")):
        told = [
            [f"{row['conversions']:,}", as_share(float(row["share"])), money(Decimal(row["value"]))]
            for row in found["rows"]
            if row["from_touch"] == touch
        ]
        assert told == [row[1 + 3 * n : 4 + 3 * n] for row in rows]
    assert f"Without a touch {found['untouched']}" in text_of(page)


def test_the_page_of_windows_shows_what_its_twin_says(site: Site) -> None:
    found = report(site, "/windows.json?level=channel")
    page = shown(site, "/windows?level=channel")
    rows = [row for row in rows_of(page) if len(row) == 7][1:]
    for told, cells in zip([*found["rows"], found["claimed"]], rows, strict=True):
        figures = [result["conversions"] for result in told["results"]]
        assert [conversions(None if n is None else Decimal(n)) for n in figures] == cells[1:]
    for change in found["changes"]:
        assert change["meaning"] in text_of(page)


@pytest.mark.parametrize("level", ["platform", "campaign"])
def test_the_page_of_differences_shows_what_its_twin_says(site: Site, level: str) -> None:
    found = report(site, f"/differences.json?level={level}")
    page = shown(site, f"/differences?level={level}")
    table = [row for row in rows_of(page) if len(row) == 4 and row[0] != "Why"]
    expected = []
    for row in found["rows"]:
        parts = [Decimal(part["conversions"]) for part in row["parts"]]
        assert Decimal(row["ours"]) + sum(parts) == Decimal(row["theirs"])
        signed = [f"{'+' if part > 0 else ''}{conversions(part)}" for part in parts]
        ours, theirs = (conversions(Decimal(row[name])) for name in ("ours", "theirs"))
        expected += [ours, *signed, theirs]
    assert expected == [row[1] for row in table]
    assert len(expected) >= 8


# --- lift ------------------------------------------------------------------------------------


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Site]:
    """A holdout in which each of the shown buys, and every third of the held out."""
    site = Site(tmp_path)
    touches, buyers = [], []
    for number in range(180):
        who = f"{number:064x}"
        kind = "held_out" if number % 3 == 0 else "view"
        touch = msgspec.json.decode(
            make_touch(kind, number=number, em=[who], experiment=HOSTILE, campaign_id="7")
        )
        touch["account_id"] = site.ours.account.account_id
        touches.append(msgspec.json.encode(touch))
        if kind == "view" or number % 9 == 0:
            buyers.append(who)
    site.pipeline.append(touches)
    site.received += DAY
    for number, who in enumerate(buyers):
        site.add(site.ours, ("server", f"o{number}"), user_data={"em": [who]})
    yield site
    site.close()


def test_the_page_of_lift_shows_what_its_twin_says(tried: Site) -> None:
    found = report(tried, "/lift.json")
    (row,) = found["rows"]
    page = shown(tried, "/lift")
    text = text_of(page)
    assert "more" == row["verdict"]
    assert "More with the ads" in text
    effect = row["conversions"]
    assert f"about {effect['incremental']:,.0f} conversions" in text
    cells = [each for each in rows_of(page) if each[:1] == ["Conversions"]]
    held, caused, lift = cells[0][1], cells[0][3], cells[0][5]
    assert f"{effect['held_out_mean']:.3f}" == held
    assert f"{effect['incremental']:+,.0f}" == caused
    assert f"{100 * effect['lift']:+,.1f} %" == lift
    assert "120 persons were shown the ads, 60 were held out (33.3 %)" in text
    names, *lines = tried.get("/lift.csv", tried.ours).text.splitlines()
    assert names.startswith("experiment,campaign_id,verdict,outcome,held_out_persons,")
    assert 3 == len(lines)
    assert str(effect["lift"]) in lines[1]
    mismatched = text_of(shown(tried, "/lift?holdout=0.9"))
    assert "The arms do not compare" in mismatched
    assert 400 == tried.get("/lift?window_days=0", tried.ours).status_code


def test_intervals_lie_on_one_axis() -> None:
    def row(shown_times: int) -> Any:
        held = Sums(1000, 100, 100, 100, first_time=0)
        other = Sums(1000, shown_times, shown_times, shown_times, first_time=0)
        return judge(Asked(), "e", None, held, other, 0)

    less, more = intervals([row(60), row(150)])
    nothing = intervals([row(3)])
    assert [None] == nothing
    assert less is not None
    assert more is not None
    assert less.zero == more.zero
    assert 0 == less.start
    assert less.start + less.length < less.zero < more.start
    assert 1000 == more.start + more.length
    assert less.figure < less.zero < more.figure


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_account_is_told_what_will_stand_here(site: Site, path: str) -> None:
    page = site.get(path, site.theirs)
    assert 200 == page.status_code
    text = text_of(page.text)
    assert "Here stands" in text
    assert " fill" in text
    filtered = text_of(site.get(f"{path}?since=2020-01-01&until=2020-01-02", site.ours).text)
    assert "Nothing fits these filters" in filtered


@pytest.mark.parametrize("path", PAGES)
def test_filters_reach_every_tab_and_twin(site: Site, path: str) -> None:
    page = shown(site, f"{path}?since=2026-05-01&until=2026-06-30")
    main = page[page.index("<main") :]
    links = [html.unescape(link) for link in re.findall(r'(?:href|src)="(/[^"]*)"', main)]
    family = [link for link in links if re.split(r"[.?]", link)[0] in PAGES]
    # The one without is that which clears the filters.
    assert [path] == [link for link in family if "since=2026-05-01&until=2026-06-30" not in link]
    assert len(PAGES) <= len(family)
    current = re.findall(r'href="([^"?]*)[^"]*" aria-current="page"', main)
    assert [path] == current


@pytest.mark.parametrize("path", PAGES)
def test_a_wrong_parameter_is_a_page_that_says_so(site: Site, path: str) -> None:
    answer = site.get(f"{path}?since=yesterday", site.ours)
    assert 400 == answer.status_code
    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert "since is" in answer.text
    signed_out = site.get(path)
    assert (401, True) == (signed_out.status_code, "Sign in" in signed_out.text)


def test_a_place_beneath_a_level_that_lacks_it_is_refused(site: Site) -> None:
    answer = site.get("/attribution?level=channel&campaign_id=7", site.ours)
    assert 400 == answer.status_code
    assert "have no campaign_id" in answer.text
    assert 400 == site.get("/attribution?show=everything", site.ours).status_code


def test_the_older_name_leads_to_the_page(site: Site) -> None:
    answer = site.get("/campaigns?level=ad&since=2026-05-01", site.ours)
    assert (303, "/attribution?level=ad&since=2026-05-01") == (
        answer.status_code,
        answer.headers["location"],
    )


def test_twins_take_the_pages_parameters_and_no_others(site: Site) -> None:
    csv = site.get("/attribution.csv?level=channel", site.ours)
    found = report(site, "/attribution.json?level=channel")
    results = sum(len(row["results"]) for row in found["rows"])
    assert results + 1 == len(csv.text.splitlines())
    assert 'filename="attribution.csv"' in csv.headers["content-disposition"]
    assert {"last_touch", "position_based"} == {each["model"] for each in found["total"]["results"]}
    picture = site.get("/attribution.svg?level=channel&scheme=dark", site.ours)
    assert "image/svg+xml" == picture.headers["content-type"]
    assert 400 == site.get("/attribution.json?levle=ad", site.ours).status_code


def test_a_picture_is_of_the_figures_that_its_page_has_shown(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.add(site.ours, ("server", "1"))
        query = "event_name=Purchase"
        shown(site, f"/paths?{query}")
        site.add(site.ours, ("server", "2"))
        drawn = site.get(f"/paths.svg?{query}", site.ours).text
        assert "1 conversions, 0 of them after a touch" in drawn
        assert 2 == report(site, f"/paths.json?{query}")["conversions"]
        # The page may wait for the newer figures, and says as of when they are.
        wait_for(
            lambda: "Conversions 2" in text_of(shown(site, f"/paths?{query}")),
            what="the newer figures",
        )
        drawn = site.get(f"/paths.svg?{query}", site.ours).text
        assert "2 conversions, 0 of them after a touch" in drawn
        theirs = site.get(f"/paths.svg?{query}", site.theirs).text
        assert "Nothing to draw yet" in theirs
    finally:
        site.close()


def test_many_rows_are_cut_and_what_nobody_claims_is_not_among_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution_pages, "_ROWS_MAX", 1)
    text = text_of(shown(site, "/attribution?level=channel"))
    assert "The first 1 of 2 rows." in text
    assert "Not claimed no ad was touched in time" in text
    windows = text_of(shown(site, "/windows?level=channel"))
    assert "The first 1 of 2 rows." in windows
    assert "Not claimed" in windows
