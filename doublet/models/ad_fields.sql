-- One row per campaign, ad set or ad and field: what was said of it last, by whichever row. Fields:
-- id (every row that names it says that), name, campaign_id, adset_id, currency.
-- Key: (account_id, platform, level, id, field). Sources: the temporary tables `told_ad_days`, rows of
-- days and of names as they were told, and `kept_ad_fields`, what was known of the same before.
with
parts as (
  select
    account_id,
    platform,
    'campaign' as level,
    campaign_id as id,
    campaign_name as name,
    campaign_id,
    cast(null as varchar) as adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from told_ad_days
  where campaign_id is not null
  union all
  select
    account_id,
    platform,
    'adset' as level,
    adset_id as id,
    adset_name as name,
    campaign_id,
    adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from told_ad_days
  where adset_id is not null
  union all
  select
    account_id,
    platform,
    'ad' as level,
    ad_id as id,
    ad_name as name,
    campaign_id,
    adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from told_ad_days
  where ad_id is not null
),
said as (
  select account_id, platform, level, id, 'id' as field, id as value, received_at, log_slot, log_offset
  from parts
  union all
  select account_id, platform, level, id, 'name', name, received_at, log_slot, log_offset
  from parts
  union all
  select account_id, platform, level, id, 'campaign_id', campaign_id, received_at, log_slot, log_offset
  from parts
  union all
  select account_id, platform, level, id, 'adset_id', adset_id, received_at, log_slot, log_offset
  from parts
  union all
  select account_id, platform, level, id, 'currency', currency, received_at, log_slot, log_offset
  from parts
  union all
  select account_id, platform, level, id, field, value, received_at, log_slot, log_offset
  from kept_ad_fields
),
ranked as (
  select
    account_id,
    platform,
    level,
    id,
    field,
    value,
    received_at,
    log_slot,
    log_offset,
    row_number() over (
      partition by account_id, platform, level, id, field
      order by received_at desc, log_slot desc, log_offset desc
    ) as nth
  from said
  where value is not null
)
select
  cast(account_id as varchar) as account_id,
  cast(platform as varchar) as platform,
  cast(level as varchar) as level,
  cast(id as varchar) as id,
  cast(field as varchar) as field,
  cast(value as varchar) as value,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from ranked
where nth = 1
