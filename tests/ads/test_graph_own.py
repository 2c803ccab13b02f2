"""The import asks Doublet's own Insights API over a real server: what one installation tells of its
ads is what the other one knows then."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from doublet.ads import graph
from doublet.ads.graph import Asked, GraphHost
from doublet.ads.graph_run import GraphPlan, import_days
from doublet.catalog import Account
from doublet.settings import Settings
from tests.ads.messages import ad_day, touch
from tests.ads.test_graph import days
from tests.ads.test_import import account
from tests.factories import make_event
from tests.server import RunningServer

__all__ = ["account"]

ADS = 7


@pytest.mark.slow
def test_what_doublet_tells_is_what_is_imported(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    first = today - timedelta(days=9)
    now = int(time.time())
    delivered = [
        ad_day(
            date=(first + timedelta(days=n)).isoformat(),
            ad_id=f"a{ad}",
            spend=ad + 1,
            currency="USD",
        )
        for n in range(10)
        for ad in range(ADS)
    ]
    user = {"external_id": "ada"}
    clicks = [touch(platform="meta", touched_at=now - 3600, ad_id="a3", user_data=user)]
    bought = make_event(
        event_time=now - 60,
        user_data=user,
        custom_data={"value": 49.5, "currency": "USD"},
    )
    # Several pages to each question.
    monkeypatch.setattr(graph, "PAGE_ROWS", 4)
    with RunningServer(tmp_path / "theirs") as server:
        for path, messages in (
            ("/v1/ad_days", delivered),
            ("/v1/ad_touches", clicks),
            (f"/v25.0/{server.pixel_id}/events", [bought]),
        ):
            sent = httpx.post(
                f"{server.url}{path}", json={"data": messages}, headers=server.headers, timeout=30
            )
            assert 200 == sent.status_code, sent.text
        server.run("refresh")
        url = f"{server.url}/v25.0"
        asked = Asked(server.account_id, "ad", first, today)
        with GraphHost(url, server.access_token) as host:
            plan = GraphPlan(url, asked, account, "meta")
            done = import_days(Settings(data=tmp_path), host, plan)
    assert (len(delivered), 0, []) == (done.rows, done.left_out, done.why)
    found = days(tmp_path)
    assert [(row["date"], row["ad_id"], row["spend"], row["impressions"]) for row in delivered] == [
        (str(row["date"]), row["ad_id"], int(row["spend"]), row["impressions"]) for row in found
    ]
    assert {"Spring", "Red shoe"} == {row["campaign_name"] for row in found} | {
        row["ad_name"] for row in found
    }
    (told,) = [
        reported for row in found if "purchase" in (reported := json.loads(row["reported"] or "{}"))
    ]
    one = {"count": "1", "value": "49.5"}
    assert one == told["purchase"]["7d_click"] == told["purchase"]["value"]
