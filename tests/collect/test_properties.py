"""Whatever arrives at the Conversions API, in any form: nothing personal is kept or told, no answer
is 500, and no other request is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.collector import Collector, body_of, event
from tests.factories import Pipeline
from tests.strategies import DOORS, EMAIL, REQUESTS, Sent

EXAMPLES = 300
NEEDLES = (EMAIL, EMAIL.upper(), EMAIL.replace("@", "%40"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("properties"))
    yield running
    running.close()


def post(server: Collector, sent: Sent) -> Any:
    """Send it with the token of our account."""
    pixel_id = server.pixel.pixel_id
    path = server.events_path() if sent.door == DOORS[0] else f"/capi/{pixel_id}/events"
    parameters = {**sent.query, "access_token": server.token}
    return server.client.post(path, params=parameters, headers=sent.headers, content=sent.content)


def assert_clean(text: str) -> None:
    """The planted address is in none of its spellings."""
    assert not [needle for needle in NEEDLES if needle.lower() in text.lower()]


@pytest.mark.slow
def test_no_request_fails_leaks_or_touches_another(server: Collector) -> None:
    server.new_records()
    kept = {"event": 0, "refused": 0}
    neighbours: list[str] = []
    statuses: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(REQUESTS)
    def check(sent: Sent) -> None:
        server.new_records()
        answer = post(server, sent)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        records = server.new_records()
        assert answer.status_code in (200, 202, 400, 413, 415), answer.text
        assert_clean(answer.text)
        assert_clean(json.dumps(answer.json()))
        assert_clean(json.dumps(records, ensure_ascii=False))
        events = [record for record in records if record["record_type"] == "event"]
        received = answer.json().get("events_received", 0)
        assert received == len(events)
        refused = len(records) - received
        assert refused == len(answer.json().get("refused", ())) if received else refused >= 1
        assert {server.pixel.pixel_id} == {record["pixel_id"] for record in records}
        for record in records:
            kept[record["record_type"]] += 1
        name = f"neighbour.{len(neighbours)}"
        neighbours.append(name)
        assert 200 == server.post(body_of(event(event_id=name))).status_code
        assert name == server.new_record()["event_id"]

    check()
    # The input is worth something only when many of both kinds came.
    assert min(kept.values()) > EXAMPLES / 10, (kept, statuses)
    assert_clean(server.stderr)
    pipeline = Pipeline(server.settings.data)
    try:
        pipeline.refresh()
        for path in server.settings.data.rglob("*"):
            if path.is_file() and path.suffix in (".jsonl", ".json", ".sqlite"):
                assert_clean(path.read_bytes().decode("latin-1"))
        files = [file.path for file in pipeline.lake.events.files()]
        rows = pipeline.engine.query(
            f"select event_id, cast(to_json(e) as varchar) as said from "
            f"{pipeline.lake.events.read_sql(files)} as e"
        )
        assert_clean("\n".join(row["said"] for row in rows))
        ids = [row["event_id"] for row in rows if str(row["event_id"]).startswith("neighbour.")]
        assert sorted(neighbours) == sorted(ids)
        assert kept["event"] + len(neighbours) == len(rows)
    finally:
        pipeline.close()
