-- One row per diagnostic and event name that it was found on: how many events it touches, when it
-- was first and last received, and two of the event ids. The conditions are in words in
-- diagnostics.py. Sources: events_deduplicated; copies with joins and the lake's files of events, so
-- that the server is judged by what it sent itself: what the browser's copy mends is found too.
-- Flags are those of all copies. Hashes are cut to 64 bits, which tell a million of them apart. What arrived and is wrong is not also missing.
-- Parameters: see quality.sql, and $hot_events_min, $hot_share_min: a value is hot from so many
-- events on, if they are also that share of the events of the name that bear one; $almost_standard:
-- the event names that only letters' case or separators keep from being standard ones.
with
sent as (
  select
    rows.log_slot,
    rows.log_offset,
    substring(list_min(user_data.em), 1, 16) as em,
    substring(list_min(user_data.ph), 1, 16) as ph,
    case when list_min(user_data.external_id) is not null then 1 else 0 end as external_id,
    user_data.client_ip_address as ip,
    case when user_data.client_user_agent is not null then 1 else 0 end as ua,
    user_data.fbp as fbp,
    user_data.fbc as fbc,
    cast(floor(epoch(received_at)) as bigint) - event_time as late_s
  from read_parquet($paths) as rows
  where account_id = $account_id
    and source = 'server'
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
),
sent_by_event as (
  select
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key) as event_key,
    coalesce(joins.root_at, copies.chain_at) as anchor_at,
    max(sent.em) as em,
    max(sent.ph) as ph,
    max(sent.external_id) as external_id,
    max(sent.ip) as ip,
    max(sent.ua) as ua,
    max(sent.fbp) as fbp,
    max(sent.fbc) as fbc,
    min(sent.late_s) as late_s,
    max(case when copies.method = 'none' then 1 else 0 end) as lacks_event_id
  from sent
  inner join copies
    on sent.log_slot = copies.log_slot
    and sent.log_offset = copies.log_offset
  left join joins
    on copies.pixel_id = joins.pixel_id
    and copies.event_key = joins.event_key
    and copies.chain_at = joins.chain_at
  group by
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key),
    coalesce(joins.root_at, copies.chain_at)
),
seen as (
  select
    events_deduplicated.pixel_id,
    event_name,
    events_deduplicated.event_key,
    events_deduplicated.anchor_at,
    last_received_at,
    nullif(event_id, 'erased') as event_id,
    order_id,
    event_time,
    sent_by_event.late_s as late_s,
    server_copies > 0 as by_server,
    server_copies > 0 and action_source = 'website' as by_web_server,
    browser_copies > 0 as by_browser,
    coalesce(action_source = 'physical_store', false) as in_store,
    value is not null as has_value,
    currency is not null as has_currency,
    coalesce(flags, []) as flags,
    conflicts,
    sent_by_event.lacks_event_id = 1 as lacks_event_id,
    case
      when server_copies > 0 then sent_by_event.em
      else substring(list_min(user_data.em), 1, 16)
    end as em,
    case
      when server_copies > 0 then sent_by_event.ph
      else substring(list_min(user_data.ph), 1, 16)
    end as ph,
    coalesce(sent_by_event.external_id, 0) as external_id,
    case when server_copies > 0 then sent_by_event.ip else user_data.client_ip_address end as ip,
    coalesce(sent_by_event.ua, 0) as ua,
    list_contains($duds, list_min(user_data.em)) as dud_em,
    list_contains($duds, list_min(user_data.ph)) as dud_ph,
    coalesce(sent_by_event.fbp, user_data.fbp) as fbp,
    coalesce(sent_by_event.fbc, user_data.fbc) as fbc,
    sent_by_event.fbc as sent_fbc,
    case
      when kept_source = 'browser' and server_copies > 0 then user_data.client_ip_address
    end as browser_ip,
    case when kept_source = 'browser' and server_copies > 0 then user_data.fbc end as browser_fbc,
    -- Few have such a key at all: looking for its name is much cheaper than reading JSON.
    case
      when server_copies > 0 and contains(custom_data, '"event_id"')
        then json_extract_string(custom_data, '$.event_id')
    end as misplaced_event_id,
    case
      when server_copies > 0 and contains(custom_data, '"external_id"')
        then json_extract_string(custom_data, '$.external_id')
    end as misplaced_external_id,
    case
      when regexp_matches(coalesce(sent_by_event.fbc, user_data.fbc), '^fb[.][0-9]+[.][0-9]{13}[.].+$')
        then cast(split_part(coalesce(sent_by_event.fbc, user_data.fbc), '.', 3) as bigint) / 1000
    end as clicked_s
  from events_deduplicated
  left join sent_by_event
    on events_deduplicated.pixel_id = sent_by_event.pixel_id
    and events_deduplicated.event_key = sent_by_event.event_key
    and events_deduplicated.anchor_at = sent_by_event.anchor_at
  where account_id = $account_id
    and not is_test
    and not list_contains(coalesce(flags, []), 'erased')
    and (
      server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($pixel_id is null or events_deduplicated.pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and event_time >= $since
    and ($until is null or event_time < $until)
),
ips as (
  select
    pixel_id,
    event_name,
    ip,
    count(*) as ip_events,
    sum(count(*)) over (partition by pixel_id, event_name) as with_ip
  from seen
  where ip is not null
  group by pixel_id, event_name, ip
),
emails as (
  select
    pixel_id,
    event_name,
    em,
    count(*) as em_events,
    sum(count(*)) over (partition by pixel_id, event_name) as with_em
  from seen
  where em is not null
  group by pixel_id, event_name, em
),
phones as (
  select
    pixel_id,
    event_name,
    ph,
    count(*) as ph_events,
    sum(count(*)) over (partition by pixel_id, event_name) as with_ph
  from seen
  where ph is not null
  group by pixel_id, event_name, ph
),
hot_ips as (
  select
    pixel_id,
    event_name,
    ip
  from ips
  where ip_events >= $hot_events_min
    and ip_events >= $hot_share_min * with_ip
),
hot_emails as (
  select
    pixel_id,
    event_name,
    em
  from emails
  where em_events >= $hot_events_min
    and em_events >= $hot_share_min * with_em
),
hot_phones as (
  select
    pixel_id,
    event_name,
    ph
  from phones
  where ph_events >= $hot_events_min
    and ph_events >= $hot_share_min * with_ph
),
-- A purchase that only the browser reported is confirmed by a message of the shop about its order.
-- Who sends neither such messages nor purchases from the server confirms nothing.
told_orders as (
  select order_id
  from order_entries
  where account_id = $account_id
    and kind <> 'purchase'
    and is_own
  group by order_id
),
confirming as (
  select
    (select count(*) from told_orders)
    + (select count(*) from seen where event_name = 'Purchase' and by_server) as confirmations
),
purchases as (
  select
    event_name,
    event_id,
    last_received_at,
    event_time - lag(event_time) over (
      partition by pixel_id, fbp order by event_time, anchor_at, event_key
    ) as since_last_s
  from seen
  where event_name = 'Purchase'
    and fbp is not null
),
found as (
  select
    seen.event_name,
    event_id,
    last_received_at,
    unnest(list_filter([
      case
        when has_value
          and not has_currency
          and not list_contains(flags, 'invalid_currency')
          then 's2s_missing_currency_for_value_or_item_price'
      end,
      case
        when has_currency and not has_value and not list_contains(flags, 'invalid_value')
          then 's2s_missing_value_for_currency'
      end,
      case
        when by_browser
          and list_contains(flags, 'missing_value')
          and not list_contains(flags, 'invalid_value')
          then 'pixel_missing_value_parameter'
      end,
      case
        when by_browser
          and list_contains(flags, 'missing_currency')
          and not list_contains(flags, 'invalid_currency')
          then 'pixel_missing_currency_parameter'
      end,
      case when list_contains(flags, 'invalid_value') then 'pixel_invalid_value_parameter' end,
      case when list_contains(flags, 'invalid_currency') then 'pixel_invalid_currency' end,
      case
        when list_contains(conflicts, 'value') or list_contains(conflicts, 'currency')
          then 'pixel_mismatched_value_currency_parameter'
      end,
      case when lacks_event_id then 's2s_dedupe_key_low_coverage' end,
      case
        when by_server and not by_browser and event_id is not null and not in_store
          then 's2s_dedupe_key_low_overlap'
      end,
      case when by_server and misplaced_event_id is not null
        then 's2s_event_id_in_custom_data' end,
      case when by_server and misplaced_external_id is not null
        then 's2s_extern_id_in_custom_data' end,
      case when by_browser and not by_server then 's2s_low_event_coverage' end,
      case
        when seen.event_name = 'Purchase'
          and by_browser
          and not by_server
          and told_orders.order_id is null
          and confirmations > 0
          then 'pixel_unconfirmed_purchase'
      end,
      case
        when by_web_server
          and seen.em is null
          and seen.ph is null
          and external_id = 0
          and not list_has_any(
            flags,
            ['dud_em', 'dud_ph', 'dud_external_id', 'invalid_em', 'invalid_ph', 'invalid_external_id']
          )
          then 's2s_missing_pii_or_external_id'
      end,
      case
        when by_web_server and seen.ip is null and not list_contains(flags, 'invalid_client_ip_address')
          then 's2s_missing_ip'
      end,
      case
        when by_web_server and ua = 0 and not list_contains(flags, 'invalid_client_user_agent')
          then 's2s_missing_ua'
      end,
      case when list_contains(flags, 'invalid_client_ip_address')
        then 's2s_invalid_ip_address' end,
      case
        when by_server
          and regexp_matches(
            lower(seen.ip),
            '^(10[.]|127[.]|192[.]168[.]|169[.]254[.]|172[.](1[6-9]|2[0-9]|3[01])[.]|f[cd]|fe80:|::1$)'
          )
          then 's2s_private_ip_address'
      end,
      case
        when contains(browser_ip, ':') and not contains(seen.ip, ':')
          then 'capi_ip_address_ip_v4'
      end,
      case
        when browser_ip <> seen.ip and contains(browser_ip, ':') = contains(seen.ip, ':')
          then 'capi_ip_address_ip_value_mismatch'
      end,
      case when hot_ips.ip is not null then 'capi_ip_address_hot_ip' end,
      case when dud_em or list_contains(flags, 'dud_em')
        then 'capi_pii_email_hot_email_fake' end,
      case when dud_ph or list_contains(flags, 'dud_ph')
        then 'capi_pii_phone_hot_phone_fake' end,
      case when hot_emails.em is not null then 'capi_pii_email_hot_email' end,
      case when hot_phones.ph is not null then 'capi_pii_phone_hot_phone' end,
      case when list_contains(flags, 'invalid_em') then 'capi_pii_email_invalid_email' end,
      case when list_contains(flags, 'invalid_ph') then 'capi_pii_phone_invalid_phone' end,
      case when list_contains(flags, 'invalid_fbp') then 's2s_invalid_fbp_cookie' end,
      case when list_contains(flags, 'invalid_fbc') then 'capi_fbc_invalid_click_id' end,
      case when fbc is not null and (clicked_s is null or clicked_s > event_time + 300)
        then 'capi_fbc_invalid_creation_time' end,
      case when browser_fbc is not null and sent_fbc is null then 'capi_fbc_coverage_issue' end,
      case when browser_fbc <> sent_fbc then 's2s_inconsistent_click_id' end,
      case when clicked_s < event_time - 7776000 then 'capi_fbc_expired_click_id' end,
      case when list_contains(flags, 'missing_action_source')
        then 's2s_missing_action_source' end,
      case when list_contains(flags, 'invalid_action_source')
        then 's2s_invalid_action_source' end,
      case when list_contains(flags, 'missing_event_source_url')
        then 's2s_missing_event_source_url' end,
      case when list_contains(flags, 'event_time_in_future')
        then 's2s_event_time_in_future' end,
      case when by_server and late_s > 86400 and not list_contains(flags, 'history')
        then 's2s_delay_greater_than_twenty_four_hours' end,
      case
        when by_server and late_s > 7200 and late_s <= 86400 and not list_contains(flags, 'history')
        then 's2s_delay_greater_than_two_hours' end,
      case when list_contains($almost_standard, seen.event_name)
        then 'pixel_almost_standard_event' end
    ], lambda fault: fault is not null)) as diagnostic
  from seen
  cross join confirming
  left join told_orders
    on seen.order_id = told_orders.order_id
  left join hot_ips
    on seen.pixel_id = hot_ips.pixel_id
    and seen.event_name = hot_ips.event_name
    and seen.ip = hot_ips.ip
  left join hot_emails
    on seen.pixel_id = hot_emails.pixel_id
    and seen.event_name = hot_emails.event_name
    and seen.em = hot_emails.em
  left join hot_phones
    on seen.pixel_id = hot_phones.pixel_id
    and seen.event_name = hot_phones.event_name
    and seen.ph = hot_phones.ph
  union all
  select
    event_name,
    event_id,
    last_received_at,
    'website_event_session_multiple_purchase_events_fire'
  from purchases
  where since_last_s <= 1800
)
select
  cast(diagnostic as varchar) as diagnostic,
  cast(event_name as varchar) as event_name,
  cast(count(*) as bigint) as affected,
  cast(min(last_received_at) as timestamptz) as first_seen_at,
  cast(max(last_received_at) as timestamptz) as last_seen_at,
  cast(min(event_id) as varchar) as example,
  cast(max(event_id) as varchar) as other_example
from found
group by diagnostic, event_name
order by diagnostic, event_name
