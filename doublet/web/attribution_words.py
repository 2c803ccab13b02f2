"""What attribution is called on pages: models, windows, rows of campaigns, and what differs between
two ways of counting, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from doublet.reports.asked import Setting
from doublet.reports.campaigns import CampaignResult, CampaignRow, CampaignsReport
from doublet.reports.credit import LEVELS
from doublet.reports.windows import DEFAULT
from doublet.web.attribution import Answered

MODELS = {
    "last_touch": "Last touch",
    "first_touch": "First touch",
    "linear": "Linear",
    "time_decay": "Time decay",
    "position_based": "Position based",
    "markov": "Markov",
    "shapley": "Shapley",
}
MODEL_HINTS = {
    "last_touch": "all to the last touch, as platforms report",
    "first_touch": "all to the first touch",
    "linear": "the same to each touch",
    "time_decay": "half as much to a touch 7 days older",
    "position_based": "40 % each to the first and the last",
    "markov": "by what is lost without a campaign",
    "shapley": "by what a campaign adds to the others",
}
WINDOWS = {
    DEFAULT: "Whole setting",
    "1d_click": "1-day click",
    "7d_click": "7-day click",
    "28d_click": "28-day click",
    "1d_ev": "1-day engaged view",
    "1d_view": "1-day view",
}
LEVEL_TITLES = {
    "account": "All ads",
    "channel": "Channels",
    "campaign": "Campaigns",
    "adset": "Ad sets",
    "ad": "Ads",
}
_ONE_OF = {"channel": "Channel", "campaign": "Campaign", "adset": "Ad set", "ad": "Ad"}
_MOVED_MIN = Decimal("0.005")
_MOVES_MAX, _MOVES_OF_MANY = 3, 2
_FEW = 3


class Line(NamedTuple):
    """A row of campaigns as people see it: its name, what it belongs to, and where it leads."""

    title: str
    hint: str
    href: str | None
    row: CampaignRow


def setting_in_words(text: str) -> str:
    """An attribution setting.

    >>> setting_in_words("7d_click,1d_view")
    'clicks of 7 days, views of 1 day'
    """
    setting = Setting.read(text)
    spans = (
        ("clicks", setting.click_days),
        ("engaged views", setting.engaged_view_days),
        ("views", setting.view_days),
    )
    told = [f"{what} of {days} {'day' if days == 1 else 'days'}" for what, days in spans if days]
    return ", ".join(told) or "nothing"


def row_title(level: str) -> str:
    """What a row of this level is."""
    return _ONE_OF.get(level, "All ads")


def lines(found: Answered) -> list[Line]:
    """The rows with names, each a link to what lies beneath it."""
    return [_line(found, row) for row in found.report.rows]


def _line(found: Answered, row: CampaignRow) -> Line:
    level: str = found.meant.level
    names = {
        "channel": row.channel,
        "campaign": row.campaign_name or row.campaign_id,
        "adset": row.adset_name or row.adset_id,
        "ad": row.ad_name or row.ad_id,
    }
    if not row.is_attributed:
        return Line("Not claimed", "no ad was touched in time", None, row)
    if level == "account":
        return Line("All ads", "", beneath(found, level="channel"), row)
    above = [names[each] for each in LEVELS[1 : LEVELS.index(level)]]
    hint = " › ".join(name for name in reversed(above[-2:]) if name)
    if getattr(found.meant, "beneath", {}):
        # The way to here says it.
        hint = ""
    if names[level] is None:
        return Line("No id", hint or "clicks that name none", None, row)
    return Line(names[level] or "", hint, _down(found, row, level), row)


def _down(found: Answered, row: CampaignRow, level: str) -> str | None:
    if level == "channel":
        return beneath(found, level="campaign", channel=row.channel)
    if level == "campaign":
        return beneath(found, level="adset", campaign_id=row.campaign_id)
    if level == "adset":
        ids = {"campaign_id": row.campaign_id, "adset_id": row.adset_id}
        return beneath(found, level="ad", **ids)
    return None


def beneath(found: Answered, **place: str | None) -> str:
    """The address of the same question about what lies at another place."""
    everywhere: dict[str, str | None] = {"channel": None, "campaign_id": None, "adset_id": None}
    return found.address("/attribution", **{**everywhere, **place})


def crumbs(found: Answered) -> list[tuple[str, str | None]]:
    """Where one is, from all campaigns down: names with links, the last without."""
    asked = found.meant
    if not asked.beneath:
        return []
    row: CampaignRow | None = next(iter(found.report.rows), None)
    way: list[tuple[str, str | None]] = [("All campaigns", beneath(found, level="campaign"))]
    if asked.channel:
        way.append((asked.channel, beneath(found, level="campaign", channel=asked.channel)))
    if asked.campaign_id:
        name = (row and row.campaign_name) or asked.campaign_id
        way.append((name, beneath(found, level="adset", campaign_id=asked.campaign_id)))
    if asked.adset_id:
        way.append(((row and row.adset_name) or asked.adset_id, None))
    return [*way[:-1], (way[-1][0], None)]


def column_title(result: CampaignResult, report: CampaignsReport) -> str:
    """The model and window of a column, as far as they tell columns apart."""
    columns = report.total.results
    model, window = MODELS[result.model], WINDOWS[result.window]
    if len({each.window for each in columns}) == 1:
        return model
    return window if len({each.model for each in columns}) == 1 else f"{model}, {window}"


def moves(report: CampaignsReport) -> Iterator[str]:
    """For each further column, whose conversions differ most from those of the first."""
    attributed = [row for row in report.rows if row.is_attributed]
    first = report.total.results[0]
    names = _told_apart(attributed)
    most = _MOVES_MAX if len(report.total.results) <= _FEW else _MOVES_OF_MANY
    for n, column in enumerate(report.total.results[1:], 1):
        changed = []
        for name, row in zip(names, attributed, strict=True):
            before, after = row.results[0].conversions, row.results[n].conversions
            if before and after is not None and abs(after - before) / before >= _MOVED_MIN:
                changed.append((abs(after - before), name, before, after))
        changed.sort(key=lambda each: (-each[0], each[1]))
        told = [
            f"{name} {_number(before)} → {_number(after)} ({_percent((after - before) / before)})"
            for _, name, before, after in changed[:most]
        ]
        title, other = column_title(column, report), column_title(first, report)
        if told:
            yield f"{title} in place of {other.lower()}: {'; '.join(told)}."
        else:
            yield f"{title} says the same as {other.lower()}."


def _told_apart(rows: Sequence[CampaignRow]) -> list[str]:
    """Names of rows; those of one name with what they belong to."""
    names = [_names(row) for row in rows]
    ends = Counter(each[0] for each in names)
    return [
        own[0] if ends[own[0]] == 1 or len(own) == 1 else f"{own[0]} ({', '.join(own[1:])})"
        for own in names
    ]


def _names(row: CampaignRow) -> list[str]:
    """From the finest up."""
    names = (
        row.ad_name or row.ad_id,
        row.adset_name or row.adset_id,
        row.campaign_name or row.campaign_id,
        row.channel,
    )
    return [name for name in names if name] or ["All ads"]


def _number(number: Decimal) -> str:
    return f"{number:,.1f}".removesuffix(".0")


def _percent(share: Decimal) -> str:
    return f"{share:+.0%}".replace("-", "\N{MINUS SIGN}").replace("%", " %")
