"""What brought persons: their touches with ads, their conversions, and each conversion's last ones.

Events and reported ad touches pass here after each step (`take_events`, `take_touches`), and what
they change: the persons whose identifiers they carry, the touchpoints of those persons, and their
conversions. `TOUCH_MODELS` is the tables, in order; `persons` has those of identity.
"""

from __future__ import annotations

from collections.abc import Sequence

from doublet.accept import MARKS
from doublet.engine import Transaction
from doublet.lake.columns import AD_TOUCHES, DECISIONS
from doublet.lake.table import File, Table, empty_sql
from doublet.models import behaving, persons
from doublet.models.quarters import SIGNS
from doublet.models.tables import Tables, model_sql

TOUCH_MODELS: tuple[str, ...] = (
    *("decisions", "touches", "touchpoints", "exposures", "conversions"),
)
LOGGED = "logged_touches"
"""The text that makes rows of `touches` from what ad logs report; the other one is from events."""

_RECORD = "pixel_id, event_key, anchor_at"
_TUPLE = (
    "account_id, profile_key, origin, kind, touched_time, platform, is_ad, click_id, campaign_id, "
    "adset_id, ad_id, placement, experiment, utm_source, utm_medium, utm_campaign, "
    "case when origin = 'ad_log' then event_key end as logged_key"
)
_SHOWN = (
    "account_id, pixel_id, event_key, anchor_at, event_name, event_time, event_source_url, "
    "user_data, value, currency, order_id, custom_data, action_source, browser_copies, "
    f"server_copies, extra, consent, flags, is_test, {SIGNS}"
)
_OWN_CLICK = ", ".join(
    f"case when contains(custom_data, '\"click_id\"') "
    f"then json_extract_string(custom_data, '$.{name}') end as own_{name}"
    for name in ("click_id", "platform")
)
_FACTS = (
    "account_id, pixel_id, event_key, anchor_at, event_name, event_time, profile_key, value, "
    "currency, order_id, action_source, browser_copies, server_copies"
)
_NOT_CONVERSIONS = ("PageView",)


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `events_deduplicated` is there."""
    tx.run(f"create or replace temp table decided_rows as from {empty_sql(DECISIONS)}")
    tx.run(f"create or replace table {names.decisions} as {model_sql('decisions')}")
    tx.run(
        f"create or replace temp table touched_records as select {_RECORD} "
        f"from {names.events_deduplicated}"
    )
    _identify_events(tx, names, is_there=False)
    persons.make_tables(tx, names)
    tx.run(f"create or replace table {names.touches} as from new_touches")
    for name in ("stale_persons", "their_roots"):
        tx.run(f"create or replace temp table {name} (person_id bigint)")
    tx.run(
        "create or replace temp table followed as "
        f"select account_id, profile_key, person_id, root_id from {names.profiles}"
    )
    _gather(tx, names)
    tx.run(f"create or replace table {names.touchpoints} as {model_sql('touchpoints')}")
    tx.run(f"create or replace table {names.exposures} as {model_sql('exposures')}")
    tx.run(f"create or replace temp table new_records as {model_sql('record_profiles')}")
    tx.run(f"create or replace temp table their_conversions as {_converted()}")
    _show_tables(tx, names)
    tx.run(f"create or replace table {names.conversions} as {model_sql('conversions')}")
    behaving.make_tables(tx, names)


def take_events(tx: Transaction, names: Tables) -> None:
    """Bring all up to date with the events that `touched` names, which are made."""
    tx.run(f"create or replace temp table touched_records as select {_RECORD} from touched")
    _identify_events(tx, names)
    _replace(tx, names)
    behaving.take_events(tx, names)


def take_touches(tx: Transaction, names: Tables, table: Table, batch: Sequence[File]) -> None:
    """Take in the ad touches in some files of the lake."""
    rows = table.read_sql([file.path for file in batch])
    # Which of the copies stands depends on all of them.
    tx.run(
        f"create or replace temp table reported as select * from {rows} as lake_rows "
        f"where not exists (select 1 from {names.touches} as known where known.pixel_id = '' "
        "and known.account_id = lake_rows.account_id and known.event_key = lake_rows.touch_key "
        "and (known.anchor_at, known.log_slot, known.log_offset) "
        "<= (lake_rows.received_at, lake_rows.log_slot, lake_rows.log_offset))"
    )
    _take_reported(tx, names)


def retake_touches(
    tx: Transaction, names: Tables, table: Table, files: Sequence[File], gone: str
) -> None:
    """Take out the ad touches whose place (log_slot, log_offset) is in the table `gone`, then take
    in what the lake's files hold of them now."""
    tx.run(
        "create or replace temp table taken_out as select distinct account_id, event_key from "
        f"{names.touches} semi join {gone} using (log_slot, log_offset) where pixel_id = ''"
    )
    rows = table.read_sql([file.path for file in files]) if files else f"{empty_sql(AD_TOUCHES)}"
    tx.run(
        f"create or replace temp table reported as select lake_rows.* from {rows} as lake_rows "
        "semi join taken_out on lake_rows.account_id = taken_out.account_id "
        "and lake_rows.touch_key = taken_out.event_key"
    )
    _take_reported(tx, names, also="union select account_id, event_key from taken_out")


