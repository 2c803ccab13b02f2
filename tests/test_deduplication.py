"""The truth table of deduplication: readable cases, each with its rule, whatever the loading.

A case in golden/deduplication is a headline, its rule and one line per copy:

    when  source event_name key=value …  | event rule * | event rule *

Copies with one letter are one event, the star marks the kept one; the second column is for
`dedup=meta` where that differs. Keys: id, pixel, ext (external_id), fbp, em, order, item, at
(event_time), action (action_source), code (test_event_code), test (is_test).
"""

from __future__ import annotations

import codecs
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet import models
from doublet.normalize import DUDS
from tests.factories import NOON, SECOND, Pipeline, make_record, sha256
from tests.reports.direct import differing, stale_quarters

GOLDEN = Path(__file__).parent / "golden" / "deduplication"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ACCOUNTS = {"1": "act_1", "2": "act_1", "3": "act_2"}


class Outcome(NamedTuple):
    """What becomes of a copy: which event (a letter) it is of, why, and whether it is kept."""

    event: str
    rule: str
    is_kept: bool


class Case(NamedTuple):
    """Records by time, and what becomes of each by either rules."""

    name: str
    records: list[bytes]
    expected: list[Outcome]
    expected_meta: list[Outcome]


def micros(text: str) -> int:
    """`1.5h` in µs."""
    return round(float(text[:-1]) * _UNITS[text[-1]] * SECOND)


def outcome(text: str) -> Outcome:
    """`A first *`."""
    event, rule, *star = text.split()
    return Outcome(event, rule, star == ["*"])


def record(line: str, case: int, number: int) -> bytes:
    """The copy that a line describes; each case has pixels of its own."""
    when, source, name, *pairs = line.split()
    keys = dict(codecs.decode(pair, "unicode_escape").split("=", 1) for pair in pairs)
    received_at = NOON + micros(when)
    user = {"em": [sha256(keys["em"])]} if "em" in keys else {}
    if "ext" in keys:
        user["external_id"] = [sha256(keys["ext"])]
    if "fbp" in keys:
        user["fbp"] = f"fb.1.1780000000000.{ord(keys['fbp'])}"  # type: ignore[assignment]
    custom = {"value": 10, "currency": "USD", "order_id": keys.get("order")}
    if "item" in keys:
        custom["item_number"] = keys["item"]
    pixel = keys.get("pixel", "1")
    made = make_record(
        received_at,
        source,
        slot=number,
        account_id=_ACCOUNTS[pixel],
        pixel_id=f"{1_000_000 + case}{pixel}",
        event_name=codecs.decode(name, "unicode_escape"),
        event_id=keys.get("id"),
        event_time=(NOON + micros(keys["at"]) if "at" in keys else received_at) // SECOND,
        action_source=keys.get("action", "website"),
        user_data=user or {"client_ip_address": "192.0.2.1", "client_user_agent": "UA"},
        custom_data={key: value for key, value in custom.items() if value is not None},
    )
    marked: dict[str, Any] = json.loads(made)
    if "code" in keys:
        marked["extra"] = {"test_event_code": keys["code"]}
    return json.dumps(marked | {"is_test": "test" in keys}).encode()


def read_cases() -> list[Case]:
    """All cases of the truth table."""
    cases: list[Case] = []
    for path in sorted(GOLDEN.glob("*.txt")):
        for text in path.read_text("utf-8").split("== ")[1:]:
            name, rule, *lines = text.strip().split("\n")
            assert rule.endswith(".")
            rows = [[part.strip() for part in line.split("|")] for line in lines]
            expected = [outcome(row[1]) for row in rows]
            meta = [outcome(row[2] if len(row) > 2 else row[1]) for row in rows]
            records = [record(row[0], len(cases), number) for number, row in enumerate(rows)]
            cases.append(Case(f"{path.stem}: {name}", records, expected, meta))
    return cases


CASES = read_cases()


def result(rows: list[dict[str, Any]]) -> list[Outcome]:
    """The outcomes of a case's copies, their events named by order of appearance."""
    letters: dict[Any, str] = {}
    outcomes = []
    for row in rows:
        letter = letters.setdefault(row["root"], chr(ord("A") + len(letters)))
        outcomes.append(Outcome(letter, row["rule"], row["is_kept"]))
    return outcomes


