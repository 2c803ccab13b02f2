"""What the server's copies brought: conversions that no browser reported."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import SettingAsked
from doublet.reports.conversions import conversion_parameters, without_rate
from doublet.reports.credit import campaign_names, credited
from doublet.reports.paths import share
from doublet.reports.windows import setting_window

_DEPTHS = {"name": 0, "channel": 1, "campaign": 2}


class ServerExtraAsked(SettingAsked, frozen=True, kw_only=True):
    """A row per event name, or per channel or campaign by the last touch within the attribution
    setting."""

    by: Literal["name", "channel", "campaign"] = "name"


class ServerExtraRow(msgspec.Struct):
    """One event name, channel or campaign: all conversions, and `extra`, those that only the
    server reported (its share, 0–1, of all); of these, those that an ad claims; and their values in
    the account's currency. Without a channel are, by channel and campaign, those that no ad
    claims."""

    event_name: str | None
    channel: str | None
    campaign_id: str | None
    campaign_name: str | None
    conversions: int
    extra: int
    share: float | None
    extra_attributed: int
    extra_unattributed: int
    value: Decimal
    extra_value: Decimal
    extra_attributed_value: Decimal
    extra_unattributed_value: Decimal


class ServerExtraReport(msgspec.Struct):
    """The rows, those with most `extra` first, and their sums."""

    rows: list[ServerExtraRow]
    conversions: int
    extra: int
    extra_attributed: int
    extra_unattributed: int
    value: Decimal
    extra_value: Decimal
    extra_attributed_value: Decimal
    extra_unattributed_value: Decimal
    setting: str
    currency: str
    without_rate: list[str]


def server_extra(
    engine: Engine, account: Account, rates: Rates, asked: ServerExtraAsked
) -> ServerExtraReport:
    """Additional conversions that only the server reported. Empty when nothing was converted."""
    given = conversion_parameters(account, rates, asked)
    given |= {"by_name": asked.by == "name", "depth": _DEPTHS[asked.by]}
    names = campaign_names(engine, given)
    rows = []
    window = setting_window(asked.attribution)
    for row in credited(engine, given, "server_extra", ("last_touch",), [window]):
        others = row["extra"] - row["extra_attributed"]
        others_value = row["extra_value"] - row["extra_attributed_value"]
        rows.append(
            ServerExtraRow(
                share=share(row["extra"], row["conversions"]),
                extra_unattributed=others,
                extra_unattributed_value=others_value,
                campaign_name=names.get(row["campaign_id"]),
                **row,
            )
        )
    zero = Decimal(0)
    return ServerExtraReport(
        rows,
        sum(row.conversions for row in rows),
        sum(row.extra for row in rows),
        sum(row.extra_attributed for row in rows),
        sum(row.extra_unattributed for row in rows),
        sum((row.value for row in rows), zero),
        sum((row.extra_value for row in rows), zero),
        sum((row.extra_attributed_value for row in rows), zero),
        sum((row.extra_unattributed_value for row in rows), zero),
        str(asked.attribution),
        account.currency,
        without_rate(engine, given),
    )
