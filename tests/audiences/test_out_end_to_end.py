"""From one Doublet to another: events by HTTP here, a customer list over the Graph API there, and a
webhook beside it, all by the worker itself."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doublet.catalog import Audience, AudienceWebhook, Catalog, Share
from doublet.products.audiences import Interest, rule_of
from tests.audiences.test_out_webhook import SECRET, listening
from tests.factories import make_event, sha256
from tests.server import RunningServer


@pytest.fixture
def here(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path / "here", workers=1) as server:
        yield server


@pytest.fixture
def there(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path / "there", workers=1) as server:
        yield server


def send(server: RunningServer, *events: dict[str, Any]) -> None:
    answer = httpx.post(
        f"{server.url}/v25.0/{server.pixel_id}/events",
        headers=server.headers,
        json={"data": list(events)},
    )
    assert 200 == answer.status_code, answer.text


def event(who: str, event_name: str) -> dict[str, Any]:
    return make_event(
        event_name=event_name,
        event_id=f"{event_name}-{who}",
        event_time=int(time.time()),
        user_data={"em": [sha256(who)]},
        custom_data={"content_ids": ["rope"], "value": 5, "currency": "EUR"},
    )


def test_members_get_into_a_list_of_another_doublet_and_out_again(
    here: RunningServer, there: RunningServer
) -> None:
    catalog, theirs = (Catalog(each.settings.catalog_url) for each in (here, there))
    rule = rule_of(["rope"], Interest(did="AddToCart"), [here.pixel_id])
    wanted = Audience("", here.account_id, "Carted", "WEBSITE", rule=rule, retention_days=30)
    audience = catalog.audiences.create(wanted)
    send(here, *(event(who, "AddToCart") for who in "abc"))
    place = ("", here.account_id, audience.audience_id, there.url, "v25.0", there.account_id)
    with listening() as listener:
        catalog.audience_webhooks.create(
            AudienceWebhook("", here.account_id, "", listener.url, SECRET)
        )
        share = catalog.shares.create(Share(*place, "", "From here", there.access_token))

        def listed() -> set[str]:
            lists = [each for each in theirs.audiences.all() if each.name == "From here"]
            entries = [e for each in lists for e in theirs.lists.entries(each.audience_id)]
            return {identifier for entry in entries for identifier in entry.identifiers}

        def expect(*who: str) -> None:
            expected = {f"em={sha256(each)}" for each in who}

            def is_so() -> bool:
                catalog.shares.change(share.share_id, due_at=-1)
                return listed() == expected

            here.wait_until(is_so, what=f"{who} are there")

        expect("a", "b", "c")
        asked = {"audience_id": audience.audience_id}
        answer = httpx.post(f"{here.url}/v1/audiences/export", headers=here.headers, json=asked)
        assert 200 == answer.status_code, answer.text
        assert {sha256(each) for each in "abc"} == {
            row["EMAIL"] for row in csv.DictReader(io.StringIO(answer.text))
        }
        send(here, event("a", "Purchase"), event("d", "AddToCart"))
        moved = {(sha256("a"), False), (sha256("d"), True)}

        def told() -> set[tuple[str, bool]]:
            changes = [change for body in listener.bodies for change in body["data"]]
            return {(each["user_data"]["em"][0], each["is_join"]) for each in changes}

        here.wait_until(lambda: moved <= told(), what="the webhook is told")
        expect("b", "c", "d")
        body = msgspec.json.encode({"user_data": {"em": sha256("b")}})
        answer = httpx.post(f"{here.url}/v1/person/erase", headers=here.headers, content=body)
        assert 202 == answer.status_code, answer.text
        expect("c", "d")
        catalog.shares.change(share.share_id, is_ending=True, due_at=-1)
        here.wait_until(lambda: not catalog.shares.all(), what="the share has ended")
        assert set() == listed()
    catalog.close()
    theirs.close()
