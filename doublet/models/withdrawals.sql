-- One row per event that denies the use of data for ads, and identifier that it carries.
-- Key: (pixel_id, event_key, anchor_at, identifier_key). Source: the temporary table `identified`.
-- Such an event is nobody's, and adds to nobody's identifiers: whose word it is, the identifiers say
-- that other records made somebody's. Digests are those of profile_identifiers.
with
denied as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    user_data
  from identified
  where not is_test
    and not coalesce(list_contains(flags, 'erased'), false)
    and contains(consent, 'denied')
    and (
      json_extract_string(consent, '$.ad_user_data') = 'denied'
      or json_extract_string(consent, '$.ad_storage') = 'denied'
    )
),
carried as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    unnest(
      list_distinct(
        list_concat(
          list_transform(user_data.em, lambda value: 'em=' || value),
          list_transform(user_data.ph, lambda value: 'ph=' || value),
          list_transform(user_data.external_id, lambda value: 'external_id=' || value),
          list_transform(user_data.app_user_id, lambda value: 'app_user_id=' || value),
          [
            'subscription_id=' || user_data.subscription_id,
            'fb_login_id=' || user_data.fb_login_id,
            'page_scoped_user_id=' || user_data.page_scoped_user_id,
            'ig_sid=' || user_data.ig_sid,
            'fbp=' || user_data.fbp,
            'anon_id=' || user_data.anon_id,
            'madid=' || user_data.madid
          ]
        )
      )
    ) as identifier
  from denied
)
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast('0x' || substring(md5(account_id || '|' || identifier), 1, 15) as bigint) as identifier_key,
  cast(event_time as bigint) as denied_time
from carried
where identifier is not null
