-- One row per account and quarter of an hour (Unix time of its beginning): answers with an ad.
-- Parameters: $chosen files of `ad_decisions`, $from and $since (received in between).
select
  cast(account_id as varchar) as account_id,
  cast(floor(epoch(decided_at) / 900) * 900 as bigint) as quarter_s,
  cast(count(*) as bigint) as answers
from read_parquet($chosen)
where position = 1
  and received_at >= $from
  and received_at < $since
  and not is_test
group by account_id, floor(epoch(decided_at) / 900)
order by account_id, quarter_s
