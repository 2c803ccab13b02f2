"""A shop whose eight ads had a week of delivery and some conversions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from facebook_business.adobjects.adaccount import AdAccount

from tests.dashboard import Site
from tests.reports.tables import COUNTED, conversion, insert

ZONE = ZoneInfo("Europe/Berlin")
TODAY = datetime.now(ZONE).date()
DAY_S = 86_400
LAST_WEEK = {
    "since": (TODAY - timedelta(7)).isoformat(),
    "until": (TODAY - timedelta(1)).isoformat(),
}


def noon_s(days_ago: int) -> int:
    """Noon of a day of the shop, in Unix seconds."""
    day = TODAY - timedelta(days_ago)
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=ZONE).timestamp())


def ids(number: int) -> dict[str, str]:
    """The ids of an ad; two to an ad set, four to a campaign."""
    return {
        "campaign_id": f"1200{number // 4:06}",
        "adset_id": f"1300{number // 2:06}",
        "ad_id": f"1400{number:06}",
    }


def touched(kind: str, number: int, at: int) -> dict[str, Any]:
    """The last touch of a kind, of a conversion."""
    named = {f"{kind}_{name}": value for name, value in ids(number).items()}
    place = {f"{kind}_placement": ("feed", "story")[number % 2]}
    return {
        f"{kind}_time": at,
        f"{kind}_key": number,
        f"{kind}_platform": "meta",
        **place,
        **named,
    }


def fill(site: Site) -> None:
    """Eight ads; ad n had 1000 impressions a day, n clicks and n euros, and n purchases by click on
    the first of seven days, one of them in a store; ad 1 a lead by view."""
    engine = site.pipeline.engine
    mine = {"account_id": site.ours.account.account_id}
    names = [
        {
            **mine,
            "platform": "meta",
            "level": "ad",
            "campaign_name": f"Campaign {n // 4}",
            "adset_name": f"Set {n // 2}",
            "ad_name": f"Ad {n}",
            **ids(n),
        }
        for n in range(8)
    ]
    insert(engine, "ads", names)
    days = [
        {
            **mine,
            "platform": "meta",
            "level": "ad",
            "date": TODAY - timedelta(ago),
            "impressions": 1000,
            "clicks": n,
            "reach": 500,
            "spend": n,
            "currency": "EUR",
            **COUNTED,
            **ids(n),
        }
        for n in range(8)
        for ago in range(1, 8)
    ]
    insert(engine, "ad_days", days)
    at, rows = noon_s(7), []
    for n in range(8):
        for k in range(n):
            source = "physical_store" if k == 0 else "website"
            rows.append(
                conversion(
                    100 * n + k,
                    at + k,
                    value=20,
                    currency="EUR",
                    action_source=source,
                    **mine,
                    **touched("click", n, at - DAY_S * 2),
                )
            )
    shown = touched("view", 1, at - 60)
    rows.append(conversion(9999, at, event_name="Lead", value=None, **mine, **shown))
    insert(engine, "conversions", rows)


def account(site: Site) -> AdAccount:
    """Our shop's account for the SDK."""
    return AdAccount(site.ours.account.account_id)
