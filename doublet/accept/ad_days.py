"""What platforms say of campaigns, ad sets and ads becomes records: names, spend, counts by day.

A later row of the same ad and day replaces an earlier one, as platforms correct their figures for
weeks. A row without a date says what something is called, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept.batch import accept_batch, kept_batch, read_batch
from doublet.accept.fields import Fault, plain, read_amount, read_currency
from doublet.accept.platforms import is_known, read_ad_id, read_name, read_platform
from doublet.accept.steps import Arrival
from doublet.event import AdDay, AdDaysRequest, Reported, WireAdDay, encode
from doublet.refusal import Reason, Refusal

AD_LEVELS = ("campaign", "adset", "ad")
"""From the whole to its parts; each has the columns `LEVEL_id` and `LEVEL_name`."""

COUNTS = ("impressions", "clicks", "reach")
FIGURES = (*COUNTS, "spend", "reported")
"""What only a row with a date can say."""

COUNT_MAX = 10**15
REPORTED_SIZE_BYTES_MAX = 64 << 10
_FIRST_DAY = date(2000, 1, 1)

_is_action = re.compile(r"[A-Za-z0-9_.:-]{1,200}").fullmatch
_is_window = re.compile(r"[a-z0-9_]{1,40}").fullmatch
_is_day = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_KEPT: dict[str, Callable[[str], object]] = {
    "platform": is_known,
    "level": re.compile(r"[a-z]{1,20}").fullmatch,
    "date": re.compile(r"[0-9.:/TZ+-]{1,40}").fullmatch,
    **dict.fromkeys((*COUNTS, "spend"), re.compile(r"-?[0-9]{1,18}([.,][0-9]{1,9})?").fullmatch),
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
    "time_zone": re.compile(r"[A-Za-z0-9_+/-]{1,60}").fullmatch,
}
_IDS = tuple(f"{level}_id" for level in AD_LEVELS)

_decode_request = msgspec.json.Decoder(AdDaysRequest).decode


def read_ad_days(body: bytes) -> AdDaysRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    return read_batch(body, _decode_request, Reason.INVALID_AD_DAY)


def accept_ad_days(request: AdDaysRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad row refuses all."""

    def make(wire: WireAdDay, index: int) -> bytes | Refusal:
        return ad_day_record(wire, arrival)

    return accept_batch(request.data, ("row", "rows"), make)


def ad_day_record(wire: WireAdDay, arrival: Arrival) -> bytes | Refusal:
    """The record of one row, or why there is none; `Refusal.field` is the field's own name."""
    try:
        return encode(_ad_day(wire, arrival))
    except Fault as fault:
        return Refusal(Reason.INVALID_AD_DAY, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "The row is not valid UTF-8.")


def kept_ad_days(body: bytes) -> Any:
    """What an operator may see of a refused request: of each row the ids and figures, as far as
    they look like what they should be; None when it is unreadable."""
    return kept_batch(body, _KEPT, _IDS)


def _ad_day(wire: WireAdDay, arrival: Arrival) -> AdDay:
    platform = read_platform(wire.platform)
    campaign_id, adset_id, ad_id = (read_ad_id(field, getattr(wire, field)) for field in _IDS)
    level = _level(wire.level, {"campaign": campaign_id, "adset": adset_id, "ad": ad_id})
    names = [read_name(getattr(wire, f"{each}_name")) for each in AD_LEVELS]
    day = _day(wire.date, arrival.received_at)
    impressions, clicks, reach = (_count(field, getattr(wire, field)) for field in COUNTS)
    spend, currency = _spend(wire.spend), read_currency(wire.currency)
    reported = _reported(wire.reported)
    if spend is not None and currency is None:
        raise Fault("spend needs a currency, such as EUR.", "currency")
    said = (impressions, clicks, reach, spend, reported)
    has_figures = any(each is not None for each in said)
    if day is None and has_figures:
        raise Fault("date is missing; only names can be said without a day.", "date")
    if not has_figures and not any(names):
        raise Fault("The row says nothing: give a date with figures, or a name.", "date")
    return AdDay(
        "ad_day",
        arrival.account_id,
        arrival.source,
        arrival.received_at,
        platform,
        level,
        day,
        campaign_id,
        names[0],
        adset_id,
        names[1],
        ad_id,
        names[2],
        impressions,
        clicks,
        reach,
        spend,
        currency,
        reported,
        _time_zone(wire.time_zone),
    )


def _level(given: str | None, ids: dict[str, str | None]) -> str:
    """The level that is said, else the finest one with an id; its own id there, and none below."""
    level = (given or "").strip().lower()
    if not level:
        named = [each for each in AD_LEVELS if ids[each]]
        if not named:
            raise Fault("The row is of nothing: give campaign_id, adset_id or ad_id.", "ad_id")
        return named[-1]
    if level not in AD_LEVELS:
        raise Fault(f"level is none of {', '.join(AD_LEVELS)}.", "level")
    if not ids[level]:
        raise Fault(f"A row of level {level} needs {level}_id.", f"{level}_id")
    below = [each for each in AD_LEVELS[AD_LEVELS.index(level) + 1 :] if ids[each]]
    if below:
        raise Fault(
            f"A row of level {level} names {below[-1]}_id; it is of level {below[-1]}, or that "
            "column does not belong here.",
            "level",
        )
    return level


def _day(given: str | None, received_at: int) -> str | None:
    text = (given or "").strip()
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _is_day(text) else None
    except ValueError:
        day = None
    if day is None:
        raise Fault("date is no day; write 2026-11-01.", "date")
    today = datetime.fromtimestamp(received_at / 1e6, UTC).date()
    if not _FIRST_DAY <= day <= today + timedelta(days=1):
        raise Fault("date is in the future, or before the year 2000.", "date")
    return text


def _count(field: str, given: object) -> int | None:
    if given is None or given == "":
        return None
    amount = read_amount(field, given)
    if amount < 0 or amount != amount.to_integral_value() or amount >= COUNT_MAX:
        raise Fault(f"{field} is no whole number from 0 on.", field)
    return int(amount)


def _spend(given: object) -> str | None:
    if given is None or given == "":
        return None
    amount = read_amount("spend", given)
    if amount < 0:
        raise Fault("spend must not be below zero.", "spend")
    return plain(amount)


def _reported(given: Reported | None) -> dict[str, dict[str, dict[str, str]]] | None:
    if not given:
        return None
    found: dict[str, dict[str, dict[str, str]]] = {}
    for action, windows in given.items():
        if not _is_action(action) or not all(map(_is_window, windows)):
            raise Fault(
                "reported has an action type or a window that is none; they are words such as "
                "purchase and 7d_click.",
                "reported",
            )
        for window, figure in windows.items():
            said = {
                name: plain(read_amount("reported", number))
                for name, number in (("count", figure.count), ("value", figure.value))
                if number is not None
            }
            if said:
                found.setdefault(action, {})[window] = said
    if len(encode(found)) > REPORTED_SIZE_BYTES_MAX:
        raise Fault(
            f"reported is larger than {REPORTED_SIZE_BYTES_MAX} bytes; leave some action types "
            "out.",
            "reported",
        )
    return found or None


def _time_zone(given: str | None) -> str | None:
    name = (given or "").strip()
    if not name:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Fault("time_zone is no IANA name such as Europe/Berlin.", "time_zone") from None
    return name
