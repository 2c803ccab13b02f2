-- One row per event name: of the website events that the server sent how many bear each key of a
-- person, for how many it is a link (another event of the pixel bears the same value), and how many
-- lack the key and have no link by any other. Source: events_deduplicated, any copy's keys; of lists
-- the first value, cut to 64 bits.
-- Parameters: see quality.sql; other events count whatever their name.
-- Most values are borne by several events. So the others are looked for: a value that comes once
-- names its event, and an event has no link when all of its values come once. Each key is read by
-- itself, for all five of millions of events would not fit into memory.
with
single_em as (
  select
    pixel_id,
    max(event_key) as event_key,
    max(anchor_at) as anchor_at
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and list_min(user_data.em) is not null
  group by pixel_id, substring(list_min(user_data.em), 1, 16)
  having count(*) = 1
),
single_ph as (
  select
    pixel_id,
    max(event_key) as event_key,
    max(anchor_at) as anchor_at
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and list_min(user_data.ph) is not null
  group by pixel_id, substring(list_min(user_data.ph), 1, 16)
  having count(*) = 1
),
single_external_id as (
  select
    pixel_id,
    max(event_key) as event_key,
    max(anchor_at) as anchor_at
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and list_min(user_data.external_id) is not null
  group by pixel_id, substring(list_min(user_data.external_id), 1, 16)
  having count(*) = 1
),
single_fbc as (
  select
    pixel_id,
    max(event_key) as event_key,
    max(anchor_at) as anchor_at
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and user_data.fbc is not null
  group by pixel_id, user_data.fbc
  having count(*) = 1
),
single_fbp as (
  select
    pixel_id,
    max(event_key) as event_key,
    max(anchor_at) as anchor_at
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and user_data.fbp is not null
  group by pixel_id, user_data.fbp
  having count(*) = 1
),
singles as (
  select
    pixel_id,
    event_key,
    anchor_at,
    1 as bit
  from single_em
  union all
  select
    pixel_id,
    event_key,
    anchor_at,
    2 as bit
  from single_ph
  union all
  select
    pixel_id,
    event_key,
    anchor_at,
    4 as bit
  from single_external_id
  union all
  select
    pixel_id,
    event_key,
    anchor_at,
    8 as bit
  from single_fbc
  union all
  select
    pixel_id,
    event_key,
    anchor_at,
    16 as bit
  from single_fbp
),
alone as (
  select
    pixel_id,
    event_key,
    anchor_at,
    sum(bit) as bits
  from singles
  group by pixel_id, event_key, anchor_at
),
borne as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    case when list_min(user_data.em) is not null then 1 else 0 end as has_em,
    case when list_min(user_data.ph) is not null then 1 else 0 end as has_ph,
    case when list_min(user_data.external_id) is not null then 1 else 0 end as has_external_id,
    case when user_data.fbc is not null then 1 else 0 end as has_fbc,
    case when user_data.fbp is not null then 1 else 0 end as has_fbp
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and event_time >= $since
    and ($until is null or event_time < $until)
    and is_judged
    and ($event_name is null or event_name = $event_name)
),
bearers as (
  select
    event_name,
    count(*) as judged,
    sum(has_em) as has_em,
    sum(has_ph) as has_ph,
    sum(has_external_id) as has_external_id,
    sum(has_fbc) as has_fbc,
    sum(has_fbp) as has_fbp,
    sum(case when has_em + has_ph + has_external_id + has_fbc + has_fbp = 0 then 1 else 0 end) as bare
  from borne
  group by event_name
),
compared as (
  select
    borne.event_name,
    alone.bits,
    borne.has_em,
    borne.has_ph,
    borne.has_external_id,
    borne.has_fbc,
    borne.has_fbp,
    case
      when alone.bits = borne.has_em + borne.has_ph * 2 + borne.has_external_id * 4 + borne.has_fbc * 8 + borne.has_fbp * 16 then 1
      else 0
    end as unlinked
  from borne
  inner join alone
    on borne.pixel_id = alone.pixel_id
    and borne.event_key = alone.event_key
    and borne.anchor_at = alone.anchor_at
),
lone as (
  select
    event_name,
    sum(unlinked) as unlinked,
    sum(bits // 1 % 2) as alone_em,
    sum(unlinked * (1 - has_em)) as lacking_em,
    sum(bits // 2 % 2) as alone_ph,
    sum(unlinked * (1 - has_ph)) as lacking_ph,
    sum(bits // 4 % 2) as alone_external_id,
    sum(unlinked * (1 - has_external_id)) as lacking_external_id,
    sum(bits // 8 % 2) as alone_fbc,
    sum(unlinked * (1 - has_fbc)) as lacking_fbc,
    sum(bits // 16 % 2) as alone_fbp,
    sum(unlinked * (1 - has_fbp)) as lacking_fbp
  from compared
  group by event_name
)
select
  cast(bearers.event_name as varchar) as event_name,
  cast(judged as bigint) as judged,
  cast(judged - bare - coalesce(unlinked, 0) as bigint) as linked,
  cast(has_em as bigint) as has_em,
  cast(has_em - coalesce(alone_em, 0) as bigint) as by_em,
  cast(bare + coalesce(lacking_em, 0) as bigint) as lacking_em,
  cast(has_ph as bigint) as has_ph,
  cast(has_ph - coalesce(alone_ph, 0) as bigint) as by_ph,
  cast(bare + coalesce(lacking_ph, 0) as bigint) as lacking_ph,
  cast(has_external_id as bigint) as has_external_id,
  cast(has_external_id - coalesce(alone_external_id, 0) as bigint) as by_external_id,
  cast(bare + coalesce(lacking_external_id, 0) as bigint) as lacking_external_id,
  cast(has_fbc as bigint) as has_fbc,
  cast(has_fbc - coalesce(alone_fbc, 0) as bigint) as by_fbc,
  cast(bare + coalesce(lacking_fbc, 0) as bigint) as lacking_fbc,
  cast(has_fbp as bigint) as has_fbp,
  cast(has_fbp - coalesce(alone_fbp, 0) as bigint) as by_fbp,
  cast(bare + coalesce(lacking_fbp, 0) as bigint) as lacking_fbp
from bearers
left join lone
  on bearers.event_name = lone.event_name
order by bearers.event_name
