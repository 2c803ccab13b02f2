"""Campaigns, ad sets and ads: their names, and which is part of which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import report_sql


def ad_names(engine: Engine, account: Account, ids: Iterable[str]) -> dict[tuple[str, str], str]:
    """The newest name of each of these, by level and id; what has none is missing."""
    wanted = {"account_id": account.account_id, "ids": sorted(set(ids))}
    found = engine.query(report_sql("ad_names"), wanted)
    return {(row["level"], row["id"]): row["name"] for row in found}


class AdObject(NamedTuple):
    """A campaign, ad set or ad, and what it is part of; None where nobody told."""

    level: str
    id: str
    name: str | None
    campaign_id: str | None
    adset_id: str | None


def ad_objects(
    engine: Engine,
    account: Account,
    *,
    level: str | None = None,
    object_id: str | None = None,
    parent_id: str | None = None,
    with_touches: bool = False,
) -> list[AdObject]:
    """Those that are known by an import, in the order of level and id; `with_touches` also those
    that only addresses or the ad log name."""
    found = engine.query(
        report_sql("ad_objects"),
        {
            "account_id": account.account_id,
            "level": level,
            "id": object_id,
            "parent_id": parent_id,
            "with_touches": with_touches,
        },
    )
    return [AdObject(**row) for row in found]


Ids = tuple[str | None, str | None, str | None]
"""Campaign, ad set and ad; None where nobody told."""


class Parents:
    """What the ads and ad sets of an account are part of; read when it is first needed."""

    def __init__(self, engine: Engine, account: Account) -> None:
        self._engine = engine
        self._account = account
        self._known: dict[tuple[str, str], tuple[str | None, str | None]] | None = None

    def complete(self, ids: Ids, depth: int) -> Ids:
        """The ids of a row, with those down to a depth (1 campaign, 2 ad set) that the finer ones
        tell."""
        campaign_id, adset_id, ad_id = ids
        if depth >= 1 and (campaign_id is None or (depth >= 2 and adset_id is None)):
            if ad_id is not None:
                found = self._of("ad", ad_id)
                campaign_id, adset_id = campaign_id or found[0], adset_id or found[1]
            if campaign_id is None and adset_id is not None:
                campaign_id = self._of("adset", adset_id)[0]
        return campaign_id, adset_id, ad_id

    def _of(self, level: str, object_id: str) -> tuple[str | None, str | None]:
        if self._known is None:
            limits = {"account_id": self._account.account_id}
            ads = self._engine.query(report_sql("ad_parents"), limits)
            adsets = self._engine.query(report_sql("adset_parents"), limits)
            self._known = {
                **{("ad", row["ad_id"]): (row["campaign_id"], row["adset_id"]) for row in ads},
                **{("adset", row["adset_id"]): (row["campaign_id"], None) for row in adsets},
            }
        return self._known.get((level, object_id), (None, None))
