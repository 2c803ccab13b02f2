"""Action rates: how likely a person is to click an ad, and to act then, in a place and moment.

Two logistic models, for the click and for the action after it. The logit of each is

    base + campaign + ad set + ad + sum over features of (feature + feature × ad set + feature × ad)

where everything but the base is shrunk towards 0 as far as the data asks for (fitting.py): an ad
without a past has the mean rate of its ad set, an ad set without one that of its campaign. What is
left off by the models on held-out days is set right by a calibration per goal (calibration.py).

Deciders load no more than NumPy for this. Nothing here learns.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from doublet.delivery.delay import probability
from doublet.delivery.examples import AdKey, Examples, Numbers, Places
from doublet.errors import CorruptError

FORMAT = "doublet rates 1"

P_CLICK = 0.005
P_ACTION = 0.02
"""First guesses of a click per impression and an action per click, until there is data: what
display ads commonly have. They weigh as much as a handful of clicks."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Names:
    """What effects are kept for, each in the order of its arrays."""

    words: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    adsets: tuple[str, ...] = ()
    ads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ladder:
    """A number for everything, and better ones for campaigns, ad sets and ads that have a past.
    `unknown` is, by rung, what stands for those that have none in a sum."""

    base: float
    campaigns: Numbers
    adsets: Numbers
    ads: Numbers
    unknown: Numbers

    @classmethod
    def flat(cls, base: float) -> Ladder:
        """The same for all."""
        return cls(base, np.empty(0), np.empty(0), np.empty(0), np.zeros(3))

    def best(self, at: Rungs) -> Numbers:
        """The number of the lowest rung that has a past, for each ad."""
        found = np.full(len(at.ads), self.base)
        for numbers, places in zip((self.campaigns, self.adsets, self.ads), at, strict=True):
            if len(numbers):
                found = np.where(places >= 0, np.append(numbers, 0.0)[places], found)
        return found

    def total(self, at: Rungs) -> Numbers:
        """The sum of all rungs, for each ad."""
        found = np.full(len(at.ads), self.base)
        rungs = (self.campaigns, self.adsets, self.ads)
        for numbers, places, unknown in zip(rungs, at, self.unknown, strict=True):
            found += np.append(numbers, unknown)[places] if len(numbers) else unknown
        return found


class Rungs(NamedTuple):
    """Where ads stand in `Names`; -1 for what has no past."""

    campaigns: Places
    adsets: Places
    ads: Places

    @classmethod
    def of(cls, names: Names, ads: Sequence[AdKey]) -> Rungs:
        """The places of these ads."""
        return cls(
            _places(names.campaigns, [ad.campaign_id for ad in ads]),
            _places(names.adsets, [ad.adset_id for ad in ads]),
            _places(names.ads, [ad.ad_id for ad in ads]),
        )


def _places(names: Sequence[str], wanted: Sequence[str]) -> Places:
    at = {name: place for place, name in enumerate(names)}
    return np.array([at.get(name, -1) for name in wanted], np.int32)


@dataclass(frozen=True)
class Crosses:
    """Effects of a feature for one ad set or ad: `weights[i]` is of `words[i]` and `others[i]`;
    for all other pairs, what is `unknown` by word."""

    words: Places
    others: Places
    weights: NDArray[np.float32]
    unknown: Numbers

    @classmethod
    def none(cls, words: int = 0) -> Crosses:
        """No effects."""
        nothing = np.empty(0, np.int32)
        return cls(nothing, nothing, np.empty(0, np.float32), np.zeros(words))

    def matrix(self, others: int, at: Places) -> NDArray[np.float32]:
        """A row for each word, a column for each ad that stands `at` one of the others."""
        dense = np.repeat(self.unknown.astype(np.float32)[:, None], others + 1, axis=1)
        dense[self.words, self.others] = self.weights
        return dense[:, at]


