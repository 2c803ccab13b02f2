"""The set-up guide with all it needs: catalog, tables, and a probe that opens sites."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from doublet.catalog import Account, Catalog
from doublet.guide.guide import Guide
from doublet.probe import Probe
from doublet.probe.guard import is_private
from doublet.probe.post import post
from doublet.refused import Cause
from doublet.rounds import Freshener
from doublet.settings import Settings


def guide_of(settings: Settings, catalog: Catalog, freshener: Freshener) -> Guide:
    """The guide of a worker. Where Doublet itself answers only in a private network, sites there
    may be looked at by everybody who has a token."""

    def refusals(account: Account, pixel_id: str) -> Sequence[Cause]:
        return freshener.refusals().causes(account, [pixel_id], pixel_id=pixel_id)

    probe = Probe(reaches_private=is_private(urlsplit(settings.url).hostname or ""))
    return Guide(
        catalog,
        freshener.engine,
        public_url=settings.url,
        local_url=settings.local_url,
        look=probe.look,
        send=post,
        freshen=freshener.freshen,
        refusals=refusals,
    )
