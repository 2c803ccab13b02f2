"""Platforms' exports and ad servers' logs as files: understood, imported once, resumable."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from doublet import deposit
from doublet.ads.guess import NO_CURRENCY, guess_ads, guess_what, missing
from doublet.ads.rows import AdPlan
from doublet.catalog import Account, Catalog
from doublet.imports.files import open_source
from doublet.imports.mapping import Mapping
from doublet.imports.run import Imported, bring_in, open_book
from doublet.log.disk import DiskLog
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import sha256
from tests.imports.calling import run

META = """\
Campaign name,Ad set name,Ad name,Day,Campaign ID,Ad set ID,Ad ID,Amount spent (EUR),Impressions,\
Reach,Link clicks,Purchases,Purchases conversion value,Reporting starts,Reporting ends
,,,,,,,44.20,3000,2500,60,3,150,2026-05-01,2026-05-02
Spring,Berlin,Red shoe,2026-05-01,c1,s1,a1,12.50,"1,000",900,20,1,50.00,2026-05-01,2026-05-01
Spring,Berlin,Red shoe,2026-05-02,c1,s1,a1,31.70,"2,000",1900,40,2,100.00,2026-05-02,2026-05-02
"""
META_GERMAN = """\
Kampagnenname;Anzeigengruppenname;Anzeigenname;Tag;Kampagnen-ID;Anzeigengruppen-ID;Anzeigen-ID;\
Ausgegebener Betrag (EUR);Impressionen;Link-Klicks
Frühling;Berlin;Roter Schuh;01.05.2026;c1;s1;a1;1.012,50;1.000;20
"""
GOOGLE = """\
Ad performance report
"May 1, 2026 - May 2, 2026"
Day,Campaign,Campaign ID,Ad group,Ad group ID,Ad ID,Currency code,Cost,Impr.,Clicks,Conversions,\
Conv. value
2026-05-01,Brand,c1,Exact,s1,a1,EUR,"1,234.50","10,000",500,12.50,800.00
Total: Account, --, --, --, --, --,EUR,"1,234.50","10,000",500,12.50,800.00
"""
TIKTOK = """\
Campaign name,Campaign ID,Ad Group Name,Ad Group ID,Ad Name,Ad ID,By Day,Currency,Cost,Impressions,\
Clicks (Destination),Complete payment
Summer,c1,All,s1,Dance,a1,2026-05-01,USD,20.00,5000,70,4
Total of 1 results,-,-,-,-,-,-,USD,20.00,5000,70,4
"""
TOUCHES = """\
event_type,timestamp,ad_network,impression id,campaign_id,ad_id,gaid,price,currency,email
impression,{at},taboola,i1,c1,a1,38400000-8cf0-11bd-b23e-10b96e40000d,0.002,EUR,
click,{at},taboola,i1,c1,a1,,0.40,EUR,Mary.Planted@private.example
"""


@pytest.fixture
def account(tmp_path: Path) -> Account:
    catalog = Catalog(Settings(data=tmp_path).catalog_url)
    catalog.migrate()
    made = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    catalog.create_pixel(made.account_id, "Shop")
    catalog.close()
    return made


def written(folder: Path, text: str, name: str = "file.csv") -> Path:
    """The text as a file."""
    file = folder / name
    file.write_text(text)
    return file


def records(folder: Path) -> list[dict[str, Any]]:
    """All records of the log, but for when each was received and whose it is."""
    log = DiskLog(Settings(data=folder).log_folder)
    found = []
    for slot in log.partitions():
        position = 0
        while (chunk := log.read(slot, position, 1 << 20)) is not None:
            lines = [msgspec.json.decode(line) for line in chunk.lines.splitlines()]
            found += [line for line in lines if "record_type" in line]
            position = chunk.next_position
    aside = ("log_offset", "received_at", "account_id", "source", "touch_key")
    return [{k: v for k, v in record.items() if k not in aside} for record in found]


IDS = {"campaign_id": "c1", "adset_id": "s1", "ad_id": "a1"}


@pytest.mark.parametrize(
    ("text", "platform", "first", "count"),
    [
        (
            META,
            "meta",
            {
                "date": "2026-05-01",
                "ad_name": "Red shoe",
                "impressions": 1000,
                "clicks": 20,
                "reach": 900,
                "spend": "12.5",
                "currency": "EUR",
                "reported": {"purchase": {"value": {"count": "1", "value": "50"}}},
            },
            2,
        ),
        (
            META_GERMAN,
            "meta",
            {
                "date": "2026-05-01",
                "impressions": 1000,
                "spend": "1012.5",
                "ad_name": "Roter Schuh",
            },
            1,
        ),
        (
            GOOGLE,
            "google",
            {
                "date": "2026-05-01",
                "campaign_name": "Brand",
                "adset_name": "Exact",
                "impressions": 10_000,
                "spend": "1234.5",
                "reported": {"conversions": {"value": {"count": "12.5", "value": "800"}}},
            },
            1,
        ),
        (
            TIKTOK,
            "tiktok",
            {
                "date": "2026-05-01",
                "currency": "USD",
                "clicks": 70,
                "reported": {"purchase": {"value": {"count": "4"}}},
            },
            1,
        ),
    ],
    ids=["meta", "meta-german", "google", "tiktok"],
)
def test_exports_are_known_by_their_columns(
    tmp_path: Path, account: Account, text: str, platform: str, first: dict[str, Any], count: int
) -> None:
    run(tmp_path, "ads", "import", str(written(tmp_path, text)), "--yes")
    found = records(tmp_path)
    assert count == len(found)
    wanted = {"record_type": "ad_day", "platform": platform, "level": "ad", **IDS, **first}
    assert wanted == {name: found[0].get(name) for name in wanted}


def test_an_ad_servers_log_becomes_touches(tmp_path: Path, account: Account) -> None:
    now = int(time.time()) - 60
    file = written(tmp_path, TOUCHES.format(at=now))
    done = run(tmp_path, "ads", "import", str(file), "--yes", "--json")
    assert ("touches", 2) == (json.loads(done.stdout)["what"], json.loads(done.stdout)["imported"])
    view, click = records(tmp_path)
    assert view == {
        "record_type": "ad_touch",
        "touch_id": "i1",
        "kind": "view",
        "touched_at": now * 1_000_000,
        "platform": "taboola",
        "campaign_id": "c1",
        "ad_id": "a1",
        "cost": "0.002",
        "currency": "EUR",
        "user_data": {"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"},
    }
    assert {"em": [sha256("mary.planted@private.example")]} == click["user_data"]
    assert "lanted" not in done.stdout + done.stderr
    stored = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != file
    )
    assert b"lanted" not in stored


def test_parquet_is_read_as_csv_is(tmp_path: Path, account: Account) -> None:
    file = tmp_path / "clicks.parquet"
    duckdb.execute(
        "copy (select timestamptz '2026-05-01 10:00:00+00' as clicked_at, 'abc' as gclid, "
        f"77 as campaign_id, cast(0.25 as decimal(8, 4)) as cost) to '{file}'"
    )
    run(tmp_path, "ads", "import", str(file), "--set", "kind=click", "--yes")
    (touch,) = records(tmp_path)
    assert ("google", "abc", "77", "0.25", 1_777_629_600_000_000) == tuple(
        touch[name] for name in ("platform", "click_id", "campaign_id", "cost", "touched_at")
    )


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("Campaign name,Day,Amount spent (EUR)\nSpring,2026-05-01,5\n", (), "Campaign ID"),
        ("Campaign ID,Ad set name,Amount spent (EUR)\nc1,Berlin,5\n", (), "breakdown by day"),
        ("campaign_id,day,cost\nc1,2026-05-01,5\n", (), "--set platform="),
        (META.replace("2026-05-01,2026-05-01", "2026-05-01,2026-05-03"), (), "several days"),
        (META + META.splitlines()[-1].replace("31.70", "9") + "\n", (), "without breakdowns"),
        (META.replace("12.50", "$12.50"), (), "another currency"),
        (META.replace("c1", "{{campaign.id}}"), (), "placeholder {{campaign.id}}"),
        ("madid,time\nx,2026-05-01\n", ("--set", "platform=x"), "--set kind=click"),
        ("kind,time,platform\nclick,2026-05-01,x\n", (), "--map COLUMN=click_id"),
        ("kind,time,platform,gclid\nsold,2026-05-01,x,1\n", (), "kind is not known"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_to_do(
    tmp_path: Path, account: Account, text: str, options: tuple[str, ...], words: str
) -> None:
    file = written(tmp_path, text)
    done = run(tmp_path, "ads", "import", str(file), "--yes", *options, code=4)
    assert words in f"{done.stdout} {done.stderr}".replace("\n", " ")
    assert [] == records(tmp_path)


def test_names_may_stand_for_ids(tmp_path: Path, account: Account) -> None:
    text = "Campaign name,Day,Amount spent (EUR)\nSpring sale,2026-05-01,5\n"
    file = written(tmp_path, text)
    run(tmp_path, "ads", "import", str(file), "--yes", "--map", "Campaign name=campaign_id")
    (day,) = records(tmp_path)
    assert ("campaign", "Spring sale") == (day["level"], day["campaign_id"])


def test_any_conversion_can_be_mapped_to_what_is_reported(tmp_path: Path, account: Account) -> None:
    text = "Campaign ID,Day,Amount spent (EUR),Sales (7d)\nc1,2026-05-01,5,3\n"
    mapped = "Sales (7d)=reported.purchase.7d_click.count"
    run(tmp_path, "ads", "import", str(written(tmp_path, text)), "--yes", "--map", mapped)
    assert {"purchase": {"7d_click": {"count": "3"}}} == records(tmp_path)[0]["reported"]


def test_a_file_is_imported_once(tmp_path: Path, account: Account) -> None:
    days, touches = (
        written(tmp_path, META),
        written(tmp_path, TOUCHES.format(at=1777629600), "t.csv"),
    )
    for file in (days, touches, days, touches):
        run(tmp_path, "ads", "import", str(file), "--yes")
    assert 4 == len(records(tmp_path))
    more = written(tmp_path, touches.read_text() + "click,1777629600,x,i9,c1,a1,abc,,,\n", "u.csv")
    done = run(tmp_path, "ads", "import", str(more), "--yes", "--json")
    assert (1, 2) == tuple(json.loads(done.stdout)[name] for name in ("imported", "known"))
    # The last word counts: an older file may be said again.
    run(tmp_path, "ads", "import", str(days), "--yes", "--again")
    assert 7 == len(records(tmp_path))


def _plan(folder: Path, account: Account, file: Path) -> AdPlan:
    source = open_source(file)
    columns, rows = source.sample()
    what = guess_what(columns)
    guessed = guess_ads(
        what, columns, rows, Mapping({}, {"kind": "click"} if what == "touches" else {}), "EUR"
    )
    assert [] == missing(what, guessed.mapping)
    return AdPlan(source, guessed.mapping, account, what)


class _CutOffError(Exception):
    pass


@pytest.mark.parametrize("what", ["days", "touches"])
@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("loaded", [False, True])
def test_an_import_that_was_cut_off_goes_on_where_it_ended(
    tmp_path: Path,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    landed: bool,
    loaded: bool,
) -> None:
    """Cut off just before or just after a group was durable; then it may be in the lake alone."""
    head = {"days": "campaign_id,day,cost,platform,currency", "touches": "gclid,time"}[what]
    line = {"days": "c{n},2026-05-01,{n},x,EUR", "touches": "c{n},2026-05-01 10:00"}[what]
    lines = [head, *(line.format(n=n) for n in range(2500))]
    plan = _plan(tmp_path, account, written(tmp_path, "\n".join(lines) + "\n"))
    settings = Settings(data=tmp_path)
    append, calls = deposit.Deposit.append, []

    def cut(self: deposit.Deposit, group: list[bytes]) -> None:
        calls.append(len(group))
        if len(calls) < 2 or landed:
            append(self, group)
        if len(calls) == 2:
            raise _CutOffError

    with monkeypatch.context() as patch:
        patch.setattr(deposit.Deposit, "append", cut)
        with pytest.raises(_CutOffError), open_book(settings) as book:
            bring_in(settings, plan, book, plan.key())
    if loaded:
        freshener = Freshener(settings)
        freshener.freshen()
        freshener.close()
        for segment in settings.log_folder.rglob("*.jsonl"):
            segment.unlink()
    before = (2000 if landed else 1000) if loaded else 0
    with open_book(settings) as book:
        done = bring_in(settings, plan, book, plan.key())
        assert 2500 == book.progress(plan.key()).imported
    assert Imported(2000 if landed else 1000, 500 if landed else 1500, 0, 0, 0) == done
    assert 2500 == before + len(records(tmp_path))


def test_what_is_known_is_listed(tmp_path: Path, account: Account) -> None:
    run(tmp_path, "ads", "import", str(written(tmp_path, META)), "--yes")
    given = ("--platform=taboola", "--campaign-id=5", "--date=2026-05-01", "--spend=7")
    run(tmp_path, "ads", "set", *given, "--campaign-name=Native")
    rows = json.loads(run(tmp_path, "ads", "list", "--json").stdout)
    found = [(r["platform"], r["level"], r["campaign_name"], r["spend"], r["days"]) for r in rows]
    assert found == [
        ("meta", "campaign", "Spring", 44.2, 2),
        ("meta", "adset", "Spring", 44.2, 2),
        ("meta", "ad", "Spring", 44.2, 2),
        ("taboola", "campaign", "Native", 7, 1),
    ]
    only = ("--since=2026-05-02", "--level=ad", "--csv")
    head, line = run(tmp_path, "ads", "list", *only).stdout.splitlines()
    assert dict(zip(head.split(","), line.split(","), strict=True)).items() >= {
        ("ad_name", "Red shoe"),
        ("spend", "31.7000"),
    }


def test_what_is_set_wrongly_is_refused(tmp_path: Path, account: Account) -> None:
    done = run(tmp_path, "ads", "set", "--platform=x", "--ad-id=1", "--spend=7", code=4)
    assert "date is missing" in done.stderr


def test_a_field_that_is_none_is_refused_with_the_nearest(tmp_path: Path, account: Account) -> None:
    file = written(tmp_path, META)
    done = run(tmp_path, "ads", "import", str(file), "--yes", "--map", "Day=dat", code=4)
    assert "Did you mean date?" in done.stderr


@pytest.mark.usefixtures("account")
def test_a_campaign_may_be_called_total(tmp_path: Path) -> None:
    lines = ["Day,Campaign,Cost,Currency code", "2026-05-01,Total Fitness - Prospecting,5,EUR"]
    lines += ["2026-05-01,Total: campaigns,9,EUR", "2026-05-01,Total,9,EUR"]
    file = written(tmp_path, "\n".join(lines))
    said = ("--set", "platform=google", "--map", "Campaign=campaign_id", "--yes")
    run(tmp_path, "ads", "import", str(file), *said)
    assert ["Total Fitness - Prospecting"] == [row["campaign_id"] for row in records(tmp_path)]


BY_AGE = "Campaign ID,Day,Age,Amount spent (EUR)\n"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("spend", [(10, 20, 30), (10, 10, 10)])
@pytest.mark.parametrize("option", ["--skip-bad", "--dry-run", "--yes"])
def test_parts_of_a_day_are_refused_whatever_may_be_left_out(
    tmp_path: Path, spend: tuple[int, ...], option: str
) -> None:
    lines = [f"12,2026-05-01,age {n},{each}\n" for n, each in enumerate(spend)]
    file = written(tmp_path, BY_AGE + "".join(lines))
    given = ("--set", "platform=meta", "--yes", option)
    done = run(tmp_path, "ads", "import", str(file), *given, code=4)
    told = " ".join(f"{done.stdout} {done.stderr}".split())
    assert "export without breakdowns" in told
    assert "one row for each ad and day" in told
    assert "--skip-bad" not in told
    assert [] == records(tmp_path)


@pytest.mark.usefixtures("account")
def test_a_row_that_a_file_has_twice_counts_once(tmp_path: Path) -> None:
    file = written(tmp_path, BY_AGE + "12,2026-05-01,all,10\n" * 2)
    run(tmp_path, "ads", "import", str(file), "--set", "platform=meta", "--yes")
    assert ["10"] == [row["spend"] for row in records(tmp_path)]


@pytest.mark.usefixtures("account")
def test_other_bad_rows_of_days_may_be_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, BY_AGE + "12,2026-05-01,all,10\n12,2026-05-02,all,x\n")
    given = ("--set", "platform=meta", "--yes", "--skip-bad")
    run(tmp_path, "ads", "import", str(file), *given)
    assert ["2026-05-01"] == [row["date"] for row in records(tmp_path)]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("rounded", ["9.8E+15", '"9,8E+15"', "1E+17", "9.80144e+15"])
@pytest.mark.parametrize("column", ["Campaign ID", "Ad ID", "gclid", "touch_id", "placement"])
def test_ids_that_a_spreadsheet_has_rounded_are_refused(
    tmp_path: Path, rounded: str, column: str
) -> None:
    is_day = column.endswith("ID")
    head, rest = ("Day,Impressions", "2026-05-01,5") if is_day else ("kind,time,em", "view,{},{}")
    rest = rest.format("2026-05-01 10:00", sha256("ada@example.com"))
    file = written(tmp_path, f"{column},{head}\n{rounded},{rest}\n")
    given = ("--set", "platform=meta", "--yes")
    done = run(tmp_path, "ads", "import", str(file), *given, code=4)
    told = " ".join(f"{done.stdout} {done.stderr}".split())
    assert f"column {column}" in told
    assert "format the column as text" in told
    assert [] == records(tmp_path)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("campaign_id", ["12E5", "1E5", "Sale 1.5E+3"])
def test_ids_that_only_look_alike_are_taken(tmp_path: Path, campaign_id: str) -> None:
    file = written(tmp_path, f"Campaign ID,Day,Impressions\n{campaign_id},2026-05-01,5\n")
    run(tmp_path, "ads", "import", str(file), "--set", "platform=meta", "--yes")
    assert [campaign_id] == [row["campaign_id"] for row in records(tmp_path)]


@pytest.mark.usefixtures("account")
def test_days_that_say_nothing_are_refused_with_the_column_that_was_left_aside(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, "Day,Campaign ID,Amount spent (XYZ)\n2026-05-01,12,5\n")
    given = ("--set", "platform=meta", "--yes")
    done = run(tmp_path, "ads", "import", str(file), *given, code=4)
    told = " ".join(f"{done.stdout} {done.stderr}".split())
    assert "The row says nothing" in told
    assert [] == records(tmp_path)
    columns, rows = open_source(file).sample()
    guessed = guess_ads("days", columns, rows, Mapping({}, {}), "EUR")
    assert ("", NO_CURRENCY) == (guessed.columns[-1].field, guessed.columns[-1].why)