@dataclass(frozen=True)
class Calibration:
    """How logits of a model are set right, for each goal: times `slope` plus `shift`, and where a
    goal has knots (from `starts[i]` to `starts[i + 1]`), by straight lines between them. The first
    goal, "", stands for all that are not named."""

    goals: tuple[str, ...]
    slope: Numbers
    shift: Numbers
    starts: NDArray[np.int64]
    knots: Numbers
    levels: Numbers

    @classmethod
    def none(cls) -> Calibration:
        """Logits stay as they are."""
        nothing = np.empty(0)
        return cls(("",), np.ones(1), np.zeros(1), np.zeros(2, np.int64), nothing, nothing)

    def places(self, goals: Sequence[str]) -> Places:
        """Where goals stand; 0 for those not named."""
        return np.maximum(_places(self.goals, goals), 0)

    def bend(self, logits: Numbers, place: int) -> Numbers:
        """Logits, after slope and shift, by the knots of a goal."""
        part = slice(*self.starts[place : place + 2])
        knots = self.knots[part]
        return np.interp(logits, knots, self.levels[part]) if len(knots) else logits

    def __call__(self, logits: Numbers, goals: Places) -> Numbers:
        """Logits set right, each by the goal at its place."""
        found = logits * self.slope[goals] + self.shift[goals]
        for place in range(len(self.goals)):
            of_it = goals == place
            found[of_it] = self.bend(found[of_it], place)
        return found


@dataclass(frozen=True)
class Part:
    """One logistic model, and its calibration."""

    effects: Ladder
    words: Numbers
    by_adset: Crosses
    by_ad: Crosses
    calibration: Calibration

    @classmethod
    def flat(cls, rate: float) -> Part:
        """The same rate for everybody and every ad."""
        nothing = Crosses.none()
        base = float(np.log(rate / (1 - rate)))
        return cls(Ladder.flat(base), np.empty(0), nothing, nothing, Calibration.none())


