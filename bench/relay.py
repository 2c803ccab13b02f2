"""The relay: requests and seconds for the same events by three senders, and how fast it catches up.

Senders: ours (`doublet relay` from a full outbox), the batch processor of Meta's SDK for Python
(50 events a request), and one request per event over a connection that is kept, as most open relays
send. All send to the same real collector on this machine; it and they share the processors.

Catching up: collectors and worker run while the relay is down; then it is started, and answers of
the collectors that go on taking hits are timed before and meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from facebook_business.adobjects.serverside.batch_processor import BatchProcessor
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request_async import EventRequestAsync
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from load import vary
from measure import (
    Collectors,
    answers,
    collectors,
    events,
    free_port,
    print_table,
    process,
    say,
    wait_until,
)

from doublet.catalog import Account, Catalog, Destination, DestinationRules
from doublet.outbox import NewEmission, Outbox, now_us
from doublet.settings import Settings

SEED_PIXEL = "1000000000000001"
SDK_BATCH = 50
_GIVE_UP_S = 600.0
_HIT_PAUSE_S = 0.01


def made(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """Events of this moment, each another visitor's."""
    payload = events()
    for number in range(first, first + count):
        yield vary(payload[number % len(payload)], number)


class Ours:
    """A data folder with a destination that leads to a collector."""

    def __init__(self, folder: Path, receiver: Collectors, rules: DestinationRules) -> None:
        self.settings = Settings(data=folder / "data", port=free_port(), workers=1)
        catalog = Catalog(self.settings.catalog_url)
        catalog.migrate()
        self.account: Account = catalog.create_account("Bench")
        self.pixel, self.token = catalog.create_pixel(self.account.account_id, "Bench")
        target = {
            "pixel_id": receiver.pixel_id,
            "url": f"http://127.0.0.1:{receiver.server.port}",
        }
        self.destination: Destination = catalog.create_destination(
            self.account.account_id, "meta", "Meta", target, receiver.access_token, rules
        )
        catalog.close()
        self.outbox = Outbox(self.settings.outbox_file)

    def command(self, name: str) -> list[str]:
        """A command of `doublet` on this folder."""
        pairs = {"data": self.settings.data, "port": self.settings.port, "workers": 1}
        sets = [f"--set={key}={value}" for key, value in pairs.items()]
        return [sys.executable, "-m", "doublet", name, *sets]

    def count(self, state: Any) -> int:
        """Events in a state."""
        return self.outbox.count(self.destination.destination_id, state)

    def offer(self, count: int) -> None:
        """Fill the outbox as the worker does."""
        which = self.destination.destination_id
        due_at = now_us()
        payloads = {}
        rows = []
        for offset, event in enumerate(made(count)):
            row = {
                **event,
                "account_id": self.account.account_id,
                "pixel_id": SEED_PIXEL,
                "value": str(event["custom_data"].get("value", "1")),
                "currency": event["custom_data"].get("currency"),
                "order_id": event["custom_data"].get("order_id"),
                "server_copies": 1,
                "log_slot": 0,
                "log_offset": offset,
                "first_received_at": due_at,
            }
            payloads[offset] = json.dumps(row)
            name, event_id, at = event["event_name"], event["event_id"], event["event_time"]
            rows.append(
                NewEmission(which, 0, offset, SEED_PIXEL, name, event_id, at, "waiting", "", due_at)
            )
        self.outbox.note(rows)
        due = self.outbox.due(which, now_us(), count)
        self.outbox.make_ready(((number, payloads[offset]) for number, _, offset in due), [])


def wait_for_sent(ours: Ours, count: int) -> float:
    """Seconds until so many events are sent."""
    began = time.perf_counter()
    while ours.count("sent") < count:
        if time.perf_counter() - began > _GIVE_UP_S:
            raise TimeoutError(f"only {ours.count('sent')} of {count} were sent")
        time.sleep(0.02)
    return time.perf_counter() - began


# --- three senders ----------------------------------------------------------------------------


