-- One row per stage that leads have reached, and one for all leads, whose stage is null: how many
-- leads, how many of them a browser reported, and half of them after how long (from the Lead).
-- Source: events_deduplicated. Parameters: $account_id, $pixel_id (null: all pixels), $since and
-- $until (Unix seconds, half-open; null: unbounded), between which the lead came: its Lead event, or
-- where there is none its first stage.
-- A stage belongs to the Lead whose event id, or Meta's lead id, is the stage's lead id. A lead
-- counts once per stage, however often it is said to be there.
with
said as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_id,
    event_time,
    browser_copies,
    user_data.lead_id as meta_lead_id,
    case
      when contains(custom_data, '"event_source"')
        then json_extract_string(custom_data, '$.event_source')
    end as event_source,
    case
      when contains(custom_data, '"lead_id"') then json_extract_string(custom_data, '$.lead_id')
    end as lead_id
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and (event_name = 'Lead' or action_source = 'system_generated')
    and ($pixel_id is null or pixel_id = $pixel_id)
),
forms as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    event_id,
    meta_lead_id,
    case when browser_copies > 0 then 1 else 0 end as by_browser
  from said
  where event_name = 'Lead'
    and coalesce(event_source, '') <> 'crm'
),
names as (
  select
    event_id as lead_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    by_browser
  from forms
  where event_id is not null
    and event_id <> 'erased'
  union all
  select
    meta_lead_id as lead_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    by_browser
  from forms
  where meta_lead_id is not null
    and (event_id is null or event_id <> meta_lead_id)
),
ranked as (
  select
    lead_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    by_browser,
    row_number() over (
      partition by lead_id
      order by event_time, anchor_at, pixel_id, event_key
    ) as place
  from names
),
stages as (
  select
    coalesce(lead_id, meta_lead_id) as lead_id,
    event_name as stage,
    event_time
  from said
  where event_source = 'crm'
    and coalesce(lead_id, meta_lead_id) is not null
),
joined as (
  select
    stages.stage,
    stages.event_time as reached_at,
    ranked.event_time as lead_at,
    coalesce(ranked.by_browser, 0) as by_browser,
    case
      when ranked.event_key is null then concat('crm/', stages.lead_id)
      else concat('form/', ranked.pixel_id, '/', ranked.event_key, '/', ranked.anchor_at)
    end as lead
  from stages
  left join ranked
    on stages.lead_id = ranked.lead_id
    and ranked.place = 1
),
known as (
  select
    concat('form/', pixel_id, '/', event_key, '/', anchor_at) as lead,
    event_time as came_at,
    by_browser
  from forms
  union all
  select
    lead,
    min(reached_at) as came_at,
    0 as by_browser
  from joined
  where lead_at is null
  group by lead
),
leads as (
  select
    lead,
    by_browser
  from known
  where ($since is null or came_at >= $since)
    and ($until is null or came_at < $until)
),
reached as (
  select
    joined.lead,
    joined.stage,
    max(joined.by_browser) as by_browser,
    max(joined.lead_at) as lead_at,
    min(joined.reached_at) as reached_at
  from joined
  inner join leads
    on joined.lead = leads.lead
  group by joined.lead, joined.stage
),
counted as (
  select
    stage,
    count(*) as leads,
    sum(by_browser) as matched,
    median(case when lead_at is not null then greatest(reached_at - lead_at, 0) end) as median_s
  from reached
  group by stage
  union all
  select
    null as stage,
    count(*) as leads,
    coalesce(sum(by_browser), 0) as matched,
    null as median_s
  from leads
)
select
  cast(stage as varchar) as stage,
  cast(leads as bigint) as leads,
  cast(matched as bigint) as matched,
  cast(median_s as double) as median_s
from counted
order by leads desc, stage nulls first
