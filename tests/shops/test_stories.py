"""Whatever a shop's platform delivers, and in whatever order, the ledger is right.

`pytest tests/shops/test_stories.py --update-golden` writes `told.txt` of each story anew.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept import Arrival
from doublet.shops import PLATFORMS, Resource, Told
from doublet.shops.records import records_of
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline
from tests.orders.ledgers import amounts, ledgers, orders
from tests.shops.stories import Story, stories, told

STORIES = list(stories())
WAYS_MAX = 24


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def _lines(said: list[Told]) -> str:
    """What is said, without what it leaves unsaid; one message or field of an event a line."""
    lines = []
    for nth, each in enumerate(said):
        lines.append(f"{nth}:")
        for event in each.events:
            lines.append(f"  {event['event_name']}")
            lines += [f"    {key}: {_line(value)}" for key, value in event.items()][1:]
        lines += [f"  order: {_line(message)}" for message in each.orders]
        others = list(each._asdict().items())[2:]
        lines += [f"  {name}: {_line(value)}" for name, value in others if value]
    return "\n".join(lines) + "\n"


def _line(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.platform}-{story.name}")
def test_each_delivery_says_what_the_story_has(
    story: Story, request: pytest.FixtureRequest
) -> None:
    said = _lines(told(story))
    path = story.folder / "told.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(said, "utf-8")
    assert path.read_text("utf-8") == said


def _ways(story: Story) -> list[tuple[int, ...]]:
    """Orders of arrival with every delivery twice: all orders where these are few, some where they
    are many, the repeats at once or at the end; last, that only the last one arrives."""
    count = len(story.said["deliveries"])
    firsts = list(permutations(range(count)))
    shuffle = random.Random(f"{story.platform}/{story.name}")
    if len(firsts) > WAYS_MAX:
        firsts = shuffle.sample(firsts, WAYS_MAX)
    ways = []
    for first in firsts:
        again = list(first)
        shuffle.shuffle(again)
        ways.append((*first, *again))
        ways.append(tuple(n for n in first for _ in range(2)))
    return [*ways, (count - 1,)]


def _records(said: Told, order_id: str, received_at: int) -> list[bytes]:
    """The records of what a delivery says, about an order of that id."""

    def renamed(event: Resource) -> Resource:
        custom_data = dict(event.get("custom_data", {}))
        if "order_id" in custom_data:
            custom_data["order_id"] = order_id
        event_id = f"{order_id}/{event['event_id']}"
        return {**event, "event_id": event_id, "custom_data": custom_data}

    about = said._replace(
        events=tuple(renamed(event) for event in said.events),
        orders=tuple({**message, "order_id": order_id} for message in said.orders),
    )
    made = records_of(about, Arrival(ACCOUNT, PIXEL, "server", received_at, 0), {})
    assert [] == made.refused
    return made.records


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_order_of_arrival_leads_to_the_ledger_of_the_story(
    platform: str, pipeline: Pipeline
) -> None:
    """Each way of each story is an order of its own; one delivery of each at a time."""
    its_own = [story for story in STORIES if story.platform == platform]
    said = {story.name: told(story) for story in its_own}
    ways = {
        f"{story.name}/{'-'.join(map(str, way))}": (story, way)
        for story in its_own
        for way in _ways(story)
    }
    expected: dict[tuple[str, str], tuple[Any, ...]] = {}
    purchases: Counter[str] = Counter()
    for order_id, (story, way) in ways.items():
        is_alone = len(way) == 1 < len(story.said["deliveries"])
        ledger = story.said["ledger"]
        if is_alone:
            ledger = story.said.get("alone", ledger)
        for currency, row in ledger.items():
            expected[order_id, currency] = tuple(row)
        if not is_alone:
            purchases[order_id] = story.said["purchases"]
    for step in range(max(len(way) for _, way in ways.values())):
        received_at = NOON + step * 60 * SECOND
        records = []
        for order_id, (story, way) in ways.items():
            if step < len(way):
                records += _records(said[story.name][way[step]], order_id, received_at)
        pipeline.append(records)
        pipeline.refresh()
    found = orders(pipeline)
    assert expected == {(row["order_id"], row["currency"]): amounts(row) for row in found}
    # A refund alone is more than is known to be left.
    assert [] == [row["order_id"] for row in found if row["conflicts"] and row["gross"]]
    counted = Counter(
        event["order_id"]
        for event in pipeline.events()
        if event["event_name"] == "Purchase" and not event["is_test"]
    )
    assert +purchases == Counter({order: counted[order] for order in purchases if counted[order]})
    before = ledgers(pipeline)
    pipeline.rebuild(500)
    assert before == ledgers(pipeline)
