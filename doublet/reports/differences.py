"""The difference report: what a platform claims to have brought, split from what is counted here.

From our figure to the platform's, one rule after the other is switched from ours to theirs, always
in this order; a part is what its rule changes, and what no rule explains is the last part, so that
the parts add up to the difference exactly:

1. window: clicks count as long as the platform counts them.
2. view_through: views count as the platform reports them, in place of those that are known here.
3. time_zone: days begin when the platform's do.
4. deduplication: copies that an order id joins here are two conversions, since their event ids
   differ, and that is what the platform goes by (Meta, *Handling duplicate events*).
5. unattributed: conversions that no touch claims here may be claimed by the platform, which
   recognises persons on more devices. At most as many as there are, and as are left to explain;
   where several platforms or campaigns want them, in proportion to what is left of each.
6. unexplained: the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports import bounds
from doublet.reports.asked import Setting, SettingAsked
from doublet.reports.conversions import ask, conversion_parameters, without_rate
from doublet.reports.credit import campaign_names, credited
from doublet.reports.platform_figures import UNIT, Figures, Key, Reported, read_reported
from doublet.reports.windows import Window

ZERO = Decimal(0)
_FAR_S = 1 << 60
PARTS = (
    "window",
    "view_through",
    "time_zone",
    "deduplication",
    "unattributed",
    "unexplained",
)


class DifferencesAsked(SettingAsked, frozen=True, kw_only=True):
    """`setting` is ours, `platform_setting` that of the platform's ad sets; `action_type` is under
    which name the platform reports these events, by default that of the first event."""

    level: Literal["platform", "campaign"] = "platform"
    event_name: tuple[str, ...] = ("Purchase",)
    platform_setting: str = str(Setting())
    action_type: str | None = None

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        SettingAsked.check(self)
        Setting.read(self.platform_setting)

    @property
    def reported_as(self) -> str:
        """The name of the action.

        >>> DifferencesAsked(event_name=("AddToCart",)).reported_as
        'add_to_cart'
        """
        return self.action_type or re.sub(r"(?<=.)(?=[A-Z])", "_", self.event_name[0]).lower()


class DifferencePart(msgspec.Struct):
    """How many conversions, and how much value in the account's currency, one rule explains of the
    difference (positive: the platform counts more), with what that means. The value is null where
    the platform's is not known."""

    part: str
    conversions: Decimal
    value: Decimal | None
    meaning: str


class DifferenceRow(msgspec.Struct):
    """One platform or campaign: what the platform reports, what is counted here, the difference
    (theirs less ours), and its parts, which add up to it. Both are of the days from `first_day` to
    `last_day`, the first and the last of those asked for that the platform told anything of; the
    platform's value is null where it told none with its conversions, or no rate converts it."""

    platform: str
    campaign_id: str | None
    campaign_name: str | None
    first_day: date
    last_day: date
    theirs: Decimal
    ours: Decimal
    difference: Decimal
    theirs_value: Decimal | None
    ours_value: Decimal
    difference_value: Decimal | None
    parts: list[DifferencePart]


class DifferencePartRow(msgspec.Struct):
    """One part of a DifferenceRow; the row's figures are repeated in each."""

    platform: str
    campaign_id: str | None
    campaign_name: str | None
    first_day: date
    last_day: date
    theirs: Decimal
    ours: Decimal
    theirs_value: Decimal | None
    ours_value: Decimal
    part: str
    conversions: Decimal
    value: Decimal | None
    meaning: str


class DifferencesReport(msgspec.Struct):
    """The rows, those of most difference first. `unattributed` conversions have no touch here."""

    rows: list[DifferenceRow]
    level: str
    action_type: str
    setting: str
    platform_setting: str
    currency: str
    unattributed: int
    without_rate: list[str]


def differences(
    engine: Engine, account: Account, rates: Rates, asked: DifferencesAsked
) -> DifferencesReport:
    """What platforms report, split from ours. Without rows where no platform's figures are here."""
    ours, theirs = asked.attribution, Setting.read(asked.platform_setting)
    given = conversion_parameters(account, rates, asked, whole_history=True)
    told = ask(engine, given, "reported")
    reported, unconverted = read_reported(told, asked.reported_as, theirs)
    days = _days_of(told)
    given |= {"depth": 2} | _spans(account, asked, days, told)
    windows = [
        Window("ours", ours),
        Window("clicks", ours._replace(click_days=theirs.click_days)),
        Window("theirs", theirs),
    ]
    found = credited(engine, given, "differences", ("last_touch",), windows)
    counted = {
        name: _sums(row for row in found if row["window_name"] == name)
        for name in ("ours", "clicks", "theirs")
    }
    platforms = {platform for platform, _ in reported}
    unvalued = {key for key, said in reported.items() if not said.is_valued}
    keys = sorted(
        {*reported, *(key for key in counted["theirs"] if key[0] in platforms)}
        | {key for key in counted["ours"] if key[0] in platforms},
        key=str,
    )
    pool = counted["theirs"].get(("", None), _Sums()).own
    split = _split(keys, counted, reported, pool)
    if asked.level == "platform":
        split = _by_platform(split)
        unvalued = {(platform, None) for platform, _ in unvalued}
    names = campaign_names(engine, given)
    rows = [
        _row(key, figures, names, days[key[0]], is_valued=key not in unvalued)
        for key, figures in split.items()
    ]
    rows.sort(key=lambda row: (-abs(row.difference), row.platform, row.campaign_id or ""))
    return DifferencesReport(
        rows=rows,
        level=asked.level,
        action_type=asked.reported_as,
        setting=str(ours),
        platform_setting=str(theirs),
        currency=account.currency,
        unattributed=int(pool.conversions),
        without_rate=sorted({*unconverted, *without_rate(engine, given)}),
    )


