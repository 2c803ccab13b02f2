-- One row per channel and step of a funnel: how many persons reached it, in order and within a
-- window, and after how long. Sources: conversions, persons. Parameters: $account_id, $pixel_id (null: all
-- pixels), $steps (event names, in order), $window_s (seconds from the first step), $since and
-- $until (Unix seconds of the first step, half-open; null: unbounded), $by_channel (false: one row
-- per step, with a null channel), $click_s (how old the click may be that the first step follows).
--
-- A person may begin several times; the best attempt counts. For each event, `entered` is the
-- latest first step from which the steps before it were reached in order: whatever that leaves too
-- little time for, an earlier one does too. Events of one second count as in the right order.
with recursive
wanted as (
  select
    unnest($steps) as event_name,
    unnest(range(1, len($steps) + 1)) as step
),
events as (
  select
    coalesce(persons.root_id, conversions.person_id) as person_id,
    conversions.event_time,
    wanted.step,
    case
      when conversions.click_time > conversions.event_time - $click_s
        then coalesce(conversions.click_platform, conversions.click_channel)
    end as channel
  from conversions
  inner join wanted
    on wanted.event_name = conversions.event_name
  left join persons
    on persons.account_id = $account_id
    and persons.person_id = conversions.person_id
  where conversions.account_id = $account_id
    and conversions.person_id is not null
    and ($pixel_id is null or conversions.pixel_id = $pixel_id)
),
reached as (
  select
    person_id,
    cast(1 as bigint) as step,
    event_time,
    event_time as entered
  from events
  where step = 1
    and ($since is null or event_time >= $since)
    and ($until is null or event_time < $until)
  union all
  select
    person_id,
    step,
    event_time,
    entered
  from (
    select
      person_id,
      step,
      event_time,
      is_before,
      max(case when is_before then step end) over () as next_step,
      max(case when is_before then entered end) over (
        partition by person_id
        order by event_time
        range between unbounded preceding and current row
      ) as entered
    from (
      select
        person_id,
        step + 1 as step,
        event_time,
        entered,
        true as is_before
      from reached
      union all
      select
        events.person_id,
        events.step,
        events.event_time,
        cast(null as bigint) as entered,
        false as is_before
      from events
    ) as places
  ) as carried
  where not is_before
    and step = next_step
    and entered is not null
    and event_time - entered <= $window_s
),
depths as (
  select
    person_id,
    max(step) as depth
  from reached
  group by person_id
),
-- The channel of an attempt is that of its first step, of the latest one that went so far.
attempts as (
  select
    reached.person_id,
    max(reached.entered) as entered
  from reached
  inner join depths
    on depths.person_id = reached.person_id
    and depths.depth = reached.step
  group by reached.person_id
),
channels as (
  select
    attempts.person_id,
    min(events.channel) as channel
  from attempts
  inner join events
    on events.person_id = attempts.person_id
    and events.event_time = attempts.entered
    and events.step = 1
  group by attempts.person_id
),
fastest as (
  select
    person_id,
    step,
    min(event_time - entered) as lag_s
  from reached
  group by person_id, step
)
select
  cast(case when $by_channel then coalesce(channels.channel, '') end as varchar) as channel,
  cast(fastest.step as integer) as step,
  cast(count(*) as bigint) as persons,
  cast(quantile_disc(fastest.lag_s, 0.5) as bigint) as median_s
from fastest
inner join channels
  on channels.person_id = fastest.person_id
group by case when $by_channel then coalesce(channels.channel, '') end, fastest.step
order by channel, step
