"""Reports of conversions in all their forms: pictures, Parquet, addresses and parameters."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from doublet.catalog import ReportRules
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import OperatorError, SenderError
from doublet.reports import as_csv
from doublet.reports.asked import Asked, Setting, parameters, read_parameters
from doublet.reports.campaigns import CampaignsAsked
from doublet.reports.cohorts import CohortsAsked
from doublet.reports.differences import DifferencesAsked
from doublet.reports.funnels import FunnelAsked
from doublet.reports.parquet import write_parquet
from doublet.reports.paths import PathsAsked
from doublet.reports.registry import REPORTS
from doublet.web.pictures import specification
from doublet.web.render import render_bytes
from tests.dashboard import Site
from tests.reports.world import DAY_S, RATES, SHOP, World, fill, random_world

NAMES = list(REPORTS)
HOSTILE = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture(scope="module")
def answers(engine: DuckDBEngine) -> dict[str, Any]:
    """Every report of a world in which something was reported by a platform too."""
    world = random_world(7, events=150)
    for touch in world.touches[::5]:
        touch["channel"] = HOSTILE
        touch["platform"] = None
    for row in world.ad_days:
        row["reported"] = json.dumps({"purchase": {"value": {"count": "3", "value": "30"}}})
    fill(engine, world)
    return {
        name: report.make(engine, SHOP, RATES, report.asked()) for name, report in REPORTS.items()
    }


@pytest.fixture(scope="module")
def empty(engine: DuckDBEngine, answers: dict[str, Any]) -> dict[str, Any]:
    """Every report of nothing; made after the others."""
    fill(engine, World())
    return {
        name: report.make(engine, SHOP, RATES, report.asked()) for name, report in REPORTS.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_drawn(answers: dict[str, Any], name: str) -> None:
    made = specification(name, answers[name], "light", is_file=True)
    svg = render_bytes("svg", json.dumps(made)).decode()
    marks = re.findall(r'class="mark-(rect|text) role-mark', svg)
    assert "rect" in marks
    bars = re.findall(r'aria-roledescription="(?:bar|rect)|<path[^>]* d="M[^"]*Z"', svg)
    assert len(bars) >= 3
    assert made["title"]["text"] in re.sub(r"<[^>]+>", "\n", svg)
    assert "<script" not in svg


@pytest.mark.parametrize("window", [("1d_click", "default"), ("1d_click", "7d_click")])
def test_campaigns_are_drawn_by_the_window_that_is_named(
    engine: DuckDBEngine, window: tuple[str, ...]
) -> None:
    world = World()
    world.touch(1, 0, "meta", campaign_id="7")
    world.convert(1, 3 * DAY_S, "30")
    fill(engine, world)
    report = REPORTS["campaigns"].make(engine, SHOP, RATES, CampaignsAsked(window=window))
    made = specification("campaigns", report, "light")
    (value,) = (each for each in made["data"]["values"] if each["series"] == "Value")
    drawn = (value["amount"], made["title"]["subtitle"].split(" · ")[0])
    assert drawn == {"default": (30, report.setting), "7d_click": (0, "1d_click")}[window[-1]]


@pytest.mark.parametrize("name", ["campaigns", "cohorts", "differences"])
def test_a_picture_in_png_is_one(answers: dict[str, Any], name: str) -> None:
    text = json.dumps(specification(name, answers[name], "dark", is_file=True))
    png = render_bytes("png", text)
    assert b"\x89PNG\r\n\x1a\n" == png[:8]
    width, height = struct.unpack(">II", png[16:24])
    assert width > 600
    assert height > 150


def test_no_name_breaks_a_picture(empty: dict[str, Any]) -> None:
    report = msgspec.structs.replace(empty["differences"], action_type="a\x00\uffff")
    svg = render_bytes("svg", json.dumps(specification("differences", report, "light"))).decode()
    assert "(a\ufffd\ufffd)" in svg


def test_nothing_is_drawn_as_such(empty: dict[str, Any]) -> None:
    for name in NAMES:
        made = specification(name, empty[name], "light")
        assert "Nothing to draw yet" == made["encoding"]["text"]["value"]
    svg = render_bytes("svg", json.dumps(specification("paths", empty["paths"], "light"))).decode()
    assert "Nothing to draw yet" in svg


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_in_parquet_and_csv(
    answers: dict[str, Any], name: str, tmp_path: Path
) -> None:
    report = REPORTS[name]
    rows = report.rows(answers[name])
    file = tmp_path / "it's.parquet"
    write_parquet(rows, report.row, file)
    quoted = str(file).replace("'", "''")
    found = duckdb.connect().sql(f"select * from '{quoted}'")
    assert list(report.row.__struct_fields__) == found.columns
    expected = [tuple(getattr(row, column) for column in found.columns) for row in rows]
    assert expected == found.fetchall()
    assert expected
    lines = as_csv(rows, report.row).splitlines()
    assert len(rows) + 1 == len(lines)
    assert [file] == list(tmp_path.iterdir())


def test_an_empty_report_has_columns_in_parquet(empty: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "paths.parquet"
    write_parquet([], REPORTS["paths"].row, file)
    found = duckdb.connect().sql(f"select * from '{file}'")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert ("VARCHAR[]", "DECIMAL(38,12)") == (types["path"], types["value"])
    with pytest.raises(OperatorError, match="cannot be written"):
        write_parquet([], REPORTS["paths"].row, tmp_path / "none" / "paths.parquet")


# --- parameters ------------------------------------------------------------------------------

ASKED: list[Asked] = [
    CampaignsAsked(level="ad", window=("7d_click", "1d_view"), first=True),
    PathsAsked(by="campaign", days=7, repeats=True, event_name=("Lead", "Contact")),
    CohortsAsked(by="week", today=date(2026, 6, 1), since=date(2026, 5, 1)),
    FunnelAsked(event_name=("ViewContent", "Purchase"), by="channel"),
    DifferencesAsked(platform_setting="7d_click", action_type="omni_purchase"),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: type(asked).__name__)
def test_an_address_says_what_is_asked(asked: Asked) -> None:
    given = {
        name: value if isinstance(value, list) else [value]
        for name, value in parameters(asked).items()
    }
    known = {"pixel_id": None, "since": asked.since, "until": asked.until}
    assert asked == read_parameters(type(asked), given, known)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"days": ["0"]}, "days"),
        ({"days": ["x"]}, "days"),
        ({"by": ["country"]}, "by"),
        ({"first": ["maybe"]}, "first"),
    ],
)
def test_what_an_address_must_not_say(given: dict[str, list[str]], word: str) -> None:
    with pytest.raises(SenderError, match=word):
        read_parameters(PathsAsked, given, {})


@pytest.mark.parametrize("day", ["5000-01-01", "9999-12-31"])
def test_cohorts_end_with_no_day_to_come(day: str) -> None:
    with pytest.raises(SenderError, match="still to come"):
        read_parameters(CohortsAsked, {"today": [day]}, {})


@pytest.mark.parametrize("text", ["", "7d", "7d_click,7d_click", "7d_click,1d_click", "2d_click"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(SenderError, match="attribution setting"):
        Setting.read(text)


# --- addresses -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    made.fill()
    made.add(made.ours, ("server", "20"), event_name="ViewContent")
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_each_report_answers_in_three_forms(site: Site, name: str) -> None:
    report = site.get(f"/{name}.json", site.ours)
    assert 200 == report.status_code
    text = site.get(f"/{name}.csv", site.ours)
    assert ",".join(REPORTS[name].row.__struct_fields__) == text.text.splitlines()[0]
    picture = site.get(f"/{name}.svg?scheme=dark", site.ours)
    assert ("image/svg+xml", "<svg") == (picture.headers["content-type"], picture.text[:4])
    assert 401 == site.get(f"/{name}.json").status_code


def test_accounts_are_apart(site: Site) -> None:
    ours = site.get("/server_extra.json", site.ours).json()
    theirs = site.get("/server_extra.json?event_name=TheirEvent", site.theirs).json()
    other = site.get("/server_extra.json?event_name=TheirEvent", site.ours).json()
    assert (2, 1) == (ours["conversions"], ours["extra"])
    assert (1, 0) == (theirs["conversions"], other["conversions"])
    stranger = f"/paths.json?account={site.theirs.account.account_id}"
    assert 400 == site.get(stranger, site.ours).status_code


def test_a_wrong_parameter_is_named(site: Site) -> None:
    answer = site.get("/paths.json?days=900", site.ours)
    assert 400 == answer.status_code
    assert "days is '900'" in answer.json()["error"]["error_user_msg"]
    for query, said in (
        ("sinse=2026-11-26", "no parameter 'sinse'"),
        ("model=guess", "choose from last_touch, first_touch"),
    ):
        answer = site.get(f"/campaigns.json?{query}", site.ours)
        assert (400, True) == (answer.status_code, said in answer.text)
    wrong = site.get("/campaigns.json?setting=3d_click", site.ours)
    assert "7d_click" in wrong.json()["error"]["error_user_msg"]


def test_money_is_a_number(site: Site) -> None:
    report = site.get("/campaigns.json", site.ours).json()
    assert isinstance(report["total"]["results"][0]["value"], int | float)
    assert Decimal(2) == report["total"]["results"][0]["conversions"]


def test_an_address_leaves_open_what_the_account_says(site: Site) -> None:
    rules = ReportRules(click_days=1, view_days=0, conversions=("Lead",))
    site.catalog.reporting.save_rules(site.ours.account.account_id, rules)
    report = site.get("/campaigns.json", site.ours).json()
    assert "1d_click,1d_ev" == report["setting"]
    assert 0 == report["total"]["results"][0]["conversions"]
    named = site.get("/campaigns.json?event_name=Purchase&setting=7d_click", site.ours).json()
    assert "7d_click" == named["setting"]
    assert 2 == named["total"]["results"][0]["conversions"]
    site.catalog.reporting.save_rules(site.ours.account.account_id, ReportRules())
