-- One row per ad touch that somebody reported: records of the log as they go into the Delta table
-- `ad_touches`.
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
  cast(touch_id as varchar) as touch_id,
  cast(touch_key as bigint) as touch_key,
  cast(kind as varchar) as kind,
  make_timestamptz(touched_at) as touched_at,
  cast(platform as varchar) as platform,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(placement as varchar) as placement,
  cast(click_id as varchar) as click_id,
  cast(experiment as varchar) as experiment,
  cast(cost as decimal(18, 4)) as cost,
  cast(currency as varchar) as currency,
  user_data as user_data,
  cast(flags as varchar[]) as flags,
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
    touch_id: 'varchar',
    touch_key: 'bigint',
    kind: 'varchar',
    touched_at: 'bigint',
    platform: 'varchar',
    campaign_id: 'varchar',
    adset_id: 'varchar',
    ad_id: 'varchar',
    placement: 'varchar',
    click_id: 'varchar',
    experiment: 'varchar',
    cost: 'varchar',
    currency: 'varchar',
    user_data: '@user_data',
    flags: 'varchar[]',
    is_test: 'boolean'
  }
)
where record_type = 'ad_touch'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