def take_decisions(
    tx: Transaction, names: Tables, table: Table, _batch: Sequence[File] = ()
) -> None:
    """Take in the decisions of all files of the lake, for what stands depends on all of them, and
    follow those that are new, changed or gone."""
    paths = [file.path for file in table.files()]
    rows = table.read_sql(paths) if paths else empty_sql(DECISIONS)
    columns = ", ".join(column.name for column in DECISIONS)
    tx.run(f"create or replace temp table decided_rows as select {columns} from {rows}")
    tx.run(f"create or replace temp table new_decisions as {model_sql('decisions')}")
    tx.run(
        "create or replace temp table changed_decisions as "
        f"(from new_decisions except from {names.decisions}) union all "
        f"(from {names.decisions} except from new_decisions)"
    )
    if not tx.run("select 1 from changed_decisions limit 1"):
        return
    tx.run(f"delete from {names.decisions}")
    tx.run(f"insert into {names.decisions} select * from new_decisions")
    # No record is touched; in a process that has just begun there are no tables to say so.
    tx.run(
        f"create or replace temp table touched_records as select {_RECORD} "
        f"from {names.record_profiles} limit 0"
    )
    tx.run(
        "create or replace temp table new_records as "
        "select *, cast([] as varchar[]) as identifiers, cast([] as varchar[]) as variants "
        f"from {names.record_profiles} limit 0"
    )
    tx.run(
        "create or replace temp table decided as select distinct person_id "
        f"from {names.identifiers} where identifier_key in (select identifier_a_key "
        "from changed_decisions union all select identifier_b_key from changed_decisions)"
    )
    persons.replace_records(tx, names, decided=True)
    _follow(tx, names)


def _identify_events(tx: Transaction, names: Tables, is_there: bool = True) -> None:
    """The touched events as `identified`, and what they say as `new_records` and `new_touches`.
    `is_there`: whether the table of touches is made yet."""
    tx.run(
        f"create or replace temp table identified as select {_SHOWN}, {_OWN_CLICK} "
        f"from {names.events_deduplicated} semi join touched_records using ({_RECORD})"
    )
    tx.run("create or replace temp table decided (person_id bigint)")
    tx.run(f"create or replace temp table new_records as {model_sql('record_profiles')}")
    # Planning the text takes longer than reading a few events.
    shows_any = not is_there or tx.run(
        "select 1 from identified where user_data.fbc is not null or user_data.ctwa_clid is not "
        "null or contains(event_source_url, '=') or contains(extra, '\"touch\"') "
        "or own_click_id is not null limit 1"
    )
    tx.run(
        "create or replace temp table new_touches as "
        + (model_sql("touches") if shows_any else f"from {names.touches} limit 0")
    )


def _take_reported(tx: Transaction, names: Tables, also: str = "") -> None:
    """Put the ad touches in `reported` in the place of those with the same keys."""
    tx.run(f"create or replace temp table new_touches as {model_sql('logged_touches')}")
    tx.run(
        f"create or replace temp table touched_records as select {_RECORD} "
        f"from {names.touches} as known semi join ("
        f"select account_id, event_key from new_touches {also}) as named "
        "using (account_id, event_key) where pixel_id = '' "
        f"union select {_RECORD} from new_touches"
    )
    tx.run(
        "create or replace temp table identified as select reported.account_id, '' as pixel_id, "
        "touch_key as event_key, received_at as anchor_at, user_data, "
        "cast(null as varchar) as extra, cast(null as varchar) as consent, flags, is_test "
        "from reported semi join new_touches on reported.account_id = new_touches.account_id "
        "and reported.log_slot = new_touches.log_slot "
        "and reported.log_offset = new_touches.log_offset"
    )
    tx.run("create or replace temp table decided (person_id bigint)")
    tx.run(f"create or replace temp table new_records as {model_sql('record_profiles')}")
    _replace(tx, names)


