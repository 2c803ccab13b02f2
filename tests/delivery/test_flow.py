"""Costs find their leases, once, whatever the order and however often they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from doublet.delivery.flow import REMEMBERED_S, Answers, Bill, Count, Flow, News, Span
from doublet.delivery.links import Link
from doublet.delivery.records import touch_records
from doublet.event import encode
from tests.delivery.test_links import LINK
from tests.delivery.test_records import DECISION
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline

NOW = NOON / SECOND


def decision(name: str, lease: str = "7", adset_id: str = "12", position: int = 1) -> bytes:
    """The record of a chosen ad."""
    fields = {"decision_id": name, "lease": lease, "adset_id": adset_id, "position": position}
    return encode(msgspec.structs.replace(DECISION, **fields))


def link(name: str, adset_id: str = "12", position: int = 1, price: int = 250) -> Link:
    """The link of one."""
    fields = {"decision_id": name, "adset_id": adset_id, "position": position, "price": price}
    return msgspec.structs.replace(LINK, decided_at=NOON // SECOND, held_out=(), **fields)


def view(of: Link, at_s: float = 1.0) -> bytes:
    """The record of its impression."""
    return next(iter(touch_records(of, "view", NOON + int(at_s * SECOND))))


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    made.close()


def take(pipeline: Pipeline, flow: Flow, now_s: float = NOW) -> News:
    """What is new for a flow, once all is loaded."""
    pipeline.refresh()
    return flow.take(pipeline.lake.ad_decisions.files(), pipeline.lake.ad_touches.files(), now_s)


def test_costs_go_to_leases_and_counts_to_ad_sets(pipeline: Pipeline) -> None:
    flow = Flow(duckdb.connect())
    pipeline.append([decision("a"), decision("b", "8", "13"), decision("b", "8", "12", 2)])
    news = take(pipeline, flow)
    assert [] == news.bills
    assert [Answers(DECISION.account_id, NOON // SECOND // 900 * 900, 2)] == news.answers
    assert [("12", 2), ("13", 1)] == [each[:2] for each in news.counts]
    assert pytest.approx(0.02) == news.counts[0].p_clicks
    pipeline.append([view(link("a")), view(link("b", "12", 2, 100)), view(link("b", "13", 1, 1))])
    news = take(pipeline, flow)
    assert [Bill("7", 250), Bill("8", 101)] == news.bills
    assert [Count("12", 0, 2, 0, 350), Count("13", 0, 1, 0, 1)] == news.counts
    assert [] == news.answers
    assert ([], [], []) == take(pipeline, flow)


def test_what_comes_again_or_before_its_decision_counts_once(pipeline: Pipeline) -> None:
    flow = Flow(duckdb.connect())
    pipeline.append([view(link("a")), view(link("a"), 2.0)])
    assert ([], [], []) == take(pipeline, flow)
    pipeline.append([view(link("a"), 3.0)], slot=1)
    assert ([], [], []) == take(pipeline, flow)
    pipeline.append([decision("a")], slot=2)
    assert [Bill("7", 250)] == take(pipeline, flow).bills
    pipeline.append([view(link("a"), 4.0)], slot=3)
    assert [] == take(pipeline, flow).bills


def test_a_merged_file_brings_nothing_twice(pipeline: Pipeline) -> None:
    flow = Flow(duckdb.connect())
    for n in range(9):
        pipeline.append([decision(f"d{n}"), view(link(f"d{n}"))])
        assert [Bill("7", 250)] == take(pipeline, flow).bills
    table = pipeline.lake.ad_touches
    (group,) = table.mergeable(None)
    assert table.replace(group, table.merge(pipeline.engine.connection.cursor(), group))
    assert ([], [], []) == take(pipeline, flow)


def test_a_flow_that_begins_later_leaves_the_past_to_history(pipeline: Pipeline) -> None:
    pipeline.append([decision("a"), view(link("a")), view(link("a"), 2.0)])
    flow = Flow(duckdb.connect(), NOW + 10)
    assert ([], [], []) == take(pipeline, flow)
    files = pipeline.lake.ad_decisions.files(), pipeline.lake.ad_touches.files()
    (count,) = flow.history(*files).values()
    assert ("12", 1, 1, 0, 250) == count[:5]
    found = [flow.answers(files[0], NOW + seconds) for seconds in (-60, 60)]
    assert [[1], []] == [[each.answers for each in each_found] for each_found in found]


def test_touches_of_another_account_cost_nothing(pipeline: Pipeline) -> None:
    forged = view(msgspec.structs.replace(link("a", price=9_000), account_id="other"))
    flow = Flow(duckdb.connect())
    pipeline.append([forged, decision("a")])
    assert [] == take(pipeline, flow).bills
    # Nor does it stand in the way of the real one, in the same batch or later.
    pipeline.append([view(link("a")), decision("b")])
    assert [Bill("7", 250)] == take(pipeline, flow).bills
    forged = view(msgspec.structs.replace(link("b", price=9_000), account_id="other"))
    pipeline.append([forged, view(link("b"), 2.0)])
    assert [Bill("7", 250)] == take(pipeline, flow).bills
    later = Flow(duckdb.connect(), NOW + 10)
    files = pipeline.lake.ad_decisions.files(), pipeline.lake.ad_touches.files()
    assert [("12", 2, 2, 0, 500)] == [each[:5] for each in later.history(*files).values()]


def test_what_was_billed_is_counted_once_by_ad_set_and_time(pipeline: Pipeline) -> None:
    # The second copy of a view comes through another process, and costs nothing or as much.
    late = REMEMBERED_S + 1.0
    pipeline.append([view(link("a")), view(link("b"), 100.0), view(link("c", "13", price=10))])
    pipeline.append([view(link("a"), 2.0), view(link("b"), 101.0), view(link("c", "13"), late)], 1)
    pipeline.refresh()
    files = pipeline.lake.ad_touches.files()
    spans = [
        Span(ACCOUNT, "12", NOW, NOW + 200),
        Span(ACCOUNT, "12", NOW + 1.5, NOW + 200),
        Span(ACCOUNT, "12", NOW, float("inf")),
        Span(ACCOUNT, "13", NOW, NOW + 200),
        Span("other", "12", NOW, NOW + 200),
    ]
    flow = Flow(duckdb.connect())
    assert [500, 250, 500, 10, 0] == flow.billed(files, spans)
    assert [0] == flow.billed([], spans[:1])
    assert [] == flow.billed(files, [])


def test_decisions_are_forgotten_when_nothing_can_come_of_them(pipeline: Pipeline) -> None:
    flow = Flow(duckdb.connect())
    pipeline.append([decision("a")])
    take(pipeline, flow, NOW + REMEMBERED_S + 1)
    pipeline.append([view(link("a"))])
    assert ([], [], []) == take(pipeline, flow, NOW + REMEMBERED_S + 1)
