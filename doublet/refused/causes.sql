-- One row per cause of refusals: pixel, source, reason and the shape of the message, which is the
-- message without numbers. Refusals whose sender proved no account are those of its pixels too.
-- Parameters: $paths files of the lake's table refused, $account_id, $pixels the account's own,
-- $pixel_id and $reason (null: all), $since and $until (Unix seconds, half-open; null: unbounded).
select
  cast(pixel_id as varchar) as pixel_id,
  cast(source as varchar) as source,
  cast(reason as varchar) as reason,
  cast(max(regexp_replace(message, '^Event [0-9]+: ', '')) as varchar) as message,
  cast(count(*) as bigint) as requests,
  cast(sum(coalesce(json_array_length(payload), 0)) as bigint) as events,
  cast(min(received_at) as timestamptz) as first_seen_at,
  cast(max(received_at) as timestamptz) as last_seen_at,
  cast(
    arg_max(log_slot || '-' || log_offset, (received_at, log_slot, log_offset)) as varchar
  ) as example
from read_parquet($paths)
where (account_id = $account_id or (account_id = '' and list_contains($pixels, pixel_id)))
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($reason is null or reason = $reason)
  and ($since is null or received_at >= make_timestamptz(cast($since as bigint) * 1000000))
  and ($until is null or received_at < make_timestamptz(cast($until as bigint) * 1000000))
group by
  pixel_id,
  source,
  reason,
  regexp_replace(regexp_replace(message, '^Event [0-9]+: ', ''), '[0-9]+', '', 'g')
order by requests desc, last_seen_at desc, pixel_id, source, reason, message
