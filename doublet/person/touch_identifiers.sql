-- One row per ad touch of an account with its identifiers, each as KEY=VALUE, as identifiers.sql has
-- them for events.
-- Parameters: $touch_paths files of `ad_touches`, $account_id, $until the last moment of receipt.
-- Rows that were made anonymous are nobody's.
select
  log_slot,
  log_offset,
  list_filter(
    list_concat(
      list_transform(user_data.em, lambda value: 'em=' || value),
      list_transform(user_data.ph, lambda value: 'ph=' || value),
      list_transform(user_data.external_id, lambda value: 'external_id=' || value),
      list_transform(user_data.app_user_id, lambda value: 'app_user_id=' || value),
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
        'ctwa_clid=' || user_data.ctwa_clid
      ]
    ),
    lambda identifier: identifier is not null
  ) as identifiers
from read_parquet($touch_paths)
where account_id = $account_id
  and received_at <= $until
  and not list_contains(coalesce(flags, []), 'erased')
