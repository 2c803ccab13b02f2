"""Make a small data folder of the present formats: `PYTHONPATH=. python scripts/golden.py FOLDER`.

`tests/golden/format-N` are such folders, each made once, by the version of Doublet that began the
format. They stay as they are: every later version must read them. When a format changes, make the
next one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from doublet.accept import Arrival, refused_record
from doublet.backup.save import save
from doublet.catalog import Catalog
from doublet.refusal import Reason, Refusal
from doublet.settings import Settings
from tests.factories import NOON, SECOND, Pipeline, make_record


def make(data: Path) -> Settings:
    """A shop with purchases seen by both sides, by one, loaded and not, and a refused request."""
    settings = Settings(data=data)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Golden shop", "Europe/Berlin", "EUR")
    pixel, _ = catalog.create_pixel(account.account_id, "Golden shop")
    catalog.close()
    pipeline = Pipeline(data)

    def record(second: int, source: str, event_id: str, value: str, slot: int = 0) -> bytes:
        return make_record(
            NOON + second * SECOND,
            source,
            slot,
            account.account_id,
            pixel.pixel_id,
            event_id=event_id,
            custom_data={"value": value, "currency": "EUR", "order_id": event_id},
        )

    pipeline.append([record(0, "browser", "1", "10.5"), record(1, "server", "1", "10.5")])
    pipeline.append([record(2, "server", "2", "20.25", 1)], slot=1)
    pipeline.refresh()
    # From here on the Delta log is a checkpoint and commits after it.
    for table in pipeline.lake.tables:
        table.clean_up(0)
    refusal = Refusal(Reason.EVENT_TOO_OLD, "event_time is more than 7 days ago.")
    arrival = Arrival(account.account_id, pixel.pixel_id, "server", NOON + 3 * SECOND, 0)
    pipeline.append([refused_record(refusal, arrival, b"{}"), record(4, "browser", "3", "7")])
    pipeline.refresh()
    pipeline.append([record(5, "server", "3", "7"), record(6, "server", "4", "1.25")])
    pipeline.close()
    return settings


def main() -> None:
    """Make it as a backup, which holds nothing that is not needed."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        settings = make(Path(scratch) / "data")
        saved = save(settings, Path(scratch) / "backups")
        shutil.copytree(saved.folder, folder)


if __name__ == "__main__":
    main()
