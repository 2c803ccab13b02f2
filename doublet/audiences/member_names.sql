-- One row per person of whom any is known: hashes of name, gender and place, as the latest event of
-- each gave them.
-- Key: person_id. Sources: behaviours, events_deduplicated. Parameters: $account_id, $persons.
with
wanted as (
  select unnest($persons) as person_id
),
told as (
  select
    behaviours.person_id,
    behaviours.event_time,
    events.user_data
  from behaviours
  semi join wanted
    on behaviours.person_id = wanted.person_id
  inner join events_deduplicated as events
    on behaviours.pixel_id = events.pixel_id
    and behaviours.event_key = events.event_key
    and behaviours.anchor_at = events.anchor_at
  where behaviours.account_id = $account_id
),
latest as (
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
  cast(person_id as bigint) as person_id,
  cast(fn.said as varchar) as fn,
  cast(ln.said as varchar) as ln,
  cast(ge.said as varchar) as ge,
  cast(ct.said as varchar) as ct,
  cast(st.said as varchar) as st,
  cast(zp.said as varchar) as zp,
  cast(country.said as varchar) as country
from latest
