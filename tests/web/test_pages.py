"""The dashboard: what its pages and their twins show."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.health import Health
from doublet.web import create_app
from tests.dashboard import HOSTILE, PUBLIC_URL, Site
from tests.factories import NOON, SECOND, make_record
from tests.server import served

# --- reports over HTTP -----------------------------------------------------------------------


def test_the_overview_is_json_with_numbers(filled: Site) -> None:
    answer = filled.get("/overview.json", filled.ours)
    assert "application/json" == answer.headers["content-type"]
    purchase = {"event_name": "Purchase", "browser": 1, "server": 3, "events": 2, "both": 1}
    purchase |= {"browser_only": 0, "server_only": 1, "value": {"USD": 21.0}}
    hostile = {"event_name": HOSTILE, "browser": 1, "server": 0, "events": 1, "both": 0}
    hostile |= {"browser_only": 1, "server_only": 0, "value": {}}
    assert [purchase, hostile] == answer.json()


def test_the_overview_is_csv(filled: Site) -> None:
    answer = filled.get("/overview.csv", filled.ours)
    expected = [
        "event_name,currency,browser,server,events,both,browser_only,server_only,value",
        f"{HOSTILE},,1,0,1,0,1,0,",
        "Purchase,USD,1,3,2,1,0,1,21.0000",
    ]
    assert expected == answer.text.splitlines()
    assert "text/csv; charset=utf-8" == answer.headers["content-type"]


def test_the_story_of_an_event_is_json(filled: Site) -> None:
    refused = filled.get("/explain.json", filled.ours)
    assert (400, ["event_id"]) == (
        refused.status_code,
        refused.json()["error"]["error_data"]["blame_field_specs"][0],
    )
    assert [] == filled.get("/explain.json?event_id=unheard-of", filled.ours).json()
    for row in filled.pipeline.events():
        if row["event_id"] and row["account_id"] == filled.ours.account.account_id:
            (story,) = filled.get(
                f"/explain.json?event_id={row['event_id']}&pixel={row['pixel_id']}", filled.ours
            ).json()
            assert row["browser_copies"] + row["server_copies"] == len(story["copies"])


def test_the_timeline_has_twins_with_the_same_filters(filled: Site) -> None:
    rows = filled.get("/timeline.json", filled.ours).json()
    assert 3 == sum(row["events"] for row in rows)
    assert "2026-05-28T22:26:40+02:00" == rows[0]["start"]
    only = filled.get("/timeline.json?event_name=Purchase", filled.ours).json()
    assert (1, 0, 1) == tuple(
        sum(row[side] for row in only) for side in ("both", "browser_only", "server_only")
    )
    lines = filled.get("/timeline.csv", filled.ours).text.splitlines()
    assert len(rows) + 1 == len(lines)
    assert [] == filled.get("/timeline.json?until=2026-05-27", filled.ours).json()


def test_coverage_has_twins_with_the_same_filters(filled: Site) -> None:
    hostile_first = filled.get("/coverage.json?by=day", filled.ours).json()
    assert [(HOSTILE, "2026-05-28"), ("Purchase", "2026-05-28")] == [
        (row["event_name"], row["day"]) for row in hostile_first
    ]
    (row,) = filled.get("/coverage.json?event_name=Purchase", filled.ours).json()
    assert (2, 1, 2, 3) == tuple(
        row[name] for name in ("events", "browser_alone", "server_alone", "added")
    )
    assert (None, 0.5, 0.0, 0.5) == (
        row["day"],
        row["browser_missed_share"],
        row["server_missed_share"],
        row["overcount_share"],
    )
    assert (21.0, 10.5, 31.5) == tuple(
        row["value"]["USD"][name] for name in ("value", "browser_alone", "added")
    )
    answer = filled.get("/coverage.csv?event_name=Purchase", filled.ours)
    names, line = answer.text.splitlines()
    assert names.startswith("event_name,day,currency,events,both,browser_only,server_only,")
    assert line.startswith("Purchase,,USD,2,1,0,1,1,2,3,0.5,0.0,0.5,21.0000,10.5000,21.0000,31.5")
    assert "text/csv; charset=utf-8" == answer.headers["content-type"]
    assert [] == filled.get("/coverage.json?until=2026-05-27", filled.ours).json()


def test_the_page_says_what_one_side_alone_would_miss(filled: Site) -> None:
    text = _text(filled.get("/overview", filled.ours).text)
    assert (
        "The browser alone would have missed 1 of 2 purchases (50 %), the server alone 0 (0 %); "
        "adding both would have claimed 3 ." in text
    )
    for bar in (
        "Browser alone 1 50 % missed 10.50 USD",
        "Server alone 2 none missed 21.00 USD",
        "Added up 3 50 % too many 31.50 USD",
        "Doublet 2 counted once 21.00 USD",
    ):
        assert bar in text
    # Without purchases it is about what happens most.
    theirs = _text(filled.get("/overview", filled.theirs).text)
    assert "missed 1 of 1 TheirEvent event (100 %)" in theirs


def test_the_page_shows_the_figures_escaped(filled: Site) -> None:
    page = filled.get("/overview", filled.ours).text
    assert "&lt;script&gt;alert(1)" in page
    assert HOSTILE not in page
    assert '<td class="number strong">2</td>' in page
    text = _text(page)
    assert "Saved by the server 33.3 % 1 event the browser alone would have missed" in text
    assert "Repeats removed 2 of 5 copies received" in text
    assert "Purchase value 21.00 USD; each purchase counted once" in text


@pytest.mark.parametrize(("rare", "said"), [(1, "and 1 other name"), (3, "and 3 other names")])
def test_the_page_shows_the_most_frequent_names_and_sums_up_the_others(
    site: Site, rare: int, said: str
) -> None:
    names = [f"Often{n}." for n in range(200)] * 2 + [f"Rare{n}." for n in range(rare)]
    records = [
        make_record(
            NOON + n * SECOND,
            "browser",
            account_id=site.ours.account.account_id,
            pixel_id=site.ours.pixel_id,
            event_id=str(n),
            event_name=name,
        )
        for n, name in enumerate(names)
    ]
    site.pipeline.append(records)
    site.pipeline.refresh()
    text = _text(site.get("/overview", site.ours).text)
    assert f"Events {len(names)} after deduplication" in text
    assert all(f"{name} 2 0 2 0 2 0" in text for name in names[:200])
    assert "Rare" not in text
    assert f"{said} {rare} 0 {rare} 0 {rare} 0 see CSV or JSON" in text
    assert 200 + rare == len(site.get("/overview.json", site.ours).json())
    assert 1 + 200 + rare == len(site.get("/overview.csv", site.ours).text.splitlines())


def test_the_page_shows_the_first_currencies_and_counts_the_others(site: Site) -> None:
    codes = ["EUR", *(f"A{first}{second}" for first, second in product("ABC", "ABCDEFG"))]
    for n, currency in enumerate(codes):
        data = {"value": n + 1, "currency": currency}
        site.add(site.ours, ("server", currency), custom_data=data)
    text = _text(site.get("/overview", site.ours).text)
    first = "1.00 EUR, and 2.00 AAA, and 3.00 AAB, and 4.00 AAC, and 18 more"
    assert f"Purchase value {first}; each purchase counted once" in text
    assert "20.00 ACE and 2 more" in text
    assert "21.00 ACF" not in text
    assert 1 + len(codes) == len(site.get("/overview.csv", site.ours).text.splitlines())


def _text(page: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace(" ,", ",")


def test_filters_reach_every_link_of_the_page(filled: Site) -> None:
    query = f"pixel={filled.ours.pixel_id}&since=2026-05-01&until=2026-06-01"
    page = filled.get(f"/overview?{query}", filled.ours).text
    links = re.findall(r'"(/(?:overview|timeline|coverage)\.[^"]+)"', page)
    assert 9 == len(links)
    assert all(query in link.replace("&amp;", "&") for link in links)


def test_an_empty_account_is_told_what_to_do(site: Site) -> None:
    page = site.get("/overview", site.ours).text
    assert "Waiting for the first event" in page
    assert f"curl &#39;{PUBLIC_URL}/v25.0/{site.ours.pixel_id}/events&#39;" in page
    assert f"{PUBLIC_URL}/px.js" in page
    assert site.ours.token not in page
    filtered = site.get("/overview?since=2026-01-01", site.ours).text
    assert "Nothing fits these filters" in filtered


# --- bad input -------------------------------------------------------------------------------

_IMPOSSIBLE = [
    ("since=0000-00-00", "since"),
    ("since=2026-02-30", "since"),
    ("since=yesterday", "since"),
    ("until=20260101", "until"),
    ("until=２０２６-01-01", "until"),
    ("until=%00", "until"),
    ("since=%ff%fe", "since"),
    ("since=2026-01-02&until=2026-01-01", "until"),
    ("pixel=1", "pixel"),
    ("pixel=%00", "pixel"),
    ("pixel=" + "9" * 50_000, "pixel"),
    ("pixel=%27%3B+drop+table+copies", "pixel"),
    ("account=act_1", "account"),
]


def test_quality_and_diagnostics_have_twins_with_the_same_filters(filled: Site) -> None:
    query = "since=2026-05-20&until=2026-05-30&event_name=Purchase"
    (row,) = filled.get(f"/quality.json?{query}", filled.ours).json()
    assert (2, 1, 2) == (row["events"], row["browser_events"], row["server_events"])
    names, *lines = filled.get(f"/quality.csv?{query}", filled.ours).text.splitlines()
    assert names.startswith("event_name,key,judged,score,coverage_share,points,gain,")
    assert "Purchase,em,2,2.5,1.0,2.5,0.0," in lines[0]
    assert len(row["coverage"]) == len(lines)
    found = filled.get(f"/diagnostics.json?{query}", filled.ours).json()
    assert {"s2s_missing_ip", "s2s_missing_ua"} <= {fault["diagnostic"] for fault in found}
    lines = filled.get(f"/diagnostics.csv?{query}", filled.ours).text.splitlines()
    assert len(found) + 1 == len(lines)
    assert [] == filled.get("/quality.json?until=2026-05-19", filled.ours).json()


def test_the_page_on_quality_shows_scores_what_makes_them_and_what_is_wrong(site: Site) -> None:
    user_data = {"em": "a@b.example", "client_user_agent": "Mozilla/5.0"}
    site.add(site.ours, ("browser", "1"), ("server", "1"), ("server", "2"), user_data=user_data)
    site.add(site.ours, ("server", "3"), event_name=HOSTILE, user_data=user_data)
    site.add(site.ours, ("server", "4"), event_name="add to cart", user_data=user_data)
    days = "since=2026-05-20&until=2026-05-30"
    page = site.get(f"/quality?{days}", site.ours).text
    text = _text(page)
    assert "Purchase 2.5 poor" in text
    assert "2 100 % 100 % 50 %" in text
    assert "What makes the 2.5 of Purchase" in text
    assert "E-mail address 100 % 2.50 – 0 % em" in text
    assert "Click id 0 % 0.00 +1.50 – fbc" in text
    assert "event_id 100 % 100 % 100 % 100 % external_id 0 % 0 % 0 % 0 %" in text
    assert "100 % came within five minutes of the event" in text
    assert "No IP address medium s2s_missing_ip Send the visitor" in text
    assert "Purchase 100 % 2 of 2 2026-05-28 22:26 1 2" in text
    assert text.index("Almost a standard event high") < text.index("No IP address medium")
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert f'"/explain.json?{days}&event_id=1"' in page.replace("&amp;", "&")
    assert "Purchase by day" not in text
    site.received += 86_400 * SECOND
    site.add(site.ours, ("server", "5"), user_data=user_data | {"fbp": "fb.1.1700000000123.1"})
    text = _text(site.get(f"/quality?{days}", site.ours).text)
    assert "Purchase by day" in text
    assert "2026-05-28 2.5 100 % 2 2026-05-29 3.5 – 1" in text
    other = site.get(f"/quality?{days}&event_name=add%20to%20cart", site.ours).text
    assert "What makes the 2.5 of add to cart" in other
    assert "Purchase" in other
    assert "No events in these days" in site.get("/quality?until=2026-05-19", site.ours).text
    assert "TheirEvent" not in page


def test_the_page_on_quality_says_that_nothing_is_wrong(site: Site) -> None:
    user_data = {"em": "a@b.example", "client_user_agent": "Mozilla/5.0"}
    user_data |= {"client_ip_address": "203.0.113.7"}
    site.add(site.ours, ("browser", "1"), ("server", "1"), user_data=user_data)
    text = _text(site.get("/quality?since=2026-05-20&until=2026-05-30", site.ours).text)
    assert "Nothing is wrong" in text


@pytest.mark.parametrize(("query", "name"), _IMPOSSIBLE)
@pytest.mark.parametrize(
    "path", ["/overview.json", "/overview.csv", "/timeline.json", "/coverage.json"]
)
def test_a_bad_parameter_is_named(site: Site, path: str, query: str, name: str) -> None:
    answer = site.get(f"{path}?{query}", site.ours)
    assert 400 == answer.status_code
    error = answer.json()["error"]
    assert 100 == error["code"]
    assert [[name]] == error["error_data"]["blame_field_specs"]
    assert name in error["message"]
    assert len(error["message"]) < 200
    page = site.get(f"/overview?{query}", site.ours)
    assert 400 == page.status_code
    assert "text/html; charset=utf-8" == page.headers["content-type"]
    assert f"{name} is" in page.text or f"{name} (" in page.text


_QUALITY = ("/quality", "/quality.csv", "/quality.json", "/diagnostics.json", "/diagnostics.csv")


@pytest.mark.parametrize(
    "query",
    [
        "until=0001-01-01",
        "since=&until=&pixel=",
        "since=0001-01-01&until=9999-12-31",
        "event_name=%00",
        "a=%ff&a=b",
        "&&=",
    ],
)
def test_odd_but_possible_parameters_are_answered(filled: Site, query: str) -> None:
    for path in (
        "/overview",
        "/overview.json",
        "/overview.csv",
        "/timeline.json",
        "/coverage.csv",
        *_QUALITY,
    ):
        assert 200 == filled.get(f"{path}?{query}", filled.ours).status_code


def test_a_choice_that_is_none_is_named_with_what_there_is(filled: Site) -> None:
    answer = filled.get("/coverage.json?by=week", filled.ours)
    assert 400 == answer.status_code
    assert "by is 'week', but must be name or day." in answer.json()["error"]["message"]


def test_unknown_paths_and_methods_are_refused_in_the_form_that_is_read(site: Site) -> None:
    answer = site.get("/nothing/here")
    assert (404, 2500) == (answer.status_code, answer.json()["error"]["code"])
    assert "not_found" == answer.headers["x-doublet-refused"]
    page = site.get("/overview/", headers={"accept": "text/html,*/*;q=0.1"})
    assert 404 == page.status_code
    assert "<h1" in page.text
    answer = site.client.post("/overview.json")
    assert 405 == answer.status_code
    assert {"GET", "HEAD"} == set(answer.headers["allow"].split(", "))
    assert "error" in answer.json()
    assert 404 == site.get("/static/nothing.js").status_code
    assert 404 == site.get("/static/..%2f__init__.py").status_code


# --- files and charts ------------------------------------------------------------------------


def test_files_have_an_etag_and_may_be_kept_under_their_digest(site: Site) -> None:
    page = site.get("/overview", site.ours).text
    addresses = set(re.findall(r'"(/static/[^"]+)"', page))
    assert {
        "/static/doublet.css",
        "/static/doublet.svg",
        "/static/icons.svg",
        "/static/page.js",
    } == {address.partition("?")[0] for address in addresses}
    for address in addresses:
        answer = site.get(address)
        assert "immutable" in answer.headers["cache-control"]
        plain = site.get(address.partition("?")[0], headers={"accept-encoding": "identity"})
        assert ("no-cache", answer.content) == (plain.headers["cache-control"], plain.content)
        again = site.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (304, b"") == (again.status_code, again.content)


def test_the_chart_library_is_made_once_and_kept(site: Site, tmp_path: Path) -> None:
    first = site.get("/static/vega.js")
    assert 200 == first.status_code
    assert b"vegaEmbed" in first.content
    (kept,) = (tmp_path / "web").iterdir()
    assert first.content == kept.read_bytes()
    kept.write_bytes(b"// kept")
    app = create_app(
        site.catalog,
        site.pipeline.engine,
        is_operator=bool,
        cache=kept.parent,
        rates=tmp_path / "rates",
        outbox=tmp_path / "relay.sqlite",
        public_url="",
        health=lambda: Health("ok", 0.5, 0.5),
    )
    with served(app) as url:
        assert b"// kept" == httpx.get(f"{url}/static/vega.js").content


def test_the_chart_is_a_picture_without_script(filled: Site) -> None:
    for scheme in ("light", "dark"):
        answer = filled.get(f"/timeline.svg?scheme={scheme}", filled.ours)
        assert "image/svg+xml" == answer.headers["content-type"]
        colours = _schemes()[scheme]["range"]["category"]
        assert all(colour in answer.text for colour in colours)
        assert answer.text.startswith("<svg")
    assert 400 == filled.get("/timeline.svg?scheme=pink", filled.ours).status_code


def _schemes() -> Any:
    return json.loads(_package_file("charts/schemes.json"))


def _package_file(name: str) -> str:
    return (Path(__file__).parents[2] / "doublet" / "web" / name).read_text("utf-8")


def test_charts_and_style_sheet_have_the_same_colours() -> None:
    light, dark = _package_file("static/doublet.css").split("@media (prefers-color-scheme: dark)")
    for scheme, text in (("light", light), ("dark", dark)):
        sides = ("both", "browser-only", "server-only")
        styled = [re.search(rf"--{side}: (#\w+);", text) for side in sides]
        assert _schemes()[scheme]["range"]["category"] == [m and m[1] for m in styled]


def test_scripts_are_short_modules_without_code_made_from_text() -> None:
    for name in ("page.js", "live.js", "chart.js", "copy.js", "read_file.js", "test_events.js"):
        text = _package_file(f"static/{name}")
        assert len(text.splitlines()) <= 200
        assert not re.search(r"innerHTML\s*=[^=]|\beval\b|new Function|insertAdjacentHTML", text)


def test_marked_events_are_left_out_until_they_are_asked_for(filled: Site) -> None:
    filled.received += SECOND
    shop = filled.ours
    record = make_record(
        filled.received,
        "browser",
        account_id=shop.account.account_id,
        pixel_id=shop.pixel_id,
        event_name="Crawled",
    )
    filled.pipeline.append([json.dumps(json.loads(record) | {"flags": ["bot"]}).encode()])
    filled.pipeline.refresh()
    page = filled.get("/overview", shop).text
    assert "1 marked event left out." in page
    assert "Crawled" not in page
    page = filled.get("/overview?marked=1", shop).text
    assert "1 marked event counted too." in page
    assert "Crawled" in page
    for path in ("/overview", "/coverage", "/timeline"):
        found = [
            sum(row["events"] for row in filled.get(f"{path}.json{query}", shop).json())
            for query in ("", "?marked=1")
        ]
        assert [3, 4] == found
    assert 400 == filled.get("/overview.json?marked=yes", shop).status_code
    assert "marked event" not in filled.get("/overview", filled.theirs).text
