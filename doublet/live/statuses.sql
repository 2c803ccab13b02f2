-- One row per copy that is asked for and modelled: by which rule it is of its event, and which copy
-- of the event is kept, by which rule. Key: (log_slot, log_offset). Sources: copies, joins,
-- events_deduplicated. Parameters: $account_id; $offsets, of any slot, and the $first and $last of
-- them.
with
asked as (
  select
    copies.log_slot,
    copies.log_offset,
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key) as event_key,
    coalesce(joins.root_at, copies.chain_at) as anchor_at,
    case when copies.rule = 'first' then coalesce(joins.rule, 'first') else copies.rule end as rule
  from copies
  left join joins
    on copies.pixel_id = joins.pixel_id
    and copies.event_key = joins.event_key
    and copies.chain_at = joins.chain_at
  where copies.log_offset between $first and $last
    and copies.log_offset in (select unnest($offsets))
)
select
  cast(asked.log_slot as integer) as log_slot,
  cast(asked.log_offset as bigint) as log_offset,
  cast(asked.rule as varchar) as rule,
  cast(events.kept_log_slot as integer) as kept_log_slot,
  cast(events.kept_log_offset as bigint) as kept_log_offset,
  cast(events.kept_source as varchar) as kept_source,
  cast(events.kept_rule as varchar) as kept_rule,
  cast(
    case
      when kept.rule = 'first' then coalesce(kept_joins.rule, 'first')
      else kept.rule
    end as varchar
  ) as rule_of_kept
from asked
inner join events_deduplicated as events
  on asked.pixel_id = events.pixel_id
  and asked.event_key = events.event_key
  and asked.anchor_at = events.anchor_at
left join copies as kept
  on events.kept_log_slot = kept.log_slot
  and events.kept_log_offset = kept.log_offset
left join joins as kept_joins
  on kept.pixel_id = kept_joins.pixel_id
  and kept.event_key = kept_joins.event_key
  and kept.chain_at = kept_joins.chain_at
where events.account_id = $account_id
