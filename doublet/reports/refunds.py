"""Refunds: what is left of the purchases that each campaign brought."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import SettingAsked
from doublet.reports.conversions import conversion_parameters, without_rate
from doublet.reports.credit import LEVELS, Level, credited, titles
from doublet.reports.paths import share
from doublet.reports.windows import setting_window

ZERO = Decimal(0)


class RefundsAsked(SettingAsked, frozen=True, kw_only=True):
    """`level` is what has a row of its own. A purchase belongs to the day on which it was made and
    to its last touch within the setting, however late its money goes back."""

    counts_all: ClassVar[bool] = True
    event_name: tuple[str, ...] = ("Purchase",)
    level: Level = "campaign"


class RefundRow(msgspec.Struct):
    """The purchases of one channel, campaign, ad set or ad (or, not attributed, of none): how many,
    how many of them had money refunded, were cancelled, or either (`returned_orders`), and net =
    gross - refunds - cancelled by now, in the account's currency; the share (0–1) is of gross, what
    went back. Purchases `without_ledger` have no order id, so that nothing is known of refunds."""

    is_attributed: bool
    channel: str | None
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    orders: int
    refunded_orders: int
    cancelled_orders: int
    returned_orders: int
    without_ledger: int
    gross: Decimal
    refunds: Decimal
    cancelled: Decimal
    net: Decimal
    returned_share: float | None


class RefundsReport(msgspec.Struct):
    """The rows by gross, what no touch claims last, and the total, the sum of all of them."""

    rows: list[RefundRow]
    total: RefundRow
    level: str
    setting: str
    currency: str
    without_rate: list[str]


def refunds(engine: Engine, account: Account, rates: Rates, asked: RefundsAsked) -> RefundsReport:
    """Net and gross of each campaign. Without rows when nobody bought."""
    given = conversion_parameters(account, rates, asked, whole_history=True)
    given |= {"depth": LEVELS.index(asked.level)}
    windows = [setting_window(asked.attribution)]
    found = credited(engine, given, "refunds", ("last_touch",), windows, "purchases")
    names = titles(engine, given)
    rows = [
        RefundRow(
            campaign_name=names.get(("campaign", row["campaign_id"] or "")),
            adset_name=names.get(("adset", row["adset_id"] or "")),
            ad_name=names.get(("ad", row["ad_id"] or "")),
            net=row["gross"] - row["refunds"] - row["cancelled"],
            returned_share=share(row["refunds"] + row["cancelled"], row["gross"]),
            **row,
        )
        for row in found
    ]
    rows.sort(key=lambda row: (not row.is_attributed, -row.gross, row.channel or ""))
    return RefundsReport(
        rows,
        _total(rows),
        asked.level,
        str(asked.attribution),
        account.currency,
        without_rate(engine, given),
    )


def _total(rows: list[RefundRow]) -> RefundRow:
    gross, back, cancelled = (
        sum((getattr(row, name) for row in rows), ZERO)
        for name in ("gross", "refunds", "cancelled")
    )
    return RefundRow(
        is_attributed=True,
        channel=None,
        campaign_id=None,
        campaign_name=None,
        adset_id=None,
        adset_name=None,
        ad_id=None,
        ad_name=None,
        orders=sum(row.orders for row in rows),
        refunded_orders=sum(row.refunded_orders for row in rows),
        cancelled_orders=sum(row.cancelled_orders for row in rows),
        returned_orders=sum(row.returned_orders for row in rows),
        without_ledger=sum(row.without_ledger for row in rows),
        gross=gross,
        refunds=back,
        cancelled=cancelled,
        net=gross - back - cancelled,
        returned_share=share(back + cancelled, gross),
    )
