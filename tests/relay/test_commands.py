"""Status, dead letters, dry run and backfill: from the command line and on the page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.catalog import Catalog, Destination, DestinationRules
from doublet.outbox import Aside, NewEmission, Outbox, Settled, now_us
from tests.dashboard import HOSTILE, Site
from tests.factories import make_event
from tests.relay.stage import stored
from tests.server import RunningServer, wait_for

FAST = DestinationRules(merge_wait_s=0.0, batch_wait_s=0.1)
DAY_S = 86_400


class Pair:
    """A server whose first pixel is relayed to its second, which stands in for Meta."""

    def __init__(self, folder: Path) -> None:
        self.server = RunningServer(folder, workers=1)
        self.catalog = Catalog(self.server.settings.catalog_url)
        self.standin, self.token = self.catalog.create_pixel(self.server.account_id, "Stand-in")

    def destination(self, rules: DestinationRules = FAST, **more: Any) -> Destination:
        """To the stand-in, of the first pixel's events."""
        target = {"pixel_id": self.standin.pixel_id, "url": self.server.url}
        own = DestinationRules(
            pixels=[self.server.pixel_id],
            merge_wait_s=rules.merge_wait_s,
            batch_wait_s=rules.batch_wait_s,
        )
        return self.catalog.create_destination(
            self.server.account_id, "meta", "Meta", target, self.token, own, **more
        )

    def send(self, *events: dict[str, Any]) -> None:
        """Server events of the first pixel."""
        path = f"{self.server.url}/v25.0/{self.server.pixel_id}/events"
        answer = httpx.post(path, headers=self.server.headers, json={"data": list(events)})
        assert 200 == answer.status_code, answer.text

    def status(self) -> dict[str, Any]:
        """Of the one destination."""
        (found,) = self.server.run("destination", "status")
        return dict(found)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command for people, run to its end."""
        command = [sys.executable, "-m", "doublet", *arguments]
        return subprocess.run(
            [*command, f"--data={self.server.settings.data}"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def close(self) -> None:
        """Leave nothing running."""
        self.catalog.close()
        self.server.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    """A server's event of a minute ago."""
    return make_event(event_id=event_id, event_time=int(time.time()) - 60, **fields)


def test_what_came_before_is_shown_first_then_sent_by_a_backfill(pair: Pair) -> None:
    before = [event(f"e{n}") for n in range(3)]
    pair.send(*before)
    pair.server.wait_until(pair.server.overview, what="they are modelled")
    time.sleep(max(0.0, 1 - time.time() % 1))  # Destinations are made in whole seconds.
    pair.destination(is_paused=True)
    found = pair.server.run("destination", "preview", "Meta", "--limit=2")
    (request,) = found["requests"]
    assert 2 == request["events"] == len(request["body"]["data"])
    assert "Bearer …" == request["headers"]["authorization"]
    assert pair.token not in json.dumps(found)
    assert [] == found["not_sent"]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    earlier = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY_S))
    days = (f"--since={earlier}", f"--until={today}")
    done = pair.server.run("destination", "backfill", "Meta", *days, "--rate=100")
    assert (3, 0) == (done["events"], done["withheld"])
    # A second time adds nothing.
    again = pair.server.run("destination", "backfill", "Meta", *days)
    assert 0 == again["events"]
    pair.server.run("destination", "resume", "Meta")
    wait_for(lambda: 3 == pair.status()["sent"], 30)
    assert pair.status()["events"] == 3
    shown = pair.run("destination", "status", "Meta")
    assert (0, True) == (shown.returncode, "Meta" in shown.stdout)
    wait_for(lambda: _ids(pair) == {"e0", "e1", "e2"}, 20)


def _ids(pair: Pair) -> set[str]:
    """The ids that the stand-in has, as the tables have them."""
    stories = [
        story
        for number in range(3)
        for story in pair.server.run("explain", f"e{number}", f"--pixel={pair.standin.pixel_id}")
    ]
    return {story["event_id"] for story in stories}


def test_a_dead_letter_is_listed_mended_and_sent(pair: Pair) -> None:
    pair.destination()
    asked = {"id": pair.server.pixel_id, "ev": "Purchase", "eid": "bad", "cd[value]": "5"}
    assert 200 == httpx.get(f"{pair.server.url}/tr/", params=asked).status_code
    pair.send(event("good"))
    wait_for(lambda: (1, 1) == (pair.status()["sent"], pair.status()["failed"]), 40)
    (letter,) = pair.server.run("destination", "failed", "Meta")
    assert ("bad", "100/2804010") == (letter["event_id"], letter["reason"])
    assert {"100/2804010": 1} == pair.status()["reasons"]["failed"]
    told = pair.run("destination", "failed", "Meta")
    assert "currency" in told.stdout
    assert 2 == pair.run("destination", "replay", "Meta").returncode
    patch = '--patch={"currency": "EUR", "custom_data": {"currency": "EUR"}}'
    replayed = pair.server.run("destination", "replay", "Meta", "--all", patch)
    assert {"replayed": 1} == replayed
    wait_for(lambda: 2 == pair.status()["sent"], 30)
    (story,) = pair.server.run("explain", "bad", f"--pixel={pair.server.pixel_id}")
    (relayed,) = story["relayed"]
    assert ("sent", "Meta", 200) == (relayed["state"], relayed["name"], relayed["http_status"])


