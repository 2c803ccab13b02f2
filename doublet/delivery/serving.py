"""Which models serve: a new one begins with a small share, takes over or falls back by itself.

Pure: what came of the decisions of both models is an argument. Where nothing has been learned,
prior rates serve, as the version "".
"""

from __future__ import annotations

import msgspec

from doublet.delivery.book import Share
from doublet.delivery.calibration import Served, Verdict, watch

TRIAL_SHARE = 0.1
"""The share of decisions that a new model makes at first."""
TRIAL_ACTIONS = 30.0
"""So many actions, as predicted, are enough to let it take over."""
TRIAL_S = 2 * 86_400
"""So is so much time, where actions are rare."""
FRESH_IMPRESSIONS = 200
"""Fewer new impressions are no reason to learn again."""
FRESH_SHARE = 0.25
"""Learning again is due when there are so many more impressions than a model has seen."""
RELEARN_S = 86_400
"""After so long it is due with any FRESH_IMPRESSIONS."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """The models of an account. `tried_at` is when the trial of `trial` began, `learned_at` when a
    model was last learned (Unix seconds), from so many `impressions`; `refused` is the last one
    that did not get to serve, or fell back, and `reasons` say why."""

    stable: str = ""
    trial: str = ""
    tried_at: float = 0.0
    learned_at: float = 0.0
    impressions: int = 0
    refused: str = ""
    reasons: tuple[str, ...] = ()

    def shares(self) -> tuple[Share, ...]:
        """Who decides how much; empty where prior rates decide all."""
        if self.trial:
            return (Share(self.stable, 1 - TRIAL_SHARE), Share(self.trial, TRIAL_SHARE))
        return (Share(self.stable, 1.0),) if self.stable else ()

    def is_learning_due(self, impressions: int, now: float) -> bool:
        """Whether there is enough new to learn from; never while a model is on trial."""
        fresh = impressions - self.impressions
        if self.trial or fresh < FRESH_IMPRESSIONS:
            return False
        return fresh >= FRESH_SHARE * self.impressions or now - self.learned_at >= RELEARN_S

    def learned(self, version: str, verdict: Verdict, impressions: int, now: float) -> Serving:
        """After a model was learned, and held against held-out days."""
        known = msgspec.structs.replace(self, learned_at=now, impressions=impressions)
        if not verdict.is_accepted:
            return msgspec.structs.replace(known, refused=version, reasons=verdict.reasons)
        return msgspec.structs.replace(known, trial=version, tried_at=now)

    def reviewed(self, trial: Served, stable: Served, now: float) -> Serving:
        """After a look at what came of the decisions that both models made since the trial began:
        it falls back, takes over, or goes on."""
        if not self.trial:
            return self
        verdict = watch(trial, stable)
        if not verdict.is_accepted:
            return msgspec.structs.replace(
                self, trial="", refused=self.trial, reasons=verdict.reasons
            )
        if trial.predicted >= TRIAL_ACTIONS or now - self.tried_at >= TRIAL_S:
            return msgspec.structs.replace(self, stable=self.trial, trial="")
        return self