@dataclass(frozen=True)
class Model:
    """All that has been learned by `trained_at` (Unix seconds).

    `view` is the probability of an action without a click, `value` what an action brings (units):
    both means by ad, shrunk towards those of the ad set, campaign and all. `goals` are those of
    `names.adsets`. The numbers of examples say how much there was to learn from."""

    version: str
    trained_at: float
    impressions: int
    clicks: int
    actions: int
    names: Names
    goals: tuple[str, ...]
    click: Part
    action: Part
    view: Ladder
    value: Ladder

    @classmethod
    def prior(
        cls,
        version: str = "prior",
        p_click: float = P_CLICK,
        p_action: float = P_ACTION,
        value: float = 0.0,
    ) -> Model:
        """Nothing learned: the same rates (click per impression, action per click) and the same
        value of an action (units) for every ad."""
        click, action = Part.flat(p_click), Part.flat(p_action)
        view, worth = Ladder.flat(0.0), Ladder.flat(value)
        return cls(version, 0.0, 0, 0, 0, Names(), (), click, action, view, worth)

    def save(self, path: Path) -> None:
        """Writes the model to a file of NumPy arrays (npz, no pickle), whole or not at all."""
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            np.savez_compressed(file, format=np.array(FORMAT), **_flat(self, ""))  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)

    @classmethod
    def load(cls, path: Path) -> Model:
        """Reads a model. Raises CorruptError where the file is none."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if str(arrays["format"]) != FORMAT:
                    raise CorruptError(f"{path} is in the format {arrays['format']}.")
                return _made(cls, arrays, "")
        except (BadZipFile, ValueError, KeyError, EOFError) as error:
            raise CorruptError(f"{path} is not a file of rates: {error}.") from error


def _flat(made: Any, before: str) -> dict[str, NDArray[Any]]:
    """The arrays of a dataclass and of those in it, by dotted names."""
    found: dict[str, NDArray[Any]] = {}
    for field in fields(made):
        value, name = getattr(made, field.name), f"{before}{field.name}"
        if is_dataclass(value):
            found |= _flat(value, f"{name}.")
        elif isinstance(value, tuple):
            # As one text: an array of texts gives each the room of the longest.
            found[name] = np.array(msgspec.json.encode(value).decode())
        else:
            found[name] = np.asarray(value)
    return found


def _made(cls: type[Made], arrays: Any, before: str) -> Made:
    """The other way round."""
    found: dict[str, Any] = {}
    for name, kind in get_type_hints(cls).items():
        if is_dataclass(kind):
            found[name] = _made(kind, arrays, f"{before}{name}.")  # type: ignore[arg-type]
            continue
        array = arrays[f"{before}{name}"]
        if kind in (str, int, float):
            found[name] = kind(array)
        elif kind == tuple[str, ...]:
            found[name] = msgspec.json.decode(str(array), type=tuple[str, ...])
        else:
            found[name] = array
    return cls(**found)


class Scores(NamedTuple):
    """Of each ad: the probabilities of a click and of the action wanted, and the value expected,
    per impression."""

    p_click: Numbers
    p_action: Numbers
    value: Numbers


class Contribution(NamedTuple):
    """What a part of the logits is due to, and how large it is."""

    what: str
    click: float
    action: float


class Scorer:
    """Scores of a fixed list of ads; one row of a table for each feature, two columns for each ad.

    The table takes 8 bytes for each feature the model knows and each ad."""

    def __init__(self, model: Model, ads: Sequence[AdKey]) -> None:
        names, count = model.names, len(ads)
        at = Rungs.of(names, ads)
        goal_of = dict(zip(names.adsets, model.goals, strict=True))
        goals = [goal_of.get(ad.adset_id, "") for ad in ads]
        self._count = count
        self._at = {word: place for place, word in enumerate(names.words)}
        self._table = np.zeros((len(names.words), 2 * count), np.float32)
        self._start = np.zeros(2 * count)
        self._bent: list[tuple[Calibration, int, Places]] = []
        for n, part in enumerate((model.click, model.action)):
            columns, fixed = slice(n * count, (n + 1) * count), part.calibration
            places = fixed.places(goals)
            slope = fixed.slope[places]
            self._start[columns] = part.effects.total(at) * slope + fixed.shift[places]
            if len(part.words):
                own = part.words.astype(np.float32)[:, None]
                by_adset = part.by_adset.matrix(len(names.adsets), at.adsets)
                by_ad = part.by_ad.matrix(len(names.ads), at.ads)
                self._table[:, columns] = (own + by_adset + by_ad) * slope.astype(np.float32)
            for place in np.unique(places):
                if fixed.starts[place + 1] > fixed.starts[place]:
                    where = np.flatnonzero(places == place).astype(np.int32) + n * count
                    self._bent.append((fixed, int(place), where))
        self._view = model.view.best(at)
        self._value = model.value.best(at)

    def score(self, features: Sequence[str]) -> Scores:
        """What to expect of each ad, in the order of the list. Features that the model does not
        know change nothing."""
        rows = [self._at[word] for word in features if word in self._at]
        logits = self._start
        if rows:
            logits = logits + self._table.take(rows, axis=0).sum(axis=0)
        elif self._bent:
            logits = logits.copy()
        for fixed, place, where in self._bent:
            logits[where] = fixed.bend(logits[where], place)
        p = probability(logits)
        p_click, after = p[: self._count], p[self._count :]
        p_action = p_click * after + (1 - p_click) * self._view
        return Scores(p_click, p_action, p_action * self._value)

    def logits(self, examples: Examples) -> tuple[Numbers, Numbers]:
        """The logits of click and action, for the ad of each example. The scorer must be of
        `examples.ads`."""
        row = np.repeat(np.arange(len(examples)), np.diff(examples.starts))
        known = np.array([self._at.get(word, -1) for word in examples.words], np.int64)
        table = np.concatenate([self._table, np.zeros((1, 2 * self._count), np.float32)])
        found = []
        for n in range(2):
            column = examples.ad + n * self._count
            parts = table[known[examples.places], column[row]]
            found.append(self._start[column] + np.bincount(row, parts, len(examples)))
        for fixed, place, where in self._bent:
            n = int(where[0] >= self._count)
            of_it = np.isin(examples.ad, where - n * self._count)
            found[n][of_it] = fixed.bend(found[n][of_it], place)
        return found[0], found[1]

    def means(self, ad: Places) -> tuple[Numbers, Numbers]:
        """Of ads by place: actions per impression without a click, and the value of an action."""
        return self._view[ad], self._value[ad]

    def explain(self, features: Sequence[str], place: int) -> list[Contribution]:
        """What the logits of one ad are the sum of, the ad itself first, then the known features,
        before the knots of a calibration."""
        ad = Contribution("ad", float(self._start[place]), float(self._start[self._count + place]))
        known = [(word, self._table[self._at[word]]) for word in features if word in self._at]
        return [
            ad,
            *(
                Contribution(word, float(row[place]), float(row[self._count + place]))
                for word, row in known
            ),
        ]


def predict(model: Model, examples: Examples) -> Scores:
    """What the model expects of each example."""
    scorer = Scorer(model, examples.ads)
    p_click, after = (probability(logits) for logits in scorer.logits(examples))
    view, value = scorer.means(examples.ad)
    p_action = p_click * after + (1 - p_click) * view
    return Scores(p_click, p_action, p_action * value)