# --- the page ---------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def _fail(site: Site, destination: Destination, message: str) -> None:
    """One event of a destination is a dead letter."""
    outbox = Outbox(site.pipeline.folder / "relay.sqlite")
    place = (0, int(destination.destination_id[-6:]))
    which = destination.destination_id
    outbox.note([NewEmission(which, *place, "1", HOSTILE, "id", 1, "waiting", "", now_us())])
    ((number, _, offset),) = outbox.due(which, now_us(), 1)
    payload = json.dumps(stored(destination.account_id, offset, {}))
    outbox.make_ready([(number, payload)], [])
    outbox.settle([Settled(None, [], [Aside(number, "failed", "refused", message)])])
    outbox.close()


def test_the_page_shows_the_accounts_own_destinations(site: Site) -> None:
    assert "Nothing is relayed yet" in site.get("/relay", site.ours).text
    for shop in (site.ours, site.theirs):
        destination = site.catalog.create_destination(
            shop.account.account_id, "meta", f"To {shop.account.name}", {"pixel_id": "12345"}, "s3"
        )
        _fail(site, destination, f"Not for {shop.account.name} {HOSTILE}")
    page = site.get("/relay", site.ours).text
    assert "To Our shop" in page
    assert "Not for Our shop" in page
    assert "Their shop" not in page
    assert HOSTILE not in page
    (row,) = site.get("/relay.json", site.ours).json()
    assert ("To Our shop", 1, 1) == (row["name"], row["events"], row["failed"])
    assert 401 == site.get("/relay.json").status_code


def test_dead_letters_are_sent_again_from_the_page_mended(site: Site) -> None:
    destination = site.catalog.create_destination(
        site.ours.account.account_id, "meta", "Ours", {"pixel_id": "12345"}, "s3"
    )
    theirs = site.catalog.create_destination(
        site.theirs.account.account_id, "meta", "Theirs", {"pixel_id": "12345"}, "s3"
    )
    for each in (destination, theirs):
        _fail(site, each, "No currency.")

    def post(path: str, **fields: str) -> httpx.Response:
        site.client.cookies.clear()
        return site.client.post(path, data=fields, headers=site.ours.headers)

    own = {"destination": destination.destination_id, "reason": "refused"}
    for patch in ("[]", "{", '{"account_id": "x"}', '{"value": "many"}'):
        assert 400 == post("/relay/replay", **own, patch=patch).status_code, patch
    stranger = {"destination": theirs.destination_id, "reason": "refused"}
    assert 400 == post("/relay/replay", **stranger).status_code
    (row,) = site.get("/relay.json", site.ours).json()
    assert 1 == row["failed"]
    answer = post("/relay/replay", **own, patch='{"currency": "EUR"}')
    assert (303, "/relay?done=1") == (answer.status_code, answer.headers["location"])
    (row,) = site.get("/relay.json", site.ours).json()
    assert (0, 1) == (row["failed"], row["ready"])
    assert "1 event will be sent again" in site.get("/relay?done=1", site.ours).text
    assert 1 == site.get("/relay.json", site.theirs).json()[0]["failed"]
    (table,) = site.get("/relay.csv", site.ours).text.splitlines()[1:]
    assert table.startswith("Ours,meta,False,1,0,1,0,0,0")


def test_a_destination_is_paused_and_resumed_from_the_page(site: Site) -> None:
    destination = site.catalog.create_destination(
        site.ours.account.account_id, "meta", "Ours", {"pixel_id": "12345"}, "s3"
    )
    for paused, button in (("1", "Resume"), ("0", "Pause")):
        form = {"destination": destination.destination_id, "paused": paused}
        answer = site.client.post("/relay/pause", data=form, headers=site.ours.headers)
        assert 303 == answer.status_code
        (row,) = site.get("/relay.json", site.ours).json()
        assert (paused == "1") == row["is_paused"]
        assert button in site.get("/relay", site.ours).text
    foreign = site.client.post("/relay/pause", data=form, headers=site.theirs.headers)
    assert 400 == foreign.status_code
