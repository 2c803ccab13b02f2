"""Audiences: persons chosen by what they did, by lists of customers, or by likeness to others.

`rule` reads the rule of one, `compile` makes a query of it that says who is in and until when.
`members` keeps who is in them, `snapshot` publishes that for other processes.
"""

from doublet.audiences.compile import evaluation
from doublet.audiences.rule import AudienceRule, AudienceRuleError, parse_audience_rule

__all__ = ["AudienceRule", "AudienceRuleError", "evaluation", "parse_audience_rule"]
