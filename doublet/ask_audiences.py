"""How the command line gives audiences away: through the running worker, or by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from doublet.ask import ROUND_TIMEOUT_S, ask_for_round, ask_worker
from doublet.ask_refused import own_freshener
from doublet.audiences.export import Format, export_audience
from doublet.audiences.push import WANTED, Pusher, client_of
from doublet.audiencing import Audiencing
from doublet.catalog import Account, Catalog
from doublet.catalog.changes import COMMAND_LINE
from doublet.catalog.shares import Push, Share
from doublet.engine import Engine
from doublet.errors import OperatorError
from doublet.settings import Settings

_PUSH_S = 600.0
_LOOK_S = 0.2


def read_export(settings: Settings, account: Account, audience_id: str, form: Format) -> bytes:
    """The hashes of an audience's members as a file. Raises OperatorError."""
    asked = {"account": account.account_id, "audience_id": audience_id, "format": form}
    answer = ask_worker(
        settings,
        "POST",
        "/v1/audiences/export",
        timeout_s=ROUND_TIMEOUT_S,
        body=msgspec.json.encode(asked),
    )
    if answer is not None:
        return answer
    with _own_engine(settings) as engine, closing(Catalog(settings.catalog_url)) as catalog:
        audience = catalog.audiences.find(account.account_id, audience_id)
        if audience is None:
            raise OperatorError(f"There is no audience {audience_id!r}.")
        done = export_audience(engine, account.account_id, audience_id, form)
        catalog.changes.record(
            COMMAND_LINE,
            "audience.exported",
            audience.name,
            {"rows": done.rows},
            account_id=account.account_id,
        )
        return done.body


def push_now(settings: Settings, catalog: Catalog, share: Share) -> Push | None:
    """Push a share at once; what that did, None where there was nothing to do. Raises
    OperatorError when the worker does not come to it."""
    if ask_for_round(settings, "/v1/refresh") is None:
        with _own_engine(settings) as engine, closing(client_of()) as client:
            return Pusher(catalog, engine, client).push(share)
    before = catalog.shares.pushes(share.share_id, 1)
    catalog.shares.change(share.share_id, due_at=WANTED)
    give_up_at = time.monotonic() + _PUSH_S
    while time.monotonic() < give_up_at:
        time.sleep(_LOOK_S)
        found = [each for each in catalog.shares.all() if each.share_id == share.share_id]
        if not found or found[0].due_at >= 0:
            after = catalog.shares.pushes(share.share_id, 1)
            return after[0] if after and after != before else None
    raise OperatorError(
        "The worker has not pushed it yet.", "`doublet audience shares` will say when it has."
    )


@contextmanager
def _own_engine(settings: Settings) -> Iterator[Engine]:
    """The database of a server that is not running, its audiences brought up to date."""
    with own_freshener(settings) as freshener:
        audiencing = Audiencing(freshener.engine, settings)
        try:
            audiencing.refresh()
        finally:
            audiencing.stop()
        yield freshener.engine
