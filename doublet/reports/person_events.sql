-- One row per event of some persons, the newest first, at most $limit of each. Sources: profiles,
-- record_profiles, events_deduplicated. Parameters: $account_id, $person_ids, $limit.
with
theirs as (
  select
    profiles.root_id as person_id,
    record_profiles.pixel_id,
    record_profiles.event_key,
    record_profiles.anchor_at
  from record_profiles
  inner join profiles
    on profiles.profile_key = record_profiles.profile_key
  where profiles.account_id = $account_id
    and list_contains($person_ids, profiles.root_id)
),
numbered as (
  select
    theirs.person_id,
    events_deduplicated.pixel_id,
    events_deduplicated.event_name,
    events_deduplicated.event_time,
    events_deduplicated.event_id,
    events_deduplicated.action_source,
    events_deduplicated.browser_copies,
    events_deduplicated.server_copies,
    events_deduplicated.value,
    events_deduplicated.currency,
    events_deduplicated.kept_log_slot,
    events_deduplicated.kept_log_offset,
    row_number() over (
      partition by theirs.person_id
      order by
        events_deduplicated.event_time desc,
        events_deduplicated.kept_log_slot desc,
        events_deduplicated.kept_log_offset desc
    ) as nth
  from theirs
  inner join events_deduplicated
    on events_deduplicated.pixel_id = theirs.pixel_id
    and events_deduplicated.event_key = theirs.event_key
    and events_deduplicated.anchor_at = theirs.anchor_at
  where events_deduplicated.account_id = $account_id
)
select
  cast(person_id as varchar) as person_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(event_id as varchar) as event_id,
  cast(action_source as varchar) as action_source,
  cast(browser_copies as bigint) as browser,
  cast(server_copies as bigint) as server,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(kept_log_slot || '-' || kept_log_offset as varchar) as copy
from numbered
where nth <= $limit
order by person_id, nth
