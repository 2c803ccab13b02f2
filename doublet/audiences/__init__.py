"""Audiences: persons chosen by what they did, by lists of customers, or by likeness to others.

`rule` reads the rule of one, `compile` makes a query of it that says who is in and until when;
`presets` are rules in plain words.
`members` keeps who is in them, `snapshot` publishes that for other processes.
"""

from doublet.audiences.compile import evaluation
from doublet.audiences.presets import PRESETS
from doublet.audiences.rule import AudienceRule, AudienceRuleError, parse_audience_rule

__all__ = ["PRESETS", "AudienceRule", "AudienceRuleError", "evaluation", "parse_audience_rule"]
