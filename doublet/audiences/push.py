"""Pushing: what changed in a shared audience goes to the server that it is shared with.

Who may have been given there is written down before a batch is sent, and that it is so when the
server has said so. A push that dies half-way sends the batch under way once more, which changes
nothing there, and nobody who was given is ever forgotten before he was taken back: with the hashes
that were given, though nothing may be known of him here any more.

Removals go first: a server takes out every row that shares a hash, so whoever has such a hash now,
having turned out to be the same person, is given again behind them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import httpx
import msgspec
from tenacity import wait_random_exponential

from doublet import __version__
from doublet.audiences.graph_list import GraphList, Session, StoppedError
from doublet.audiences.keys import (
    Keys,
    identifiers_of,
    keys_of,
    minus,
    owners_of,
    rows_of,
    united,
)
from doublet.catalog import Catalog
from doublet.catalog.shares import Given, Push, Share
from doublet.destinations.contract import Outcome, Verdict
from doublet.engine import Engine
from doublet.normalize import identifier_key
from doublet.waiting import seconds_until

logger = logging.getLogger(__name__)

PUSH_EVERY_S = 60.0
"""So often it is looked whether anything changed."""

WANTED = -1
"""When a share is due that is wanted at once."""

_HEARD = -2

COMPARE_EVERY_S = 86_400
"""So often all members are compared with all that was given, whatever is known of changes."""

TIMEOUT_S = 60.0

_PERSONS_AT_ONCE = 50_000
_AGAIN_S = 300
_LATER = wait_random_exponential(multiplier=1.0, max=300.0)
_BLOCKED = wait_random_exponential(multiplier=300.0, min=150.0, max=3600.0)


def client_of() -> httpx.Client:
    """A client for pushes: no redirects, for a token must not go elsewhere."""
    headers = {"user-agent": f"doublet/{__version__}"}
    return httpx.Client(timeout=TIMEOUT_S, headers=headers)


class Look(NamedTuple):
    """What to look at: the last change of members, whether everybody is compared, and the persons
    who are, in order; `members` are those of them who are to be there."""

    change_id: int
    is_full: bool
    persons: list[int]
    members: set[int]


class Done(msgspec.Struct):
    """What a push did so far."""

    added: int = 0
    removed: int = 0
    nameless: int = 0
    forgotten: int = 0


class Pusher:
    """Pushes what is due. One process at a time may do so, the one that has the database."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        client: httpx.Client,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._client = client
        self._now = now
        self._look_at: dict[str, float] = {}

    def push_due(self) -> int:
        """Push every share whose turn it is; how many requests that took. A share that fails holds
        up no other."""
        requests = 0
        for share in self._catalog.shares.all():
            now = self._now()
            # One that is wanted at once is due at WANTED.
            look_at = self._look_at.get(share.share_id, 0) if share.due_at >= 0 else 0
            if max(share.due_at, look_at) > now:
                continue
            self._look_at[share.share_id] = now + PUSH_EVERY_S
            if share.due_at == WANTED:
                # Who wants it once more from here on is heard.
                self._catalog.shares.change(share.share_id, due_at=_HEARD)
                share = msgspec.structs.replace(share, due_at=_HEARD)
            try:
                done = self.push(share)
            except Exception:
                logger.exception("push-failed share=%s", share.share_id)
                outcome = Outcome(Verdict.LATER, "error", "An error here; the log says more.")
                self._wait(share, outcome)
                continue
            requests += done.requests if done else 0
        return requests

    def push(self, share: Share) -> Push | None:
        """One push of a share; None where nothing was to be done."""
        began = int(self._now())
        look = self._look(share, began)
        if look is None:
            return None
        if not look.persons and not share.is_ending:
            self._settle(share, look, began)
            return None
        target, done = GraphList(share, self._client), Done()
        outcome = Outcome(Verdict.DONE)
        try:
            if look.members and not share.remote_audience_id and not share.is_paused:
                share = self._found(share, target)
            self._take_back(share, target, look, done)
            self._give(share, target, look, done)
        except StoppedError as stopped:
            outcome = stopped.outcome
        if done.forgotten:
            self._catalog.empty_journal()
        push = Push(
            share.share_id,
            began,
            int(self._now()),
            done.added,
            done.removed,
            done.nameless,
            target.invalid,
            target.requests,
            outcome.verdict.value,
            outcome.code[:32],
            outcome.message[:500],
        )
        if target.requests:
            self._catalog.shares.add_push(push)
        if outcome.verdict is not Verdict.DONE:
            self._wait(share, outcome)
        elif share.is_ending:
            self._catalog.shares.remove(share.share_id)
        else:
            self._settle(share, look, began)
        return push if target.requests else None

    # --- who ----------------------------------------------------------------------------------

    def _look(self, share: Share, now_s: int) -> Look | None:
        """None while the audience is not made yet."""
        shares, audience_id = self._catalog.shares, share.audience_id
        is_gone = self._catalog.audiences.find(share.account_id, audience_id) is None
        if share.is_ending or is_gone:
            if is_gone and not share.is_ending:
                shares.change(share.share_id, is_ending=True)
            return Look(share.change_id, True, list(shares.given_persons(share.share_id)), set())
        if not self._engine.query(
            "select 1 from duckdb_tables() where table_name = 'audience_builds'"
        ):
            return None
        built = self._engine.query(
            "select built_s from audience_builds where audience_id = $id", {"id": audience_id}
        )
        if not built:
            return None
        # Changes that come from here on are looked at again by the next push.
        (state,) = self._engine.query(
            "select (select coalesce(max(change_id), 0) from audience_cursor) as last, "
            "(select min(change_id) from audience_changes) as first"
        )
        last, first = int(state["last"]), state["first"]
        is_known = share.change_id == last or (
            first is not None and first <= share.change_id + 1 <= last
        )
        compare_after = max(built[0]["built_s"], now_s - COMPARE_EVERY_S)
        is_full = not is_known or share.compared_at <= compare_after
        persons = self._everybody(share) if is_full else self._changed(share, last)
        members = self._members(share, persons)
        return Look(last, is_full, sorted(persons), members)

    def _everybody(self, share: Share) -> set[int]:
        members = self._engine.query(
            "select person_id from audience_members where audience_id = $id",
            {"id": share.audience_id},
        )
        given = self._catalog.shares.given_persons(share.share_id)
        return {row["person_id"] for row in members}.union(given)

    def _changed(self, share: Share, last: int) -> set[int]:
        """Who joined or left, members of whom something was heard, which may have told who they
        are, and those of whom it is not sure what was given."""
        found = self._engine.query(
            "select person_id from audience_changes where audience_id = $id "
            "and change_id > $after and change_id <= $last "
            "union select person_id from audience_members semi join ("
            "select person_id from behaviours where account_id = $account_id "
            "and anchor_at >= to_timestamp($since)) as active using (person_id) "
            "where audience_id = $id",
            {
                "id": share.audience_id,
                "account_id": share.account_id,
                "after": share.change_id,
                "last": last,
                "since": share.looked_at - _AGAIN_S,
            },
        )
        unsure = self._catalog.shares.unsure_persons(share.share_id)
        return {row["person_id"] for row in found}.union(unsure)

    def _members(self, share: Share, persons: set[int]) -> set[int]:
        found = self._engine.query(
            "select person_id from audience_members semi join (select unnest($persons) as "
            "person_id) as wanted using (person_id) where audience_id = $id",
            {"id": share.audience_id, "persons": list(persons)},
        )
        return {row["person_id"] for row in found}

    # --- what ---------------------------------------------------------------------------------

    def _take_back(self, share: Share, target: GraphList, look: Look, done: Done) -> None:
        """Take out who left, and hashes that are no longer their person's."""
        left: dict[int, Given | None] = {}
        taken: dict[int, Keys] = {}

        def before(persons: list[int]) -> None:
            self._doubt(share, {person: taken[person] for person in persons})

        def after(persons: list[int]) -> None:
            self._catalog.shares.note_given(share.share_id, {p: left.pop(p) for p in persons})
            done.forgotten += len(persons)
            done.removed += sum(person not in look.members for person in persons)
            for person in persons:
                del taken[person]

        session = Session(target, "DELETE", before, after)
        for some in _parts(look.persons):
            given = self._catalog.shares.given(share.share_id, some)
            wanted = self._wanted(share, look, [person for person in some if person in given])
            for person, each in given.items():
                keys = wanted.get(person, {})
                stale = minus(each.keys, keys)
                if not stale:
                    continue
                is_all = not identifiers_of(keys)
                taken[person] = each.keys if is_all else stale
                left[person] = None if is_all else Given(minus(each.keys, stale), is_sure=False)
                session.add(person, rows_of(taken[person]))
        session.finish()

    def _doubt(self, share: Share, taken: dict[int, Keys]) -> None:
        """Note who will have to be given again, since he has a hash that is about to be taken out:
        first, so that it is known whatever happens."""
        digests = {
            identifier_key(share.account_id, each)
            for keys in taken.values()
            for each in identifiers_of(keys)
        }
        owners = owners_of(self._engine, share.account_id, share.audience_id, digests)
        given = self._catalog.shares.given(share.share_id, sorted(owners - taken.keys()))
        doubted = {p: Given(each.keys, is_sure=False) for p, each in given.items() if each.is_sure}
        if doubted:
            self._catalog.shares.note_given(share.share_id, doubted)

    def _give(self, share: Share, target: GraphList, look: Look, done: Done) -> None:
        """Put in who joined, and who is known by more or other hashes than were given."""
        if share.is_paused or share.is_ending:
            return
        shares = self._catalog.shares
        wanted: dict[int, dict[str, list[str]]] = {}
        known: dict[int, Given] = {}

        def before(persons: list[int]) -> None:
            shares.note_given(
                share.share_id,
                {
                    person: Given(united(known[person].keys, wanted[person]), is_sure=False)
                    if person in known
                    else Given(wanted[person], is_sure=False)
                    for person in persons
                },
            )

        def after(persons: list[int]) -> None:
            shares.note_given(share.share_id, {p: Given(wanted[p], is_sure=True) for p in persons})
            done.added += sum(person not in known for person in persons)
            for person in persons:
                del wanted[person]

        session = Session(target, "POST", before, after)
        # Of some it was not known before what was taken back that they have to be given again.
        unsure = set(shares.unsure_persons(share.share_id))
        more = self._members(share, unsure)
        persons = sorted(look.members | more)
        for some in _parts(persons):
            given = shares.given(share.share_id, some)
            found = keys_of(self._engine, share.account_id, some)
            done.nameless += len(some) - len(found)
            known |= given
            for person, keys in found.items():
                each = given.get(person)
                if each is None or not each.is_sure or each.keys != keys:
                    wanted[person] = keys
                    session.add(person, rows_of(keys))
        session.finish()

    def _wanted(
        self, share: Share, look: Look, persons: Sequence[int]
    ) -> dict[int, dict[str, list[str]]]:
        members = [person for person in persons if person in look.members]
        return keys_of(self._engine, share.account_id, members) if members else {}

    # --- how it went --------------------------------------------------------------------------

    def _found(self, share: Share, target: GraphList) -> Share:
        description = f"Kept current by Doublet, {share.share_id}"
        remote_id = target.find_or_create(description)
        self._catalog.shares.change(share.share_id, remote_audience_id=remote_id)
        found = msgspec.structs.replace(share, remote_audience_id=remote_id)
        target.follow(found)
        return found

    def _settle(self, share: Share, look: Look, began: int) -> None:
        changes: dict[str, int] = {}
        if look.is_full:
            changes["compared_at"] = began
        if changes or look.persons or look.change_id != share.change_id:
            changes |= {"change_id": look.change_id, "looked_at": began}
            self._catalog.shares.change(share.share_id, **changes)
        if share.failures or share.due_at:
            self._catalog.shares.move(share, 0, 0)

    def _wait(self, share: Share, outcome: Outcome) -> None:
        failures = share.failures + 1
        is_later = outcome.verdict is Verdict.LATER
        wait_s = seconds_until(failures, _LATER if is_later else _BLOCKED)
        due_at = int(self._now() + max(wait_s, outcome.retry_after_s or 0.0)) + 1
        self._catalog.shares.move(share, due_at, failures)
        logger.warning(
            "push-waits share=%s verdict=%s code=%s failures=%d",
            *(share.share_id, outcome.verdict.value, outcome.code, failures),
        )


def _parts(persons: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(persons), _PERSONS_AT_ONCE):
        yield persons[start : start + _PERSONS_AT_ONCE]
