"""The relay's outbox beside the worker: who fills it, and who takes persons out of it."""

from __future__ import annotations

from doublet.catalog import Catalog
from doublet.relay.fill import Filler
from doublet.rounds import Freshener
from doublet.settings import Settings


def filler_of(settings: Settings, catalog: Catalog, freshener: Freshener) -> Filler:
    """Who fills the outbox from a data folder's tables, and is told of erasures."""
    filler = Filler(freshener.engine, catalog, settings.outbox_file, settings)
    freshener.when_erasing(filler.forget)
    return filler
