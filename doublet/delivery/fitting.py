"""Fitting of action rates: logistic regressions whose shrinkage is learned.

Every effect (rates.py) belongs to a group: campaigns, ad sets, ads, and for each kind of feature
its own effects, those per ad set and those per ad. Effects of a group are normal around 0 with a
deviation of their own, which is estimated along with them by empirical Bayes: the squared effects
over the number of effects that the data determine (MacKay, Bayesian Interpolation, Neural
Computation 1992, section 4.2), with the diagonal of the information matrix. So a group that says
nothing shrinks to nothing, and nothing needs to be tuned. The effects themselves minimise the loss
of what has been seen by now (delay.py) plus ½·(effect ÷ deviation)², by L-BFGS.

A rate expected is more than the rate at the expected logit: for small rates by half the variance
of the logit. So half of each effect's variance is added to it, that of its group where there are no
examples, and the base is set so that the mean of the examples stays what it was. Without this, ads
with a short past would be held for worse than they are.

Where clicks are rare, impressions without one are sampled and weighted up again (He et al.,
Practical Lessons from Predicting Clicks on Ads at Facebook, ADKDD 2014, section 6.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doublet.delivery.delay import (
    AT_ONCE,
    WINDOW_S,
    Delays,
    curve,
    delays,
    information,
    loss,
    probability,
    slope,
)
from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.rates import (
    P_ACTION,
    P_CLICK,
    Calibration,
    Crosses,
    Ladder,
    Model,
    Names,
    Part,
)

CLICK_WINDOW_S = 3_600.0
"""A click later than this after its impression is not expected any more."""

UNCLICKED_PER_CLICK = 20
UNCLICKED_MIN = 200_000
SUPPORT = {"click": 50, "action": 5}
"""How many examples a feature and an ad (set) must have in common for an effect of their own."""

SAMPLE_MAX = 200_000
"""Examples that deviations are learned from; more change little (bench/README.md)."""

_ROUNDS = 8
_STEPS, _STEPS_LAST = 20, 60
_BASE_DEVIATION = 2.0
_DEVIATION = 0.2
"""Where deviations of groups start, and what they are held near to, as by one more effect."""

_RUNGS = ("campaigns", "adsets", "ads")

_MEAN_WEIGHT = 10.0
"""Actions that what is known of the rung above weighs as much as, in means."""


class Outcome(NamedTuple):
    """What came of examples: whether it happened, which share of such events can have been seen by
    now, and how many examples each stands for."""

    happened: NDArray[np.bool_]
    seen: Numbers
    weights: Numbers

    def loss(self, logits: Numbers) -> float:
        """The sum over all examples."""
        return float(self.weights @ loss(logits, self.happened, self.seen))

    def slope(self, logits: Numbers) -> Numbers:
        """The derivative of `loss` by each logit."""
        return self.weights * slope(logits, self.happened, self.seen)

    def information(self, logits: Numbers) -> Numbers:
        """Fisher's information about each logit."""
        return self.weights * information(logits, self.seen)

    def take(self, rows: NDArray[Any]) -> Outcome:
        """Of some examples."""
        return Outcome(self.happened[rows], self.seen[rows], self.weights[rows])


class Rows(NamedTuple):
    """What one logistic model is fitted to: a sparse row for each example, the group of each
    column, what came of it, and the logit that the base is held near to."""

    matrix: Any
    groups: NDArray[np.int64]
    outcome: Outcome
    start: float


class Solution(NamedTuple):
    """Effects by column, the variance that each is left with, and deviations by group (that of
    group 0, the base, is fixed)."""

    effects: Numbers
    variances: Numbers
    deviations: Numbers


def solve(rows: Rows, chance: np.random.Generator) -> Solution:
    """The deviations that a sample of the rows asks for, and the effects that are then the most
    probable by all rows."""
    count = int(rows.groups.max()) + 1
    deviations = np.append(_BASE_DEVIATION, np.full(count - 1, _DEVIATION))
    effects = np.zeros(len(rows.groups))
    some = _sample(rows, chance)
    for _ in range(_ROUNDS):
        precision = deviations[rows.groups] ** -2
        effects = _descend(some, effects, precision, _STEPS)
        known = _diagonal(some, effects)
        settled = np.bincount(rows.groups, known / (known + precision), count)
        squares = np.bincount(rows.groups, effects**2, count)
        learned = np.sqrt((squares + _DEVIATION**2) / (settled + 1.0))
        deviations = np.append(_BASE_DEVIATION, learned[1:])
    precision = deviations[rows.groups] ** -2
    effects = _descend(rows, effects, precision, _STEPS_LAST)
    return Solution(effects, 1 / (_diagonal(rows, effects) + precision), deviations)


