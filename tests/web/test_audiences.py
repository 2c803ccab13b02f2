from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.audiences.presets import PRESETS
from doublet.audiencing import Audiencing
from doublet.catalog import Audience, ListEntry, Role
from doublet.settings import Settings
from tests.dashboard import HOSTILE, Browser, Site
from tests.factories import NOON, SECOND, make_record
from tests.persons.touching import em, fbp


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def visit(site: Site, name: str, number: int, at: int = 0) -> bytes:
    user_data = {"fbp": fbp(number), "em": em(f"person{number}")}
    return make_record(
        NOON + at,
        account_id=site.ours.account.account_id,
        pixel_id=site.ours.pixel_id,
        event_name=name,
        event_id=f"{name}.{number}.{at}",
        user_data=user_data,
    )


def refresh(site: Site, folder: Path, now_s: int = NOON // SECOND) -> None:
    """What the worker does between two visits of a page."""
    site.pipeline.refresh()
    audiencing = Audiencing(site.pipeline.engine, Settings(data=folder))
    audiencing.refresh(now_s)
    audiencing.stop()


def owner(site: Site) -> Browser:
    """The browser of somebody who is an owner of our account."""
    users = site.catalog.users
    users.create("ada")
    users.set_role("ada", site.ours.account.account_id, Role.OWNER)
    return site.browser(users.begin_session("ada"))


def create(site: Site, name: str) -> Audience:
    account_id = site.ours.account.account_id
    rule = PRESETS[0].make([site.ours.pixel_id])
    wanted = Audience("", account_id, name, "WEBSITE", rule=rule, retention_days=30)
    return site.catalog.audiences.create(wanted)


def test_an_empty_account_is_told_what_will_be_here(site: Site) -> None:
    text = site.get("/audiences", site.ours).text
    assert "No audience yet" in text
    assert [] == site.get("/audiences.json", site.ours).json()
    for preset in PRESETS:
        assert preset.title in text


def test_an_audience_is_shown_with_its_persons_reach_and_overlap(
    site: Site, tmp_path: Path
) -> None:
    first, second = create(site, "Everybody"), create(site, f"Other {HOSTILE}")
    site.pipeline.append([visit(site, "PageView", 1), visit(site, "PageView", 2)])
    refresh(site, tmp_path)
    rows = {row["name"]: row for row in site.get("/audiences.json", site.ours).json()}
    assert {first.name, second.name} == set(rows)
    assert {(2, "ready")} == {(row["members"], row["state"]) for row in rows.values()}
    story = site.get(f"/audience.json?id={first.audience_id}", site.ours).json()
    reached = {each["kind"]: each["members"] for each in story["reach"]}
    assert {"em": 2, "fbp": 2} == reached
    assert [(second.name, 2, 2)] == [
        (each["name"], each["members"], each["shared"]) for each in story["overlap"]
    ]
    page = site.get(f"/audience?id={first.audience_id}", site.ours).text
    assert HOSTILE not in page
    assert "Overlap with other audiences" in page
    told = list(csv.DictReader(io.StringIO(site.get("/audiences.csv", site.ours).text)))
    assert ["2", "2"] == [each["members"] for each in told]
    site.catalog.audiences.note_size(first.audience_id, int(time.time()), 2)
    text = site.get(f"/audience.csv?id={first.audience_id}", site.ours).text
    sizes = list(csv.DictReader(io.StringIO(text)))
    assert ["2"] == [each["members"] for each in sizes]


def test_another_account_sees_nothing_of_it(site: Site) -> None:
    each = create(site, "Ours")
    assert [] == site.get("/audiences.json", site.theirs).json()
    assert 404 == site.get(f"/audience.json?id={each.audience_id}", site.theirs).status_code
    assert 404 == site.get("/audience?id=7", site.ours).status_code


@pytest.mark.parametrize("name", [preset.name for preset in PRESETS])
def test_every_preset_is_made_from_its_form(site: Site, name: str) -> None:
    browser = owner(site)
    (preset,) = (each for each in PRESETS if each.name == name)
    samples = {"ids": "a, b", "text": "shoes", "currency": "USD", "amount": "10"}
    given = {
        each.name: each.default if each.default is not None else samples[each.unit]
        for each in preset.parameters
    }
    answer = browser.post("/audiences/preset", preset=name, name="Mine", **given)
    assert 303 == answer.status_code, answer.text
    (made,) = site.catalog.audiences.all(site.ours.account.account_id)
    assert ("Mine", name, "WEBSITE") == (made.name, made.preset, made.subtype)
    assert json.loads(made.rule)["inclusions"]
    assert answer.headers["location"].endswith(f"id={made.audience_id}")


def test_a_rule_that_is_none_is_told_and_nothing_is_made(site: Site) -> None:
    browser = owner(site)
    for act, fields in (
        ("rule", {"name": "X", "rule": "{}"}),
        ("rule", {"name": "", "rule": PRESETS[0].make([site.ours.pixel_id])}),
        ("rule", {"name": "X", "rule": PRESETS[0].make([site.theirs.pixel_id])}),
        ("preset", {"preset": "nothing"}),
    ):
        answer = browser.post(f"/audiences/{act}", **fields)
        assert 400 == answer.status_code
        assert 'role="alert"' in answer.text
    assert [] == site.catalog.audiences.all(site.ours.account.account_id)


def test_it_is_renamed_likened_and_deleted(site: Site) -> None:
    browser = owner(site)
    each = create(site, "Before")
    done = browser.post("/audiences/rename", audience=each.audience_id, name="After")
    assert 303 == done.status_code
    answer = browser.post("/audiences/like", audience=each.audience_id, ratio="2", country="de")
    assert 303 == answer.status_code, answer.text
    made = {row.subtype: row for row in site.catalog.audiences.all(site.ours.account.account_id)}
    first, like = made["WEBSITE"], made["LOOKALIKE"]
    assert "After" == first.name
    assert each.audience_id == like.origin_audience_id
    assert {"ratio": 0.02, "country": "DE"} == json.loads(like.lookalike_spec)
    again = browser.post("/audiences/like", audience=like.audience_id, ratio="2")
    assert 400 == again.status_code
    assert "is itself a lookalike" in again.text
    wrong = browser.post("/audiences/delete", audience=like.audience_id, sure="no")
    assert 400 == wrong.status_code
    done = browser.post("/audiences/delete", audience=like.audience_id, sure=like.name)
    assert 303 == done.status_code
    assert [first] == site.catalog.audiences.all(site.ours.account.account_id)
    verbs = [row.what for row in site.catalog.changes.newest(site.ours.account.account_id)]
    assert {"audience.changed", "audience.created", "audience.removed"} <= set(verbs)


def test_it_is_kept_as_by_the_other_ways_of_making_one(site: Site) -> None:
    browser = owner(site)
    account_id = site.ours.account.account_id
    rule = PRESETS[0].make([site.ours.pixel_id], {"days": "90"})
    assert 303 == browser.post("/audiences/rule", name="Long", rule=rule).status_code
    (long,) = site.catalog.audiences.all(account_id)
    assert 90 == long.retention_days
    valued = site.catalog.audiences.create(
        Audience("", account_id, "Valued", subtype="CUSTOM", is_value_based=True)
    )
    done = browser.post("/audiences/like", audience=valued.audience_id, ratio="1")
    assert 303 == done.status_code, done.text
    (like,) = (e for e in site.catalog.audiences.all(account_id) if e.subtype == "LOOKALIKE")
    assert like.is_value_based


def test_the_form_of_another_account_changes_nothing(site: Site) -> None:
    browser = owner(site)
    account_id = site.theirs.account.account_id
    answer = browser.post("/audiences/rule", account=account_id, name="X", rule="{}")
    assert answer.status_code in (400, 403)
    assert [] == site.catalog.audiences.all(account_id)


def test_a_list_shows_how_its_rows_match(site: Site, tmp_path: Path) -> None:
    wanted = Audience("", site.ours.account.account_id, "Customers", "CUSTOM")
    listed = site.catalog.audiences.create(wanted)
    entries = [ListEntry(n, (f"em={em(f'person{n}')[0]}",)) for n in (1, 2, 3)]
    site.catalog.lists.add(listed, entries, NOON // SECOND)
    site.pipeline.append([visit(site, "PageView", 1)])
    refresh(site, tmp_path)
    text = site.get(f"/audience?id={listed.audience_id}", site.ours).text
    assert "How the rows of the list match" in text
    assert "Seen in no event yet" in text
    assert "66.7 %" in text


def test_a_long_rule_gets_through_its_form(site: Site) -> None:
    (chosen,) = (each for each in PRESETS if any(p.unit == "ids" for p in each.parameters))
    (name,) = (each.name for each in chosen.parameters if each.unit == "ids")
    ids = ",".join(f"product-{n:06}-{'x' * 40}" for n in range(1000))
    browser = owner(site)
    answer = browser.post("/audiences/preset", preset=chosen.name, **{name: ids})
    assert 303 == answer.status_code, answer.text
    (made,) = site.catalog.audiences.all(site.ours.account.account_id)
    assert "product-000999" in made.rule
