-- One row per hour and value of an aggregation: how many copies of events bear the value, the most
-- frequent first, at most $values_max an hour. Hours are those of UTC, by event_time, $hours_max of
-- them from the first on that holds anything; event_total_counts is one row per value at $since.
-- Names and limits: Graph API, Ads Pixel Stats. Source: events_deduplicated, so what an event says
-- once its copies are one counts for each of them. Parameters: $account_id, $pixel_id, $aggregation,
-- $event (null: all), $event_source (null: both; WEB_ONLY, SERVER_ONLY), $since and $until (Unix
-- seconds, half-open). Events of our own checks are left out, and what only a browser reported
-- whose hits the rules of its pixel mark.
with
seen as (
  select
    case
      when $aggregation = 'event_total_counts' then cast($since as bigint)
      else event_time - event_time % 3600
    end as hour_s,
    event_name,
    browser_copies,
    server_copies,
    kept_source,
    value,
    custom_data,
    event_source_url as url,
    user_data.client_user_agent as ua,
    array_to_string([
      case when list_min(user_data.em) is not null then 'em' end,
      case when list_min(user_data.ph) is not null then 'ph' end,
      case when list_min(user_data.fn) is not null then 'fn' end,
      case when list_min(user_data.ln) is not null then 'ln' end,
      case when list_min(user_data.ge) is not null then 'ge' end,
      case when list_min(user_data.db) is not null then 'db' end,
      case when list_min(user_data.ct) is not null then 'ct' end,
      case when list_min(user_data.st) is not null then 'st' end,
      case when list_min(user_data.zp) is not null then 'zp' end,
      case when list_min(user_data.country) is not null then 'country' end
    ], ',') as person_keys,
    array_to_string([
      case when list_min(user_data.external_id) is not null then 'external_id' end,
      case when user_data.client_ip_address is not null then 'client_ip_address' end,
      case when user_data.client_user_agent is not null then 'client_user_agent' end,
      case when user_data.fbc is not null then 'fbc' end,
      case when user_data.fbp is not null then 'fbp' end
    ], ',') as other_keys
  from events_deduplicated
  where account_id = $account_id
    and pixel_id = $pixel_id
    and not is_test
    and (
      server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($event is null or event_name = $event)
    and event_time >= $since
    and event_time < $until
),
sides as (
  select unnest(['kept', 'browser', 'server']) as side
),
-- The kept copy, the others of the browser, the others of the server.
parts as (
  select
    seen.hour_s,
    seen.event_name,
    seen.value,
    seen.custom_data,
    seen.url,
    seen.ua,
    seen.person_keys,
    seen.other_keys,
    sides.side,
    case when sides.side = 'kept' then seen.kept_source else sides.side end as source,
    case
      when sides.side = 'kept' then 1
      when sides.side = 'browser'
        then seen.browser_copies - case when seen.kept_source = 'browser' then 1 else 0 end
      else seen.server_copies - case when seen.kept_source = 'server' then 1 else 0 end
    end as copies
  from seen
  cross join sides
),
valued as (
  select
    hour_s,
    copies,
    unnest(
      case $aggregation
        when 'event' then [event_name]
        when 'event_total_counts' then [event_name]
        when 'event_value_count' then [case when value is not null then event_name end]
        when 'event_source' then [case when source = 'browser' then 'BROWSER' else 'SERVER' end]
        when 'event_processing_results'
          then [case when side = 'kept' then 'Processed' else 'Deduplicated' end]
        when 'pixel_fire' then ['pixel_fire']
        when 'host' then [lower(regexp_extract(url, '^[a-zA-Z]+://([^/?#:]+)', 1))]
        when 'url' then [regexp_replace(url, '[?#].*$', '')]
        when 'had_pii' then [case when person_keys <> '' then 'true' else 'false' end]
        when 'match_keys' then string_split(concat_ws(',', person_keys, other_keys), ',')
        when 'custom_data_field' then json_keys(custom_data)
        when 'device_type' then [
          case
            when ua is null then null
            when regexp_matches(ua, 'iPhone|iPod') then 'mobile_iphone'
            when regexp_matches(ua, 'iPad|Tablet|Silk/') then 'mobile_tablet'
            when regexp_matches(ua, 'Android') and regexp_matches(ua, 'Mobile')
              then 'mobile_android_phone'
            when regexp_matches(ua, 'Android') then 'mobile_tablet'
            when regexp_matches(ua, 'Windows NT|Macintosh|X11|CrOS') then 'desktop'
            else 'other'
          end
        ]
        when 'device_os' then [
          case
            when ua is null then null
            when regexp_matches(ua, 'iPhone|iPod|iPad') then 'iOS'
            when regexp_matches(ua, 'Android') then 'Android'
            when regexp_matches(ua, 'Windows NT') then 'Windows'
            when regexp_matches(ua, 'Macintosh') then 'Mac OS X'
            when regexp_matches(ua, 'CrOS') then 'Chrome OS'
            when regexp_matches(ua, 'Linux|X11') then 'Linux'
            else 'Other'
          end
        ]
        when 'browser_type' then [
          case
            when ua is null then null
            when regexp_matches(ua, 'Instagram') then 'Instagram'
            when regexp_matches(ua, 'FBA[NV]/') then 'Facebook'
            when regexp_matches(ua, 'Edg(e|A|iOS)?/') then 'Edge'
            when regexp_matches(ua, 'OPR/|Opera') then 'Opera'
            when regexp_matches(ua, 'SamsungBrowser/') then 'Samsung Internet'
            when regexp_matches(ua, 'Firefox/|FxiOS/') then 'Firefox'
            when regexp_matches(ua, 'Chrome/|CriOS/') then 'Chrome'
            when regexp_matches(ua, 'Version/.*Safari/') then 'Safari'
            else 'Other'
          end
        ]
      end
    ) as value
  from parts
  where copies > 0
    and (
      $event_source is null
      or source = case when $event_source = 'WEB_ONLY' then 'browser' else 'server' end
    )
),
counted as (
  select
    hour_s,
    value,
    sum(copies) as copies
  from valued
  where value is not null
    and value <> ''
  group by hour_s, value
),
ranked as (
  select
    hour_s,
    value,
    copies,
    dense_rank() over (order by hour_s) as hour_rank,
    row_number() over (partition by hour_s order by copies desc, value) as value_rank
  from counted
)
select
  cast(hour_s as bigint) as start_s,
  cast(value as varchar) as value,
  cast(copies as bigint) as count
from ranked
where hour_rank <= $hours_max
  and value_rank <= $values_max
order by start_s, count desc, value
