-- One row per merge of two persons: which one turned out to be which, when, and by what record.
-- Sources: persons, record_profiles, profile_identifiers, identifiers, events_deduplicated,
-- conversions. Parameters: $account_id, $person_id (null: all; otherwise those that lead to it),
-- $since and $until (Unix seconds of the merge, half-open; null: unbounded), $limit.
-- The record is the first that carries the identifiers of both; null where it is an ad touch.
with
merges as (
  select
    person_id,
    merged_into,
    merged_at,
    merged_by
  from persons
  where account_id = $account_id
    and merged_into is not null
    and ($person_id is null or root_id = $person_id)
    and ($since is null or epoch(merged_at) >= $since)
    and ($until is null or epoch(merged_at) < $until)
  order by merged_at desc, person_id
  limit $limit
),
carried as (
  select
    profile_key,
    array_to_string(list_sort(list_distinct(list(kind))), ', ') as kinds
  from profile_identifiers
  inner join identifiers using (identifier_key)
  where profile_key in (select merged_by from merges)
  group by profile_key
),
records as (
  select
    profile_key,
    pixel_id,
    event_key,
    anchor_at,
    row_number() over (
      partition by profile_key order by anchor_at, pixel_id, event_key
    ) as place
  from record_profiles
  where profile_key in (select merged_by from merges)
),
-- The credit of what was reported in the 28 days before was made anew.
restated as (
  select
    merges.person_id,
    count(*) as conversions
  from merges
  inner join profiles on merges.person_id = profiles.person_id
  inner join conversions on profiles.profile_key = conversions.profile_key
  where conversions.anchor_at < merges.merged_at
    and conversions.frozen_s >= epoch(merges.merged_at)
  group by merges.person_id
)
select
  cast(merges.person_id as varchar) as person_id,
  cast(merges.merged_into as varchar) as merged_into,
  cast(merges.merged_at as timestamptz) as merged_at,
  cast(carried.kinds as varchar) as carried,
  cast(nullif(records.pixel_id, '') as varchar) as pixel_id,
  cast(events.event_name as varchar) as event_name,
  cast(events.event_id as varchar) as event_id,
  cast(coalesce(restated.conversions, 0) as bigint) as restated_conversions
from merges
left join carried on merges.merged_by = carried.profile_key
left join records on merges.merged_by = records.profile_key and records.place = 1
left join events_deduplicated as events
  on records.pixel_id = events.pixel_id
  and records.event_key = events.event_key
  and records.anchor_at = events.anchor_at
left join restated on merges.person_id = restated.person_id
order by merges.merged_at desc, merges.person_id
