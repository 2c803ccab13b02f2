-- One row per question: the last quarter of an hour, in Unix seconds, with which there are as many
-- events as are wanted from it on, so that none need be looked for before; null when there are not.
-- Source: event_quarters. Parameters: see events.sql; $limit (how many are wanted), $before_s (only
-- whole quarters before that moment count; null: all). Our own checks are not counted: there may be
-- more.
with
counted as (
  select
    quarter_s,
    case
      when $seen_by = 'both' then by_both
      when $seen_by = 'browser_only' then browser_only
      when $seen_by = 'server_only' then server_only
      else events
    end as events
  from event_quarters
  where account_id = $account_id
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and ($until is null or quarter_s < $until)
    and ($before_s is null or quarter_s < $before_s - $before_s % 900)
    and ($shown = 'all' or ($shown = 'left_out') = is_marked)
),
quarters as (
  select
    quarter_s,
    sum(events) as events
  from counted
  group by quarter_s
),
summed as (
  select
    quarter_s,
    sum(events) over (order by quarter_s desc rows between unbounded preceding and current row)
      as events_since
  from quarters
)
select
  cast(max(quarter_s) as bigint) as since
from summed
where events_since >= $limit
