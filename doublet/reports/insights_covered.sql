-- One row per day and campaign or ad set of which a platform reports impressions or clicks as a whole:
-- which of the two. Source: ad_days; from $since to $until.
select
  cast(date as date) as date,
  cast(level as varchar) as level,
  cast(case level when 'adset' then adset_id else campaign_id end as varchar) as id,
  cast(bool_or(counts_impressions and impressions is not null) as boolean) as impressions,
  cast(bool_or(counts_clicks and clicks is not null) as boolean) as clicks
from ad_days
where account_id = $account_id
  and level in ('campaign', 'adset')
  and (counts_impressions and impressions is not null or counts_clicks and clicks is not null)
  and date between cast($since as date) and cast($until as date)
group by
  date,
  level,
  case level when 'adset' then adset_id else campaign_id end
