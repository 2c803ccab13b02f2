"""Credit in long form: each conversion with the touches that have a share of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rates import Rates
from doublet.reports.conversions import conversion_parameters, without_rate
from doublet.reports.credit import LEVELS, ModelsAsked, credited, titles
from doublet.reports.windows import DEFAULT


class CreditsAsked(ModelsAsked, frozen=True, kw_only=True):
    """`limit` is how many rows there are at most, of each model and window alike."""

    window: tuple[str, ...] = (DEFAULT,)
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000


class CreditRow(msgspec.Struct):
    """What one touch has of one conversion under a model and a window: its share (0–1; those of a
    conversion add up to 1) and its part of the value, in the account's currency. `kind` is click,
    engaged_view or view; without one no touch has a share, and the whole stands here. An id is None
    where the touch names none. Persons have the number that `doublet person` shows."""

    event_at: datetime
    event_name: str
    event_id: str | None
    order_id: str | None
    person_id: int | None
    model: str
    window: str
    kind: str | None
    touched_at: datetime | None
    channel: str | None
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    share: Decimal
    value: Decimal


class CreditsReport(msgspec.Struct):
    """The rows by conversion, the oldest first. Where there are more than were asked for,
    `is_complete` is false, and the last conversions are missing, none of them in part."""

    setting: str
    currency: str
    rows: list[CreditRow]
    is_complete: bool
    without_rate: list[str]


def credits(engine: Engine, account: Account, rates: Rates, asked: CreditsAsked) -> CreditsReport:
    """Each conversion and its touches. Empty when nothing was converted. Raises SenderError when
    not even one conversion is within the limit."""
    given = conversion_parameters(account, rates, asked)
    given |= {"depth": LEVELS.index("ad"), "shares_max": asked.limit + 1}
    found = credited(engine, given, "credits", asked.model, asked.windows())
    found.sort(key=_order)
    kept = _whole_conversions(found, asked.limit)
    names = titles(engine, given)
    rows = [
        CreditRow(
            event_at=datetime.fromtimestamp(row["event_time"], UTC),
            event_name=row["event_name"],
            event_id=row["event_id"],
            order_id=row["order_id"],
            person_id=row["person_id"],
            model=row["model"],
            window=row["window_name"],
            kind=row["kind"],
            touched_at=_moment(row["touched_time"]),
            channel=row["channel"],
            campaign_id=row["campaign_id"],
            campaign_name=names.get(("campaign", row["campaign_id"] or "")),
            adset_id=row["adset_id"],
            adset_name=names.get(("adset", row["adset_id"] or "")),
            ad_id=row["ad_id"],
            ad_name=names.get(("ad", row["ad_id"] or "")),
            share=row["share"],
            value=row["value"],
        )
        for row in kept
    ]
    return CreditsReport(
        str(asked.attribution),
        account.currency,
        rows,
        len(kept) == len(found),
        without_rate(engine, given),
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _conversion(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["event_time"], row["pixel_id"], row["event_key"], row["anchor_at"])


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return (*_conversion(row), row["model"], row["window_name"], row["touched_time"] or 0)


def _whole_conversions(found: Sequence[dict[str, Any]], limit: int) -> Sequence[dict[str, Any]]:
    """The first rows, without a conversion that would be cut in two."""
    if len(found) <= limit:
        return found
    end = limit
    while end and _conversion(found[end - 1]) == _conversion(found[limit]):
        end -= 1
    if not end:
        raise SenderError(f"The first conversion has more than {limit} rows.", "Raise limit.")
    return found[:end]
