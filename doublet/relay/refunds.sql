-- One row per message about an order and Purchase of this order: what the message took off the
-- order, as the Refund that corrects the Purchase, in JSON; null where it took nothing.
-- Sources: order_copies, order_entries, copies, events_deduplicated. Parameters: the lists $ids,
-- $slots and $offsets, emissions and the places of their messages.
-- places are those of the first copies of the Purchase, by which the ledger knows it.
with
wanted as (
  select
    cast(unnest($ids) as bigint) as emission_id,
    cast(unnest($slots) as integer) as log_slot,
    cast(unnest($offsets) as bigint) as log_offset
),
told as (
  select
    wanted.emission_id,
    wanted.log_slot,
    wanted.log_offset,
    messages.account_id,
    messages.order_id,
    messages.message_id,
    messages.changed_at,
    messages.received_at
  from wanted
  inner join order_copies as messages
    on wanted.log_slot = messages.log_slot
    and wanted.log_offset = messages.log_offset
),
changes as (
  select
    entries.account_id,
    entries.order_id,
    entries.message_id,
    entries.currency,
    entries.refunds + entries.cancelled as amount
  from order_entries as entries
  semi join told
    on entries.account_id = told.account_id
    and entries.order_id = told.order_id
),
purchases as (
  select
    events.account_id,
    events.order_id,
    events.pixel_id,
    events.event_key,
    events.anchor_at,
    events.event_id,
    events.action_source,
    events.event_source_url,
    events.user_data,
    events.currency,
    events.consent,
    events.extra,
    events.browser_copies,
    events.server_copies
  from events_deduplicated as events
  semi join told
    on events.account_id = told.account_id
    and events.order_id = told.order_id
  where events.event_name = 'Purchase'
    and not events.is_test
),
numbered as (
  select
    copies.pixel_id,
    copies.event_key,
    copies.chain_at,
    copies.log_slot,
    copies.log_offset,
    row_number() over (
      partition by copies.pixel_id, copies.event_key, copies.chain_at
      order by copies.received_at, copies.log_slot, copies.log_offset
    ) as arrival
  from copies
  semi join purchases
    on copies.pixel_id = purchases.pixel_id
    and copies.event_key = purchases.event_key
    and copies.chain_at = purchases.anchor_at
),
placed as (
  select
    pixel_id,
    event_key,
    chain_at,
    list([log_slot, log_offset]) as places
  from numbered
  where arrival <= 20
  group by pixel_id, event_key, chain_at
)
select
  cast(told.emission_id as bigint) as emission_id,
  cast(placed.places as bigint[][]) as places,
  cast(
    case
      when changes.amount > 0 then to_json(
        struct_pack(
          account_id := purchases.account_id,
          pixel_id := purchases.pixel_id,
          event_name := 'Refund',
          event_id := concat('refund-', told.message_id),
          event_time := date_diff(
            'second', timestamptz '1970-01-01 00:00:00+00', told.changed_at
          ),
          action_source := purchases.action_source,
          event_source_url := purchases.event_source_url,
          user_data := purchases.user_data,
          value := cast(changes.amount as varchar),
          currency := coalesce(changes.currency, purchases.currency),
          order_id := purchases.order_id,
          custom_data := cast('{}' as json),
          extra := cast(purchases.extra as json),
          consent := cast(purchases.consent as json),
          browser_copies := purchases.browser_copies,
          server_copies := purchases.server_copies,
          first_received_at := date_diff(
            'microsecond', timestamptz '1970-01-01 00:00:00+00', told.received_at
          ),
          log_slot := told.log_slot,
          log_offset := told.log_offset,
          is_correction := true,
          corrects := purchases.event_id
        )
      )
    end as varchar
  ) as payload
from told
inner join changes
  on told.account_id = changes.account_id
  and told.order_id = changes.order_id
  and told.message_id = changes.message_id
inner join purchases
  on told.account_id = purchases.account_id
  and told.order_id = purchases.order_id
inner join placed
  on purchases.pixel_id = placed.pixel_id
  and purchases.event_key = placed.event_key
  and purchases.anchor_at = placed.chain_at