def _replace(tx: Transaction, names: Tables) -> None:
    """Put `new_records` and `new_touches` in the place of what `touched_records` names."""
    tx.run(
        "update new_touches set profile_key = new_records.profile_key from new_records where "
        "new_touches.pixel_id = new_records.pixel_id "
        "and new_touches.event_key = new_records.event_key "
        "and new_touches.anchor_at = new_records.anchor_at"
    )
    persons.replace_records(tx, names)
    tx.run(
        f"create or replace temp table old_touches as select * from {names.touches} "
        f"semi join touched_records using ({_RECORD})"
    )
    # A touch that another record shows too changes nothing.
    tx.run(
        "create or replace temp table changed_touches as "
        f"select distinct {_TUPLE} from new_touches except select {_TUPLE} from {names.touches} "
        "semi join (select touched_time from new_touches) as moments using (touched_time)"
    )
    tx.run(
        f"delete from {names.touches} as old using touched_records as gone "
        "where old.pixel_id = gone.pixel_id and old.event_key = gone.event_key "
        "and old.anchor_at = gone.anchor_at"
    )
    tx.run(f"insert into {names.touches} select * from new_touches")
    tx.run(
        f"insert into changed_touches select distinct {_TUPLE} from old_touches "
        f"except select {_TUPLE} from {names.touches} "
        "semi join (select touched_time from old_touches) as moments using (touched_time)"
    )
    tx.run(
        "insert into their_roots select distinct root_id from ("
        f"select root_id from {names.profiles} semi join changed_touches using (profile_key) "
        f"union all select root_id from {names.profiles} semi join ("
        f"select profile_key from {names.touches} semi join ("
        "select account_id, click_id from changed_touches "
        "where origin = 'ad_log' and click_id is not null) "
        "as clicks using (account_id, click_id)) as shown using (profile_key)) "
        "anti join their_roots on root_id = their_roots.person_id where root_id is not null"
    )
    _follow(tx, names)


def _follow(tx: Transaction, names: Tables) -> None:
    """Make anew what follows for the persons in `their_roots` and the events touched."""
    tx.run(
        "create or replace temp table followed as select account_id, profile_key, person_id, "
        f"root_id from {names.profiles} as known semi join their_roots "
        "on known.root_id = their_roots.person_id"
    )
    if tx.run("select 1 from their_roots union all select 1 from stale_persons limit 1"):
        _replace_touchpoints(tx, names)
    has_events = tx.run("select 1 from touched_records where pixel_id <> '' limit 1")
    none = f"select {_FACTS} from {names.conversions} limit 0"
    tx.run(
        f"create or replace temp table their_conversions as {_converted() if has_events else none}"
    )
    tx.run(
        f"insert into their_conversions select {_FACTS} from {names.conversions} "
        "semi join (select profile_key from followed union select profile_key from made_profiles) "
        f"as theirs using (profile_key) anti join touched_records using ({_RECORD})"
    )
    tx.run(
        f"delete from {names.conversions} as old using ("
        f"select {_RECORD} from touched_records union select {_RECORD} from their_conversions) "
        "as gone where old.pixel_id = gone.pixel_id and old.event_key = gone.event_key "
        "and old.anchor_at = gone.anchor_at"
    )
    _show_tables(tx, names)
    tx.run(f"insert into {names.conversions} {model_sql('conversions')}")
    behaving.follow_persons(tx, names)


def _replace_touchpoints(tx: Transaction, names: Tables) -> None:
    _gather(tx, names)
    tx.run(
        "insert into stale_persons select person_id from their_persons "
        "anti join stale_persons using (person_id)"
    )
    for name in ("touchpoints", "exposures"):
        table = getattr(names, name)
        tx.run(
            f"delete from {table} as old using stale_persons as gone "
            "where old.person_id = gone.person_id"
        )
        tx.run(f"insert into {table} {model_sql(name)}")


def _converted() -> str:
    """The facts of the events in `identified` that may be conversions."""
    left_out = ", ".join(f"'{name}'" for name in _NOT_CONVERSIONS)
    marks = ", ".join(f"'{mark}'" for mark in MARKS)
    facts = ", ".join(
        f"{'new_records' if name == 'profile_key' else 'shown'}.{name}"
        for name in _FACTS.split(", ")
    )
    return (
        f"select {facts} from identified as shown left join new_records using ({_RECORD}) "
        f"where not shown.is_test and shown.event_name not in ({left_out}) and ("
        f"shown.server_copies > 0 or not coalesce(list_has_any(shown.flags, [{marks}]), false))"
    )


def _gather(tx: Transaction, names: Tables) -> None:
    """What is known of the persons in `their_roots`, whose profiles are `followed`."""
    tx.run(
        f"create or replace temp table their_persons as select person_id from {names.persons} "
        "as known semi join their_roots on known.root_id = their_roots.person_id"
    )
    tx.run(
        f"create or replace temp table their_spans as select * from {names.person_spans} "
        "semi join their_persons using (person_id)"
    )
    tx.run(
        "create or replace temp table their_touches as select touches.*, followed.person_id, "
        f"followed.root_id from {names.touches} as touches "
        "inner join followed using (profile_key)"
    )
    tx.run(
        "create or replace temp table named_clicks as select account_id, click_id, "
        "min(touched_time) as touched_time, max(platform) as platform, "
        "max(campaign_id) as campaign_id, max(adset_id) as adset_id, max(ad_id) as ad_id, "
        f"max(placement) as placement from {names.touches} semi join ("
        "select account_id, click_id from their_touches where click_id is not null) as shown "
        "using (account_id, click_id) where origin = 'ad_log' and kind = 'click' group by all"
    )


def _show_tables(tx: Transaction, names: Tables) -> None:
    for name in ("profiles", "person_spans", "touchpoints"):
        tx.run(f"create or replace temp view all_{name} as from {getattr(names, name)}")
