"""Replaying refused events: read from the lake, made durable in the log, loaded like all others.

Interrupted at any point, it can be repeated: what is in the log is known by then.
"""

from __future__ import annotations

from contextlib import ExitStack

from doublet.catalog import Account
from doublet.deposit import deposit
from doublet.refused.replay import Replay, Replaying, Wish
from doublet.rounds import Freshener
from doublet.settings import Settings


def replay(
    settings: Settings, freshener: Freshener, account: Account, pixels: list[str], wish: Wish
) -> Replay:
    """Replay what is wished of an account, whose pixels are these; durable when it returns. Raises
    BusyError when the disk does not take it."""
    with freshener.replaying, ExitStack() as stack:
        freshener.freshen()
        work = Replaying(freshener.refusals(), account, pixels, wish)
        slot = None
        for records in work.groups():
            if records and not wish.dry_run:
                slot = slot or stack.enter_context(deposit(settings, account.account_id))
                slot.append(records)
    if not wish.dry_run:
        freshener.freshen()
    return work.outcome
