"""The pages on single events: what is found, and what is told of one."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from tests.dashboard import HOSTILE, Site
from tests.factories import NOON, SECOND, make_record, sha256


def _rows(site: Site, query: str = "") -> list[dict[str, Any]]:
    answer = site.get(f"/events.json{query}", site.ours)
    assert 200 == answer.status_code, answer.text
    return list(answer.json()["rows"])


def _ids(site: Site, query: str = "") -> list[str | None]:
    return [row["event_id"] for row in _rows(site, query)]


def test_events_are_found_by_what_they_are(filled: Site) -> None:
    filled.add(
        filled.ours,
        ("server", "paid"),
        event_source_url="https://shop.example/thanks?step=9",
        custom_data={"value": 5, "currency": "EUR", "order_id": "R-7"},
        action_source="app",
    )
    assert ["paid", "3", "2", "1"] == _ids(filled)
    assert ["paid", "2", "1"] == _ids(filled, "?event_name=Purchase")
    assert ["1"] == _ids(filled, "?seen_by=both")
    assert ["3"] == _ids(filled, "?seen_by=browser_only")
    assert ["paid", "2"] == _ids(filled, "?seen_by=server_only")
    assert ["paid"] == _ids(filled, "?action_source=app")
    for text in ("paid", "R-7", "step=9", "%20paid%20"):
        assert ["paid"] == _ids(filled, f"?q={text}"), text
    assert [] == _ids(filled, "?q=pai")
    assert [] == _ids(filled, "?until=2026-05-27")
    assert ["paid"] == _ids(
        filled, f"?event_name=Purchase&since=2026-05-28&q=R-7&pixel={filled.ours.pixel_id}"
    )


def test_a_row_says_who_saw_it_and_tells_no_value_of_a_person(filled: Site) -> None:
    row = next(row for row in _rows(filled) if row["event_id"] == "1")
    expected = {"event_name": "Purchase", "seen_by": "both", "browser": 1, "server": 2}
    expected |= {"value": 10.5, "currency": "USD", "user_data_keys": ["em"], "is_test": False}
    assert expected == {name: row[name] for name in expected}
    page = filled.get("/events", filled.ours).text
    story = filled.get(f"/event?copy={row['copy']}", filled.ours).text
    secret = sha256("mary@example.com")
    for text in (page, story, filled.get("/events.csv", filled.ours).text):
        assert secret not in text
    assert ">em</span>" in story


def test_older_events_follow_without_gap_or_repetition(filled: Site) -> None:
    filled.pipeline.append(
        [
            # Ten events of one second: only their places tell them apart.
            make_record(
                NOON + 100 * SECOND,
                account_id=filled.ours.account.account_id,
                pixel_id=filled.ours.pixel_id,
                event_id=f"same-{n}",
            )
            for n in range(10)
        ]
    )
    filled.pipeline.refresh()
    everything = _ids(filled)
    assert 13 == len(everything) == len(set(everything))
    walked: list[str | None] = []
    query = "?limit=4"
    while True:
        answer = filled.get(f"/events.json{query}", filled.ours).json()
        walked += [row["event_id"] for row in answer["rows"]]
        if answer["next"] is None:
            break
        query = f"?limit=4&before={answer['next']}"
    assert everything == walked
    page = filled.get("/events?limit=4", filled.ours).text
    (address,) = re.findall(r'<a href="([^"]+)" rel="next">', page)
    older = filled.get(address.replace("&amp;", "&"), filled.ours).text
    assert "same-" in older
    assert "Older events" in older


def test_what_reports_leave_out_is_found_when_asked_for(filled: Site) -> None:
    filled.add(filled.ours, ("browser", "robot"), user_data={"client_user_agent": "Googlebot/2.1"})
    flagged = [row for row in _rows(filled, "?shown=all") if row["event_id"] == "robot"]
    assert 1 == len(flagged)
    counted = {
        row["event_name"]: row["events"] for row in filled.get("/overview.json", filled.ours).json()
    }
    assert sum(counted.values()) == len(_rows(filled))
    left_out = _rows(filled, "?shown=left_out")
    assert len(_rows(filled, "?shown=all")) == len(_rows(filled)) + len(left_out)
    assert all(row["is_test"] or row["is_marked"] for row in left_out)


def test_the_page_shows_the_rows_of_its_twin(filled: Site) -> None:
    page = filled.get("/events", filled.ours).text
    rows = _rows(filled)
    assert [row["copy"] for row in rows] == re.findall(r'href="/event\?copy=([0-9-]+)"', page)
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    table = list(csv.DictReader(io.StringIO(filled.get("/events.csv", filled.ours).text)))
    assert [row["event_id"] for row in rows] == [row["event_id"] for row in table]
    empty = filled.get("/events?q=unheard-of", filled.ours).text
    assert "Nothing fits" in empty


def test_an_empty_account_is_told_what_will_be_here(site: Site) -> None:
    page = site.get("/events", site.ours).text
    assert "No event yet" in page
    assert 'href="/setup"' in page


def test_any_copy_leads_to_the_story_of_its_event(filled: Site) -> None:
    (story,) = filled.get("/event.json?event_id=1", filled.ours).json()
    assert 3 == len(story["copies"])
    for copy in story["copies"]:
        place = f"{copy['log_slot']}-{copy['log_offset']}"
        assert [story] == filled.get(f"/event.json?copy={place}", filled.ours).json()
        page = filled.get(f"/event?copy={place}", filled.ours).text
        for sentence in story["sentences"]:
            assert sentence.replace("'", "&#39;") in page
        assert "Copies side by side" in page
    table = list(csv.DictReader(io.StringIO(filled.get("/event.csv?event_id=1", filled.ours).text)))
    assert ["browser", "server", "server"] == [row["source"] for row in table]


def test_a_copy_of_another_account_is_nowhere(filled: Site) -> None:
    (row,) = filled.get("/events.json", filled.theirs).json()["rows"]
    assert [] == filled.get(f"/event.json?copy={row['copy']}", filled.ours).json()
    page = filled.get(f"/event?copy={row['copy']}", filled.ours)
    assert 404 == page.status_code
    assert "TheirEvent" not in page.text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?q=mary@example.com", "q"),
        ("?seen_by=nobody", "seen_by"),
        ("?limit=0", "limit"),
        ("?limit=x", "limit"),
        ("?before=1", "before"),
        ("?shown=some", "shown"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(site: Site, query: str, field: str) -> None:
    answer = site.get(f"/events.json{query}", site.ours)
    error = answer.json()["error"]
    assert (400, field) == (
        answer.status_code,
        error["error_data"]["blame_field_specs"][0][0],
    )
    assert "mary" not in answer.text


def test_one_event_is_named_by_its_id_or_by_a_copy(site: Site) -> None:
    for query in ("", "?copy=1", "?copy=0-1&event_id=1", "?copy=99999-9999999999999999999"):
        assert 400 == site.get(f"/event.json{query}", site.ours).status_code, query


def test_the_story_of_an_erased_persons_event_is_still_told(filled: Site) -> None:
    (row,) = _rows(filled, "?seen_by=browser_only")
    engine = filled.pipeline.engine
    paths = [each["path"] for each in engine.query("select path from lake_files")]
    # As an erasure leaves them: every copy without what it said of its person.
    for path in {path for path in paths if "/events/" in path}:
        with engine.transaction() as tx:
            tx.run(
                f"copy (select * replace (null::struct(em varchar[]) as user_data) "
                f"from read_parquet('{path}')) to '{path}' (format parquet)"
            )
    (story,) = filled.get(f"/event.json?copy={row['copy']}", filled.ours).json()
    assert [] == story["copies"][0]["user_data_keys"]
    assert 200 == filled.get(f"/event?copy={row['copy']}", filled.ours).status_code


def test_a_bug_is_told_to_people_as_a_page(site: Site) -> None:
    site.pipeline.close()
    answer = site.get("/events", site.ours)
    assert 500 == answer.status_code
    assert "text/html" in answer.headers["content-type"]
    assert "no-store" == answer.headers["cache-control"]
    assert "Traceback" not in answer.text
