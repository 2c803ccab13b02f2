"""Events are found page by page, with a look at the sums of quarters of an hour first."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from doublet.catalog import Account
from doublet.reports.events import EventsAsked, find_events
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record

OWNER = Account(ACCOUNT, "Shop", "Europe/Berlin", "USD")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """120 events over two hours, of two names, seen by either side or both, some marked, some our
    own checks."""
    pipeline = Pipeline(tmp_path_factory.mktemp("events"))
    drawn = random.Random(5)
    records = []
    for n in range(120):
        at = NOON - drawn.randrange(7200) * SECOND
        name = drawn.choice(["Purchase", "Purchase", "Lead"])
        for source in drawn.choice([["browser"], ["server"], ["browser", "server"]]):
            made = json.loads(make_record(at, source, event_name=name, event_id=f"e{n}"))
            made["flags"] = ["bot"] if source == "browser" and n % 7 == 0 else None
            made["is_test"] = n % 11 == 0
            records.append(json.dumps(made).encode())
    pipeline.append(sorted(records, key=lambda record: json.loads(record)["received_at"]))
    pipeline.refresh()
    yield pipeline
    pipeline.close()


@pytest.mark.parametrize("limit", [1, 7, 40, 500])
@pytest.mark.parametrize("shown", ["counted", "left_out", "all"])
@pytest.mark.parametrize("seen_by", [None, "both", "browser_only", "server_only"])
def test_all_pages_together_are_what_fits_newest_first(
    shop: Pipeline, seen_by: str | None, shown: str, limit: int
) -> None:
    rows = shop.engine.query(
        "select event_id from events_deduplicated where event_name = 'Purchase' "
        "and ($seen_by is null or $seen_by = case when browser_copies = 0 then 'server_only' "
        "when server_copies = 0 then 'browser_only' else 'both' end) "
        "and ($shown = 'all' or ($shown = 'left_out') = (is_test or is_marked)) "
        "order by event_time desc, kept_log_slot desc, kept_log_offset desc",
        {"seen_by": seen_by, "shown": shown},
    )
    found: list[str | None] = []
    before = None
    while True:
        asked = EventsAsked(
            event_name="Purchase",
            seen_by=seen_by,
            shown=shown,
            limit=limit,
            before=before,
        )
        page = find_events(shop.engine, OWNER, asked)
        assert len(page.rows) <= limit
        found += [row.event_id for row in page.rows]
        if page.next is None:
            break
        before = page.next
    assert [row["event_id"] for row in rows] == found