def part_rows(report: DifferencesReport) -> list[DifferencePartRow]:
    """The rows, one per part."""
    return [
        DifferencePartRow(
            **{
                name: getattr(part if name in part.__struct_fields__ else row, name)
                for name in DifferencePartRow.__struct_fields__
            }
        )
        for row in report.rows
        for part in row.parts
    ]


# --- what is counted here ----------------------------------------------------------------------


class _Sums(NamedTuple):
    """All conversions of a platform and campaign in a window; own: on the account's days."""

    own: Figures = Figures()
    shifted: Figures = Figures()
    views: Figures = Figures()
    doubled: Figures = Figures()


def _sums(rows: Iterable[Mapping[str, Any]]) -> dict[Key, _Sums]:
    """By platform and campaign; what no touch claims by an empty platform."""
    found: dict[Key, _Sums] = {}
    for row in rows:
        key = (row["platform"] if row["is_attributed"] else "", row["campaign_id"])
        own = Figures(Decimal(row["own"]), row["own_value"])
        before = found.get(key, _Sums())
        found[key] = _Sums(
            before.own + own,
            before.shifted + Figures(Decimal(row["shifted"]), row["shifted_value"]),
            before.views + (own if row["is_view"] else Figures()),
            before.doubled + Figures(Decimal(row["doubled"]), row["doubled_value"]),
        )
    return found


def _days_of(told: Iterable[Mapping[str, Any]]) -> dict[str, tuple[date, date]]:
    """The first and the last day of which each platform told anything."""
    found: dict[str, tuple[date, date]] = {}
    for row in told:
        first, last = found.get(row["platform"], (row["day"], row["day"]))
        found[row["platform"]] = min(first, row["day"]), max(last, row["day"])
    return found


def _spans(
    account: Account,
    asked: DifferencesAsked,
    days: Mapping[str, tuple[date, date]],
    told: Iterable[Mapping[str, Any]],
) -> dict[str, list[Any] | int | None]:
    """When the days of each platform begin and end, here and in its zone; and what holds both, so
    that no more is read. What is not compared with anything is of all these days."""
    zones = {row["platform"]: row["time_zone"] for row in told if row["time_zone"]}
    own, theirs = {}, {}
    for platform, (first, last) in days.items():
        its_days = msgspec.structs.replace(asked, since=first, until=last)
        own[platform] = theirs[platform] = _span(account, its_days)
        if _is_zone(zone := zones.get(platform, account.time_zone)):
            theirs[platform] = _span(msgspec.structs.replace(account, time_zone=zone), its_days)
    whole = [*own.values()] or [_span(account, asked)]
    both = [*whole, *theirs.values()]
    return {
        "own_since": min(span[0] for span in whole),
        "own_until": max(span[1] for span in whole),
        "platforms": list(days),
        "own_sinces": [span[0] for span in own.values()],
        "own_untils": [span[1] for span in own.values()],
        "platform_since": [span[0] for span in theirs.values()],
        "platform_until": [span[1] for span in theirs.values()],
        "since": min(span[0] for span in both),
        "until": max(span[1] for span in both),
    }


def _span(account: Account, asked: DifferencesAsked) -> tuple[int, int]:
    start, end = bounds(account, asked.since, asked.until)
    return -_FAR_S if start is None else start, _FAR_S if end is None else end


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


# --- the split -------------------------------------------------------------------------------


class _Split(NamedTuple):
    theirs: Figures
    ours: Figures
    parts: dict[str, Figures]