def by_relay(folder: Path, receiver: Collectors, count: int) -> tuple[int, float]:
    """Requests and seconds from the start of the relay's process."""
    folder.mkdir()
    ours = Ours(folder, receiver, DestinationRules())
    ours.offer(count)
    began = time.perf_counter()
    with process(ours.command("relay"), folder):
        wait_for_sent(ours, count)
        seconds = time.perf_counter() - began
    ((requests,),) = ours.outbox.rows("select count(*) from requests")
    ours.outbox.close()
    return requests, seconds


def _sdk_events(count: int) -> list[Event]:
    return [
        Event(
            event_name=event["event_name"],
            event_time=event["event_time"],
            event_id=f"sdk.{event['event_id']}",
            event_source_url=event["event_source_url"],
            action_source=None,
            user_data=UserData(
                emails=event["user_data"]["em"],
                phones=event["user_data"]["ph"],
                client_ip_address=event["user_data"]["client_ip_address"],
                client_user_agent=event["user_data"]["client_user_agent"],
                fbp=event["user_data"]["fbp"],
                fbc=event["user_data"]["fbc"],
            ),
            custom_data=CustomData(value=9.5, currency="EUR", content_ids=["teacup"]),
        )
        for event in made(count)
    ]


def by_sdk(receiver: Collectors, count: int) -> tuple[int, float]:
    """The SDK's batch processor as it is, with its own default sizes."""
    FacebookSession.GRAPH = f"http://127.0.0.1:{receiver.server.port}"
    api = FacebookAdsApi.init(access_token=receiver.access_token, crash_log=False)
    requests = 0
    execute = EventRequestAsync.execute

    async def counted(self: EventRequestAsync) -> Any:
        nonlocal requests
        requests += 1
        answer = await execute(self)
        assert answer.events_received, answer
        return answer

    EventRequestAsync.execute = counted
    sdk_events = _sdk_events(count)
    began = time.perf_counter()
    template: Any = EventRequestAsync(pixel_id=receiver.pixel_id, events=[])
    processor: Any = BatchProcessor()
    processor.process_events(template, sdk_events)
    seconds = time.perf_counter() - began
    EventRequestAsync.execute = execute
    api._session.requests.close()
    return requests, seconds


def one_by_one(receiver: Collectors, count: int) -> tuple[int, float]:
    """A request for each event, one after the other, over one connection."""
    path = f"/v25.0/{receiver.pixel_id}/events"
    headers = {"authorization": f"Bearer {receiver.access_token}"}
    base = f"http://127.0.0.1:{receiver.server.port}"
    with httpx.Client(base_url=base, headers=headers) as client:
        bodies = [
            json.dumps({"data": [{**event, "event_id": f"one.{event['event_id']}"}]})
            for event in made(count)
        ]
        began = time.perf_counter()
        for body in bodies:
            client.post(path, content=body).raise_for_status()
        return count, time.perf_counter() - began


