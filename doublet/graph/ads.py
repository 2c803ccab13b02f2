"""Campaigns, ad sets and ads as nodes and edges: what is known of them by import or by touches."""

from __future__ import annotations

from typing import Any

from doublet.engine import Engine
from doublet.graph.fields import Shape, plain
from doublet.graph.question import Question, Row, page, rows_after
from doublet.reports.ad_objects import AdObject, ad_objects

_NODE = plain("id", "name", "account_id")
_ALWAYS = ("id",)
CAMPAIGN = Shape("Campaign", _NODE, default=("id",), always=_ALWAYS)
ADSET = Shape("AdSet", {**_NODE, **plain("campaign_id")}, default=("id",), always=_ALWAYS)
AD = Shape("Ad", {**_NODE, **plain("campaign_id", "adset_id")}, default=("id",), always=_ALWAYS)
"""Fields: those of facebook_business' Campaign, AdSet and Ad that anything here tells."""

SHAPES = {"campaign": CAMPAIGN, "adset": ADSET, "ad": AD}
EDGES = {"campaigns": "campaign", "adsets": "adset", "ads": "ad"}
"""The edges of an account, and what they list."""


def find_ad_object(engine: Engine, question: Question, object_id: str) -> AdObject | None:
    """The campaign, ad set or ad of this id; None where nothing tells of it. Of two platforms'
    objects with one id the coarser one."""
    for with_touches in (False, True):
        found = ad_objects(engine, question.account, object_id=object_id, with_touches=with_touches)
        if found:
            order = list(SHAPES)
            return min(found, key=lambda each: order.index(each.level))
    return None


def object_row(question: Question, found: AdObject) -> Row:
    """The fields of a campaign, ad set or ad."""
    return {
        "id": found.id,
        "name": found.name,
        "account_id": question.account.account_id.removeprefix("act_"),
        "campaign_id": found.campaign_id,
        "adset_id": found.adset_id,
    }


def objects_edge(
    engine: Engine, question: Question, level: str, parent_id: str | None = None
) -> dict[str, Any]:
    """One page of the objects of a level that have names, by id; those of an account, or what is
    part of a campaign or ad set. Raises Refused."""
    found = ad_objects(engine, question.account, level=level, parent_id=parent_id)
    rows = [object_row(question, each) for each in found]
    rest = rows_after(question, rows, _id_of)
    return page(question, rest, _id_of, SHAPES[level], question.limit())


def _id_of(row: Row) -> str:
    return str(row["id"])