def _expected(rows: Rows, solution: Solution) -> Solution:
    """With half of the variances added to effects and taken to bonuses, and the base set anew."""
    rate = probability(rows.start + solution.effects[0])
    half = 0.5 * (1 - 2 * rate)
    bonus = half * np.where(rows.groups == 0, 0.0, solution.variances)
    effects = solution.effects + bonus
    before = rows.outcome.slope(rows.start + rows.matrix @ solution.effects).sum()
    logits = rows.start + rows.matrix @ effects
    for _ in range(20):
        over = rows.outcome.slope(logits).sum() - before
        step = over / max(rows.outcome.information(logits).sum(), 1e-9)
        step = float(np.clip(step, -1, 1))
        logits, effects[0] = logits - step, effects[0] - step
    return Solution(effects, solution.variances, half * solution.deviations**2)


def _sample(rows: Rows, chance: np.random.Generator) -> Rows:
    count = len(rows.outcome.happened)
    if count <= SAMPLE_MAX:
        return rows
    taken = np.sort(chance.choice(count, SAMPLE_MAX, replace=False))
    return rows._replace(matrix=rows.matrix[taken], outcome=rows.outcome.take(taken))


def _diagonal(rows: Rows, effects: Numbers) -> Numbers:
    logits = rows.start + rows.matrix @ effects
    return np.asarray(rows.matrix.T @ rows.outcome.information(logits))