def compare(count: int) -> list[dict[str, Any]]:
    """One row per sender."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, collectors(Path(folder) / "b", 1) as receiver:
        senders: dict[str, Callable[[], tuple[int, float]]] = {
            "doublet relay": lambda: by_relay(Path(folder) / "ours", receiver, count),
            "SDK batch processor": lambda: by_sdk(receiver, count),
            "one call per event": lambda: one_by_one(receiver, count),
        }
        for name, run in senders.items():
            say(f"{name} …")
            requests, seconds = run()
            rows.append(
                {
                    "sender": name,
                    "events": count,
                    "requests": requests,
                    "seconds": round(seconds, 2),
                    "events_per_s": round(count / seconds),
                }
            )
    ours_s = float(rows[0]["seconds"])
    return [{**row, "times_ours": round(float(row["seconds"]) / ours_s, 1)} for row in rows]


# --- catching up ------------------------------------------------------------------------------


class Hits:
    """Takes the time of hits, one every 10 ms, until `stop`."""

    def __init__(self, port: int, pixel_id: str) -> None:
        self._url = f"http://127.0.0.1:{port}/tr/?id={pixel_id}&ev=PageView&eid="
        self._stop = threading.Event()
        self.milliseconds: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with httpx.Client() as client:
            number = 0
            while not self._stop.wait(_HIT_PAUSE_S):
                began = time.perf_counter()
                client.get(f"{self._url}{id(self)}.{number}").raise_for_status()
                self.milliseconds.append((time.perf_counter() - began) * 1000)
                number += 1

    def stop(self) -> dict[str, float]:
        """Median, 99th percentile and largest answer in milliseconds."""
        self._stop.set()
        self._thread.join()
        cuts = statistics.quantiles(self.milliseconds, n=100)
        return {
            "p50_ms": round(cuts[49], 2),
            "p99_ms": round(cuts[98], 2),
            "max_ms": round(max(self.milliseconds), 2),
        }


@contextmanager
def _serving(ours: Ours, folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        for name in ("collect", "work"):
            started = stack.enter_context(process(ours.command(name), folder))
        wait_until(lambda: answers(ours.settings.port, "/health"), started)
        yield


def catch_up(count: int, quiet_s: float = 5.0) -> dict[str, Any]:
    """How fast `count` events that waited are relayed, and what hits notice of it."""
    rules = DestinationRules(merge_wait_s=0.0, events=["Relayed"])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = stack.enter_context(collectors(folder / "b", 1))
        (folder / "a").mkdir()
        ours = Ours(folder / "a", receiver, rules)
        stack.enter_context(_serving(ours, folder / "a"))
        say(f"taking {count:,} events while the relay is down …")
        _collect(ours, count)
        _wait_until_filled(ours, count)
        time.sleep(quiet_s)
        hits = Hits(ours.settings.port, ours.pixel.pixel_id)
        time.sleep(quiet_s)
        before = hits.stop()
        say("the relay starts …")
        hits = Hits(ours.settings.port, ours.pixel.pixel_id)
        began = time.perf_counter()
        with process(ours.command("relay"), folder / "a"):
            wait_for_sent(ours, count)
            seconds = time.perf_counter() - began
            meanwhile = hits.stop()
        ours.outbox.close()
    return {
        "events": count,
        "seconds": round(seconds, 2),
        "events_per_s": round(count / seconds),
        "hits_before": before,
        "hits_meanwhile": meanwhile,
    }


def _collect(ours: Ours, count: int) -> None:
    headers = {"authorization": f"Bearer {ours.token}"}
    url = f"http://127.0.0.1:{ours.settings.port}/v25.0/{ours.pixel.pixel_id}/events"
    with httpx.Client(headers=headers, timeout=60) as client:
        batch = []
        for event in made(count):
            batch.append({**event, "event_name": "Relayed"})
            if len(batch) == 1000:
                client.post(url, json={"data": batch}).raise_for_status()
                batch = []
        if batch:
            client.post(url, json={"data": batch}).raise_for_status()


def _wait_until_filled(ours: Ours, count: int) -> None:
    began = time.monotonic()
    while ours.count("ready") + ours.count("waiting") < count:
        if time.monotonic() - began > _GIVE_UP_S:
            raise TimeoutError("the worker did not fill the outbox")
        time.sleep(0.1)


def main() -> None:
    """Print both, as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument(
        "--waiting", type=int, default=60_000, help="events of the hour it was down"
    )
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds of hits before")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = compare(arguments.events)
    late = catch_up(arguments.waiting, arguments.quiet)
    if arguments.json:
        print(json.dumps({"senders": rows, "catch_up": late}, indent=2))
        return
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    print(
        f"\n{late['events']:,} events that waited were relayed in {late['seconds']} s: "
        f"{late['events_per_s']:,} a second."
    )
    for name in ("hits_before", "hits_meanwhile"):
        print(f"{name}: {late[name]}")


if __name__ == "__main__":
    main()
