-- One row per copy that the server sent, or that was replayed, of the events that are wanted.
-- Parameters: $events files of the lake's table events, $account_id, $since (received from then on),
-- $keys wanted event keys, $ids wanted names of replayed events (`slot-offset-index`).
select
  cast(event_key as bigint) as event_key,
  cast(received_at as timestamptz) as received_at,
  cast(json_extract_string(extra, '$.replay_of') as varchar) as replay_of
from read_parquet($events)
where account_id = $account_id
  and received_at >= $since
  and (
    (source = 'server' and event_key in (select unnest($keys)))
    or (
      extra like '%"replay_of"%'
      and json_extract_string(extra, '$.replay_of') in (select unnest($ids))
    )
  )
