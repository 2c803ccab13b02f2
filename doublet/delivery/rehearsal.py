"""A rehearsal: whether a new model would have earned less, by the log of what was shown.

Each logged impression is decided once more under the new model: placement and audiences as its
features tell, ads and bids as they are now, money left aside. How likely the new policy would have
shown what was shown, against how likely that was, weighs what came of it (offpolicy.py). It refuses
only what is worse beyond doubt; what the log says too little of has to earn its place on a trial.
"""

from __future__ import annotations

import numpy as np

from doublet.delivery.auction import OUT, total_values
from doublet.delivery.calibration import Verdict
from doublet.delivery.decide import Terms
from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.offpolicy import EFFECTIVE_MIN, RATIO_MIN, Logged, estimate
from doublet.delivery.shelf import Shelf

IMPRESSIONS_MAX = 5_000
"""The latest so many are decided again."""

_PLACE, _AUDIENCE = "place:", "aud:"


def rehearse(shelf: Shelf, examples: Examples, terms: Terms, seed: int = 0) -> Verdict:
    """Whether the model of a shelf may be tried. The reward of an impression is its action, a click
    where clicks are wanted."""
    places = {ad.ad_id: n for n, ad in enumerate(shelf.ads)}
    of_example = np.array([places.get(ad.ad_id, -1) for ad in examples.ads] or [-1])
    known = np.flatnonzero((of_example[examples.ad] >= 0) & (examples.propensity > 0))
    told = examples.take(known[-IMPRESSIONS_MAX:])
    if not len(told):
        return Verdict(True)
    ads = of_example[told.ad]
    wants_clicks = shelf.is_click[ads]
    reward = np.where(wants_clicks, told.clicked, told.acted).astype(float)
    if not reward.any():
        return Verdict(True)
    target = np.array(
        [_chance(shelf, told.features(row), int(ad), terms) for row, ad in enumerate(ads)]
    )
    found = estimate(Logged(reward, told.propensity, target), seed)
    if found.effective < EFFECTIVE_MIN or found.ratio.high >= RATIO_MIN:
        return Verdict(True)
    reason = f"by the log it would have earned {found.ratio.value:.2f} of what was earned"
    return Verdict(False, (f"{reason} ({found.ratio.low:.2f} to {found.ratio.high:.2f})",))


def _chance(shelf: Shelf, features: tuple[str, ...], ad: int, terms: Terms) -> float:
    """How likely the shelf's policy shows an ad first to who has these features."""
    totals = _totals(shelf, features, terms)
    best = int(totals.argmax())
    if totals[ad] == OUT:
        return 0.0
    cold = np.count_nonzero(shelf.is_cold & (totals > OUT))
    if not cold:
        return float(ad == best)
    return (1 - terms.epsilon) * (ad == best) + terms.epsilon / cold * bool(shelf.is_cold[ad])


def _totals(shelf: Shelf, features: tuple[str, ...], terms: Terms) -> Numbers:
    scores = shelf.scorer.score(features)
    audiences = [each[len(_AUDIENCE) :] for each in features if each.startswith(_AUDIENCE)]
    placement = next((each[len(_PLACE) :] for each in features if each.startswith(_PLACE)), "")
    allowed = shelf.placed(placement) & shelf.included(audiences) & shelf.not_excluded(audiences)
    totals = total_values(
        shelf.bids * shelf.results(scores), scores.p_click * terms.click_value, terms.floor
    )
    found: Numbers = np.where(allowed & (shelf.bids > 0), totals, OUT)
    return found
