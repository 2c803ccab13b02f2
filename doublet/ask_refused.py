"""How the command line reads refused requests: from the running worker, or from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date

import msgspec

from doublet.ask import ROUND_TIMEOUT_S, ask_worker
from doublet.catalog import Account, Catalog
from doublet.catalog.changes import COMMAND_LINE
from doublet.refused import Cause, RefusedRequest
from doublet.refused.replay import Replay, Wish
from doublet.replay import replay
from doublet.rounds import Freshener
from doublet.settings import Settings


def read_causes(
    settings: Settings,
    account: Account,
    *,
    pixel_id: str | None = None,
    reason: str | None = None,
    since: date | None = None,
) -> list[Cause]:
    """See `doublet.refused.Refusals.causes`."""
    given = {"pixel": pixel_id, "reason": reason, "since": since and since.isoformat()}
    asked = {"account": account.account_id, **{k: v for k, v in given.items() if v}}
    answer = ask_worker(settings, "GET", "/refused.json", asked)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[Cause])
    with own_freshener(settings) as freshener:
        pixels = pixels_of(settings, account)
        return freshener.refusals().causes(
            account, pixels, pixel_id=pixel_id, reason=reason, since=since
        )


def read_refused(settings: Settings, account: Account, request_id: str) -> RefusedRequest | None:
    """One refused request, None when the account has no such one."""
    asked = {"account": account.account_id, "id": request_id}
    answer = ask_worker(settings, "GET", "/v1/refused", asked)
    if answer is not None:
        rows = msgspec.json.decode(answer, type=list[RefusedRequest])
    else:
        with own_freshener(settings) as freshener:
            pixels = pixels_of(settings, account)
            rows = list(freshener.refusals().requests(account, pixels, ids=[request_id]))
    return rows[0] if rows else None


def replay_refused(settings: Settings, account: Account, wish: Wish) -> Replay:
    """See `doublet.replay.replay`."""
    wish.account = account.account_id
    answer = ask_worker(
        settings,
        "POST",
        "/v1/refused/replay",
        timeout_s=ROUND_TIMEOUT_S,
        body=msgspec.json.encode(wish),
    )
    if answer is not None:
        return msgspec.json.decode(answer, type=Replay)
    with own_freshener(settings) as freshener:
        done = replay(settings, freshener, account, pixels_of(settings, account), wish)
    with closing(Catalog(settings.catalog_url)) as catalog:
        catalog.changes.record(
            COMMAND_LINE,
            "refused.replayed",
            wish.pixel or "",
            {"replayed": done.replayed},
            account_id=account.account_id,
        )
    return done


def pixels_of(settings: Settings, account: Account) -> list[str]:
    """The ids of an account's pixels."""
    catalog = Catalog(settings.catalog_url)
    try:
        return [pixel.pixel_id for pixel in catalog.pixels(account.account_id)]
    finally:
        catalog.close()


@contextmanager
def own_freshener(settings: Settings) -> Iterator[Freshener]:
    """The lake and database of a server that is not running, brought up to date."""
    freshener = Freshener(settings, keeps_rules=True)
    try:
        freshener.freshen()
        yield freshener
    finally:
        freshener.close()
