"""Make a lookalike: learn, judge, choose, learn from all, and order the population.

The candidates learn from one moment and are judged on a later one (`moments`). A seed that has no
moments (a list whose persons have no event in common) is judged by thirds of it, left out in turn,
and what marks it is blanked. A rich candidate is taken only if it is better than the best simple
one by more than the 95 % error of that difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from doublet.engine import Engine
from doublet.lookalikes.candidates import ALL, RICH, SIMPLE, Lesson, fit, one_thread
from doublet.lookalikes.features import SAMPLE_PERSONS, Ids, Known, People, Reader, spread, stack
from doublet.lookalikes.measure import RATIOS, Candidate, Difference, depths, difference, measure
from doublet.lookalikes.moments import (
    JOINED_MIN,
    OTHERS_LEAST,
    Marks,
    Moment,
    SeedAt,
    as_ids,
    find_marks,
    inferred,
    marking_items,
    split,
)
from doublet.lookalikes.spec import LookalikeSpec, NobodyLeftError, SeedTooSmallError
from doublet.lookalikes.stability import Bins, reference

SEED_MIN = 100
OTHERS_MIN, OTHERS_MAX = 15_000, 40_000
OTHERS_PER_SEED = 10
SEED_LEARNED_MAX = 10_000
"""So many of others and of the seed are learned from at a moment; the rest is like them."""
_FOLDS = 3
_VALUE_CAP = 0.99

OnProgress = Callable[[str, float], None]
"""Told what is being done, and the share of all that is done."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a lookalike and how it was made.

    `judged_by`: "joined_later", persons who joined the seed in the `horizon_days` after the moment
    of what is known of them, or "left_out", thirds of the seed. `marks` are event names that mark
    the seed, blanked where it is "left_out". `difference` is the best rich candidate's gain minus
    the best simple one's, with its standard error. `reference` is for `drift`.
    """

    members: int
    population: int
    seed: int
    seed_seen: int
    judged_by: str
    horizon_days: int | None
    learned_from: int
    judged_on: int
    marks: tuple[str, ...]
    is_value_based: bool
    model: str
    best_simple: str
    best_rich: str
    difference: float
    difference_error: float
    candidates: tuple[Candidate, ...]
    features: tuple[str, ...]
    items: int
    trained_at: int
    seconds: float
    reference: dict[str, Bins]

    @property
    def is_better_than_chance(self) -> bool:
        """Whether the model finds more than a draw would: 1 is below the interval of its lift at a
        tenth. Otherwise the seed is like everybody else, as far as can be seen."""
        return any(
            reached.ratio == RATIOS[-1] and reached.lift_low > 1
            for candidate in self.candidates
            if candidate.name == self.model
            for reached in candidate.reached
        )


class Lookalike(NamedTuple):
    """`members` are person ids, the most alike first."""

    members: Ids
    figures: Figures


class _Exam(NamedTuple):
    """A lesson, and the persons whom to find among others; `stands_for`: how many each is."""

    lesson: Lesson
    known: Known
    is_held_out: NDArray[np.bool_]
    values: NDArray[np.float64]
    stands_for: NDArray[np.float64]


class _Study(NamedTuple):
    """All that candidates learn from and are judged by."""

    judged_by: str
    horizon_days: int | None
    exams: list[_Exam]
    whole: Lesson
    people: People
    items: list[str]
    marks: Marks
    blanked: tuple[list[str], list[int]]


def make_lookalike(
    engine: Engine,
    account_id: str,
    seed: Sequence[int],
    values: Mapping[int, float] | None,
    spec: LookalikeSpec,
    now_s: int,
    on_progress: OnProgress | None = None,
    *,
    seed_at: SeedAt | None = None,
    random_seed: int = 1,
) -> Lookalike:
    """The people most like a seed of person ids, from table `behaviours` up to `now_s`.

    `values` weigh the seed. `seed_at` gives the seed as it was at an earlier moment; whoever can
    tell should: a rule asked with `now_s` of then. Same input, same result. Raises
    SeedTooSmallError when fewer than 100 of the seed are known and of one country, NobodyLeftError
    when fewer than 100 others are.
    """
    making = _Making(engine, account_id, spec, now_s, on_progress, random_seed)
    with one_thread():
        return making.make(as_ids(seed), values, seed_at)


class Comparison(NamedTuple):
    """The population in the order of every candidate, and which of them would be taken."""

    order: dict[str, Ids]
    model: str


def compare(
    engine: Engine,
    account_id: str,
    seed: Sequence[int],
    spec: LookalikeSpec,
    now_s: int,
    *,
    seed_at: SeedAt | None = None,
    random_seed: int = 1,
) -> Comparison:
    """As `make_lookalike`, with the orders of all candidates: to judge the choice itself."""
    making = _Making(engine, account_id, spec, now_s, None, random_seed)
    with one_thread():
        ids = as_ids(seed)
        study, _ = making.prepare(ids, None, seed_at)
        _, chosen = making.judge(study)
        order, _ = making.order(study, ids, ALL)
        return Comparison(order, chosen.name)


class _Making:
    """One lookalike under way."""

    def __init__(
        self,
        engine: Engine,
        account_id: str,
        spec: LookalikeSpec,
        now_s: int,
        on_progress: OnProgress | None,
        random_seed: int,
    ) -> None:
        self._reader = Reader(engine, account_id)
        self._spec, self._now_s = spec, now_s
        self._tell = on_progress or (lambda what, share: None)
        self._chance = np.random.default_rng(random_seed)
        self._values: tuple[Ids, NDArray[np.float64]] | None = None

    def make(
        self, seed: Ids, values: Mapping[int, float] | None, seed_at: SeedAt | None
    ) -> Lookalike:
        """All of it."""
        began = time.monotonic()
        study, seen = self.prepare(seed, values, seed_at)
        candidates, chosen = self.judge(study)
        order, sample = self.order(study, seed, [chosen.name])
        population = int(study.people.is_in.sum())
        start, end = (round(r * population) for r in (self._spec.starting_ratio, self._spec.ratio))
        members = order[chosen.name][start:end]
        self._tell("Made", 1.0)
        return Lookalike(
            members,
            Figures(
                members=len(members),
                population=population,
                seed=len(seed),
                seed_seen=len(seen),
                judged_by=study.judged_by,
                horizon_days=study.horizon_days,
                learned_from=int(study.whole.is_seed.sum()),
                judged_on=sum(int(exam.is_held_out.sum()) for exam in study.exams),
                marks=study.marks.event_names,
                is_value_based=self._values is not None,
                model=chosen.name,
                best_simple=chosen.best_simple,
                best_rich=chosen.best_rich,
                difference=round(chosen.difference.gain, 5),
                difference_error=round(chosen.difference.error, 5),
                candidates=tuple(candidates),
                features=study.whole.known.names,
                items=len(study.items),
                trained_at=self._now_s,
                seconds=round(time.monotonic() - began, 1),
                reference=reference(sample),
            ),
        )

    def prepare(
        self, seed: Ids, values: Mapping[int, float] | None, seed_at: SeedAt | None
    ) -> tuple[_Study, Ids]:
        """What to learn from, and who of the seed is known."""
        self._tell("Looking at who is known", 0.0)
        people = self._reader.people(self._now_s, self._spec)
        seen = self._usable(people, seed)
        self._values = _value_weights(values, seen)
        marks = find_marks(self._reader, people, seen, self._now_s)
        items = self._reader.items(self._now_s, people.ids)
        if seed_at is None and marks.event_names:
            seed_at = inferred(self._reader, seed, marks.event_names[0], self._now_s)
        found = split(people, seen, self._now_s, seed_at) if seed_at is not None else None
        if found is None:
            return self._by_thirds(people, seen, marks, items), seen
        lessons = [
            self._lesson(moment, items, 0.05 + 0.3 * n / len(found.moments))
            for n, moment in enumerate(found.moments)
        ]
        exams = [
            _Exam(
                _together([earlier for earlier, _ in lessons[n + 1 :]]),
                *(judged.known, judged.is_seed, judged.weights, stands_for),
            )
            for n, (judged, stands_for) in enumerate(lessons[:-1])
            if sum(int(earlier.is_seed.sum()) for earlier, _ in lessons[n + 1 :]) >= JOINED_MIN
        ]
        whole = _together([lesson for lesson, _ in lessons])
        days = found.horizon_days
        return _Study("joined_later", days, exams, whole, people, items, marks, ([], [])), seen

    # --- who is there ------------------------------------------------------------------------

    def _usable(self, people: People, seed: Ids) -> Ids:
        """The seed as far as it is known and may be used. Raises SeedTooSmallError."""
        place = np.flatnonzero(np.isin(people.ids, seed, assume_unique=True))
        countries = self._spec.countries
        if not self._spec.allow_international_seeds:
            place = place[people.is_in[place]]
        seen: Ids = people.ids[place]
        enough = len(seen)
        if countries and not self._spec.allow_international_seeds:
            by_country = np.bincount(people.country_places[place], minlength=len(countries) + 1)
            # Who is of no known country may be of any.
            enough = int(by_country[0] + by_country[1:].max())
        if enough < SEED_MIN:
            where = f" in {countries[0].upper()}" if len(countries) == 1 else ""
            where = where or (" of one country" if countries else "")
            raise SeedTooSmallError(
                f"The seed has {enough} people{where} who have been seen in the last 180 days, "
                f"but a lookalike needs at least {SEED_MIN} (of {len(seed)} in the audience).",
                "Choose a larger audience, keep people in it longer, or allow international seeds."
                if countries
                else "Choose a larger audience, or keep people in it longer.",
            )
        others = int((people.is_in & ~np.isin(people.ids, seed)).sum())
        if others < OTHERS_LEAST:
            raise NobodyLeftError(
                f"Only {others} people are not in the seed, but a lookalike is chosen from at "
                f"least {OTHERS_LEAST}.",
                "Choose a smaller audience as the seed, or more countries.",
            )
        return seen

    def _weights(self, ids: Ids, is_seed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """1, and of a seed with values these, with mean 1."""
        weights = np.ones(len(ids))
        if self._values is None or not is_seed.any():
            return weights
        known, values = self._values
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        worth = np.where(known[at] == ids, values[at], 0.0)[is_seed]
        if worth.sum() > 0:
            weights[is_seed] = worth / worth.mean()
        return weights

    # --- what to learn from ------------------------------------------------------------------

    def _lesson(
        self, moment: Moment, items: list[str], done: float
    ) -> tuple[Lesson, NDArray[np.float64]]:
        """What was known at a moment of those who joined then and of some others, with how many
        persons each row stands for."""
        self._tell("Reading what people did", done)
        joined = self._some(moment.joined, SEED_LEARNED_MAX)
        most = min(max(OTHERS_MIN, OTHERS_PER_SEED * len(joined)), OTHERS_MAX)
        others = self._some(moment.others, most)
        parts = []
        for part, share in self._reader.known(moment.at_s, np.union1d(joined, others), items):
            parts.append(part)
            self._tell("Reading what people did", done + 0.1 * share)
        known = stack(parts)
        is_seed = np.isin(known.ids, joined)
        stands_for = np.where(
            is_seed,
            len(moment.joined) / max(len(joined), 1),
            len(moment.others) / max(len(others), 1),
        )
        return Lesson(known, is_seed, self._weights(known.ids, is_seed)), stands_for

    def _some(self, ids: Ids, most: int) -> Ids:
        return ids if len(ids) <= most else np.sort(self._chance.choice(ids, most, replace=False))

    def _by_thirds(self, people: People, seen: Ids, marks: Marks, items: list[str]) -> _Study:
        others = np.setdiff1d(people.ids[people.is_in], seen, assume_unique=True)
        lesson, stands_for = self._lesson(Moment(self._now_s, others, seen), items, 0.1)
        blanked = (marks.columns, marking_items(lesson.known, seen))
        known = lesson.known.without(*blanked)
        whole = Lesson(known, lesson.is_seed, lesson.weights)
        fold = self._chance.integers(_FOLDS, size=len(known.ids))
        exams = []
        for one in range(_FOLDS):
            inside, outside = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            part = Lesson(known.rows(inside), whole.is_seed[inside], whole.weights[inside])
            asked = (whole.is_seed[outside], whole.weights[outside], stands_for[outside])
            exams.append(_Exam(part, known.rows(outside), *asked))
        return _Study("left_out", None, exams, whole, people, items, marks, blanked)

    # --- judging -----------------------------------------------------------------------------

    def judge(self, study: _Study) -> tuple[list[Candidate], _Chosen]:
        """What each candidate finds, and the one that is taken."""
        found: dict[str, list[NDArray[np.float64]]] = {}
        values = []
        for n, exam in enumerate(study.exams):
            self._tell("Trying ways to find them", 0.35 + 0.2 * n / len(study.exams))
            for name, score in fit(exam.lesson, self._chance).items():
                deep = depths(score(exam.known), exam.is_held_out, exam.stands_for, self._chance)
                found.setdefault(name, []).append(deep)
            values.append(exam.values[exam.is_held_out])
        each = {name: np.concatenate(parts) for name, parts in found.items()}
        worth = np.concatenate(values)
        candidates = measure(each, worth, self._spec.ratio, SIMPLE, self._chance)
        return candidates, choose(each, worth, self._spec.ratio)

    # --- the population ----------------------------------------------------------------------

    def order(self, study: _Study, seed: Ids, names: Sequence[str]) -> tuple[dict[str, Ids], Known]:
        """All of the countries who are not in the seed, the most alike first, by each of some
        candidates; and a sample of what is known of the population."""
        self._tell("Learning from all", 0.6)
        scorers = fit(study.whole, self._chance, names)
        inside = study.people.ids[study.people.is_in]
        sampled = spread(inside, SAMPLE_PERSONS)
        samples: list[Known] = []
        ids: list[Ids] = []
        scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
        for known, share in self._reader.known(self._now_s, inside, study.items):
            samples.append(known.rows(np.flatnonzero(np.isin(known.ids, sampled))))
            asked = known.rows(np.flatnonzero(~np.isin(known.ids, seed))).without(*study.blanked)
            if len(asked.ids):
                ids.append(asked.ids)
                for name, score in scorers.items():
                    scores[name].append(score(asked))
            self._tell("Ordering everyone", 0.7 + 0.3 * share)
        everyone = np.concatenate(ids)
        tie = self._chance.random(len(everyone))
        ordered = {n: everyone[np.lexsort((tie, -np.concatenate(s)))] for n, s in scores.items()}
        return ordered, stack(samples)


def _together(lessons: Sequence[Lesson]) -> Lesson:
    return Lesson(
        stack([lesson.known for lesson in lessons]),
        np.concatenate([lesson.is_seed for lesson in lessons]),
        np.concatenate([lesson.weights for lesson in lessons]),
    )


class _Chosen(NamedTuple):
    name: str
    best_simple: str
    best_rich: str
    difference: Difference


def choose(
    found: Mapping[str, NDArray[np.float64]], values: NDArray[np.float64], ratio: float
) -> _Chosen:
    """The best rich candidate if it is better than the best simple one by more than the
    95 % error."""

    def best(names: Sequence[str]) -> str:
        nothing = np.ones(len(values))
        return max(names, key=lambda n: difference(found[n], nothing, values, ratio).gain)

    simple, rich = best(SIMPLE), best(RICH)
    apart = difference(found[rich], found[simple], values, ratio)
    return _Chosen(rich if apart.is_shown else simple, simple, rich, apart)


def _value_weights(
    values: Mapping[int, float] | None, seen: Ids
) -> tuple[Ids, NDArray[np.float64]] | None:
    """The values of those of the seed who are known; the largest hundredth counts as its least, so
    that no single person decides."""
    if values is None:
        return None
    worth = np.array([max(float(values.get(int(person), 0.0)), 0.0) for person in seen])
    worth = np.nan_to_num(worth, posinf=0.0)
    if worth.sum() <= 0:
        return None
    return seen, np.minimum(worth, np.quantile(worth[worth > 0], _VALUE_CAP))
