-- One row per ad that delivery has chosen: records of the log as they go into the Delta table
-- `ad_decisions`.
-- Parameters: $paths staged log chunks named <slot>.jsonl, $positions first wanted offset by slot.
-- Nulls mean that the record did not say it.
select
  cast(account_id as varchar) as account_id,
  cast(record_type as varchar) as record_type,
  cast(source as varchar) as source,
  make_timestamptz(received_at) as received_at,
  cast(make_timestamptz(received_at) at time zone 'UTC' as date) as received_date,
  cast(parse_filename(filename, true) as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(decision_id as varchar) as decision_id,
  make_timestamptz(decided_at) as decided_at,
  cast(placement as varchar) as placement,
  cast(policy as varchar) as policy,
  cast(position as integer) as position,
  cast(ad_id as varchar) as ad_id,
  cast(adset_id as varchar) as adset_id,
  cast(campaign_id as varchar) as campaign_id,
  cast(propensity as double) as propensity,
  cast(p_click as double) as p_click,
  cast(p_action as double) as p_action,
  cast(bid as decimal(18, 4)) as bid,
  cast(total_value as double) as total_value,
  cast(price as decimal(18, 4)) as price,
  cast(currency as varchar) as currency,
  cast(billing_event as varchar) as billing_event,
  cast(lease as varchar) as lease,
  cast(coalesce(is_explored, false) as boolean) as is_explored,
  cast(features as varchar[]) as features,
  cast(coalesce(candidates, 0) as integer) as candidates,
  cast(coalesce(is_test, false) as boolean) as is_test
from read_ndjson(
  $paths,
  filename = true,
  maximum_object_size = 2097152,
  columns = {
    log_offset: 'bigint',
    record_type: 'varchar',
    account_id: 'varchar',
    source: 'varchar',
    received_at: 'bigint',
    decision_id: 'varchar',
    decided_at: 'bigint',
    placement: 'varchar',
    policy: 'varchar',
    position: 'integer',
    ad_id: 'varchar',
    adset_id: 'varchar',
    campaign_id: 'varchar',
    propensity: 'double',
    p_click: 'double',
    p_action: 'double',
    bid: 'varchar',
    total_value: 'double',
    price: 'varchar',
    currency: 'varchar',
    billing_event: 'varchar',
    lease: 'varchar',
    is_explored: 'boolean',
    features: 'varchar[]',
    candidates: 'integer',
    is_test: 'boolean'
  }
)
where record_type = 'ad_decision'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
