-- One row per campaign, ad set or ad that is known by name, by delivery or by touches, in the order
-- of level and id: its newest name and what it is part of, null where nothing tells. $level and $id
-- choose (null: all); $parent_id is a campaign or ad set that it is part of.
with
entries as (
  select
    last_received_at as seen_at,
    campaign_id,
    campaign_name,
    adset_id,
    adset_name,
    ad_id,
    ad_name
  from ads
  where account_id = $account_id
  union all
  select
    cast(null as timestamptz),
    campaign_id,
    cast(null as varchar),
    adset_id,
    cast(null as varchar),
    ad_id,
    cast(null as varchar)
  from touches
  where account_id = $account_id
    and $with_touches
    and (
      $id is null
      or campaign_id = $id
      or adset_id = $id
      or ad_id = $id
    )
  group by campaign_id, adset_id, ad_id
),
objects as (
  select
    'campaign' as level,
    campaign_id as id,
    campaign_name as name,
    cast(null as varchar) as campaign_id,
    cast(null as varchar) as adset_id,
    seen_at
  from entries
  union all
  select 'adset', adset_id, adset_name, campaign_id, cast(null as varchar), seen_at
  from entries
  union all
  select 'ad', ad_id, ad_name, campaign_id, adset_id, seen_at
  from entries
),
ranked as (
  select
    level,
    id,
    name,
    max(campaign_id) over (partition by level, id) as campaign_id,
    max(adset_id) over (partition by level, id) as adset_id,
    row_number() over (
      partition by level, id
      order by case when name is null then 1 else 0 end, seen_at desc nulls last, name
    ) as place
  from objects
  where id is not null
    and ($level is null or level = $level)
    and ($id is null or id = $id)
)
select
  cast(level as varchar) as level,
  cast(id as varchar) as id,
  cast(name as varchar) as name,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id
from ranked
where place = 1
  and ($parent_id is null or campaign_id = $parent_id or adset_id = $parent_id)
order by level, id
