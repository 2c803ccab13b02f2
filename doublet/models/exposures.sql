-- One row per person and experiment or campaign whose ads were to be shown: whether the person was held out.
-- Key: (account_id, person_id, experiment, campaign_id, is_held_out). Source: the temporary table
-- `their_touches`, with `root_id` the person of now.
-- A person may be in both arms when it was found to be two that had been drawn apart.
select
  cast(account_id as varchar) as account_id,
  cast(root_id as bigint) as person_id,
  cast(experiment as varchar) as experiment,
  cast(campaign_id as varchar) as campaign_id,
  cast(kind = 'held_out' as boolean) as is_held_out,
  cast(min(touched_time) as bigint) as first_time,
  cast(count(*) as bigint) as opportunities
from their_touches
where origin = 'ad_log'
  and kind in ('held_out', 'view', 'engaged_view')
  and (experiment is not null or kind = 'held_out')
group by account_id, root_id, experiment, campaign_id, kind = 'held_out'
