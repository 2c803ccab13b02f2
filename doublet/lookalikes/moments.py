"""When the persons of a seed joined it: what a lookalike can learn from without being told.

Who has bought is known by the purchases. A model that sees them finds buyers, not people who are
like buyers. So it learns from an earlier moment: from what persons had done by then, and which of
them joined the seed within the next days; and it is judged on a later moment, by those who joined
after that one. The seed of an earlier moment comes from whoever knows it (a rule asked of that
moment), or is inferred: if an event marks the seed, which nearly all of the seed have done and few
others, a person joined with the first such event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from doublet.lookalikes.features import (
    COLUMNS_BY_EVENT,
    SAMPLE_PERSONS,
    Ids,
    Known,
    People,
    Reader,
    spread,
)

HORIZONS_DAYS = (14, 30, 7, 60)
"""How long after a moment joining counts; the first one with enough who join is taken."""
JOINED_ENOUGH = 500
JOINED_MIN = 50
"""With fewer who have joined after a moment there is nothing to learn from moments."""
JOINED_FEW, JOINED_PLENTY = 200, 2000
MOMENTS_MIN, MOMENTS_MAX = 2, 5
"""Until plenty have joined, more moments are looked at; while few have, even such with little
history before them."""
OTHERS_LEAST = 100
"""With fewer who are not in the seed there is nobody to tell it from."""
MARK_SHARE_MIN = 0.8
MARK_LIFT_MIN = 2.0
"""An event (or item) marks a seed if so large a share of it, and so many times more than of all
persons, have done it."""
_DAY_S = 86_400

SeedAt = Callable[[int], Collection[int]]
"""The person ids that were the seed at a moment (Unix seconds)."""


class Moment(NamedTuple):
    """Who could join after a moment (`others`: known by then, not yet in), and who did."""

    at_s: int
    others: Ids
    joined: Ids


class Split(NamedTuple):
    """Moments to learn from and to judge by, `horizon_days` apart, the latest first."""

    horizon_days: int
    moments: tuple[Moment, ...]


def as_ids(persons: Collection[int]) -> Ids:
    """Ascending, each once."""
    if isinstance(persons, np.ndarray):
        return np.unique(persons.astype(np.int64))
    return np.unique(np.fromiter(persons, np.int64, len(persons)))


def split(people: People, seed: Ids, now_s: int, seed_at: SeedAt) -> Split | None:
    """The best row of moments, if there is one. The seed of later moments must be known to
    `people`, who are those of now."""
    known_since = people.first_s[people.is_in]
    ids = people.ids[people.is_in]
    if not len(ids):
        return None
    first_s = int(known_since.min())
    best: list[Moment] = []
    horizon_days = 0
    for days in HORIZONS_DAYS:
        found: list[Moment] = []
        later = seed
        for place in range(1, MOMENTS_MAX + 1):
            at_s = now_s - place * days * _DAY_S
            joined = sum(len(moment.joined) for moment in found)
            is_wanted = place <= MOMENTS_MIN or joined < JOINED_FEW
            # With much less history than there is now, people would look otherwise than they do.
            least_s = days * _DAY_S // 2 if is_wanted else (now_s - first_s) // 2
            if at_s - least_s < first_s or (place > MOMENTS_MIN and joined >= JOINED_PLENTY):
                break
            then = as_ids(seed_at(at_s))
            moment = _moment(at_s, ids[known_since <= at_s], then, later)
            if len(moment.others) < OTHERS_LEAST:
                break
            found.append(moment)
            later = then
        if _fewest(found) > _fewest(best):
            best, horizon_days = found, days
        if _fewest(best) >= JOINED_ENOUGH:
            break
    if _fewest(best) < JOINED_MIN:
        return None
    return Split(horizon_days, tuple(best))


def _fewest(moments: Sequence[Moment]) -> int:
    """How many have joined after the latest moment, or after all before it, if these are fewer."""
    joined = [len(moment.joined) for moment in moments]
    return min(joined[0], sum(joined[1:])) if len(joined) >= MOMENTS_MIN else 0


def _moment(at_s: int, known: Ids, then: Ids, later: Ids) -> Moment:
    outside = np.setdiff1d(known, then, assume_unique=True)
    joins = np.intersect1d(outside, later, assume_unique=True)
    return Moment(at_s, np.setdiff1d(outside, joins, assume_unique=True), joins)


class Marks(NamedTuple):
    """Event names that mark a seed, the rarest first."""

    event_names: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Numbers that tell of them."""
        return [name for event in self.event_names for name in COLUMNS_BY_EVENT.get(event, ())]


def find_marks(reader: Reader, people: People, seed: Ids, now_s: int) -> Marks:
    """Which events do; `seed` are those of it who are known."""
    asked = spread(seed, SAMPLE_PERSONS)
    some = spread(people.ids, SAMPLE_PERSONS)
    found = reader.ask("marks", now_s, seed=asked.tolist(), persons=some.tolist())
    names: list[tuple[int, str]] = []
    columns = (found[column].tolist() for column in ("event_name", "persons", "seed_persons"))
    for name, persons, seed_persons in zip(*columns, strict=True):
        share, usual = seed_persons / len(asked), persons / len(some)
        if share >= MARK_SHARE_MIN and share >= MARK_LIFT_MIN * usual:
            names.append((persons, name))
    return Marks(tuple(name for _, name in sorted(names)))


def inferred(reader: Reader, seed: Ids, event_name: str, now_s: int) -> SeedAt:
    """The seed of a moment, if its persons joined with their first event of that name; those who
    have none were always in."""
    found = reader.ask("firsts", now_s, event_name=event_name)
    since = np.zeros(len(seed), np.int64)
    at = np.searchsorted(found["person_id"], seed)
    at = np.minimum(at, max(len(found["person_id"]) - 1, 0))
    if len(found["person_id"]):
        is_there = found["person_id"][at] == seed
        since[is_there] = found["first_s"][at[is_there]]
    return lambda moment_s: seed[since <= moment_s]


def marking_items(known: Known, seed: Ids) -> list[int]:
    """Items that mark a seed, by their places."""
    is_seed = np.isin(known.ids, seed)
    if not is_seed.any() or not known.tastes.shape[1]:
        return []
    met = known.tastes > 0
    share = np.asarray(met[is_seed].mean(axis=0)).ravel()
    usual = np.asarray(met.mean(axis=0)).ravel()
    found = np.flatnonzero((share >= MARK_SHARE_MIN) & (share >= MARK_LIFT_MIN * usual))
    return [int(place) for place in found]
