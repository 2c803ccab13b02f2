-- One row per event name: of the website events that the server sent how many bear each key of a
-- person, for how many it is a link (another event of the pixel bears the same value), and how many
-- lack the key and have no link by any other. Source: events_deduplicated, any copy's keys; of lists
-- the first value, cut to 64 bits.
-- Parameters: see quality.sql; other events count whatever their name.
with
seen as (
  select
    pixel_id,
    event_name,
    case
      when server_copies > 0
        and action_source = 'website'
        and not list_contains(coalesce(flags, []), 'erased')
        then 1
      else 0
    end as judged,
    substring(list_min(user_data.em), 1, 16) as em,
    substring(list_min(user_data.ph), 1, 16) as ph,
    substring(list_min(user_data.external_id), 1, 16) as external_id,
    user_data.fbc as fbc,
    user_data.fbp as fbp
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and (
      server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
),
shared_em as (
  select
    pixel_id,
    em
  from seen
  where em is not null
  group by pixel_id, em
  having count(*) > 1
),
shared_ph as (
  select
    pixel_id,
    ph
  from seen
  where ph is not null
  group by pixel_id, ph
  having count(*) > 1
),
shared_external_id as (
  select
    pixel_id,
    external_id
  from seen
  where external_id is not null
  group by pixel_id, external_id
  having count(*) > 1
),
shared_fbc as (
  select
    pixel_id,
    fbc
  from seen
  where fbc is not null
  group by pixel_id, fbc
  having count(*) > 1
),
shared_fbp as (
  select
    pixel_id,
    fbp
  from seen
  where fbp is not null
  group by pixel_id, fbp
  having count(*) > 1
),
links as (
  select
    event_name,
    case when seen.em is not null then 1 else 0 end as has_em,
    case when shared_em.em is not null then 1 else 0 end as by_em,
    case when seen.ph is not null then 1 else 0 end as has_ph,
    case when shared_ph.ph is not null then 1 else 0 end as by_ph,
    case when seen.external_id is not null then 1 else 0 end as has_external_id,
    case when shared_external_id.external_id is not null then 1 else 0 end as by_external_id,
    case when seen.fbc is not null then 1 else 0 end as has_fbc,
    case when shared_fbc.fbc is not null then 1 else 0 end as by_fbc,
    case when seen.fbp is not null then 1 else 0 end as has_fbp,
    case when shared_fbp.fbp is not null then 1 else 0 end as by_fbp
  from seen
  left join shared_em
    on seen.pixel_id = shared_em.pixel_id
    and seen.em = shared_em.em
  left join shared_ph
    on seen.pixel_id = shared_ph.pixel_id
    and seen.ph = shared_ph.ph
  left join shared_external_id
    on seen.pixel_id = shared_external_id.pixel_id
    and seen.external_id = shared_external_id.external_id
  left join shared_fbc
    on seen.pixel_id = shared_fbc.pixel_id
    and seen.fbc = shared_fbc.fbc
  left join shared_fbp
    on seen.pixel_id = shared_fbp.pixel_id
    and seen.fbp = shared_fbp.fbp
  where judged = 1
    and ($event_name is null or event_name = $event_name)
),
counted as (
  select
    event_name,
    has_em,
    by_em,
    has_ph,
    by_ph,
    has_external_id,
    by_external_id,
    has_fbc,
    by_fbc,
    has_fbp,
    by_fbp,
    1 - greatest(by_em, by_ph, by_external_id, by_fbc, by_fbp) as unlinked
  from links
)
select
  cast(event_name as varchar) as event_name,
  cast(count(*) as bigint) as judged,
  cast(count(*) - sum(unlinked) as bigint) as linked,
  cast(sum(has_em) as bigint) as has_em,
  cast(sum(by_em) as bigint) as by_em,
  cast(sum(unlinked * (1 - has_em)) as bigint) as lacking_em,
  cast(sum(has_ph) as bigint) as has_ph,
  cast(sum(by_ph) as bigint) as by_ph,
  cast(sum(unlinked * (1 - has_ph)) as bigint) as lacking_ph,
  cast(sum(has_external_id) as bigint) as has_external_id,
  cast(sum(by_external_id) as bigint) as by_external_id,
  cast(sum(unlinked * (1 - has_external_id)) as bigint) as lacking_external_id,
  cast(sum(has_fbc) as bigint) as has_fbc,
  cast(sum(by_fbc) as bigint) as by_fbc,
  cast(sum(unlinked * (1 - has_fbc)) as bigint) as lacking_fbc,
  cast(sum(has_fbp) as bigint) as has_fbp,
  cast(sum(by_fbp) as bigint) as by_fbp,
  cast(sum(unlinked * (1 - has_fbp)) as bigint) as lacking_fbp
from counted
group by event_name
order by event_name
