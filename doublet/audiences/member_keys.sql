-- One row per person who has any, with the hashes that a server with a Graph API knows persons by.
-- Key: person_id. Sources: behaviours, events_deduplicated, identifiers. Parameters: $account_id,
-- $persons.
-- Lists hold only identifiers that are this person's alone now. Name, place and gender are those that
-- the latest event gave. Events whose use for ads was denied or limited are not in behaviours.
with
wanted as (
  select unnest($persons) as person_id
),
theirs as (
  select
    behaviours.pixel_id,
    behaviours.event_key,
    behaviours.anchor_at,
    behaviours.person_id,
    behaviours.event_time
  from behaviours
  semi join wanted
    on behaviours.person_id = wanted.person_id
  where behaviours.account_id = $account_id
),
told as (
  select
    theirs.person_id,
    theirs.event_time,
    events.user_data
  from theirs
  inner join events_deduplicated as events
    on theirs.pixel_id = events.pixel_id
    and theirs.event_key = events.event_key
    and theirs.anchor_at = events.anchor_at
),
carried as (
  select distinct
    person_id,
    unnest(
      list_concat(
        list_transform(user_data.em, lambda value: 'em=' || value),
        list_transform(user_data.ph, lambda value: 'ph=' || value),
        list_transform(user_data.external_id, lambda value: 'external_id=' || value),
        ['madid=' || user_data.madid]
      )
    ) as identifier
  from told
),
owned as (
  select
    carried.person_id,
    list_sort(list(carried.identifier)) as own
  from carried
  inner join identifiers
    on cast(
      '0x' || substring(md5($account_id || '|' || carried.identifier), 1, 15) as bigint
    ) = identifiers.identifier_key
    and carried.person_id = identifiers.person_id
  group by carried.person_id
),
beside as (
  select
    person_id,
    max(struct_pack(at := event_time, said := user_data.fn[1]))
      filter (user_data.fn[1] is not null) as fn,
    max(struct_pack(at := event_time, said := user_data.ln[1]))
      filter (user_data.ln[1] is not null) as ln,
    max(struct_pack(at := event_time, said := user_data.ge[1]))
      filter (user_data.ge[1] is not null) as ge,
    max(struct_pack(at := event_time, said := user_data.ct[1]))
      filter (user_data.ct[1] is not null) as ct,
    max(struct_pack(at := event_time, said := user_data.st[1]))
      filter (user_data.st[1] is not null) as st,
    max(struct_pack(at := event_time, said := user_data.zp[1]))
      filter (user_data.zp[1] is not null) as zp,
    max(struct_pack(at := event_time, said := user_data.country[1]))
      filter (user_data.country[1] is not null) as country
  from told
  group by person_id
)
select
  cast(owned.person_id as bigint) as person_id,
  cast(owned.own as varchar[]) as own,
  cast(beside.fn.said as varchar) as fn,
  cast(beside.ln.said as varchar) as ln,
  cast(beside.ge.said as varchar) as ge,
  cast(beside.ct.said as varchar) as ct,
  cast(beside.st.said as varchar) as st,
  cast(beside.zp.said as varchar) as zp,
  cast(beside.country.said as varchar) as country
from owned
inner join beside
  on owned.person_id = beside.person_id
order by owned.person_id
