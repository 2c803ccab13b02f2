"""The relay's outbox beside the worker: who fills it, and who takes persons out of it."""

from __future__ import annotations

from doublet.catalog import Catalog, Destination
from doublet.destinations.status import opened
from doublet.relay.fill import Backfilled, Filler
from doublet.relay.preview import Preview, preview
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.web.relay import BackfillWish


def filler_of(settings: Settings, catalog: Catalog, freshener: Freshener) -> Filler:
    """Who fills the outbox from a data folder's tables, and is told of erasures."""
    filler = Filler(freshener.engine, catalog, settings.outbox_file, settings)
    freshener.when_erasing(filler.forget)
    return filler


def previewed(
    settings: Settings,
    freshener: Freshener,
    destination: Destination,
    limit: int,
    event_id: str | None,
) -> Preview:
    """See `doublet.relay.preview`, of all that has been collected by now."""
    freshener.freshen()
    with opened(settings.outbox_file) as outbox:
        return preview(freshener.engine, outbox, destination, limit=limit, event_id=event_id)


def backfilled(filler: Filler, destination: Destination, wish: BackfillWish) -> Backfilled:
    """See `Filler.backfill`."""
    return filler.backfill(destination, wish.since, wish.until, wish.rate)
