-- One row per campaign, ad set or ad and day, as a platform counts: records of the log as they go into the Delta table
-- `ad_days`.
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
  cast(platform as varchar) as platform,
  cast(level as varchar) as level,
  cast(date as date) as date,
  cast(campaign_id as varchar) as campaign_id,
  cast(campaign_name as varchar) as campaign_name,
  cast(adset_id as varchar) as adset_id,
  cast(adset_name as varchar) as adset_name,
  cast(ad_id as varchar) as ad_id,
  cast(ad_name as varchar) as ad_name,
  cast(impressions as bigint) as impressions,
  cast(clicks as bigint) as clicks,
  cast(reach as bigint) as reach,
  cast(spend as decimal(18, 4)) as spend,
  cast(currency as varchar) as currency,
  cast(reported as varchar) as reported,
  cast(time_zone as varchar) as time_zone
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
    platform: 'varchar',
    level: 'varchar',
    date: 'date',
    campaign_id: 'varchar',
    campaign_name: 'varchar',
    adset_id: 'varchar',
    adset_name: 'varchar',
    ad_id: 'varchar',
    ad_name: 'varchar',
    impressions: 'bigint',
    clicks: 'bigint',
    reach: 'bigint',
    spend: 'varchar',
    currency: 'varchar',
    reported: 'json',
    time_zone: 'varchar'
  }
)
where record_type = 'ad_day'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
