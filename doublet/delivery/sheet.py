"""Campaigns as a sheet, out of the catalog and into it: a row per ad with its campaign and ad set.

An empty cell says nothing: what is there stays, what is new gets the usual value. `none` empties a
list or a moment. Objects are found by id, or by name within what they are part of, so that the same
sheet may be taken in again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account, Ad, AdSet, Campaign, Catalog, Creative, FrequencyCap
from doublet.delivery.objects import ObjectError

NONE = "none"
BETWEEN = " | "
"""Between the parts of a list in a cell."""

_FIRST_YEAR, _LAST_YEAR = 1970, 2099
_FORMULA = re.compile(r"'(?=[=+\-@\t\r\n＝＋－＠])")
"""What keeps a spreadsheet from running a cell that was exported."""


class SheetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One ad, or an ad set or campaign that has none yet. Amounts are in the account's currency,
    `roas_floor` is return ÷ spend, moments are ISO 8601 (without an offset by the account's
    clocks), `frequency` is like `2/7` for twice in seven days; parts of a list have | between."""

    campaign_id: str = ""
    campaign: str = ""
    campaign_status: str = ""
    objective: str = ""
    holdout_share: str = ""
    adset_id: str = ""
    adset: str = ""
    adset_status: str = ""
    optimization_goal: str = ""
    event_name: str = ""
    pixel_id: str = ""
    billing_event: str = ""
    bid_strategy: str = ""
    bid_amount: str = ""
    roas_floor: str = ""
    daily_budget: str = ""
    lifetime_budget: str = ""
    start_time: str = ""
    end_time: str = ""
    included: str = ""
    excluded: str = ""
    placements: str = ""
    frequency: str = ""
    ad_id: str = ""
    ad: str = ""
    ad_status: str = ""
    title: str = ""
    body: str = ""
    description: str = ""
    call_to_action: str = ""
    link_url: str = ""
    image_url: str = ""


COLUMNS: tuple[str, ...] = SheetRow.__struct_fields__
CONTENT = ("title", "body", "description", "call_to_action", "link_url", "image_url")
"""What a creative says."""


class Read(NamedTuple):
    """What a row says of each object: its id, if any, and the fields that have a cell."""

    campaign_id: str
    campaign: dict[str, Any]
    adset_id: str
    ad_set: dict[str, Any]
    ad_id: str
    ad: dict[str, Any]
    creative: dict[str, Any]


def rows_of(catalog: Catalog, account: Account) -> Iterator[SheetRow]:
    """All that an account has, the oldest campaign first; without what is archived or deleted."""
    store, account_id = catalog.campaigns, account.account_id
    creatives = {each.creative_id: each for each in store.creatives(account_id)}
    ad_sets: dict[str, list[AdSet]] = {}
    for ad_set in store.ad_sets(account_id):
        ad_sets.setdefault(ad_set.campaign_id, []).append(ad_set)
    ads: dict[str, list[Ad]] = {}
    for ad in store.ads(account_id):
        ads.setdefault(ad.adset_id, []).append(ad)
    zone = ZoneInfo(account.time_zone)
    for campaign in store.campaigns(account_id):
        of_campaign = _of_campaign(campaign)
        if campaign.campaign_id not in ad_sets:
            yield SheetRow(**of_campaign)
        for ad_set in ad_sets.get(campaign.campaign_id, []):
            of_ad_set = {**of_campaign, **_of_ad_set(ad_set, zone)}
            if ad_set.adset_id not in ads:
                yield SheetRow(**of_ad_set)
            for ad in ads.get(ad_set.adset_id, []):
                yield SheetRow(**of_ad_set, **_of_ad(ad, creatives[ad.creative_id]))


def _of_campaign(each: Campaign) -> dict[str, str]:
    return {
        "campaign_id": each.campaign_id,
        "campaign": each.name,
        "campaign_status": each.status,
        "objective": each.objective,
        "holdout_share": f"{each.holdout_share:g}",
    }


def _of_ad_set(each: AdSet, zone: ZoneInfo) -> dict[str, str]:
    return {
        "adset_id": each.adset_id,
        "adset": each.name,
        "adset_status": each.status,
        "optimization_goal": each.optimization_goal,
        "event_name": each.event_name,
        "pixel_id": each.pixel_id,
        "billing_event": each.billing_event,
        "bid_strategy": each.bid_strategy,
        "bid_amount": amount_text(each.bid_amount),
        "roas_floor": f"{each.roas_floor:g}" if each.roas_floor else "",
        "daily_budget": amount_text(each.daily_budget),
        "lifetime_budget": amount_text(each.lifetime_budget),
        "start_time": _moment_text(each.start_time, zone),
        "end_time": _moment_text(each.end_time, zone),
        "included": BETWEEN.join(each.included) or NONE,
        "excluded": BETWEEN.join(each.excluded) or NONE,
        "placements": BETWEEN.join(each.placements) or NONE,
        "frequency": BETWEEN.join(f"{c.max_frequency}/{c.interval_days}" for c in each.frequency)
        or NONE,
    }


