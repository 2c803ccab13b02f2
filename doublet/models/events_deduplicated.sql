-- One row per event that happened: its copies from browser and server made one.
-- Key: (pixel_id, event_key, anchor_at). Sources: the temporary tables `lone_parts`, the copies
-- that are alone in their event, and `parts`, the copies of the other changed events by rank, an
-- earlier state of the event standing for all copies that it was made from. The first part of an
-- event says which copy is kept and what all copies together say.
-- The first part gives every field; where it has null, the next one gives it. Hashed user data are
-- unions. A value and its currency come from one part, the first that has both: 1000 JPY and 7 USD
-- never make 1000 USD. An event that grows by one copy at a time comes to the same as one that is
-- made of all its copies. A null delay_s means that one side is missing.
-- $marks are the flags of hits that reports leave out, $duds hashes of nothing.
with
-- Most events have one copy or two. Where there are more, all but the first make one row here.
filled as (
  select
    pixel_id,
    event_key,
    anchor_at,
    position,
    first_value(event_id ignore nulls) over by_position as event_id,
    first_value(action_source ignore nulls) over by_position as action_source,
    first_value(event_source_url ignore nulls) over by_position as event_source_url,
    first_value(order_id ignore nulls) over by_position as order_id,
    first_value(extra ignore nulls) over by_position as extra,
    first_value(consent ignore nulls) over by_position as consent,
    coalesce(
      first_value(case when currency is not null then value end ignore nulls) over by_position,
      first_value(value ignore nulls) over by_position
    ) as value,
    coalesce(
      first_value(case when value is not null then currency end ignore nulls) over by_position,
      case
        when first_value(value ignore nulls) over by_position is null
          then first_value(currency ignore nulls) over by_position
      end
    ) as currency,
    first_value(user_data.client_ip_address ignore nulls) over by_position as client_ip_address,
    first_value(user_data.client_user_agent ignore nulls) over by_position as client_user_agent,
    first_value(user_data.fbc ignore nulls) over by_position as fbc,
    first_value(user_data.fbp ignore nulls) over by_position as fbp,
    first_value(user_data.subscription_id ignore nulls) over by_position as subscription_id,
    first_value(user_data.fb_login_id ignore nulls) over by_position as fb_login_id,
    first_value(user_data.lead_id ignore nulls) over by_position as lead_id,
    first_value(user_data.anon_id ignore nulls) over by_position as anon_id,
    first_value(user_data.madid ignore nulls) over by_position as madid,
    first_value(user_data.page_id ignore nulls) over by_position as page_id,
    first_value(user_data.page_scoped_user_id ignore nulls) over by_position as page_scoped_user_id,
    first_value(user_data.ctwa_clid ignore nulls) over by_position as ctwa_clid,
    first_value(user_data.ig_account_id ignore nulls) over by_position as ig_account_id,
    first_value(user_data.ig_sid ignore nulls) over by_position as ig_sid,
    first_value(user_data.whatsapp_business_account_id ignore nulls) over by_position as whatsapp_business_account_id
  from parts
  where parts > 2
    and position > 1
  window by_position as (
    partition by pixel_id, event_key, anchor_at
    order by position
    rows between unbounded preceding and unbounded following
  )
),
-- Lists are gathered as text without commas: lists of lists cost six times as much.
unions as (
  select
    pixel_id,
    event_key,
    anchor_at,
    bool_or(is_test) as is_test,
    string_agg(array_to_string(flags, ','), ',') as flags,
    concat_ws(
      ',',
      string_agg(array_to_string(conflicts, ','), ','),
      case when min(value) <> max(value) then 'value' end,
      case when min(currency) <> max(currency) then 'currency' end,
      case when min(order_id) <> max(order_id) then 'order_id' end
    ) as conflicts,
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
    string_agg(array_to_string(user_data.app_user_id, ','), ',') as app_user_id
  from parts
  where parts > 2
    and position > 1
  group by pixel_id, event_key, anchor_at
),
-- From the first part on, since a patch of patches is not the same for any grouping.
folded as (
  select
    pixel_id,
    event_key,
    anchor_at,
    list_reduce(
      list_transform(
        list_sort(list(struct_pack(place := position, body := custom_data))),
        lambda entry: entry.body
      ),
      lambda stronger, weaker: case
        when weaker is null then stronger
        when stronger is null then weaker
        else cast(json_merge_patch(weaker, stronger) as varchar)
      end
    ) as custom_data
  from parts
  where parts > 2
  group by pixel_id, event_key, anchor_at
),
others as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_id,
    action_source,
    event_source_url,
    order_id,
    extra,
    consent,
    value,
    currency,
    user_data.em,
    user_data.ph,
    user_data.fn,
    user_data.ln,
    user_data.ge,
    user_data.db,
    user_data.ct,
    user_data.st,
    user_data.zp,
    user_data.country,
    user_data.external_id,
    user_data.f5first,
    user_data.f5last,
    user_data.fi,
    user_data.dobd,
    user_data.dobm,
    user_data.doby,
    user_data.app_user_id,
    user_data.client_ip_address,
    user_data.client_user_agent,
    user_data.fbc,
    user_data.fbp,
    user_data.subscription_id,
    user_data.fb_login_id,
    user_data.lead_id,
    user_data.anon_id,
    user_data.madid,
    user_data.page_id,
    user_data.page_scoped_user_id,
    user_data.ctwa_clid,
    user_data.ig_account_id,
    user_data.ig_sid,
    user_data.whatsapp_business_account_id,
    custom_data,
    flags,
    is_test,
    conflicts
  from parts
  where parts = 2
    and position = 2
  union all
  select
    filled.pixel_id,
    filled.event_key,
    filled.anchor_at,
    filled.event_id,
    filled.action_source,
    filled.event_source_url,
    filled.order_id,
    filled.extra,
    filled.consent,
    filled.value,
    filled.currency,
    list_sort(list_distinct(string_split(unions.em, ','))),
    list_sort(list_distinct(string_split(unions.ph, ','))),
    list_sort(list_distinct(string_split(unions.fn, ','))),
    list_sort(list_distinct(string_split(unions.ln, ','))),
    list_sort(list_distinct(string_split(unions.ge, ','))),
    list_sort(list_distinct(string_split(unions.db, ','))),
    list_sort(list_distinct(string_split(unions.ct, ','))),
    list_sort(list_distinct(string_split(unions.st, ','))),
    list_sort(list_distinct(string_split(unions.zp, ','))),
    list_sort(list_distinct(string_split(unions.country, ','))),
    list_sort(list_distinct(string_split(unions.external_id, ','))),
    list_sort(list_distinct(string_split(unions.f5first, ','))),
    list_sort(list_distinct(string_split(unions.f5last, ','))),
    list_sort(list_distinct(string_split(unions.fi, ','))),
    list_sort(list_distinct(string_split(unions.dobd, ','))),
    list_sort(list_distinct(string_split(unions.dobm, ','))),
    list_sort(list_distinct(string_split(unions.doby, ','))),
    list_sort(list_distinct(string_split(unions.app_user_id, ','))),
    filled.client_ip_address,
    filled.client_user_agent,
    filled.fbc,
    filled.fbp,
    filled.subscription_id,
    filled.fb_login_id,
    filled.lead_id,
    filled.anon_id,
    filled.madid,
    filled.page_id,
    filled.page_scoped_user_id,
    filled.ctwa_clid,
    filled.ig_account_id,
    filled.ig_sid,
    filled.whatsapp_business_account_id,
    folded.custom_data,
    list_sort(list_distinct(string_split(unions.flags, ','))),
    unions.is_test,
    list_sort(list_distinct(string_split(nullif(unions.conflicts, ''), ',')))
  from filled
  inner join unions
    on filled.pixel_id = unions.pixel_id
    and filled.event_key = unions.event_key
    and filled.anchor_at = unions.anchor_at
  inner join folded
    on filled.pixel_id = folded.pixel_id
    and filled.event_key = folded.event_key
    and filled.anchor_at = folded.anchor_at
  where filled.position = 2
),
merged as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_time,
    event_id,
    action_source,
    event_source_url,
    order_id,
    extra,
    consent,
    value,
    currency,
    user_data.em,
    user_data.ph,
    user_data.fn,
    user_data.ln,
    user_data.ge,
    user_data.db,
    user_data.ct,
    user_data.st,
    user_data.zp,
    user_data.country,
    user_data.external_id,
    user_data.f5first,
    user_data.f5last,
    user_data.fi,
    user_data.dobd,
    user_data.dobm,
    user_data.doby,
    user_data.app_user_id,
    user_data.client_ip_address,
    user_data.client_user_agent,
    user_data.fbc,
    user_data.fbp,
    user_data.subscription_id,
    user_data.fb_login_id,
    user_data.lead_id,
    user_data.anon_id,
    user_data.madid,
    user_data.page_id,
    user_data.page_scoped_user_id,
    user_data.ctwa_clid,
    user_data.ig_account_id,
    user_data.ig_sid,
    user_data.whatsapp_business_account_id,
    source,
    received_at,
    log_slot,
    log_offset,
    arrival,
    browser_copies,
    server_copies,
    browser_first_at,
    server_first_at,
    last_received_at,
    sent_keys,
    dedupe_keys,
    timed_copies,
    within_5_minutes,
    within_2_hours,
    within_a_day,
    custom_data,
    flags,
    is_test,
    conflicts
  from lone_parts
  union all
  select
    kept.account_id,
    kept.pixel_id,
    kept.event_key,
    kept.anchor_at,
    kept.event_name,
    kept.event_time,
    coalesce(kept.event_id, others.event_id),
    coalesce(kept.action_source, others.action_source),
    coalesce(kept.event_source_url, others.event_source_url),
    coalesce(kept.order_id, others.order_id),
    coalesce(kept.extra, others.extra),
    coalesce(kept.consent, others.consent),
    case
      when kept.value is not null and kept.currency is not null then kept.value
      when others.value is not null and others.currency is not null then others.value
      else coalesce(kept.value, others.value)
    end,
    case
      when kept.value is not null and kept.currency is not null then kept.currency
      when others.value is not null and others.currency is not null then others.currency
      when kept.value is null and others.value is null
        then coalesce(kept.currency, others.currency)
    end,
    case
      when others.em is null or kept.user_data.em = others.em then kept.user_data.em
      when kept.user_data.em is null then others.em
      else list_sort(list_distinct(list_concat(kept.user_data.em, others.em)))
    end,
    case
      when others.ph is null or kept.user_data.ph = others.ph then kept.user_data.ph
      when kept.user_data.ph is null then others.ph
      else list_sort(list_distinct(list_concat(kept.user_data.ph, others.ph)))
    end,
    case
      when others.fn is null or kept.user_data.fn = others.fn then kept.user_data.fn
      when kept.user_data.fn is null then others.fn
      else list_sort(list_distinct(list_concat(kept.user_data.fn, others.fn)))
    end,
    case
      when others.ln is null or kept.user_data.ln = others.ln then kept.user_data.ln
      when kept.user_data.ln is null then others.ln
      else list_sort(list_distinct(list_concat(kept.user_data.ln, others.ln)))
    end,
    case
      when others.ge is null or kept.user_data.ge = others.ge then kept.user_data.ge
      when kept.user_data.ge is null then others.ge
      else list_sort(list_distinct(list_concat(kept.user_data.ge, others.ge)))
    end,
    case
      when others.db is null or kept.user_data.db = others.db then kept.user_data.db
      when kept.user_data.db is null then others.db
      else list_sort(list_distinct(list_concat(kept.user_data.db, others.db)))
    end,
    case
      when others.ct is null or kept.user_data.ct = others.ct then kept.user_data.ct
      when kept.user_data.ct is null then others.ct
      else list_sort(list_distinct(list_concat(kept.user_data.ct, others.ct)))
    end,
    case
      when others.st is null or kept.user_data.st = others.st then kept.user_data.st
      when kept.user_data.st is null then others.st
      else list_sort(list_distinct(list_concat(kept.user_data.st, others.st)))
    end,
    case
      when others.zp is null or kept.user_data.zp = others.zp then kept.user_data.zp
      when kept.user_data.zp is null then others.zp
      else list_sort(list_distinct(list_concat(kept.user_data.zp, others.zp)))
    end,
    case
      when others.country is null or kept.user_data.country = others.country then kept.user_data.country
      when kept.user_data.country is null then others.country
      else list_sort(list_distinct(list_concat(kept.user_data.country, others.country)))
    end,
    case
      when others.external_id is null or kept.user_data.external_id = others.external_id then kept.user_data.external_id
      when kept.user_data.external_id is null then others.external_id
      else list_sort(list_distinct(list_concat(kept.user_data.external_id, others.external_id)))
    end,
    case
      when others.f5first is null or kept.user_data.f5first = others.f5first then kept.user_data.f5first
      when kept.user_data.f5first is null then others.f5first
      else list_sort(list_distinct(list_concat(kept.user_data.f5first, others.f5first)))
    end,
    case
      when others.f5last is null or kept.user_data.f5last = others.f5last then kept.user_data.f5last
      when kept.user_data.f5last is null then others.f5last
      else list_sort(list_distinct(list_concat(kept.user_data.f5last, others.f5last)))
    end,
    case
      when others.fi is null or kept.user_data.fi = others.fi then kept.user_data.fi
      when kept.user_data.fi is null then others.fi
      else list_sort(list_distinct(list_concat(kept.user_data.fi, others.fi)))
    end,
    case
      when others.dobd is null or kept.user_data.dobd = others.dobd then kept.user_data.dobd
      when kept.user_data.dobd is null then others.dobd
      else list_sort(list_distinct(list_concat(kept.user_data.dobd, others.dobd)))
    end,
    case
      when others.dobm is null or kept.user_data.dobm = others.dobm then kept.user_data.dobm
      when kept.user_data.dobm is null then others.dobm
      else list_sort(list_distinct(list_concat(kept.user_data.dobm, others.dobm)))
    end,
    case
      when others.doby is null or kept.user_data.doby = others.doby then kept.user_data.doby
      when kept.user_data.doby is null then others.doby
      else list_sort(list_distinct(list_concat(kept.user_data.doby, others.doby)))
    end,
    case
      when others.app_user_id is null or kept.user_data.app_user_id = others.app_user_id then kept.user_data.app_user_id
      when kept.user_data.app_user_id is null then others.app_user_id
      else list_sort(list_distinct(list_concat(kept.user_data.app_user_id, others.app_user_id)))
    end,
    coalesce(kept.user_data.client_ip_address, others.client_ip_address),
    coalesce(kept.user_data.client_user_agent, others.client_user_agent),
    coalesce(kept.user_data.fbc, others.fbc),
    coalesce(kept.user_data.fbp, others.fbp),
    coalesce(kept.user_data.subscription_id, others.subscription_id),
    coalesce(kept.user_data.fb_login_id, others.fb_login_id),
    coalesce(kept.user_data.lead_id, others.lead_id),
    coalesce(kept.user_data.anon_id, others.anon_id),
    coalesce(kept.user_data.madid, others.madid),
    coalesce(kept.user_data.page_id, others.page_id),
    coalesce(kept.user_data.page_scoped_user_id, others.page_scoped_user_id),
    coalesce(kept.user_data.ctwa_clid, others.ctwa_clid),
    coalesce(kept.user_data.ig_account_id, others.ig_account_id),
    coalesce(kept.user_data.ig_sid, others.ig_sid),
    coalesce(kept.user_data.whatsapp_business_account_id, others.whatsapp_business_account_id),
    kept.source,
    kept.received_at,
    kept.log_slot,
    kept.log_offset,
    kept.arrival,
    kept.browser_copies,
    kept.server_copies,
    kept.browser_first_at,
    kept.server_first_at,
    kept.last_received_at,
    kept.sent_keys,
    kept.dedupe_keys,
    kept.timed_copies,
    kept.within_5_minutes,
    kept.within_2_hours,
    kept.within_a_day,
    case
      when kept.parts > 2 then others.custom_data
      when others.custom_data is null or kept.custom_data = others.custom_data
        then kept.custom_data
      when kept.custom_data is null then others.custom_data
      else cast(json_merge_patch(others.custom_data, kept.custom_data) as varchar)
    end,
    case
      when others.flags is null or kept.flags = others.flags then kept.flags
      when kept.flags is null then others.flags
      else list_sort(list_distinct(list_concat(kept.flags, others.flags)))
    end,
    kept.is_test or coalesce(others.is_test, false),
    nullif(
      list_sort(
        list_distinct(
          list_concat(
            coalesce(kept.conflicts, cast([] as varchar[])),
            coalesce(others.conflicts, cast([] as varchar[])),
            case when kept.value <> others.value then ['value'] else [] end,
            case when kept.currency <> others.currency then ['currency'] else [] end,
            case when kept.order_id <> others.order_id then ['order_id'] else [] end
          )
        )
      ),
      cast([] as varchar[])
    )
  from parts as kept
  left join others
    on kept.pixel_id = others.pixel_id
    and kept.event_key = others.event_key
    and kept.anchor_at = others.anchor_at
  where kept.position = 1
)
select
  cast(merged.account_id as varchar) as account_id,
  cast(merged.pixel_id as varchar) as pixel_id,
  cast(merged.event_key as bigint) as event_key,
  cast(merged.anchor_at as timestamptz) as anchor_at,
  cast(merged.last_received_at as timestamptz) as last_received_at,
  cast(merged.event_name as varchar) as event_name,
  cast(merged.event_id as varchar) as event_id,
  cast(merged.event_time as bigint) as event_time,
  cast(merged.action_source as varchar) as action_source,
  cast(merged.event_source_url as varchar) as event_source_url,
  cast(merged.source as varchar) as kept_source,
  cast(
    case
      when merged.browser_copies + merged.server_copies = 1 then 'only'
      when merged.arrival = 1 then 'first'
      else 'browser_preferred'
    end as varchar
  ) as kept_rule,
  cast(merged.received_at as timestamptz) as kept_received_at,
  cast(merged.log_slot as integer) as kept_log_slot,
  cast(merged.log_offset as bigint) as kept_log_offset,
  cast(
    date_diff('microsecond', merged.browser_first_at, merged.server_first_at) / 1000000.0 as double
  ) as delay_s,
  cast(merged.browser_copies as integer) as browser_copies,
  cast(merged.server_copies as integer) as server_copies,
  cast(merged.value as decimal(18, 4)) as value,
  cast(merged.currency as varchar) as currency,
  cast(merged.order_id as varchar) as order_id,
  struct_pack(
    em := cast(merged.em as varchar[]),
    ph := cast(merged.ph as varchar[]),
    fn := cast(merged.fn as varchar[]),
    ln := cast(merged.ln as varchar[]),
    ge := cast(merged.ge as varchar[]),
    db := cast(merged.db as varchar[]),
    ct := cast(merged.ct as varchar[]),
    st := cast(merged.st as varchar[]),
    zp := cast(merged.zp as varchar[]),
    country := cast(merged.country as varchar[]),
    external_id := cast(merged.external_id as varchar[]),
    f5first := cast(merged.f5first as varchar[]),
    f5last := cast(merged.f5last as varchar[]),
    fi := cast(merged.fi as varchar[]),
    dobd := cast(merged.dobd as varchar[]),
    dobm := cast(merged.dobm as varchar[]),
    doby := cast(merged.doby as varchar[]),
    app_user_id := cast(merged.app_user_id as varchar[]),
    client_ip_address := cast(merged.client_ip_address as varchar),
    client_user_agent := cast(merged.client_user_agent as varchar),
    fbc := cast(merged.fbc as varchar),
    fbp := cast(merged.fbp as varchar),
    subscription_id := cast(merged.subscription_id as varchar),
    fb_login_id := cast(merged.fb_login_id as varchar),
    lead_id := cast(merged.lead_id as varchar),
    anon_id := cast(merged.anon_id as varchar),
    madid := cast(merged.madid as varchar),
    page_id := cast(merged.page_id as varchar),
    page_scoped_user_id := cast(merged.page_scoped_user_id as varchar),
    ctwa_clid := cast(merged.ctwa_clid as varchar),
    ig_account_id := cast(merged.ig_account_id as varchar),
    ig_sid := cast(merged.ig_sid as varchar),
    whatsapp_business_account_id := cast(merged.whatsapp_business_account_id as varchar)
  ) as user_data,
  cast(merged.custom_data as varchar) as custom_data,
  cast(merged.extra as varchar) as extra,
  cast(merged.consent as varchar) as consent,
  cast(merged.flags as varchar[]) as flags,
  cast(merged.conflicts as varchar[]) as conflicts,
  cast(merged.is_test as boolean) as is_test,
  cast(
    merged.server_copies = 0 and coalesce(list_has_any(merged.flags, $marks), false) as boolean
  ) as is_marked,
  cast(
    merged.server_copies > 0
    and coalesce(merged.action_source = 'website', false)
    and not coalesce(list_contains(merged.flags, 'erased'), false) as boolean
  ) as is_judged,
  cast(
    (list_min(merged.em) is not null and not list_contains($duds, list_min(merged.em)))
    or (list_min(merged.ph) is not null and not list_contains($duds, list_min(merged.ph)))
    or merged.fbc is not null
    or merged.fbp is not null
    or list_min(merged.external_id) is not null as boolean
  ) as is_joinable,
  cast(merged.sent_keys as integer) as sent_keys,
  cast(merged.dedupe_keys as integer) as dedupe_keys,
  cast(merged.timed_copies as integer) as timed_copies,
  cast(merged.within_5_minutes as integer) as within_5_minutes,
  cast(merged.within_2_hours as integer) as within_2_hours,
  cast(merged.within_a_day as integer) as within_a_day
from merged