def _split(
    keys: Iterable[Key],
    counted: Mapping[str, Mapping[Key, _Sums]],
    reported: Mapping[Key, Reported],
    pool: Figures,
) -> dict[Key, _Split]:
    found = {}
    for key in keys:
        ours, clicks, theirs = (counted[n].get(key, _Sums()) for n in ("ours", "clicks", "theirs"))
        said = reported.get(key, Reported(Figures(), Figures()))
        views = theirs.views if said.views is None else said.views
        parts = {
            "window": clicks.own - ours.own,
            "view_through": theirs.own - clicks.own + (views - theirs.views),
            "time_zone": theirs.shifted - theirs.own,
            "deduplication": theirs.doubled,
        }
        found[key] = _Split(said.total, ours.own, parts)
    shares = _shared(pool, {key: _left(split) for key, split in found.items()})
    for key, split in found.items():
        split.parts["unattributed"] = shares[key]
        split.parts["unexplained"] = _left(split)
    return found


def _left(split: _Split) -> Figures:
    left = split.theirs - split.ours
    for part in split.parts.values():
        left = left - part
    return left


def _shared(pool: Figures, left: Mapping[Key, Figures]) -> dict[Key, Figures]:
    """Who of those with something left gets how much of the pool: platforms by what is left of them
    as a whole, within a platform its campaigns."""
    by_platform: dict[Key, Figures] = {}
    for (platform, _), figures in left.items():
        by_platform[platform, None] = by_platform.get((platform, None), Figures()) + figures
    found = dict.fromkeys(left, Figures())
    for n, unit in enumerate((Decimal(1), UNIT)):
        wishes = {key: figures[n] for key, figures in by_platform.items()}
        for (platform, _), amount in portions(pool[n], wishes, unit).items():
            own = {key: figures[n] for key, figures in left.items() if key[0] == platform}
            for key, part in portions(amount, own, unit).items():
                found[key] += Figures(part, ZERO) if n == 0 else Figures(ZERO, part)
    return found


def portions(pool: Decimal, wishes: Mapping[Any, Decimal], unit: Decimal) -> dict[Any, Decimal]:
    """A pool in proportion to wishes above zero, nobody more than wished, in whole units by largest
    remainder.

    >>> portions(Decimal(2), {"a": Decimal(3), "b": Decimal(1), "c": Decimal(-9)}, Decimal(1))
    {'a': Decimal('2'), 'b': Decimal('0')}
    """
    wanted = {key: wish for key, wish in wishes.items() if wish > 0}
    whole = sum(wanted.values(), ZERO)
    if pool <= 0 or not whole:
        return {}
    if whole <= pool:
        return wanted
    exact = {key: pool * wish / whole / unit for key, wish in wanted.items()}
    units = {key: int(count) for key, count in exact.items()}
    missing = int(pool / unit) - sum(units.values())
    order = sorted(exact, key=lambda key: (units[key] - exact[key], str(key)))
    for key in order[:missing]:
        units[key] += 1
    # A wish that is no whole number of units may lie below the next one.
    return {key: min(count * unit, wanted[key]) for key, count in units.items()}


def _by_platform(split: Mapping[Key, _Split]) -> dict[Key, _Split]:
    found: dict[Key, _Split] = {}
    for (platform, _), one in split.items():
        before = found.get((platform, None))
        if before is None:
            found[platform, None] = one
        else:
            parts = {name: before.parts[name] + one.parts[name] for name in PARTS}
            found[platform, None] = _Split(
                before.theirs + one.theirs, before.ours + one.ours, parts
            )
    return found


# --- in words --------------------------------------------------------------------------------

_MEANINGS = {
    "window": "The platform lets clicks claim conversions for another time than is asked for here.",
    "view_through": (
        "The platform counts who saw an ad without a click. Meta tells nobody who that was, so "
        "that it is not observable from here, unless an ad log says it."
    ),
    "time_zone": "The platform's days begin in another time zone, so that they hold other hours.",
    "deduplication": (
        "An order id makes one of copies here whose event ids differ, and the platform counts "
        "both. Send the same event_id from both sides."
    ),
    "unattributed": (
        "Conversions that no touch claims here, as many as the platform may have claimed: it "
        "recognises persons on more devices."
    ),
    "unexplained": "What none of these rules explains, such as estimates of the platform.",
}


def _row(
    key: Key,
    split: _Split,
    names: Mapping[str, str],
    days: tuple[date, date],
    *,
    is_valued: bool,
) -> DifferenceRow:
    platform, campaign_id = key
    difference = split.theirs - split.ours
    return DifferenceRow(
        platform=platform,
        campaign_id=campaign_id,
        campaign_name=names.get(campaign_id or ""),
        first_day=days[0],
        last_day=days[1],
        theirs=split.theirs.conversions,
        ours=split.ours.conversions,
        difference=difference.conversions,
        theirs_value=split.theirs.value if is_valued else None,
        ours_value=split.ours.value,
        difference_value=difference.value if is_valued else None,
        parts=[
            DifferencePart(
                name,
                split.parts[name].conversions,
                split.parts[name].value if is_valued else None,
                _MEANINGS[name],
            )
            for name in PARTS
        ],
    )
