"""Credit: how each conversion is shared out among the touches before it, for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.reports import report_sql
from doublet.reports.asked import SettingAsked
from doublet.reports.conversions import ask, fitting, joined_sql
from doublet.reports.windows import Window, all_windows, window_parameters

Level = Literal["account", "channel", "campaign", "adset", "ad"]
LEVELS: tuple[Level, ...] = ("account", "channel", "campaign", "adset", "ad")
"""By depth: the text `placed_credit` counts it from 0."""

Model = Literal[
    "last_touch", "first_touch", "linear", "time_decay", "position_based", "markov", "shapley"
]
HALF_LIFE_S = 7 * 86_400
FIRST_SHARE = LAST_SHARE = 0.4
_DRIVEN = ("markov", "shapley")


class ModelsAsked(SettingAsked, frozen=True, kw_only=True):
    """`setting` is the attribution setting, under which the window `default` holds all, and those
    of views what it leaves to views; `window` and `model` choose what stands side by side, all
    windows and the last touch if they are not given."""

    window: tuple[str, ...] = ()
    model: tuple[Model, ...] = ("last_touch",)

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        SettingAsked.check(self)
        self.windows()
        if not self.model or len(set(self.model)) < len(self.model):
            raise SenderError("model names none, or one twice.", "Name each model once.")

    def windows(self) -> list[Window]:
        """The windows that are asked for. Raises SenderError for an unknown one."""
        known = {window.name: window for window in all_windows(self.attribution)}
        for name in self.window:
            if name not in known:
                raise SenderError(
                    f"{name!r} is no window of this report.", f"There are {', '.join(known)}."
                )
        return [known[name] for name in dict.fromkeys(self.window)] or list(known.values())


def credited(
    engine: Engine,
    given: Mapping[str, Any],
    name: str,
    models: Sequence[str],
    windows: Sequence[Window],
    *parts: str,
    is_summed: bool = False,
) -> list[dict[str, Any]]:
    """The rows of a report that reads `placed_credit` behind other parts, for each of the models
    and windows: each conversion in as many rows as touches have a share of it, or, without any, in
    one without a kind. The shares of a conversion add up to one, and the amounts to its value. With
    `is_summed` the report adds them up whatever the conversion, and models of several touches are
    told so from the start, which is faster."""
    rows = []
    shares = {"placed_credit": report_sql("placed_credit")}
    if "last_touch" in models:
        texts = {
            "last_touch": report_sql("last_touch"),
            "credit": report_sql("last_touch_credit"),
        }
        sql = joined_sql(name, "chosen_conversions", *parts, **texts, **shares)
        rows += engine.query(sql, fitting(sql, {**given, **window_parameters(windows)}))
    others = [model for model in models if model != "last_touch"]
    if others:
        asked = {**given, **window_parameters(windows), "ads_only": True, "models": others}
        asked |= {
            "half_life_s": HALF_LIFE_S,
            "first_share": FIRST_SHARE,
            "last_share": LAST_SHARE,
            **_weights(engine, asked, others),
        }
        texts = {
            "window_touches": report_sql("window_touches"),
            "touch_shares": report_sql("touch_shares"),
            "credit": report_sql("multi_touch_sums" if is_summed else "multi_touch"),
        }
        sql = joined_sql(name, "chosen_conversions", *parts, **texts, **shares)
        rows += engine.query(sql, fitting(sql, asked))
    return rows


def _weights(
    engine: Engine, given: Mapping[str, Any], models: Sequence[str]
) -> dict[str, list[Any]]:
    """What data-driven models weigh the nodes of each window with, as `multi_touch` asks for it."""
    weights: list[tuple[str, str, str, float]] = []
    driven = [model for model in _DRIVEN if model in models]
    if driven:
        sql = joined_sql(
            "journeys", "chosen_conversions", window_touches=report_sql("window_touches")
        )
        span = {"begins_at": given.get("since"), "ends_at": given.get("until")}
        found = engine.query(sql, fitting(sql, {**span, **given}))
        for window in given["windows"]:
            own = [row for row in found if row["window_name"] == window]
            for model in driven:
                made = _fit(model, own)
                weights += [(model, window, node, weight) for node, weight in made.items()]
    names = ("weight_models", "weight_windows", "weight_nodes", "weights")
    # An empty list has no type of its own.
    columns = zip(*(weights or [("", "", "", 0.0)]), strict=True)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _fit(model: str, journeys: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The weight of each node: its removal effect, or its part of all Shapley values."""
    from doublet.attribution import Paths, markov, shapley
    from doublet.attribution.shapley import rarest_as_one

    won = [row["conversions"] for row in journeys]
    lost = [row["losses"] for row in journeys]
    walked = [row["path"] for row in journeys]
    if not sum(won):
        return {}
    if model == "markov":
        return markov(Paths(walked, won, lost)).effects
    name_of = rarest_as_one(walked, [a + b for a, b in zip(won, lost, strict=True)])
    named = [[name_of[node] for node in path] for path in walked]
    made = shapley(Paths(named, won, lost)).conversions
    whole = sum(made.values()) or 1.0
    return {node: made[name] / whole for node, name in name_of.items()}


def titles(engine: Engine, given: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The names that platforms gave, by level and id."""
    return {(row["level"], row["id"]): row["name"] for row in ask(engine, given, "ad_titles")}


def campaign_names(engine: Engine, given: Mapping[str, Any]) -> dict[str, str]:
    """The names of campaigns, by id."""
    found = titles(engine, given)
    return {id_: name for (level, id_), name in found.items() if level == "campaign"}
