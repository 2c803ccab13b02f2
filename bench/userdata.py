"""What raw customer information costs: normalised and hashed here, or by Meta's SDK beforehand.

The same events three ways: accepted in this process, sent to collectors by wrk with every answer
durable, and built and hashed by the official SDK for Python as a shop would do it. Phone numbers
come once in E.164 form and once as people dial them at home, which only the numbering plan of
their country can complete. In process, time is that of the processor, so that other work on the
machine counts little.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from collect import Case, Tally, check_log, check_tools, measure, post, run_wrk, write_script
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.user_data import UserData
from measure import collectors, events, print_table, say, wait_until_idle

from doublet.accept import Arrival, accept_events, is_suspect, read_request
from doublet.catalog import Catalog, PixelRules
from doublet.event import EventsRequest
from doublet.refusal import Refusal

BATCH = 1000
_SEED = 20_260_102
_CONNECTIONS = 8
_BODIES = 6
_CITIES = ("Berlin", "São Paulo", "St. Louis", "New York", "Zürich", "Lyon")
_STATES = ("California", "Bavaria", "NY", "Ontario", "Québec")
# Country, its numbers in E.164 form, and as dialled at home; each # is a digit.
_PHONES = (
    ("DE", "+49170#######", "0170 #######"),
    ("US", "+1415555####", "(415) 555-####"),
    ("GB", "+4474009#####", "07400 9#####"),
    ("FR", "+336########", "06########"),
    ("BR", "+5511961######", "(11) 961######"),
)
_NAMES = ("Anna", "Chloé", "O'Brien", "Van der Berg", "Müller", "Haddad")


def raw_events(kind: str) -> list[dict[str, Any]]:
    """The fixed payload with its customers in plain words. `kind` is the form of their phone
    numbers, `E.164` or `national`."""
    chance = random.Random(_SEED)
    made = events()
    for number, event in enumerate(made):
        country, *forms = chance.choice(_PHONES)
        phone = forms[kind == "national"]
        known = event["user_data"]
        first, last = chance.choice(_NAMES), chance.choice(_NAMES)
        event["user_data"] = {
            "em": f"{first[:3]}.{last[-3:]}{number}@Mail.example".replace("'", "").replace(
                "é", "e"
            ),
            "ph": "".join([chance.choice("0123456789") if c == "#" else c for c in phone]),
            "fn": first,
            "ln": last,
            "ct": chance.choice(_CITIES),
            "st": chance.choice(_STATES),
            "zp": f"{chance.randrange(10_000, 99_999)}",
            "country": country,
            "db": f"19{chance.randrange(50, 99)}-0{chance.randrange(1, 9)}-1{chance.randrange(9)}",
            "ge": chance.choice("fm"),
            "external_id": f"customer-{number}",
            "client_ip_address": known["client_ip_address"],
            "client_user_agent": known["client_user_agent"],
            "fbp": known["fbp"],
            "fbc": known["fbc"],
        }
    return made


def batches(made: list[dict[str, Any]], count: int) -> list[list[dict[str, Any]]]:
    """So many requests of a thousand events."""
    source = cycle(made)
    return [list(islice(source, BATCH)) for _ in range(count)]


def rate(work: Callable[[], int], seconds: float) -> float:
    """Events per second of processor time: the median of several rounds."""
    found: list[float] = []
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        started_at = time.process_time()
        done = work()
        found.append(done / (time.process_time() - started_at))
    return statistics.median(found)


def accept_rate(batch: list[dict[str, Any]], seconds: float) -> float:
    """JSON to records, in this process: what a collector does between HTTP and disk."""
    body = json.dumps({"data": batch}, separators=(",", ":")).encode()

    def accept() -> int:
        arrival = Arrival("act_1", "1", "server", time.time_ns() // 1000, 0)
        arrival.suspect, arrival.phone_country = is_suspect(body), "DE"
        request = read_request(body)
        assert isinstance(request, EventsRequest)
        records = accept_events(request, arrival)
        assert not isinstance(records, Refusal), records
        return len(records)

    return rate(accept, seconds)


def sdk_rate(batch: list[dict[str, Any]], seconds: float) -> float:
    """The same events built, normalised and hashed by Meta's SDK, in this process. It knows no
    national numbers, so it always gets E.164."""

    def build() -> int:
        return len([json.dumps(_sdk_event(event).normalize()) for event in batch])

    return rate(build, seconds)


def _sdk_event(event: dict[str, Any]) -> Event:
    user, custom = event["user_data"], event["custom_data"]
    contents = [
        Content(product_id=c["id"], quantity=c["quantity"], item_price=c["item_price"])
        for c in custom["contents"]
    ]
    return Event(
        event_name=event["event_name"],
        event_time=event["event_time"],
        event_id=event["event_id"],
        event_source_url=event["event_source_url"],
        action_source=ActionSource(event["action_source"]),
        user_data=UserData(
            email=user["em"],
            phone=user["ph"],
            first_name=user["fn"],
            last_name=user["ln"],
            city=user["ct"],
            state=user["st"],
            zip_code=user["zp"],
            country_code=user["country"],
            date_of_birth=user["db"],
            gender=Gender(user["ge"]),
            external_id=user["external_id"],
            client_ip_address=user["client_ip_address"],
            client_user_agent=user["client_user_agent"],
            fbp=user["fbp"],
            fbc=user["fbc"],
        ),
        custom_data=CustomData(
            value=custom["value"],
            currency=custom["currency"],
            order_id=custom["order_id"],
            content_type=custom["content_type"],
            contents=contents,
        ),
    )


def collector_rate(kind: str, workers: int, folder: Path, seconds: int) -> dict[str, float]:
    """Events per second of collectors, every answer durable, and what an event costs them."""
    case = Case(f"raw, {kind}", BATCH, _CONNECTIONS, workers, _BODIES)
    with collectors(folder / "doublet", workers) as ours:
        catalog = Catalog(
            f"sqlite:///{(folder / 'doublet' / 'data' / 'catalog.sqlite').absolute()}"
        )
        catalog.edit_pixel(ours.pixel_id, rules=PixelRules(phone_country="DE"))
        catalog.close()
        path = f"/v25.0/{ours.pixel_id}/events?access_token={ours.access_token}"
        requests = [post(path, batch) for batch in batches(raw_events(kind), _BODIES)]
        script = write_script(folder, requests)
        tally = Tally(ours.log)
        # Also long enough for the collectors to read the pixel's rules again.
        run_wrk(ours.server, script, _CONNECTIONS, 6)
        wait_until_idle(ours.server.pids)
        tally.take()
        found = measure(ours.server, case, script, seconds)
        check_log(case, found.requests, tally)
    return {"events_per_s": found.events_per_s, "cpu_us_per_event": found.cpu_us_per_event}


def main() -> None:
    """Measure all and print the rates as ratios to the SDK's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4, help="length of one run (default 4)")
    parser.add_argument("--workers", type=int, default=2, help="collectors (default 2)")
    parser.add_argument("--no-collectors", action="store_true", help="only in this process")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    say("Meta's SDK")
    (sdk_batch,) = batches(raw_events("E.164"), 1)
    sdk = sdk_rate(sdk_batch, given.seconds)
    rows: list[dict[str, Any]] = [
        {"case": "Meta's SDK, built and hashed", "processes": 1, "events_per_s": sdk}
    ]
    for kind in ("E.164", "national"):
        say(f"{kind}: in this process")
        (batch,) = batches(raw_events(kind), 1)
        accepted = accept_rate(batch, given.seconds)
        rows.append({"case": f"accepted, {kind}", "processes": 1, "events_per_s": accepted})
        if not given.no_collectors:
            check_tools()
            say(f"{kind}: {given.workers} collector(s)")
            with tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder:
                seconds = max(1, round(given.seconds))
                found = collector_rate(kind, given.workers, Path(folder), seconds)
            rows.append({"case": f"collected, {kind}", "processes": given.workers, **found})
    for row in rows:
        row["ratio_to_sdk"] = row["events_per_s"] / sdk
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ("case", "processes", "events/s", "of the SDK", "cpu µs/event"),
        [
            (
                row["case"],
                str(row["processes"]),
                f"{row['events_per_s']:,.0f}",
                f"{row['ratio_to_sdk']:.1f}",
                f"{row['cpu_us_per_event']:.0f}" if "cpu_us_per_event" in row else "",
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
