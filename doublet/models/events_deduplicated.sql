-- One row per event that happened: its copies from browser and server made one.
-- Key: (pixel_id, event_key, anchor_at). Sources: the temporary tables `chains` (the copies of the
-- changed keys with chain and rank) and `changed_events` (their full rows).
-- The kept copy (rank 1) gives every field; where it has null, the next copy by rank gives it.
-- Value and currency come from one copy, if any has both: 1000 JPY and 7 USD never make 1000 USD.
-- Hashed user data are the union of the copies', gathered as text without commas: lists of lists
-- cost six times as much. A null delay_s means that one side is missing.
with
copies as (
  select
    chains.anchor_at,
    chains.rank,
    chains.arrival,
    chains.browser_copies,
    chains.server_copies,
    chains.browser_first_at,
    chains.server_first_at,
    chains.last_received_at,
    changed_events.account_id,
    changed_events.pixel_id,
    changed_events.event_key,
    changed_events.source,
    changed_events.received_at,
    changed_events.log_slot,
    changed_events.log_offset,
    changed_events.event_name,
    changed_events.event_time,
    changed_events.event_id,
    changed_events.action_source,
    changed_events.event_source_url,
    changed_events.user_data,
    changed_events.value,
    changed_events.currency,
    changed_events.order_id,
    changed_events.custom_data,
    changed_events.extra,
    changed_events.flags,
    changed_events.is_test
  from chains
  inner join changed_events
    on chains.log_slot = changed_events.log_slot
    and chains.log_offset = changed_events.log_offset
),
unions as (
  select
    pixel_id,
    event_key,
    anchor_at,
    bool_or(is_test) as is_test,
    string_agg(array_to_string(flags, ','), ',') as flags,
    string_agg(array_to_string(user_data.em, ','), ',') as em,
    string_agg(array_to_string(user_data.ph, ','), ',') as ph,
    string_agg(array_to_string(user_data.fn, ','), ',') as fn,
    string_agg(array_to_string(user_data.ln, ','), ',') as ln,
    string_agg(array_to_string(user_data.ge, ','), ',') as ge,
    string_agg(array_to_string(user_data.db, ','), ',') as db,
    string_agg(array_to_string(user_data.ct, ','), ',') as ct,
    string_agg(array_to_string(user_data.st, ','), ',') as st,
    string_agg(array_to_string(user_data.zp, ','), ',') as zp,
    string_agg(array_to_string(user_data.country, ','), ',') as country,
    string_agg(array_to_string(user_data.external_id, ','), ',') as external_id,
    string_agg(array_to_string(user_data.f5first, ','), ',') as f5first,
    string_agg(array_to_string(user_data.f5last, ','), ',') as f5last,
    string_agg(array_to_string(user_data.fi, ','), ',') as fi,
    string_agg(array_to_string(user_data.dobd, ','), ',') as dobd,
    string_agg(array_to_string(user_data.dobm, ','), ',') as dobm,
    string_agg(array_to_string(user_data.doby, ','), ',') as doby,
    string_agg(array_to_string(user_data.app_user_id, ','), ',') as app_user_id,
    list_reduce(
      list_transform(
        list_sort(list(struct_pack(rank := -rank, body := custom_data))),
        lambda entry: entry.body
      ),
      lambda weaker, stronger: case
        when weaker is null then stronger
        when stronger is null then weaker
        else cast(json_merge_patch(weaker, stronger) as varchar)
      end
    ) as custom_data
  from copies
  group by pixel_id, event_key, anchor_at
),
filled as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    rank,
    arrival,
    browser_copies,
    server_copies,
    browser_first_at,
    server_first_at,
    last_received_at,
    source,
    received_at,
    log_slot,
    log_offset,
    event_name,
    event_time,
    first_value(event_id ignore nulls) over by_rank as event_id,
    first_value(action_source ignore nulls) over by_rank as action_source,
    first_value(event_source_url ignore nulls) over by_rank as event_source_url,
    coalesce(
      first_value(case when currency is not null then value end ignore nulls) over by_rank,
      first_value(value ignore nulls) over by_rank
    ) as value,
    coalesce(
      first_value(case when value is not null then currency end ignore nulls) over by_rank,
      first_value(currency ignore nulls) over by_rank
    ) as currency,
    first_value(order_id ignore nulls) over by_rank as order_id,
    first_value(extra ignore nulls) over by_rank as extra,
    first_value(user_data.client_ip_address ignore nulls) over by_rank as client_ip_address,
    first_value(user_data.client_user_agent ignore nulls) over by_rank as client_user_agent,
    first_value(user_data.fbc ignore nulls) over by_rank as fbc,
    first_value(user_data.fbp ignore nulls) over by_rank as fbp,
    first_value(user_data.subscription_id ignore nulls) over by_rank as subscription_id,
    first_value(user_data.fb_login_id ignore nulls) over by_rank as fb_login_id,
    first_value(user_data.lead_id ignore nulls) over by_rank as lead_id,
    first_value(user_data.anon_id ignore nulls) over by_rank as anon_id,
    first_value(user_data.madid ignore nulls) over by_rank as madid,
    first_value(user_data.page_id ignore nulls) over by_rank as page_id,
    first_value(user_data.page_scoped_user_id ignore nulls) over by_rank as page_scoped_user_id,
    first_value(user_data.ctwa_clid ignore nulls) over by_rank as ctwa_clid,
    first_value(user_data.ig_account_id ignore nulls) over by_rank as ig_account_id,
    first_value(user_data.ig_sid ignore nulls) over by_rank as ig_sid,
    first_value(user_data.whatsapp_business_account_id ignore nulls) over by_rank as whatsapp_business_account_id
  from copies
  window by_rank as (
    partition by pixel_id, event_key, anchor_at
    order by rank
    rows between unbounded preceding and unbounded following
  )
)
select
  cast(filled.account_id as varchar) as account_id,
  cast(filled.pixel_id as varchar) as pixel_id,
  cast(filled.event_key as bigint) as event_key,
  cast(filled.anchor_at as timestamptz) as anchor_at,
  cast(filled.last_received_at as timestamptz) as last_received_at,
  cast(filled.event_name as varchar) as event_name,
  cast(filled.event_id as varchar) as event_id,
  cast(filled.event_time as bigint) as event_time,
  cast(filled.action_source as varchar) as action_source,
  cast(filled.event_source_url as varchar) as event_source_url,
  cast(filled.source as varchar) as kept_source,
  cast(
    case
      when filled.browser_copies + filled.server_copies = 1 then 'only'
      when filled.arrival = 1 then 'first'
      else 'browser_preferred'
    end as varchar
  ) as kept_rule,
  cast(filled.received_at as timestamptz) as kept_received_at,
  cast(filled.log_slot as integer) as kept_log_slot,
  cast(filled.log_offset as bigint) as kept_log_offset,
  cast(
    date_diff('microsecond', filled.browser_first_at, filled.server_first_at) / 1000000.0
    as double
  ) as delay_s,
  cast(filled.browser_copies as integer) as browser_copies,
  cast(filled.server_copies as integer) as server_copies,
  cast(filled.value as decimal(18, 4)) as value,
  cast(filled.currency as varchar) as currency,
  cast(filled.order_id as varchar) as order_id,
  struct_pack(
    em := cast(list_sort(list_distinct(string_split(unions.em, ','))) as varchar[]),
    ph := cast(list_sort(list_distinct(string_split(unions.ph, ','))) as varchar[]),
    fn := cast(list_sort(list_distinct(string_split(unions.fn, ','))) as varchar[]),
    ln := cast(list_sort(list_distinct(string_split(unions.ln, ','))) as varchar[]),
    ge := cast(list_sort(list_distinct(string_split(unions.ge, ','))) as varchar[]),
    db := cast(list_sort(list_distinct(string_split(unions.db, ','))) as varchar[]),
    ct := cast(list_sort(list_distinct(string_split(unions.ct, ','))) as varchar[]),
    st := cast(list_sort(list_distinct(string_split(unions.st, ','))) as varchar[]),
    zp := cast(list_sort(list_distinct(string_split(unions.zp, ','))) as varchar[]),
    country := cast(list_sort(list_distinct(string_split(unions.country, ','))) as varchar[]),
    external_id := cast(list_sort(list_distinct(string_split(unions.external_id, ','))) as varchar[]),
    f5first := cast(list_sort(list_distinct(string_split(unions.f5first, ','))) as varchar[]),
    f5last := cast(list_sort(list_distinct(string_split(unions.f5last, ','))) as varchar[]),
    fi := cast(list_sort(list_distinct(string_split(unions.fi, ','))) as varchar[]),
    dobd := cast(list_sort(list_distinct(string_split(unions.dobd, ','))) as varchar[]),
    dobm := cast(list_sort(list_distinct(string_split(unions.dobm, ','))) as varchar[]),
    doby := cast(list_sort(list_distinct(string_split(unions.doby, ','))) as varchar[]),
    app_user_id := cast(list_sort(list_distinct(string_split(unions.app_user_id, ','))) as varchar[]),
    client_ip_address := cast(filled.client_ip_address as varchar),
    client_user_agent := cast(filled.client_user_agent as varchar),
    fbc := cast(filled.fbc as varchar),
    fbp := cast(filled.fbp as varchar),
    subscription_id := cast(filled.subscription_id as varchar),
    fb_login_id := cast(filled.fb_login_id as varchar),
    lead_id := cast(filled.lead_id as varchar),
    anon_id := cast(filled.anon_id as varchar),
    madid := cast(filled.madid as varchar),
    page_id := cast(filled.page_id as varchar),
    page_scoped_user_id := cast(filled.page_scoped_user_id as varchar),
    ctwa_clid := cast(filled.ctwa_clid as varchar),
    ig_account_id := cast(filled.ig_account_id as varchar),
    ig_sid := cast(filled.ig_sid as varchar),
    whatsapp_business_account_id := cast(filled.whatsapp_business_account_id as varchar)
  ) as user_data,
  cast(unions.custom_data as varchar) as custom_data,
  cast(filled.extra as varchar) as extra,
  cast(list_sort(list_distinct(string_split(unions.flags, ','))) as varchar[]) as flags,
  cast(unions.is_test as boolean) as is_test
from filled
inner join unions
  on filled.pixel_id = unions.pixel_id
  and filled.event_key = unions.event_key
  and filled.anchor_at = unions.anchor_at
where filled.rank = 1
