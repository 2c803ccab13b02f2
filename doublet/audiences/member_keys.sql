-- One row per person and profile of his that carries what names one person: the identifiers that are
-- his alone now.
-- Key: (person_id, profile_key). Sources: behaviours, events_deduplicated, identifiers. Parameters:
-- $account_id, $persons.
-- All events of a profile carry the same, so one of them is read, by its place: the texts are most of
-- the table.
with
wanted as (
  select unnest($persons) as person_id
),
chosen as (
  select min(behaviours.rowid) as place
  from behaviours
  semi join wanted
    on behaviours.person_id = wanted.person_id
  where behaviours.account_id = $account_id
  group by behaviours.profile_key
),
theirs as (
  select
    person_id,
    profile_key,
    pixel_id,
    event_key,
    anchor_at
  from behaviours
  where rowid in (select chosen.place from chosen)
),
places as (
  select events.rowid as place
  from events_deduplicated as events
  semi join theirs
    on events.pixel_id = theirs.pixel_id
    and events.event_key = theirs.event_key
    and events.anchor_at = theirs.anchor_at
),
carried as (
  select
    theirs.person_id,
    theirs.profile_key,
    unnest(
      list_concat(
        list_transform(events.user_data.em, lambda value: 'em=' || value),
        list_transform(events.user_data.ph, lambda value: 'ph=' || value),
        list_transform(events.user_data.external_id, lambda value: 'external_id=' || value),
        ['madid=' || events.user_data.madid]
      )
    ) as identifier
  from events_deduplicated as events
  inner join theirs
    on events.pixel_id = theirs.pixel_id
    and events.event_key = theirs.event_key
    and events.anchor_at = theirs.anchor_at
  where events.rowid in (select places.place from places)
)
select
  cast(carried.person_id as bigint) as person_id,
  cast(carried.profile_key as bigint) as profile_key,
  cast(list(carried.identifier) as varchar[]) as own
from carried
inner join identifiers
  on cast(
    '0x' || substring(md5($account_id || '|' || carried.identifier), 1, 15) as bigint
  ) = identifiers.identifier_key
  and carried.person_id = identifiers.person_id
group by
  carried.person_id,
  carried.profile_key
