"""Campaigns, ad sets and ads as nodes and edges: those that are delivered here, from the catalog,
and beside them those that an import or touches tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from doublet.catalog import Ad, AdSet, Campaign, Catalog, Creative
from doublet.catalog.campaigns import GONE, Object, id_of
from doublet.delivery.learning import stages
from doublet.delivery.objects import Learning, effective_status
from doublet.engine import Engine
from doublet.graph.ad_rows import Family, row_of
from doublet.graph.ad_shapes import CREATIVE, EDGES, SHAPES
from doublet.graph.fields import Shape
from doublet.graph.question import Question, Row, page, rows_after
from doublet.graph.refused import invalid
from doublet.reports.ad_objects import AdObject, ad_objects

__all__ = ["EDGES", "SHAPES", "Ads", "level_of", "shape_of"]

Found = Object | AdObject

_LEVELS: dict[type[Any], str] = {Campaign: "campaign", AdSet: "adset", Ad: "ad"}


def level_of(each: Found) -> str:
    """campaign, adset, ad or creative."""
    return each.level if isinstance(each, AdObject) else _LEVELS.get(type(each), "creative")


def shape_of(each: Found) -> Shape:
    """The fields that an object has."""
    return SHAPES.get(level_of(each), CREATIVE)


class Ads:
    """The campaigns, ad sets, ads and creatives of accounts."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    def own(self, question: Question, object_id: str) -> Object | None:
        """What is delivered here and has this id, in the account of the question."""
        return self._catalog.campaigns.find(question.account.account_id, object_id)

    def find(self, question: Question, object_id: str) -> Found | None:
        """The same, or what an import or touches tell of; of two platforms' objects with one id the
        coarser one."""
        if (own := self.own(question, object_id)) is not None:
            return own
        for with_touches in (False, True):
            found = ad_objects(
                self._engine, question.account, object_id=object_id, with_touches=with_touches
            )
            if found:
                order = list(SHAPES)
                return min(found, key=lambda each: order.index(each.level))
        return None

    def node(self, question: Question, each: Found) -> Row:
        """All fields of an object."""
        if isinstance(each, AdObject):
            return _imported(question, each)
        return row_of(question, each, self._parents(each), self._learned(question, [each]))

    def edge(self, question: Question, level: str, parent_id: str | None = None) -> dict[str, Any]:
        """One page of the objects of a level, by id: those of an account, or what is part of a
        campaign or ad set. What is deleted or archived is there where `effective_status` names it.
        Raises Refused."""
        wanted = _statuses(question)
        family = self._family(question)
        own = {id_of(each): each for each in family.values() if level_of(each) == level}
        shown: dict[str, Found] = {
            object_id: each
            for object_id, each in own.items()
            if not isinstance(each, Creative)
            and _is_wanted(each, family, wanted)
            and parent_id in (None, *_above(each))
        }
        if not wanted:
            for told in ad_objects(
                self._engine, question.account, level=level, parent_id=parent_id
            ):
                if told.id not in own:
                    shown[told.id] = told
        return self._page(question, [shown[each] for each in sorted(shown)], family, SHAPES[level])

    def creatives(self, question: Question, parent: Object | None = None) -> dict[str, Any]:
        """One page of the creatives of an account, or of those that an ad or ad set shows. Raises
        Refused."""
        family = self._family(question)
        shown = [each for each in family.values() if isinstance(each, Creative)]
        if parent is not None:
            used = {
                each.creative_id
                for each in family.values()
                if isinstance(each, Ad)
                and each.status not in GONE
                and id_of(parent) in (each.ad_id, each.adset_id)
            }
            shown = [each for each in shown if each.creative_id in used]
        shown = [each for each in shown if each.status not in GONE]
        shown.sort(key=id_of)
        return self._page(question, shown, family, CREATIVE)

    def _page(
        self, question: Question, shown: Sequence[Found], family: Family, shape: Shape
    ) -> dict[str, Any]:
        limit = question.limit()
        by_id = {each.id if isinstance(each, AdObject) else id_of(each): each for each in shown}
        rest = rows_after(question, [{"id": each} for each in by_id], _id_of)
        # Only what the page shows is looked up.
        found = [by_id[row["id"]] for row in rest[:limit]]
        learned = self._learned(question, [e for e in found if not isinstance(e, AdObject)])
        rows = [
            _imported(question, each)
            if isinstance(each, AdObject)
            else row_of(question, each, family, learned)
            for each in found
        ]
        return page(question, [*rows, *rest[limit:]], _id_of, shape, limit)

    def _learned(self, question: Question, found: Sequence[Object]) -> Mapping[str, Learning]:
        if "learning_stage_info" not in question.fields:
            return {}
        account_id = question.account.account_id
        rules = self._catalog.reporting.rules(account_id)
        ad_sets = [each for each in found if isinstance(each, AdSet)]
        now_s = int(question.now.timestamp())
        return stages(self._engine, account_id, rules, ad_sets, now_s)

    def _family(self, question: Question) -> dict[str, Object]:
        """Everything that the account has, gone things too."""
        known, account_id = self._catalog.campaigns, question.account.account_id
        found: list[Object] = [
            *known.campaigns(account_id, with_gone=True),
            *known.ad_sets(account_id, with_gone=True),
            *known.ads(account_id, with_gone=True),
            *known.creatives(account_id, with_gone=True),
        ]
        return {id_of(each): each for each in found}

    def _parents(self, each: Object) -> dict[str, Object]:
        """What a row of this object refers to."""
        known, account_id = self._catalog.campaigns, each.account_id
        found: list[Object | None] = []
        if isinstance(each, AdSet | Ad):
            found.append(known.get(Campaign, account_id, each.campaign_id))
        if isinstance(each, Ad):
            found.append(known.get(AdSet, account_id, each.adset_id))
            found.append(known.get(Creative, account_id, each.creative_id))
        return {id_of(one): one for one in found if one is not None}


def _statuses(question: Question) -> set[str]:
    """The statuses that an edge asks for; empty where it asks for none."""
    text = question.parameters.get("effective_status", "")
    if not text:
        return set()
    try:
        return set(msgspec.json.decode(text, type=list[str]))
    except msgspec.DecodeError:
        message = '(#100) effective_status must be like ["ACTIVE", "PAUSED"]'
        raise invalid("effective_status", message) from None


def _is_wanted(each: Campaign | AdSet | Ad, family: Family, wanted: set[str]) -> bool:
    if not wanted:
        return each.status not in GONE
    parents = [family.get(object_id) for object_id in _above(each)]
    above = [parent for parent in parents if isinstance(parent, Campaign | AdSet)]
    return effective_status(each, *above) in wanted


def _above(each: Object) -> tuple[str, ...]:
    """The ids of the campaign and ad set that an object is part of."""
    if isinstance(each, Ad):
        return each.campaign_id, each.adset_id
    return (each.campaign_id,) if isinstance(each, AdSet) else ()


def _imported(question: Question, found: AdObject) -> Row:
    return {
        "id": found.id,
        "name": found.name,
        "account_id": question.account.account_id.removeprefix("act_"),
        "campaign_id": found.campaign_id,
        "adset_id": found.adset_id,
    }


def _id_of(row: Row) -> str:
    return str(row["id"])
