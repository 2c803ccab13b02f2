"""How many ids of events a feed knows: all cases of one event, what is likely meant, what to do."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

from doublet.products.match import Feed, Match, MatchRow, match
from tests.factories import ACCOUNT
from tests.products.events import NOW_S, engine_with

FEED = Feed(["1", "2", "0042", "TS-42"], ["g"])


def view(*ids: str | None, **fields: object) -> dict[str, object]:
    return {"event_name": "ViewContent", "content_ids": list(ids) or None, **fields}


def matched(folder: Path, *events: dict[str, object], feed: Feed = FEED) -> Match:
    with closing(engine_with(folder, *events)) as engine:
        return match(engine, ACCOUNT, feed, NOW_S - 100, NOW_S + 100)


def test_events_are_counted_by_how_many_of_their_ids_are_known(tmp_path: Path) -> None:
    found = matched(
        tmp_path,
        *(view("1"), view("1", "2"), view("1", "1"), view("1", "9"), view("8", "9"), view("9")),
        *(view(), view(""), view(None), view("g"), view("g", content_type="product_group")),
        view("1", event_time=NOW_S - 101),
        view("1", event_time=NOW_S + 100),
        view("1", account_id="act_2"),
        {"event_name": "Lead"},
        {"event_name": "AddToCart"},
    )
    assert [
        MatchRow("ViewContent", 11, 3, 4, 1, 3, 1, 0.5),
        MatchRow("AddToCart", 1, 1, 0, 0, 0, 0, None),
    ] == found.rows
    assert [("9", 3, False), ("8", 1, False), ("g", 1, True)] == [
        (each.content_id, each.events, each.is_group) for each in found.unknown
    ]
    assert any("3 of 11 ViewContent events name no product" in each for each in found.advice)
    assert any("1 of 1 AddToCart" in each for each in found.advice)
    assert any("content_type=product_group" in each for each in found.advice)


def test_what_is_likely_meant_is_said(tmp_path: Path) -> None:
    ids = ("ts-42 ", "42", "shopify_DE_77_2", "nothing")
    found = matched(tmp_path, *(view(each) for each in ids))
    likely = {each.content_id: each.likely for each in found.unknown}
    assert {"ts-42 ": "TS-42", "42": "0042", "shopify_DE_77_2": "2", "nothing": ""} == likely
    assert all(each.fix for each in found.unknown)
    assert any("written in another way" in each for each in found.advice)


def test_without_products_the_advice_is_to_import(tmp_path: Path) -> None:
    found = matched(tmp_path, view("1"), feed=Feed([], []))
    assert 0 == found.products
    assert "doublet product import" in found.advice[0]
    assert (1, 0.0) == (found.rows[0].none_known, found.rows[0].match_rate)


def test_random_events_against_counting_one_by_one(tmp_path: Path) -> None:
    draw = random.Random(5)
    known, groups = {f"p{n}" for n in range(20)}, {f"g{n}" for n in range(4)}
    pool = [*known, *groups, "x", "y", "z", ""]
    events: list[dict[str, object]] = []
    for _ in range(300):
        ids = draw.choices(pool, k=draw.randrange(4))
        kind = draw.choice([None, "product", "product_group"])
        name = draw.choice(["ViewContent", "Purchase"])
        events.append({"event_name": name, "content_ids": ids or None, "content_type": kind})
    found = matched(tmp_path, *events, feed=Feed(sorted(known), sorted(groups)))
    expected: dict[str, list[int]] = {}
    for event in events:
        counts = expected.setdefault(str(event["event_name"]), [0] * 6)
        counts[0] += 1
        named = event["content_ids"]
        theirs = set(filter(None, named if isinstance(named, list) else []))
        by_group = event["content_type"] == "product_group"
        right = {each for each in theirs if each in known or (by_group and each in groups)}
        which = 1 if not theirs else 2 if right == theirs else 3 if right else 4
        counts[which] += 1
        counts[5] += any(each in groups for each in theirs) and not by_group
    assert expected == {
        row.event_name: [
            *(row.events, row.without_ids, row.all_known, row.some_known, row.none_known),
            row.of_groups,
        ]
        for row in found.rows
    }
