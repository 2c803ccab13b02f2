-- One row per record of an account with its identifiers, each as KEY=VALUE.
-- Parameters: $paths files of `events`, $account_id, $until the last moment of receipt.
-- Rows that were made anonymous are nobody's.
-- A hash that another client would make of a raw value (extra.hash_variants) is its key's too.
-- Copies of one event are held together by their key (where an id was sent) and by the order.
select
  log_slot,
  log_offset,
  list_filter(
    list_concat(
      list_transform(user_data.em, lambda value: 'em=' || value),
      list_transform(user_data.ph, lambda value: 'ph=' || value),
      list_transform(user_data.external_id, lambda value: 'external_id=' || value),
      list_transform(user_data.app_user_id, lambda value: 'app_user_id=' || value),
      list_transform(variants.em, lambda value: 'em=' || value),
      list_transform(variants.ph, lambda value: 'ph=' || value),
      list_transform(variants.external_id, lambda value: 'external_id=' || value),
      list_transform(variants.app_user_id, lambda value: 'app_user_id=' || value),
      [
        'subscription_id=' || user_data.subscription_id,
        'fb_login_id=' || user_data.fb_login_id,
        'lead_id=' || user_data.lead_id,
        'page_scoped_user_id=' || user_data.page_scoped_user_id,
        'ig_sid=' || user_data.ig_sid,
        'fbp=' || user_data.fbp,
        'fbc=' || user_data.fbc,
        'anon_id=' || user_data.anon_id,
        'madid=' || user_data.madid,
        'ctwa_clid=' || user_data.ctwa_clid,
        case
          when event_id is not null or action_source = 'physical_store'
            then 'event_key=' || pixel_id || '.' || event_key
        end,
        'order_id=' || pixel_id || '.' || order_id
      ]
    ),
    lambda identifier: identifier is not null
  ) as identifiers
from (
  select
    *,
    case
      when contains(extra, '"hash_variants"')
        then from_json(
          json_extract(extra, '$.hash_variants'),
          '{"em": ["VARCHAR"], "ph": ["VARCHAR"], "external_id": ["VARCHAR"], '
          || '"app_user_id": ["VARCHAR"]}'
        )
    end as variants
  from read_parquet($paths)
)
where account_id = $account_id
  and received_at <= $until
  and not list_contains(coalesce(flags, []), 'erased')