_COPIES = (
    "select copies.log_slot, copies.log_offset, "
    "case when copies.rule = 'first' then coalesce(joins.rule, 'first') else copies.rule end "
    "as rule, concat_ws('/', copies.pixel_id, coalesce(root_key, copies.event_key), "
    "coalesce(root_at, copies.chain_at)) as root, events.kept_log_slot is not null as is_kept "
    "from copies left join joins using (pixel_id, event_key, chain_at) "
    "left join events_deduplicated as events on events.kept_log_slot = copies.log_slot "
    "and events.kept_log_offset = copies.log_offset"
)


def load_at_once(pipeline: Pipeline, copies: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """All in one group; the place of each copy in the log."""
    pipeline.append([made for _, made in copies])
    pipeline.refresh()
    return [(0, offset) for offset in range(len(copies))]


def load_one_by_one(pipeline: Pipeline, copies: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """Each moment in a refresh of its own, in the order of receipt."""
    moments: dict[int, list[bytes]] = {}
    for at, made in copies:
        moments.setdefault(at, []).append(made)
    for group in moments.values():
        pipeline.append(group)
        pipeline.refresh()
    return [(0, offset) for offset in range(len(copies))]


def load_shuffled(pipeline: Pipeline, copies: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """In eight groups of any order, each from a slot of its own."""
    chosen = random.Random(5)
    slots = [chosen.randrange(8) for _ in copies]
    places = [(slot, slots[:index].count(slot)) for index, slot in enumerate(slots)]
    for slot in chosen.sample(range(8), 8):
        pipeline.append([copies[i][1] for i, its in enumerate(slots) if its == slot], slot)
        pipeline.refresh()
    return places


Load = Callable[[Pipeline, list[tuple[int, bytes]]], list[tuple[int, int]]]


@pytest.mark.parametrize("load", [load_at_once, load_one_by_one, load_shuffled])
@pytest.mark.parametrize("is_meta", [False, True], ids=["doublet", "meta"])
def test_every_copy_is_of_the_event_that_the_table_says(
    tmp_path: Path, is_meta: bool, load: Load
) -> None:
    assert 60 <= len(CASES)
    every = [made for case in CASES for made in case.records]
    copies = sorted(((json.loads(made)["received_at"], index) for index, made in enumerate(every)))
    pipeline = Pipeline(tmp_path, rules=models.Rules(is_meta))
    places = load(pipeline, [(at, every[index]) for at, index in copies])
    place_of = {index: place for (_, index), place in zip(copies, places, strict=True)}
    rows = {(row["log_slot"], row["log_offset"]): row for row in pipeline.engine.query(_COPIES)}
    wrong = []
    index = 0
    for case in CASES:
        found = result([rows[place_of[index + n]] for n in range(len(case.records))])
        index += len(case.records)
        if found != (case.expected_meta if is_meta else case.expected):
            wrong.append((case.name, found))
    assert [] == wrong
    before = pipeline.events(), pipeline.table("joins", "all"), pipeline.table("copies", "all")
    pipeline.rebuild(50)
    after = pipeline.events(), pipeline.table("joins", "all"), pipeline.table("copies", "all")
    assert before == after
    pipeline.close()


_MOMENTS = st.sampled_from([0, 1, 299, 300, 301, 3600, 86_400, 172_799, 172_800, 172_801])
_copies = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["browser", "server"]),
            "at": st.tuples(_MOMENTS, st.sampled_from([0, 2, 5, 8, 30])),
            "name": st.sampled_from(["Purchase", "Purchase", "ViewContent"]),
            "id": st.sampled_from([None, None, "a", "b", "c"]),
            "ext": st.sampled_from([None, None, "e", "f"]),
            "fbp": st.sampled_from([None, "x", "x", "y"]),
            "em": st.sampled_from([None, "m", "n"]),
            "order": st.sampled_from([None, None, "1", "2"]),
            "clock": st.sampled_from([None, 0, 60]),
            "value": st.sampled_from([None, 5, 7]),
            "nested": st.sampled_from([None, {"x": 1}, {"y": [2]}, 5, {"x": {"z": 1}}]),
            "flags": st.sampled_from([None, ["a", "b"], ["c"], ["bot"], ["a", "erased"]]),
            "bears": st.sampled_from(
                [
                    {},
                    {"client_ip_address": "192.0.2.1", "client_user_agent": "UA"},
                    {"em": [min(DUDS)], "ph": [sha256("p")], "fn": [sha256("f")]},
                    {"fbc": "fb.1.1780000000000.c", "fn": [sha256("f")], "ln": [sha256("l")]},
                    {"db": [sha256("d")], "ct": [sha256("c")], "country": [sha256("de")]},
                ]
            ),
            "is_test": st.sampled_from([False] * 9 + [True]),
            "action": st.sampled_from(["website"] * 5 + ["physical_store", "business_messaging"]),
        }
    ),
    min_size=1,
    max_size=14,
)


