-- One row per period, hour, ad, platform and placement: how many persons its ads were shown to. Reach
-- adds up over nothing, so it is known only of what was counted as one: a platform's own figure
-- where the period is one of its days and the row is of that very level, otherwise the persons in
-- touches of origin ad_log (as profiles knows them now) where no ad_days has a say. Levels, ids, periods and parameters as in
-- insights_delivery; is_log tells the two apart.
with
spans as (
  select
    unnest(cast($periods as integer[])) as period,
    unnest(cast($days as date[])) as day,
    unnest(cast($hours as integer[])) as hour,
    unnest(cast($since_s as bigint[])) as since_s,
    unnest(cast($until_s as bigint[])) as until_s
),
days as (
  select period, min(day) as day
  from spans
  group by period
  having min(day) = max(day)
),
quarters as (
  select period, hour, unnest(range(since_s // 900, until_s // 900)) as quarter
  from spans
),
viewed as (
  select
    quarters.period,
    quarters.hour,
    profiles.root_id as person_id,
    touches.campaign_id,
    touches.adset_id,
    touches.ad_id,
    case when $by_platform then touches.platform end as platform,
    case when $by_placement then touches.placement end as placement
  from touches
  inner join quarters
    on quarters.quarter = touches.touched_time // 900
  left join profiles
    on profiles.profile_key = touches.profile_key
  where touches.account_id = $account_id
    and touches.origin = 'ad_log'
    and touches.kind = 'view'
    and touches.touched_time >= $from_s
    and touches.touched_time < $to_s
),
known as (
  select
    viewed.period,
    viewed.hour,
    coalesce(viewed.campaign_id, ad_parents.campaign_id, adset_parents.campaign_id) as campaign_id,
    coalesce(viewed.adset_id, ad_parents.adset_id) as adset_id,
    viewed.ad_id,
    viewed.platform,
    viewed.placement,
    true as is_log,
    viewed.person_id,
    cast(null as bigint) as reach
  from viewed
  left join ad_parents
    on ad_parents.ad_id = viewed.ad_id
  left join adset_parents
    on adset_parents.adset_id = coalesce(viewed.adset_id, ad_parents.adset_id)
  union all
  select
    days.period,
    cast(null as integer),
    ad_days.campaign_id,
    ad_days.adset_id,
    ad_days.ad_id,
    case when $by_platform then ad_days.platform end,
    cast(null as varchar),
    false,
    cast(null as bigint),
    ad_days.reach
  from ad_days
  inner join days
    on days.day = ad_days.date
  where ad_days.account_id = $account_id
    and ad_days.level = case $depth when 1 then 'campaign' when 2 then 'adset' else 'ad' end
    and $depth > 0
)
select
  cast(period as integer) as period,
  cast(hour as integer) as hour,
  cast(case when $depth >= 1 then campaign_id end as varchar) as campaign_id,
  cast(case when $depth >= 2 then adset_id end as varchar) as adset_id,
  cast(case when $depth >= 3 then ad_id end as varchar) as ad_id,
  cast(platform as varchar) as platform,
  cast(placement as varchar) as placement,
  cast(is_log as boolean) as is_log,
  cast(
    case when is_log then count(distinct person_id) when count(*) = 1 then max(reach) end as bigint
  ) as reach
from known
where ($campaign_id is null or campaign_id = $campaign_id)
  and ($adset_id is null or adset_id = $adset_id)
  and ($ad_id is null or ad_id = $ad_id)
group by
  period,
  hour,
  case when $depth >= 1 then campaign_id end,
  case when $depth >= 2 then adset_id end,
  case when $depth >= 3 then ad_id end,
  platform,
  placement,
  is_log
