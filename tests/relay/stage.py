"""An account with an outbox and a relay, and collectors that stand in for platforms."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from doublet.catalog import Catalog, Destination, DestinationRules
from doublet.outbox import NewEmission, Outbox, Sighting, now_us
from doublet.settings import Settings
from tests.server import DoubletProcess, wait_for


class Stage:
    """A data folder with a catalog and an outbox; `relay` is the process, when it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data=folder / "data")
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.account = self.catalog.create_account("Shop")
        self.outbox = Outbox(self.settings.outbox_file)
        self.relay: DoubletProcess | None = None
        self._places = 0

    def destination(
        self,
        url: str,
        pixel_id: str,
        token: str,
        rules: DestinationRules | None = None,
        name: str = "Meta",
    ) -> Destination:
        """A destination of the kind meta at a server of ours."""
        target = {"url": url, "pixel_id": pixel_id}
        return self.catalog.create_destination(
            self.account.account_id, "meta", name, target, token, rules
        )

    def offer(self, destination: Destination, *events: dict[str, Any]) -> list[int]:
        """Events (fields of `Stored`, none of them needed) that are ready to be sent; their
        emissions."""
        known = self.outbox.count(destination.destination_id, "ready")
        made = []
        for fields in events:
            self._places += 1
            made.append(stored(self.account.account_id, self._places, fields))
        self.outbox.note(
            [
                NewEmission(
                    destination.destination_id,
                    0,
                    event["log_offset"],
                    event["pixel_id"],
                    event["event_name"],
                    event["event_id"],
                    event["event_time"],
                    "waiting",
                    "",
                    now_us(),
                )
                for event in made
            ]
        )
        due = self.outbox.due(destination.destination_id, now_us(), len(made))
        by_offset = {event["log_offset"]: json.dumps(event) for event in made}
        self.outbox.make_ready([(number, by_offset[offset]) for number, _, offset in due], [])
        assert known + len(made) >= self.outbox.count(destination.destination_id, "ready")
        return [number for number, _, _ in due]

    def sight(self, identifier: str, consent: dict[str, str] | None = None, **facts: Any) -> None:
        """A browser's event that bore an identifier, a minute ago."""
        self._places += 1
        at = int(time.time()) - 60
        said = json.dumps(consent) if consent else None
        sighting = Sighting(
            *(self.account.account_id, identifier, at, 0, self._places, "AddToCart"),
            *(facts.get("fbp"), json.dumps(facts), said, at if consent else None),
        )
        self.outbox.note([], [sighting])

    def run(self) -> DoubletProcess:
        """Start the relay's process."""
        self.relay = DoubletProcess(self.folder, "relay", f"--data={self.settings.data}")
        return self.relay

    def states(self, destination: Destination) -> dict[str, int]:
        """How many events are in each state that has some."""
        rows = self.outbox.rows(
            "select state, sum(events) from tallies where destination_id = ? group by state "
            "having sum(events) > 0",
            (destination.destination_id,),
        )
        return dict(rows)

    def wait_for(self, destination: Destination, seconds: float = 30, **states: int) -> None:
        """Until just these states have so many events."""

        def look() -> bool:
            if self.relay is not None:
                assert self.relay.process.poll() is None, self.relay.stderr
            return self.states(destination) == states

        try:
            wait_for(look, seconds)
        except AssertionError as error:
            said = self.relay.stderr if self.relay else ""
            raise AssertionError(f"{self.states(destination)} not {states}\n{said}") from error

    def close(self) -> None:
        """Stop the relay as Ctrl-C does."""
        if self.relay is not None:
            try:
                assert 0 == self.relay.stop(), self.relay.stderr
            finally:
                self.relay.kill()
        self.outbox.close()
        self.catalog.close()


def stored(account_id: str, offset: int, fields: dict[str, Any]) -> dict[str, Any]:
    """An event as the worker puts it into the outbox."""
    return {
        "account_id": account_id,
        "pixel_id": "1000000000000001",
        "event_name": "PageView",
        "event_id": f"event-{offset}",
        "event_time": int(time.time()),
        "action_source": "website",
        "event_source_url": "https://shop.example/",
        "user_data": {"fbp": "fb.1.1596403881668.1116446470", "em": None},
        "browser_copies": 1,
        "log_slot": 0,
        "log_offset": offset,
        "first_received_at": now_us(),
        **fields,
    }