def made_of(copy: dict[str, Any], number: int) -> tuple[int, bytes]:
    """The receipt and the record of a drawn copy; `number` keeps receipts apart."""
    seconds, days = copy["at"]
    received_at = NOON + (days * 86_400 + seconds) * SECOND + number
    keys = " ".join(f"{k}={copy[k]}" for k in ("id", "ext", "fbp", "em", "order") if copy[k])
    # Websites' events are refused after 7 days.
    clock = copy["clock"] if days * 86_400 + seconds <= 7 * 86_400 else None
    keys += f" action={copy['action'] if copy['source'] == 'server' else 'website'}"
    keys += "" if clock is None else f" at={clock}s"
    when = f"{(received_at - NOON) / SECOND:.6f}s"
    made = json.loads(record(f"{when} {copy['source']} {copy['name']} {keys}", 0, number))
    if copy["nested"] is not None:
        made["custom_data"]["nested"] = copy["nested"]
    if copy["flags"] is not None:
        made["flags"] = copy["flags"]
    made["user_data"] |= copy["bears"]
    made["is_test"] = copy["is_test"]
    if copy["value"] is not None:
        made["value"] = str(copy["value"])
        made["custom_data"]["value"] = copy["value"]
    return received_at, json.dumps(made).encode()


def tables(pipeline: Pipeline) -> tuple[Any, ...]:
    """All lasting tables without the places in the log, which depend on the loading."""
    assert [] == stale_quarters(pipeline)
    for asked in ({}, {"with_marked": True, "by_day": False}):
        assert [] == differing(pipeline, account_id=_ACCOUNTS["1"], **asked)
    return (
        pipeline.engine.query(
            "select * exclude (kept_log_slot, kept_log_offset) "
            "from events_deduplicated order by all"
        ),
        pipeline.engine.query("select * from joins order by all"),
        pipeline.engine.query("select * exclude (log_slot, log_offset) from copies order by all"),
    )


@pytest.mark.slow
@settings(max_examples=14, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    copies=_copies,
    order=st.randoms(use_true_random=False),
    parts=st.integers(1, 5),
    rules=st.sampled_from([models.Rules(), models.Rules(late_copy=False), models.Rules(meta=True)]),
)
def test_tables_do_not_depend_on_the_loading(
    copies: list[dict[str, Any]], order: random.Random, parts: int, rules: models.Rules
) -> None:
    made = sorted(made_of(copy, number) for number, copy in enumerate(copies))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        at_once = Pipeline(Path(one), rules=rules)
        at_once.append([record for _, record in made])
        at_once.refresh()
        expected = tables(at_once)
        at_once.close()
        pipeline = Pipeline(Path(other), rows_max=3, rules=rules)
        slots = [order.randrange(parts) for _ in made]
        for slot in order.sample(range(parts), parts):
            chosen = [record for (_, record), its in zip(made, slots, strict=True) if its == slot]
            middle = order.randint(0, len(chosen))
            for half in filter(None, (chosen[:middle], chosen[middle:])):
                pipeline.append(half, slot)
                pipeline.refresh()
        assert expected == tables(pipeline)
        pipeline.rebuild(5)
        assert expected == tables(pipeline)
        # What is forgotten and is still in the lake comes back as it was.
        places = pipeline.engine.query("select log_slot, log_offset from copies order by all")
        forgotten = [(row["log_slot"], row["log_offset"]) for row in places[::3]]
        models.forget(pipeline.engine, pipeline.lake, rules, forgotten)
        assert expected == tables(pipeline)
        # A retry of what opened an event changes no count.
        firsts = pipeline.engine.query(
            "select epoch_us(received_at) as at from copies "
            "where rule = 'first' and method = 'event_id'"
        )
        opened = {row["at"] for row in firsts}
        retries = [
            json.dumps(json.loads(record) | {"received_at": at + SECOND}).encode()
            for at, record in made
            if at in opened
        ]
        if retries:
            pipeline.append(retries, slot=parts)
            pipeline.refresh()
        assert len(expected[0]) == len(pipeline.events())
        models.expire(pipeline.engine, pipeline.lake, rules, datetime.max.replace(tzinfo=UTC))
        tables(pipeline)
        pipeline.close()
