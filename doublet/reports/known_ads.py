"""What is known of ads: the names that platforms gave, and what their days add up to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import report_sql


class KnownAdRow(msgspec.Struct):
    """A campaign, an ad set or an ad (`level`) and a currency: its latest name, what it belongs to,
    and the sums of the days that were told of it. A campaign's sums are those of its ads, or where
    none were told of a day, its own."""

    platform: str
    level: str
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    first_date: date | None
    last_date: date | None
    days: int
    impressions: int
    clicks: int
    spend: Decimal
    currency: str | None


def known_ads(
    engine: Engine, account: Account, *, since: date | None = None, until: date | None = None
) -> list[KnownAdRow]:
    """Per platform, campaign, ad set and ad. Days are those of the platforms' own accounts. Empty
    when nothing was told."""
    found = engine.query(
        report_sql("known_ads"),
        {"account_id": account.account_id, "since": since, "until": until},
    )
    return [KnownAdRow(**row) for row in found]
