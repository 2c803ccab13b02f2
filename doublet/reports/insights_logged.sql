-- One row per period, day, hour, ad, platform and placement: views and clicks in the ad log, and what
-- they cost in the account's currency. Sources: touches, without the figures of ads and days that
-- ad_days tells, and rates. day is null unless $has_whole, which says that some campaigns or ad sets have rows of their own, which may cover it. Ids as in
-- insights: finer ones than $finest are null unless the coarser one is. Periods: parallel lists
-- $periods, $days, $hours, $since_s and $until_s (Unix seconds, quarters of an hour); $from_s and
-- $to_s bound all that is read.
-- Where platforms report anything ($is_reported), touches are counted by day and ad first, to be
-- compared with what is reported; doublet.reports.insights_delivery leaves out the part `reported`
-- where it is not needed. $counted_to is 3 then, otherwise $finest.
with
spans as (
  select
    unnest(cast($periods as integer[])) as period,
    unnest(cast($days as date[])) as day,
    unnest(cast($hours as integer[])) as hour,
    unnest(cast($since_s as bigint[])) as since_s,
    unnest(cast($until_s as bigint[])) as until_s
),
quarters as (
  select
    period,
    case when $is_reported then day end as day,
    day as rate_day,
    hour,
    unnest(range(since_s // 900, until_s // 900)) as quarter
  from spans
),
counted as (
  select
    quarters.period,
    quarters.day,
    quarters.hour,
    case when $counted_to >= 1 then touches.campaign_id end as campaign_id,
    case
      when $counted_to >= 2 or ($counted_to = 1 and touches.campaign_id is null)
        then touches.adset_id
    end as adset_id,
    case
      when $counted_to = 3
        or ($counted_to = 2 and touches.adset_id is null)
        or ($counted_to = 1 and touches.campaign_id is null)
        then touches.ad_id
    end as ad_id,
    case when $by_platform then touches.platform end as platform,
    case when $by_placement then touches.placement end as placement,
    count(*) filter (where touches.kind = 'view') as impressions,
    count(*) filter (where touches.kind = 'click') as clicks,
    sum(cast(touches.cost * rates.rate as decimal(38, 4))) as spend
  from touches
  inner join quarters
    on quarters.quarter = touches.touched_time // 900
  left join rates
    on rates.currency = touches.currency
    and quarters.rate_day between rates.first_day and rates.last_day
  where touches.account_id = $account_id
    and touches.origin = 'ad_log'
    and touches.kind in ('view', 'click')
    and touches.touched_time >= $from_s
    and touches.touched_time < $to_s
    and (
      $campaign_id is null
      or touches.campaign_id = $campaign_id
      or touches.campaign_id is null
    )
    and ($adset_id is null or touches.adset_id = $adset_id or touches.adset_id is null)
    and ($ad_id is null or touches.ad_id = $ad_id)
  group by
    quarters.period,
    quarters.day,
    quarters.hour,
    case when $counted_to >= 1 then touches.campaign_id end,
    case
      when $counted_to >= 2 or ($counted_to = 1 and touches.campaign_id is null)
        then touches.adset_id
    end,
    case
      when $counted_to = 3
        or ($counted_to = 2 and touches.adset_id is null)
        or ($counted_to = 1 and touches.campaign_id is null)
        then touches.ad_id
    end,
    case when $by_platform then touches.platform end,
    case when $by_placement then touches.placement end
),
-- begin reported
covered as (
  select
    date,
    ad_id,
    bool_or(impressions is not null) as has_impressions,
    bool_or(clicks is not null) as has_clicks,
    bool_or(spend is not null) as has_spend
  from ad_days
  where account_id = $account_id
    and level = 'ad'
    and date in (select day from spans)
  group by date, ad_id
),
-- end reported
summed as (
  select
    counted.period,
    case when $has_whole then counted.day end as day,
    counted.hour,
    case when $finest >= 1 then counted.campaign_id end as campaign_id,
    case
      when $finest >= 2 or ($finest = 1 and counted.campaign_id is null) then counted.adset_id
    end as adset_id,
    case
      when $finest = 3
        or ($finest = 2 and counted.adset_id is null)
        or ($finest = 1 and counted.campaign_id is null)
        then counted.ad_id
    end as ad_id,
    counted.platform,
    counted.placement,
    sum(
      counted.impressions
      -- begin reported
      * case when covered.has_impressions then 0 else 1 end
      -- end reported
    ) as impressions,
    sum(
      counted.clicks
      -- begin reported
      * case when covered.has_clicks then 0 else 1 end
      -- end reported
    ) as clicks,
    sum(
      counted.spend
      -- begin reported
      * case when covered.has_spend then 0 else 1 end
      -- end reported
    ) as spend
  from counted
  -- begin reported
  left join covered
    on covered.date = counted.day
    and covered.ad_id = counted.ad_id
  where covered.has_impressions is distinct from true
    or covered.has_clicks is distinct from true
    or covered.has_spend is distinct from true
  -- end reported
  group by
    counted.period,
    case when $has_whole then counted.day end,
    counted.hour,
    case when $finest >= 1 then counted.campaign_id end,
    case
      when $finest >= 2 or ($finest = 1 and counted.campaign_id is null) then counted.adset_id
    end,
    case
      when $finest = 3
        or ($finest = 2 and counted.adset_id is null)
        or ($finest = 1 and counted.campaign_id is null)
        then counted.ad_id
    end,
    counted.platform,
    counted.placement
)
select
  cast(period as integer) as period,
  cast(day as date) as day,
  cast(hour as integer) as hour,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(platform as varchar) as platform,
  cast(placement as varchar) as placement,
  cast(impressions as bigint) as impressions,
  cast(clicks as bigint) as clicks,
  cast(spend as decimal(38, 4)) as spend
from summed
