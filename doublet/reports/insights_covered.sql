-- One row per day and campaign or ad set that a platform reports as a whole. Source: ad_days; from
-- $since to $until.
select distinct
  cast(date as date) as date,
  cast(level as varchar) as level,
  cast(case level when 'adset' then adset_id else campaign_id end as varchar) as id
from ad_days
where account_id = $account_id
  and level in ('campaign', 'adset')
  and is_counted
  and date between cast($since as date) and cast($until as date)
