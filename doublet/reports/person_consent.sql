-- One row per person at most: the last word on consent that their browser gave up to a moment.
-- Sources: events_deduplicated. Parameters: $account_id; $event_time in Unix seconds; $fbp, and
-- the lists $em, $ph and $external_id of hashes, each null where an event lacks it.
-- A person is whoever shares one of these identifiers. Null never occurs.
select
  cast(consent as varchar) as consent
from events_deduplicated
where account_id = $account_id
  and consent is not null
  and not is_test
  and event_time <= $event_time
  and (
    user_data.fbp = $fbp
    or list_has_any(user_data.em, $em)
    or list_has_any(user_data.ph, $ph)
    or list_has_any(user_data.external_id, $external_id)
  )
order by event_time desc, kept_received_at desc, kept_log_slot desc, kept_log_offset desc
limit 1
