"""What tests of the relay share: a data folder with events, a destination and its outbox."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec

from doublet.catalog import Catalog, Destination, DestinationRules
from doublet.outbox import Outbox, now_us
from doublet.relay.fill import Filler
from doublet.settings import Settings
from tests.factories import SECOND, Pipeline, make_record


class Relay(Pipeline):
    """A pipeline with a catalog, one destination and its outbox."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder)
        self.settings = Settings(data=folder, **settings)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        known = self.catalog.accounts()
        self.account_id = (known or [self.catalog.create_account("Shop")])[0].account_id
        self.filler = self.new_filler()
        self.start = now_us()

    def new_filler(self) -> Filler:
        """One that knows nothing but what the files say."""
        return Filler(self.engine, self.catalog, self.settings.outbox_file, self.settings)

    def add(self, name: str = "Meta", age_s: int = 3600, **rules: Any) -> Destination:
        """A destination that was made a while ago; events are due at once."""
        chosen = DestinationRules(**{"merge_wait_s": 0, **rules})
        made = self.catalog.create_destination(self.account_id, "meta", name, {}, "", chosen)
        made = msgspec.structs.replace(made, created_at=int(time.time()) - age_s)
        self.catalog.save_destination(made)
        return made

    def send(self, *records: bytes, slot: int = 0) -> None:
        """Have records loaded, modelled and filled in."""
        self.append(records, slot)
        self.refresh()
        self.fill()

    def fill(self) -> None:
        """Fill in all there is."""
        while not self.filler.fill(self.positions()):
            pass

    def positions(self) -> dict[int, int]:
        """How far the tables are."""
        return {slot: self.lake.events.position(slot) for slot in self.log.partitions()}

    def record(self, age_s: float = 60, source: str = "server", **fields: Any) -> bytes:
        """A copy that was received a while ago."""
        fields.setdefault("account_id", self.account_id)
        return make_record(self.start - int(age_s * SECOND), source, **fields)

    def ledger(self, columns: str = "event_id, state, reason") -> list[Any]:
        """What the outbox says."""
        outbox = Outbox(self.settings.outbox_file)
        try:
            return outbox.rows(f"select {columns} from emissions order by emission_id")
        finally:
            outbox.close()

    def payloads(self) -> list[dict[str, Any]]:
        """What can be sent."""
        return [json.loads(text) for (text,) in self.ledger("payload") if text is not None]

    def sightings(self) -> dict[str, Any]:
        """What was seen, by identifier."""
        outbox = Outbox(self.settings.outbox_file)
        try:
            rows = outbox.rows("select identifier, facts, consent, browsers from sightings")
        finally:
            outbox.close()
        return {row[0]: (json.loads(row[1]), row[2], row[3]) for row in rows}

    def close(self) -> None:
        """Give everything back."""
        self.filler.close()
        self.catalog.close()
        super().close()
