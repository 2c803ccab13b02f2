-- One row per campaign, ad set or ad of those in $ids (of any level), with its newest name. Source:
-- ads.
with
named as (
  select unnest([
    struct_pack(level := 'campaign', id := campaign_id, name := campaign_name),
    struct_pack(level := 'adset', id := adset_id, name := adset_name),
    struct_pack(level := 'ad', id := ad_id, name := ad_name)
  ]) as entry, last_received_at
  from ads
  where account_id = $account_id
),
ranked as (
  select
    entry.level as level,
    entry.id as id,
    entry.name as name,
    row_number() over (
      partition by entry.level, entry.id
      order by last_received_at desc, entry.name
    ) as place
  from named
  where entry.name is not null
    and list_contains(cast($ids as varchar[]), entry.id)
)
select
  cast(level as varchar) as level,
  cast(id as varchar) as id,
  cast(name as varchar) as name
from ranked
where place = 1
order by level, id