def _of_ad(each: Ad, creative: Creative) -> dict[str, str]:
    content = {name: getattr(creative, name) for name in CONTENT}
    return {"ad_id": each.ad_id, "ad": each.name, "ad_status": each.status, **content}


def amount_text(amount: int) -> str:
    """Hundredths as an amount of the currency; nothing for none."""
    return f"{amount // 100}.{amount % 100:02}" if amount else ""


def _moment_text(at_s: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).isoformat() if at_s else NONE


# --- reading ---------------------------------------------------------------------------------


def read_row(cells: Mapping[str, str | None], audiences: Mapping[str, str], zone: ZoneInfo) -> Read:
    """What a row says; `audiences` leads from ids and names to ids. Raises ObjectError for a cell
    that cannot be read."""
    said = {
        name: _FORMULA.sub("", text).strip()
        for name, text in cells.items()
        if name in COLUMNS and text and text.strip()
    }
    readers = _readers(audiences, zone)
    values = {name: readers.get(name, str)(text) for name, text in said.items()}

    def named(*pairs: str) -> dict[str, Any]:
        names = (pair.partition("=") for pair in pairs)
        return {kept or name: values[name] for name, _, kept in names if name in values}

    ad_set = named(
        *("adset=name", "adset_status=status", "optimization_goal", "event_name", "pixel_id"),
        *("billing_event", "bid_strategy", "bid_amount", "roas_floor", "daily_budget"),
        *("lifetime_budget", "start_time", "end_time", "included", "excluded", "placements"),
        "frequency",
    )
    for one, other in (
        ("daily_budget", "lifetime_budget"),
        ("lifetime_budget", "daily_budget"),
    ):
        if ad_set.get(one) and other not in ad_set:
            ad_set[other] = 0
    return Read(
        said.get("campaign_id", ""),
        named("campaign=name", "campaign_status=status", "objective", "holdout_share"),
        said.get("adset_id", ""),
        ad_set,
        said.get("ad_id", ""),
        named("ad=name", "ad_status=status"),
        named(*CONTENT),
    )


def _readers(audiences: Mapping[str, str], zone: ZoneInfo) -> dict[str, Callable[[str], Any]]:
    def moment(text: str) -> int:
        if text.casefold() == NONE:
            return 0
        try:
            read = datetime.fromisoformat(text)
            if not _FIRST_YEAR <= read.year <= _LAST_YEAR:
                raise ValueError
            return int((read if read.tzinfo else read.replace(tzinfo=zone)).timestamp())
        except (ValueError, OverflowError):
            message = f"{_shown(text)} is no moment."
            raise ObjectError("start_time", message, "Write 2026-12-01T09:00.") from None

    def ids(text: str) -> tuple[str, ...]:
        if unknown := [each for each in _parts(text) if each not in audiences]:
            message = f"The account has no audience {_shown(unknown[0])}, or more than one."
            raise ObjectError("targeting", message, "`doublet audience list` shows them.")
        return tuple(dict.fromkeys(audiences[each] for each in _parts(text)))

    amounts = dict.fromkeys(("bid_amount", "daily_budget", "lifetime_budget"), read_amount)
    return {
        **amounts,
        **dict.fromkeys(("holdout_share", "roas_floor"), _number),
        **dict.fromkeys(("start_time", "end_time"), moment),
        **dict.fromkeys(("included", "excluded"), ids),
        "placements": lambda text: tuple(dict.fromkeys(_parts(text))),
        "frequency": lambda text: tuple(map(_cap, _parts(text))),
    }


def read_amount(text: str) -> int:
    """An amount of the currency in hundredths. Raises ObjectError."""
    try:
        amount = Decimal(text) * 100
        if amount.is_finite() and 0 <= amount < 10**13 and amount == int(amount):
            return int(amount)
    except ArithmeticError:
        pass
    message = f"{_shown(text)} is no amount."
    raise ObjectError("amount", message, "Write it like 50 or 49.90, without a currency.")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"{_shown(text)} is no number."
        raise ObjectError("number", message, "Write it like 0.1, with a point.") from None


def _cap(text: str) -> FrequencyCap:
    times, _, days = text.partition("/")
    if not (times.isdecimal() and days.isdecimal() and len(text) < 12):
        message = f"{_shown(text)} says no frequency."
        raise ObjectError("frequency", message, "Write 2/7 for twice in seven days.")
    return FrequencyCap(int(days), int(times))


def _parts(text: str) -> list[str]:
    if text.casefold() == NONE:
        return []
    return [each for part in text.split("|") if (each := part.strip())]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def check_columns(names: Iterable[str]) -> None:
    """Raises ObjectError for a title of a column that means nothing, or for none that does."""
    found = [name for name in names if name]
    if unknown := [name for name in found if name not in COLUMNS]:
        message = f"The column {_shown(unknown[0])} means nothing here."
        raise ObjectError("columns", message, f"The columns are {', '.join(COLUMNS)}.")
    if not found:
        raise ObjectError("columns", "The sheet has no titles.", f"Write {', '.join(COLUMNS)}.")
