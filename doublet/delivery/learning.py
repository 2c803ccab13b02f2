"""How far ad sets have learned, by the conversions that are credited to them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from doublet.catalog import AdSet, ReportRules
from doublet.delivery.objects import CONVERSION_GOALS, SHOWN_GOALS, Learning, learning
from doublet.engine import Engine

_DAY_S = 86_400


def stages(
    engine: Engine, account_id: str, rules: ReportRules, ad_sets: Sequence[AdSet], now_s: int
) -> dict[str, Learning]:
    """The stage of each of these ad sets of an account at a moment (Unix seconds), by id. Actions
    are counted from the last significant edit on; `rules` say what is credited to ads."""
    actions = actions_since_edit(engine, account_id, rules, ad_sets)
    return {each.adset_id: learning(each, actions.get(each.adset_id, 0), now_s) for each in ad_sets}


def actions_since_edit(
    engine: Engine, account_id: str, rules: ReportRules, ad_sets: Sequence[AdSet]
) -> dict[str, int]:
    """How many optimisation actions (conversions, or clicks) each ad set had since its last
    significant edit; one without any is missing."""
    counted = [each for each in ad_sets if each.optimization_goal not in SHOWN_GOALS]
    if not counted:
        return {}
    found = engine.query(
        _text(),
        {
            "account_id": account_id,
            "adset_ids": [each.adset_id for each in counted],
            "pixel_ids": [each.pixel_id for each in counted],
            "event_names": [
                each.event_name if each.optimization_goal in CONVERSION_GOALS else None
                for each in counted
            ],
            "since_s": [each.edited_at for each in counted],
            "from_s": min(each.edited_at for each in counted),
            "click_s": rules.click_days * _DAY_S,
            "engaged_s": rules.engaged_view_days * _DAY_S,
            "view_s": rules.view_days * _DAY_S,
        },
    )
    return {row["adset_id"]: row["actions"] for row in found}


@cache
def _text() -> str:
    return files("doublet.delivery").joinpath("learning.sql").read_text("utf-8")
