"""Ad touches and days of ads as tests send them."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.accept import Arrival, ad_day_record, touch_record
from doublet.event import WireAdDay, WireTouch
from doublet.refusal import Refusal
from tests.factories import ACCOUNT, NOON, SECOND

NOW_S = NOON // SECOND
TODAY = "2026-05-28"
"""The day of NOON."""


def touch(**fields: Any) -> dict[str, Any]:
    """A touch that would be accepted, with `fields` in place of the usual ones; None leaves one
    out."""
    usual = {"kind": "click", "touched_at": NOW_S, "platform": "taboola", "click_id": "click-1"}
    return {name: value for name, value in {**usual, **fields}.items() if value is not None}


def ad_day(**fields: Any) -> dict[str, Any]:
    """The same for a day of an ad."""
    usual = {
        "platform": "meta",
        "date": TODAY,
        "campaign_id": "c1",
        "campaign_name": "Spring",
        "adset_id": "s1",
        "adset_name": "Berlin",
        "ad_id": "a1",
        "ad_name": "Red shoe",
        "impressions": 1000,
        "clicks": 20,
        "spend": "12.50",
        "currency": "EUR",
    }
    return {name: value for name, value in {**usual, **fields}.items() if value is not None}


def arrival(received_at: int = NOON, account_id: str = ACCOUNT) -> Arrival:
    """What arrives from a server at a moment."""
    return Arrival(account_id, "", "server", received_at, 0)


def touch_of(**fields: Any) -> dict[str, Any] | Refusal:
    """The record of a touch, or why there is none."""
    record = touch_record(msgspec.convert(touch(**fields), WireTouch), arrival())
    return record if isinstance(record, Refusal) else msgspec.json.decode(record)


def ad_day_of(**fields: Any) -> dict[str, Any] | Refusal:
    """The same for a day of an ad."""
    record = ad_day_record(msgspec.convert(ad_day(**fields), WireAdDay), arrival())
    return record if isinstance(record, Refusal) else msgspec.json.decode(record)


def make_ad_day(received_at: int = NOON, account_id: str = ACCOUNT, **fields: Any) -> bytes:
    """The record of an accepted day of an ad."""
    wire = msgspec.convert(ad_day(**fields), WireAdDay)
    record = ad_day_record(wire, arrival(received_at, account_id))
    assert isinstance(record, bytes), record
    return record


def make_touch(received_at: int = NOON, account_id: str = ACCOUNT, **fields: Any) -> bytes:
    """The record of an accepted touch."""
    wire = msgspec.convert(touch(**fields), WireTouch)
    record = touch_record(wire, arrival(received_at, account_id))
    assert isinstance(record, bytes), record
    return record