def _descend(rows: Rows, effects: Numbers, precision: Numbers, steps: int) -> Numbers:
    """One minimisation, over effects in units of their standard errors."""
    from scipy.optimize import minimize

    scale = 1 / np.sqrt(_diagonal(rows, effects) + precision)

    def cost(scaled: Numbers) -> tuple[float, Numbers]:
        tried = scale * scaled
        logits = rows.start + rows.matrix @ tried
        value = rows.outcome.loss(logits) + 0.5 * float((precision * tried) @ tried)
        gradient = rows.matrix.T @ rows.outcome.slope(logits) + precision * tried
        return value, scale * gradient

    options = {"maxiter": steps, "ftol": 1e-9, "gtol": 1e-4}
    done = minimize(cost, effects / scale, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(done.x * scale)


@dataclass(frozen=True)
class Block:
    """Columns of one sort: `rows` and `columns` of what is in them; by column the word (or what
    else the effect is of), the ad (set) it is crossed with, and the group."""

    sort: str
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    words: NDArray[np.int64]
    others: NDArray[np.int64]
    groups: NDArray[np.int64]


class Design:
    """The columns of one model: base, campaigns, ad sets, ads, features, and features for ad sets
    and ads that they have met often enough."""

    def __init__(self, examples: Examples, names: Names, support: int) -> None:
        self._names = names
        count = len(examples)
        every = np.arange(count)
        adset_of = _codes(names.adsets, [ad.adset_id for ad in examples.ads])
        campaign_of = _codes(names.campaigns, [ad.campaign_id for ad in examples.ads])
        adset = adset_of[examples.ad]
        kinds = sorted({word.partition(":")[0] for word in examples.words})
        kind_of = _codes(kinds, [word.partition(":")[0] for word in examples.words])
        row = np.repeat(every, np.diff(examples.starts))
        word = examples.places.astype(np.int64)
        self._kind_of = kind_of
        self._first: dict[str, int] = {}
        self._blocks: list[Block] = []
        self._count, self._groups = 0, 0
        self._add("base", every, np.zeros(count, np.int64), 1)
        self._add("campaigns", every, campaign_of[examples.ad], 1)
        self._add("adsets", every, adset, 1)
        self._add("ads", every, examples.ad.astype(np.int64), 1)
        if len(examples.words):
            self._add("words", row, word, 1, kind_of=kind_of)
            self._add("by_adset", row, word, support, adset[row], len(names.adsets), kind_of)
            self._add("by_ad", row, word, support, examples.ad[row], len(names.ads), kind_of)

    def _add(
        self,
        sort: str,
        rows: NDArray[np.int64],
        codes: NDArray[np.int64],
        support: int,
        others: NDArray[Any] | None = None,
        others_count: int = 1,
        kind_of: NDArray[np.int64] | None = None,
    ) -> None:
        """A column for each code (and other) that has `support` rows."""
        both = codes if others is None else codes * others_count + others
        is_kept = np.bincount(both) >= support
        place = self._count + np.cumsum(is_kept) - 1
        wanted = is_kept[both]
        kept = np.flatnonzero(is_kept)
        words = kept // others_count
        kinds = np.zeros(len(kept), np.int64) if kind_of is None else kind_of[words]
        groups = self._groups + kinds
        self._first[sort] = self._groups
        self._blocks.append(
            Block(sort, rows[wanted], place[both[wanted]], words, kept % others_count, groups)
        )
        self._count += len(kept)
        self._groups += 1 if kind_of is None else int(kind_of.max()) + 1

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of each column; 0 is the base."""
        return np.concatenate([block.groups for block in self._blocks])

    def matrix(self, count: int) -> Any:
        """The sparse matrix of so many rows."""
        from scipy.sparse import coo_matrix

        rows = np.concatenate([block.rows for block in self._blocks])
        columns = np.concatenate([block.columns for block in self._blocks])
        shape = (count, self._count)
        return coo_matrix((np.ones(len(rows)), (rows, columns)), shape).tocsr()

    def part(self, effects: Numbers, unknown: Numbers, start: float) -> Part:
        """The effects, as scorers want them; what had no column has what is `unknown` by group."""
        names, at = self._names, 0
        counts = (len(names.campaigns), len(names.adsets), len(names.ads))
        rungs = np.array([unknown[self._first[sort]] for sort in _RUNGS])
        flat = dict(zip(_RUNGS, map(np.full, counts, rungs), strict=True))
        flat |= {"base": np.zeros(1), "words": np.zeros(len(names.words))}
        crosses = {sort: Crosses.none(len(names.words)) for sort in ("by_adset", "by_ad")}
        for block in self._blocks:
            mine = effects[at : at + len(block.words)]
            at += len(mine)
            if block.sort in flat:
                flat[block.sort][block.words] = mine
                continue
            known = np.zeros(self._groups)
            known[block.groups] = unknown[block.groups]
            crosses[block.sort] = Crosses(
                block.words.astype(np.int32),
                block.others.astype(np.int32),
                mine.astype(np.float32),
                known[self._first[block.sort] + self._kind_of],
            )
        base = start + float(flat["base"][0])
        ladder = Ladder(base, flat["campaigns"], flat["adsets"], flat["ads"], rungs)
        none = Calibration.none()
        return Part(ladder, flat["words"], crosses["by_adset"], crosses["by_ad"], none)


def _codes(names: Any, wanted: list[str]) -> NDArray[np.int64]:
    at = {name: place for place, name in enumerate(names)}
    return np.array([at[name] for name in wanted], np.int64)


def fit(
    examples: Examples,
    now: float,
    *,
    goals: Mapping[str, str] | None = None,
    version: str = "",
    seed: int = 0,
    window_s: float = WINDOW_S,
    is_delay_corrected: bool = True,
    prior: Model | None = None,
    late: Delays | None = None,
) -> Model:
    """Rates learned from what is known at `now` (Unix seconds), not calibrated yet.

    `goals` name the goal of each ad set. Whatever there is too little of stays near the base rates
    of `prior`. With `is_delay_corrected` off, actions that have not come count as failures; `late`
    are delays that are known already."""
    prior = prior or Model.prior(p_click=P_CLICK, p_action=P_ACTION)
    known = examples.known_at(now)
    names = _names(known)
    goal_of = goals or {}
    model = replace(
        prior,
        version=version,
        trained_at=now,
        impressions=len(known),
        clicks=int(known.clicked.sum()),
        actions=int(known.acted.sum()),
        names=names,
        goals=tuple(goal_of.get(adset_id, "") for adset_id in names.adsets),
        view=Ladder.flat(0.0),
        value=Ladder.flat(prior.value.base),
    )
    if not len(known):
        return model
    chance = np.random.default_rng(seed)
    if late is None:
        late = delays(known, now, window_s) if is_delay_corrected else Delays(AT_ONCE, {})
    return replace(
        model,
        click=_click_part(known, names, now, prior, chance),
        action=_action_part(known, names, now, prior, late, chance),
        view=_view(known, names, now, late),
        value=_value(known, names, prior.value.base),
    )


def _names(examples: Examples) -> Names:
    return Names(
        examples.words,
        tuple(sorted({ad.campaign_id for ad in examples.ads})),
        tuple(sorted({ad.adset_id for ad in examples.ads})),
        tuple(ad.ad_id for ad in examples.ads),
    )


def _click_part(
    examples: Examples, names: Names, now: float, prior: Model, chance: np.random.Generator
) -> Part:
    clicked = examples.clicked
    took = (examples.clicked_at - examples.decided_at)[clicked]
    age = now - examples.decided_at
    late = curve(took, age[clicked], CLICK_WINDOW_S) if clicked.any() else AT_ONCE
    most = max(UNCLICKED_MIN, UNCLICKED_PER_CLICK * int(clicked.sum()))
    share = min(1.0, most / max(1, int((~clicked).sum())))
    taken = clicked | (chance.random(len(clicked)) < share)
    part = examples.take(taken)
    weights = np.where(part.clicked, 1.0, 1 / share)
    outcome = Outcome(part.clicked, late.seen(age)[taken], weights)
    return _solved(part, names, outcome, prior.click, SUPPORT["click"], chance)


def _action_part(
    examples: Examples,
    names: Names,
    now: float,
    prior: Model,
    late: Delays,
    chance: np.random.Generator,
) -> Part:
    part = examples.take(examples.clicked)
    if not len(part):
        return Part.flat(float(probability(prior.action.effects.base)))
    seen = late.seen(_adsets(part), now - part.clicked_at)
    outcome = Outcome(part.acted, seen, np.ones(len(part)))
    return _solved(part, names, outcome, prior.action, SUPPORT["action"], chance)


def _solved(
    examples: Examples,
    names: Names,
    outcome: Outcome,
    before: Part,
    support: int,
    chance: np.random.Generator,
) -> Part:
    from threadpoolctl import threadpool_limits

    design, start = Design(examples, names, support), before.effects.base
    rows = Rows(design.matrix(len(examples)), design.groups, outcome, start)
    # Vectors are short: a second thread would be waited for more than it helps.
    with threadpool_limits(1, "blas"):
        found = _expected(rows, solve(rows, chance))
    return design.part(found.effects, found.deviations, start)


def _adsets(examples: Examples) -> NDArray[Any]:
    return np.array([ad.adset_id for ad in examples.ads])[examples.ad]


def _view(examples: Examples, names: Names, now: float, late: Delays) -> Ladder:
    """Actions per impression that was not clicked, by the share of delays that can be seen."""
    part = examples.take(~examples.clicked)
    if not part.acted.any():
        return Ladder.flat(0.0)
    seen = late.seen(_adsets(part), now - part.decided_at)
    # In impressions, the rung above weighs as much as those that bring so many actions.
    weight = _MEAN_WEIGHT * seen.sum() / part.acted.sum()
    return _means(part, names, part.acted.astype(np.float64), seen, 0.0, weight)


def _value(examples: Examples, names: Names, base: float) -> Ladder:
    part = examples.take(examples.acted)
    if not len(part):
        return Ladder.flat(base)
    return _means(part, names, part.value, np.ones(len(part)), base, _MEAN_WEIGHT)


def _means(
    examples: Examples, names: Names, amount: Numbers, per: Numbers, base: float, weight: float
) -> Ladder:
    """Amounts per unit of `per`, each rung held near the one above by `weight` such units."""
    base = (
        float((amount.sum() + base) / (per.sum() + 1)) if base else float(amount.sum() / per.sum())
    )
    campaign_of = _codes(names.campaigns, [ad.campaign_id for ad in examples.ads])
    adset_of = _codes(names.adsets, [ad.adset_id for ad in examples.ads])
    campaign_above = np.zeros(len(names.adsets), np.int64)
    campaign_above[adset_of] = campaign_of

    def mean(code: NDArray[np.int64], count: int, above: Numbers) -> Numbers:
        sums = [np.bincount(code, column, count) for column in (amount, per)]
        return np.asarray((sums[0] + weight * above) / (sums[1] + weight))

    campaigns = mean(campaign_of[examples.ad], len(names.campaigns), np.full(1, base))
    adsets = mean(adset_of[examples.ad], len(names.adsets), campaigns[campaign_above])
    ads = mean(examples.ad.astype(np.int64), len(names.ads), adsets[adset_of])
    return Ladder(base, campaigns, adsets, ads, np.zeros(3))
