"""What tests of backups share: a data folder to back up, and traffic that goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import httpx
from deltalake import DeltaTable

from doublet.backup.restore import restore
from doublet.backup.save import Saved, save
from doublet.catalog import Catalog
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import NOON, SECOND, Pipeline, make_event, make_record
from tests.server import RunningServer


class Shop(Pipeline):
    """A data folder with a catalog, log, lake and models, beside which backups are made."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder / "data")
        self.backups = folder / "backups"
        catalog = Catalog(self.settings.catalog_url)
        catalog.migrate()
        self.account = catalog.create_account("Shop")
        self.pixel, self.token = catalog.create_pixel(self.account.account_id, "Shop")
        catalog.close()
        super().__init__(self.settings.data)
        self.sent = 0

    def send(self, count: int, slot: int = 0) -> None:
        """Write so many events to the log."""
        first, self.sent = self.sent, self.sent + count
        records = [make_record(NOON + n * SECOND, event_id=f"{n}") for n in range(first, self.sent)]
        self.append(records, slot)

    def save(self, on_progress: Callable[[str, int, int], None] | None = None) -> Saved:
        """Make a backup."""
        return save(self.settings, self.backups, *([on_progress] if on_progress else []))

    def clean_up(self) -> None:
        """Merge all there is and delete at once what that replaced."""
        self.compact()
        for table in self.lake.tables:
            table.clean_up(0)


def restored(backup: Path, data: Path) -> list[str]:
    """Event ids in the lake of a data folder made from a backup, after its log was loaded."""
    settings = Settings(data=data)
    restore(settings, backup)
    freshener = Freshener(settings)
    try:
        freshener.freshen()
        rows = freshener.engine.query("select event_id, server_copies from events_deduplicated")
    finally:
        freshener.close()
    ids = event_ids(data)
    assert sorted(ids) == sorted(
        row["event_id"] for row in rows for _ in range(row["server_copies"])
    )
    return ids


def event_ids(data: Path) -> list[str]:
    """The event ids of all copies in a lake."""
    files = DeltaTable(str(data / "lake" / "events")).file_uris()
    rows = duckdb.execute("select event_id from read_parquet($files)", {"files": files}).fetchall()
    return sorted((row[0] for row in rows), key=int)


def ids(count: int) -> list[str]:
    """What `Shop.send` calls the first events."""
    return [str(n) for n in range(count)]


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def send(url: str, pixel_id: str, token: str, event_id: str) -> int:
    event = make_event(event_id=event_id, event_time=int(time.time()))
    return httpx.post(
        f"{url}/v25.0/{pixel_id}/events",
        json={"data": [event]},
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
    ).status_code


class Traffic:
    """Threads that report purchases to a server until they are stopped, and what was answered."""

    def __init__(self, server: RunningServer, threads: int = 3) -> None:
        self._server = server
        self._stop = threading.Event()
        self.acknowledged: list[str] = []
        self.problems: list[int] = []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        path = f"{self._server.url}/v25.0/{self._server.pixel_id}/events"
        with httpx.Client(headers=self._server.headers, timeout=30) as client:
            n = number
            while not self._stop.is_set():
                event = make_event(event_id=str(n), event_time=int(time.time()))
                answer = client.post(path, json={"data": [event]})
                if answer.status_code == 200:
                    self.acknowledged.append(str(n))
                else:
                    self.problems.append(answer.status_code)
                n += len(self._threads)

    def has_answered(self, count: int) -> bool:
        """Whether so many were acknowledged by now."""
        return len(self.acknowledged) >= count

    def stop(self) -> None:
        """End after the requests under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
