-- One row per day and campaign or ad set of which a platform reports impressions, clicks or spend as a
-- whole: which of them. Source: ad_days; from $since to $until.
select
  cast(date as date) as date,
  cast(level as varchar) as level,
  cast(case level when 'adset' then adset_id else campaign_id end as varchar) as id,
  cast(bool_or(counts_impressions and impressions is not null) as boolean) as impressions,
  cast(bool_or(counts_clicks and clicks is not null) as boolean) as clicks,
  cast(bool_or(counts_spend and spend is not null) as boolean) as spend
from ad_days
where account_id = $account_id
  and level in ('campaign', 'adset')
  and (
    counts_impressions and impressions is not null
    or counts_clicks and clicks is not null
    or counts_spend and spend is not null
  )
  and date between cast($since as date) and cast($until as date)
group by
  date,
  level,
  case level when 'adset' then adset_id else campaign_id end
