-- One row per place of a copy: the event that the copy belongs to, as JSON.
-- Sources: copies, joins, events_deduplicated. Parameters: the lists $ids, $slots and $offsets,
-- emissions and their places. A place of which no event is left has no row.
with
wanted as (
  select
    cast(unnest($ids) as bigint) as emission_id,
    cast(unnest($slots) as integer) as log_slot,
    cast(unnest($offsets) as bigint) as log_offset
),
placed as (
  select
    wanted.emission_id,
    wanted.log_slot,
    wanted.log_offset,
    copies.received_at,
    copies.pixel_id,
    copies.event_key,
    copies.chain_at
  from wanted
  inner join copies
    on wanted.log_slot = copies.log_slot
    and wanted.log_offset = copies.log_offset
),
rooted as (
  select
    placed.emission_id,
    placed.log_slot,
    placed.log_offset,
    placed.received_at,
    placed.pixel_id,
    coalesce(joins.root_key, placed.event_key) as event_key,
    coalesce(joins.root_at, placed.chain_at) as anchor_at
  from placed
  left join joins
    on placed.pixel_id = joins.pixel_id
    and placed.event_key = joins.event_key
    and placed.chain_at = joins.chain_at
)
select
  cast(rooted.emission_id as bigint) as emission_id,
  cast(
    to_json(
      struct_pack(
        account_id := events.account_id,
        pixel_id := events.pixel_id,
        event_name := events.event_name,
        event_id := events.event_id,
        event_time := events.event_time,
        action_source := events.action_source,
        event_source_url := events.event_source_url,
        user_data := events.user_data,
        value := cast(events.value as varchar),
        currency := events.currency,
        order_id := events.order_id,
        custom_data := cast(events.custom_data as json),
        extra := cast(events.extra as json),
        consent := cast(events.consent as json),
        flags := events.flags,
        browser_copies := events.browser_copies,
        server_copies := events.server_copies,
        first_received_at := date_diff(
          'microsecond', timestamptz '1970-01-01 00:00:00+00', rooted.received_at
        ),
        log_slot := rooted.log_slot,
        log_offset := rooted.log_offset
      )
    ) as varchar
  ) as payload
from rooted
inner join events_deduplicated as events
  on rooted.pixel_id = events.pixel_id
  and rooted.event_key = events.event_key
  and rooted.anchor_at = events.anchor_at
