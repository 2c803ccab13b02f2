"""The story of an event in sentences: what arrived, what was done with it, and by which rule."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from doublet.catalog import Account
from doublet.consent import consent_of
from doublet.engine import Engine
from doublet.explain.copies import (
    COPIES_MAX,
    EVENTS_MAX,
    Root,
    copies_of,
    differences_of,
    root_of_copy,
    roots_of_id,
)
from doublet.explain.sentences import attributed_sentence, relayed_sentence, sentences_of
from doublet.explain.story import (
    Attributed,
    Copy,
    Difference,
    Outlook,
    Relayed,
    Story,
    Touch,
    nowhere,
)
from doublet.reports import report_sql
from doublet.reports.asked import Setting
from doublet.reports.credit import titles

__all__ = [
    "COPIES_MAX",
    "EVENTS_MAX",
    "Attributed",
    "Copy",
    "Difference",
    "Outlook",
    "Relayed",
    "Story",
    "Touch",
    "explain",
    "explain_copy",
    "nowhere",
]

_TOUCHES_MAX = 50
_SETTING = Setting()


def explain(
    engine: Engine,
    account: Account,
    event_id: str,
    pixel_id: str | None = None,
    outlook: Outlook = nowhere,
    setting: Setting = _SETTING,
) -> list[Story]:
    """The events that have a copy with this event id, by time; empty when there is none. `setting`
    is the account's for attribution."""
    roots = roots_of_id(engine, account, event_id, pixel_id)
    return [_tell(engine, account, root, outlook, setting) for root in roots]


def explain_copy(
    engine: Engine,
    account: Account,
    place: tuple[int, int],
    outlook: Outlook = nowhere,
    setting: Setting = _SETTING,
) -> list[Story]:
    """The event that has the copy at this place of the log (slot and offset), in a list; empty when
    the account has none."""
    root = root_of_copy(engine, account, place)
    return [] if root is None else [_tell(engine, account, root, outlook, setting)]


def _tell(
    engine: Engine, account: Account, root: Root, outlook: Outlook, setting: Setting
) -> Story:
    (event,) = engine.query(
        "select * from events_deduplicated where pixel_id = $pixel_id "
        "and event_key = $event_key and anchor_at = $anchor_at",
        root._asdict(),
    )
    copies = copies_of(engine, root, (event["kept_log_slot"], event["kept_log_offset"]))
    differences = list(differences_of(copies))
    told = [copy for copy, _ in copies]
    consent = consent_of(engine, event)
    relayed = outlook([(copy.log_slot, copy.log_offset) for copy in told])
    attributed = _attributed(engine, account, root, setting)
    zone = ZoneInfo(account.time_zone)
    return Story(
        account.account_id,
        root.pixel_id,
        event["event_name"],
        event["event_id"],
        event["event_time"],
        event["value"],
        event["currency"],
        event["order_id"],
        event["kept_rule"],
        event["is_test"],
        consent.state if consent else None,
        consent.whose if consent else None,
        told,
        differences,
        [
            *sentences_of(event, told, differences, consent, zone),
            *([attributed_sentence(attributed)] if attributed else ()),
            *(relayed_sentence(each, zone) for each in relayed),
        ],
        relayed,
        attributed,
    )


def _attributed(
    engine: Engine, account: Account, root: Root, setting: Setting
) -> Attributed | None:
    owned = engine.query(
        "select person_id from conversions where pixel_id = $pixel_id "
        "and event_key = $event_key and anchor_at = $anchor_at",
        root._asdict(),
    )
    if not owned:
        return None
    person_id = owned[0]["person_id"]
    if person_id is None:
        return Attributed(None, 0, str(setting))
    (count,) = engine.query(
        "select count(*) as events from record_profiles inner join profiles using (profile_key) "
        "where profiles.root_id in (select root_id from persons where person_id = $person_id) "
        "and pixel_id <> ''",
        {"person_id": person_id},
    )
    names = titles(engine, {"account_id": account.account_id})
    rows = engine.query(
        report_sql("event_touches"),
        {**root._asdict(), **setting.seconds, "limit": _TOUCHES_MAX},
    )
    touches = [
        Touch(
            datetime.fromtimestamp(row["touched_time"], UTC),
            row["age_s"],
            row["kind"],
            row["platform"],
            row["channel"],
            row["is_ad"],
            row["campaign_id"],
            names.get(("campaign", row["campaign_id"])),
            row["adset_id"],
            names.get(("adset", row["adset_id"])),
            row["ad_id"],
            names.get(("ad", row["ad_id"])),
            row["is_last"],
        )
        for row in rows
    ]
    return Attributed(str(person_id), count["events"], str(setting), touches)
