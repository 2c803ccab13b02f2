"""How the command line has a destination shown or filled: by the running worker, or by itself."""

from __future__ import annotations

import msgspec

from doublet.ask import ROUND_TIMEOUT_S, ask_worker
from doublet.ask_refused import own_freshener
from doublet.catalog import Catalog, Destination
from doublet.relay.fill import Backfilled, Filler
from doublet.relay.preview import Preview
from doublet.relaying import backfilled, previewed
from doublet.settings import Settings
from doublet.web.relay import BackfillWish


def read_preview(
    settings: Settings, destination: Destination, limit: int, event_id: str | None
) -> Preview:
    """See `doublet.relay.preview.preview`."""
    given = {"limit": str(limit), **({"event_id": event_id} if event_id else {})}
    path = f"/v1/destinations/{destination.destination_id}/preview"
    answer = ask_worker(settings, "GET", path, given)
    if answer is not None:
        return msgspec.json.decode(answer, type=Preview)
    with own_freshener(settings) as freshener:
        return previewed(settings, freshener, destination, limit, event_id)


def ask_to_backfill(settings: Settings, destination: Destination, wish: BackfillWish) -> Backfilled:
    """See `Filler.backfill`."""
    path = f"/v1/destinations/{destination.destination_id}/backfill"
    body = msgspec.json.encode(wish)
    answer = ask_worker(settings, "POST", path, timeout_s=ROUND_TIMEOUT_S, body=body)
    if answer is not None:
        return Backfilled(**msgspec.json.decode(answer))
    with own_freshener(settings) as freshener:
        catalog = Catalog(settings.catalog_url)
        filler = Filler(freshener.engine, catalog, settings.outbox_file, settings)
        try:
            return backfilled(filler, destination, wish)
        finally:
            filler.close()
            catalog.close()
