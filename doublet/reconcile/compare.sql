-- One row per order and finding (docs/reconcile.md), at most $limit of each finding, reason,
-- destination and currency, with how many of these there are and what they are worth together.
-- The findings `compared` (agrees or differs) and `matched` (by which id) tell of every order.
-- Sources: orders, events_deduplicated, copies, joins; files of JSON lines: $shop_file the orders as
-- the shop has them, $refused_file of refused.sql, $destinations_file the account's destinations,
-- $emissions_file what the outbox says of their Purchases.
-- Parameters: $account_id; $since and $until (Unix seconds, half-open; null: from the first order of
-- the shop to the last); $is_whole whether the shop's orders are all there are of a day more than
-- that on either side; $now (Unix seconds); $shop_made_at (Unix seconds; null: not known) and
-- $shop_pixel_id (null: any); $purchase_on, placed or paid; $log_problem whether the log cannot be
-- loaded; $expected the findings that are in order, as finding/reason; $limit.
-- money is what the shop has and this side lacks; below zero where this side has more.
with
stated as (
  -- Exports have a line for each article; the order's own fields stand in the first or in all.
  select
    order_id,
    max(name) as name,
    make_timestamptz(min(created_at)) as created_at,
    max(total) as total,
    coalesce(max(currency), '') as shop_currency,
    coalesce(max(state), '') as state,
    coalesce(bool_or(is_test), false) as is_test,
    max(refunded) as refunded,
    max(tax) as tax,
    max(shipping) as shipping,
    max(discount) as discount,
    max(presentment_total) as presentment_total,
    max(presentment_currency) as presentment_currency,
    max(em) as em
  from read_ndjson(
    $shop_file,
    columns = {
      order_id: 'varchar',
      name: 'varchar',
      created_at: 'bigint',
      total: 'decimal(18,4)',
      currency: 'varchar',
      state: 'varchar',
      is_test: 'boolean',
      refunded: 'decimal(18,4)',
      tax: 'decimal(18,4)',
      shipping: 'decimal(18,4)',
      discount: 'decimal(18,4)',
      presentment_total: 'decimal(18,4)',
      presentment_currency: 'varchar',
      em: 'varchar'
    }
  )
  group by order_id
),
span as (
  select
    coalesce(make_timestamptz(cast($since as bigint) * 1000000), min(created_at)) as since_at,
    coalesce(
      make_timestamptz(cast($until as bigint) * 1000000),
      max(created_at) + interval 1 microsecond
    ) as until_at,
    min(created_at) as first_at,
    max(created_at) as last_at,
    make_timestamptz(cast($now as bigint) * 1000000) as now_at
  from stated
),
-- An order may be told of long after it was made, and clocks may be wrong.
reach as (
  select
    least(since_at, first_at) - interval 62 day as from_at,
    greatest(until_at, last_at) + interval 62 day as to_at
  from span
),
shop as (
  select
    stated.*,
    stated.created_at >= span.since_at and stated.created_at < span.until_at as is_judged,
    case when stated.state = 'cancelled' then 0 else stated.total - coalesce(stated.refunded, 0) end
      as shop_net
  from stated
  cross join span
),
-- --- what is here -------------------------------------------------------------------------------
ledger as (
  select
    order_id as our_id,
    currency as our_currency,
    ordered_at,
    state as our_state,
    gross + pending as our_value,
    refunds as our_refunds,
    net + pending as our_net,
    messages,
    row_number() over (
      partition by order_id
      order by gross + pending desc, net desc, currency
    ) as nth
  from orders
  cross join reach
  where account_id = $account_id
    and ordered_at between reach.from_at and reach.to_at
),
ours as (
  select * from ledger where nth = 1
),
purchases as (
  select
    order_id as our_id,
    pixel_id,
    event_key,
    anchor_at,
    event_id,
    to_timestamp(event_time) as happened_at,
    value,
    currency,
    browser_copies,
    server_copies,
    lower(regexp_extract(event_source_url, '^[a-z]+://([^/?#:]+)', 1)) as host
  from events_deduplicated
  cross join reach
  where account_id = $account_id
    and event_name = 'Purchase'
    and not is_test
    and to_timestamp(event_time) between reach.from_at and reach.to_at
),
bought as (
  select
    our_id,
    count(*) as events,
    sum(browser_copies) as browser_copies,
    sum(server_copies) as server_copies,
    count(distinct pixel_id) as pixels,
    bool_or(pixel_id = $shop_pixel_id) as is_of_shop,
    max(happened_at) - min(happened_at) as apart,
    sum(value) - max(value) as value_again,
    min(event_id) as first_event_id,
    max(event_id) as last_event_id,
    min(pixel_id) as first_pixel_id,
    max(pixel_id) as last_pixel_id,
    min(anchor_at) as received_at,
    min(happened_at) as happened_at,
    max(host) as host
  from purchases
  where our_id is not null
  group by our_id
),
unnamed as (
  select
    event_id,
    regexp_replace(lower(event_id), '^(order|purchase|checkout)[ ._:-]+', '') as named_id,
    value,
    currency,
    happened_at,
    browser_copies
  from purchases
  where our_id is null
),
begun as (
  select least(
    (select min(anchor_at) from events_deduplicated where account_id = $account_id),
    (select min(first_learned_at) from orders where account_id = $account_id),
    -- History that was imported reaches further back. One old order that changed does not.
    (select quantile_disc(ordered_at, 0.02) from orders where account_id = $account_id)
  ) as begun_at
),
-- --- which order is which -----------------------------------------------------------------------
refusals as (
  select
    order_id,
    make_timestamptz(received_at) as received_at,
    reason,
    message,
    request_id
  from read_ndjson(
    $refused_file,
    columns = {
      order_id: 'varchar',
      received_at: 'bigint',
      reason: 'varchar',
      message: 'varchar',
      request_id: 'varchar'
    }
  )
),
spellings as (
  select order_id as spelling from shop
  union
  select name from shop where name is not null
  union
  select our_id from ours
  union
  select order_id from refusals
  union
  select named_id from unnamed where named_id is not null
),
keyed as (
  -- `#1001`, `1001` and `gid://shopify/Order/1001` are one id.
  select
    spelling,
    lower(
      regexp_replace(
        regexp_replace(trim(spelling), '^gid://[^/]+/[^/]+/([^?]+).*$', '\1'),
        '^[#\s]+',
        ''
      )
    ) as id_key
  from spellings
),
digits as (
  select
    spelling,
    id_key,
    nullif(ltrim(regexp_extract(id_key, '([0-9]{3,})[^0-9]*$', 1), '0'), '') as number
  from keyed
),
shop_ids as (
  select shop.order_id, 'id' as kind, shop.order_id as spelling, digits.id_key, digits.number
  from shop
  inner join digits on shop.order_id = digits.spelling
  union all
  select shop.order_id, 'name' as kind, shop.name as spelling, digits.id_key, digits.number
  from shop
  inner join digits on shop.name = digits.spelling
),
pairs as (
  select
    shop_ids.order_id,
    ours.our_id,
    shop_ids.kind,
    shop_ids.spelling = ours.our_id as is_exact
  from ours
  inner join digits on ours.our_id = digits.spelling
  inner join shop_ids on digits.id_key = shop_ids.id_key
),
-- A number may be the id of one order and the name of another. A site sends one of the two.
preference as (
  select
    count(distinct case when kind = 'name' then our_id end)
      > count(distinct case when kind = 'id' then our_id end) as is_by_name
  from pairs
),
ranked as (
  select
    pairs.order_id,
    pairs.our_id,
    case when pairs.is_exact then pairs.kind else pairs.kind || ', spelled otherwise' end
      as matched_by,
    case when (pairs.kind = 'name') = preference.is_by_name then 0 else 2 end
      + case when pairs.is_exact then 0 else 1 end as place
  from pairs
  cross join preference
),
best as (
  select
    order_id,
    our_id,
    matched_by,
    place,
    row_number() over (partition by our_id order by place, order_id) as nth
  from ranked
),
-- The same digits and the same value within two days, and no other order like it.
alike as (
  select distinct
    shop.order_id,
    ours.our_id
  from ours
  anti join best on ours.our_id = best.our_id
  inner join digits on ours.our_id = digits.spelling
  inner join shop_ids on digits.number = shop_ids.number
  inner join shop
    on shop_ids.order_id = shop.order_id
    and ours.our_value = shop.total
    and ours.our_currency = shop.shop_currency
    and ours.ordered_at between shop.created_at - interval 2 day
      and shop.created_at + interval 2 day
),
matches as (
  select order_id, our_id, matched_by, place
  from best
  where nth = 1
  union all
  select
    order_id,
    our_id,
    'digits' as matched_by,
    9 as place
  from (
    select
      order_id,
      our_id,
      count(*) over (partition by our_id) as orders,
      count(*) over (partition by order_id) as spelled
    from alike
  ) as counted
  where orders = 1
    and spelled = 1
),
numbered as (
  select
    matches.order_id,
    matches.our_id,
    matches.matched_by,
    row_number() over (
      partition by matches.order_id
      order by matches.place, ours.messages desc, ours.ordered_at, ours.our_id
    ) as nth
  from matches
  inner join ours on matches.our_id = ours.our_id
),
both_sides as (
  select
    shop.*,
    ours.our_id,
    ours.our_currency,
    ours.our_state,
    ours.our_value,
    ours.our_refunds,
    ours.our_net,
    numbered.matched_by,
    coalesce(bought.events, 0) as events,
    bought.browser_copies,
    bought.server_copies,
    bought.pixels,
    bought.apart,
    bought.value_again,
    bought.first_event_id,
    bought.last_event_id,
    bought.first_pixel_id,
    bought.last_pixel_id,
    bought.received_at,
    bought.happened_at,
    bought.host
  from shop
  inner join numbered on shop.order_id = numbered.order_id and numbered.nth = 1
  inner join ours on numbered.our_id = ours.our_id
  left join bought on ours.our_id = bought.our_id
  where shop.is_judged
),
-- Orders that both sides count.
counted as (
  select * from both_sides where not is_test and state <> 'failed'
),
-- --- findings -----------------------------------------------------------------------------------
refused_orders as (
  select
    shop_ids.order_id,
    refusals.reason,
    refusals.message,
    refusals.received_at,
    refusals.request_id,
    row_number() over (
      partition by shop_ids.order_id
      order by refusals.received_at desc, refusals.request_id desc
    ) as nth
  from refusals
  inner join digits on refusals.order_id = digits.spelling
  inner join shop_ids on digits.id_key = shop_ids.id_key
),
unnamed_orders as (
  select
    shop_ids.order_id,
    min(unnamed.event_id) as event_id
  from unnamed
  inner join digits on unnamed.named_id = digits.spelling
  inner join shop_ids on digits.id_key = shop_ids.id_key
  group by shop_ids.order_id
),
absent as (
  select shop.*
  from shop
  anti join matches on shop.order_id = matches.order_id
  where shop.is_judged
    and shop.state <> 'failed'
),
denials as (
  select
    absent.order_id,
    max(to_timestamp(events.event_time)) as denied_at
  from absent
  inner join (
    select
      unnest(user_data.em) as em,
      event_time
    from events_deduplicated
    where account_id = $account_id
      and consent like '%"denied"%'
      and not is_test
  ) as events on absent.em = events.em
  where to_timestamp(events.event_time) <= absent.created_at + interval 1 hour
  group by absent.order_id
),
missing as (
  select
    'missing' as finding,
    case
      when absent.is_test then 'test'
      when absent.state = 'pending' and $purchase_on = 'paid' then 'unpaid'
      when refused_orders.reason is not null then 'refused'
      when unnamed_orders.event_id is not null then 'no_order_id'
      when absent.created_at < begun.begun_at then 'before_pixel'
      when absent.created_at < make_timestamptz(cast($shop_made_at as bigint) * 1000000)
        then 'before_shop'
      when denials.denied_at is not null then 'consent_denied'
      when absent.created_at > span.now_at - interval 15 minute then 'just_made'
      when $log_problem then 'in_log'
      else 'not_delivered'
    end as why,
    '' as destination_id,
    absent.shop_currency as currency,
    absent.total as money,
    absent.order_id,
    coalesce(absent.name, '') as name,
    '' as our_id,
    absent.created_at as made_at,
    absent.total as shop_value,
    null as our_value,
    case
      when refused_orders.reason is not null
        then refused_orders.reason || ' at '
          || strftime(refused_orders.received_at, '%Y-%m-%d %H:%M:%S') || ' UTC, request '
          || refused_orders.request_id || ': ' || refused_orders.message
      when unnamed_orders.event_id is not null then 'event ' || unnamed_orders.event_id
      else ''
    end as detail
  from absent
  cross join begun
  cross join span
  left join refused_orders on absent.order_id = refused_orders.order_id and refused_orders.nth = 1
  left join unnamed_orders on absent.order_id = unnamed_orders.order_id
  left join denials on absent.order_id = denials.order_id
),
known_hosts as (
  select distinct host from both_sides where host is not null
),
extra as (
  select
    'extra' as finding,
    case when both_sides.is_test then 'test' else 'failed' end as why,
    '' as destination_id,
    our_currency as currency,
    -our_value as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    case when both_sides.is_test then total end as shop_value,
    our_value,
    '' as detail
  from both_sides
  where (is_test or state = 'failed')
    and our_value > 0
  union all
  select
    'extra' as finding,
    'spelled_otherwise' as why,
    '' as destination_id,
    our_currency as currency,
    0 as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    '' as detail
  from counted
  where matched_by = 'digits'
  union all
  select
    'extra' as finding,
    case
      when ours.our_state = 'draft' then 'draft'
      when $shop_pixel_id is not null and not bought.is_of_shop then 'other_pixel'
      when not $is_whole
        and (ours.ordered_at > span.last_at or ours.ordered_at < span.first_at)
        then 'outside_export'
      when bought.host is not null
        and exists (select 1 from known_hosts)
        and known_hosts.host is null
        then 'other_host'
      when bought.browser_copies > 0 and bought.server_copies = 0 and ours.messages = 0
        then 'browser_alone'
      else 'unknown'
    end as why,
    '' as destination_id,
    ours.our_currency as currency,
    -ours.our_value as money,
    '' as order_id,
    '' as name,
    ours.our_id,
    ours.ordered_at as made_at,
    null as shop_value,
    ours.our_value,
    coalesce(bought.host, '') as detail
  from ours
  anti join matches on ours.our_id = matches.our_id
  cross join span
  left join bought on ours.our_id = bought.our_id
  left join known_hosts on bought.host = known_hosts.host
  where ours.ordered_at >= span.since_at
    and ours.ordered_at < span.until_at
),
-- A Purchase without an order id beside one that only the server told: same value, minutes apart,
-- and no third one of that value near them.
told_alone as (
  select
    order_id,
    cast(null as varchar) as event_id,
    our_value as value,
    our_currency as currency,
    happened_at
  from counted
  where browser_copies = 0
  union all
  select
    '' as order_id,
    event_id,
    value,
    currency,
    happened_at
  from unnamed
  where browser_copies > 0
),
neighbours as (
  select
    order_id,
    event_id,
    value,
    happened_at,
    lead(order_id) over by_time as next_order_id,
    lead(event_id) over by_time as next_event_id,
    lag(happened_at) over by_time as before_at,
    lead(happened_at) over by_time as next_at,
    lead(happened_at, 2) over by_time as after_at
  from told_alone
  window by_time as (
    partition by value, currency
    order by happened_at, order_id, event_id
  )
),
beside as (
  select
    case when order_id = '' then next_order_id else order_id end as order_id,
    case when order_id = '' then event_id else next_event_id end as event_id,
    value
  from neighbours
  where (order_id = '') <> (next_order_id = '')
    and next_at - happened_at <= interval 15 minute
    and (before_at is null or happened_at - before_at > interval 15 minute)
    and (after_at is null or after_at - next_at > interval 15 minute)
),
doubled as (
  select
    'doubled' as finding,
    'two_order_ids' as why,
    '' as destination_id,
    ours.our_currency as currency,
    -ours.our_value as money,
    both_sides.order_id,
    coalesce(both_sides.name, '') as name,
    ours.our_id,
    both_sides.created_at as made_at,
    both_sides.total as shop_value,
    ours.our_value,
    'also ' || both_sides.our_id as detail
  from both_sides
  inner join numbered on both_sides.order_id = numbered.order_id and numbered.nth > 1
  inner join ours on numbered.our_id = ours.our_id
  union all
  select
    'doubled' as finding,
    case
      when pixels > 1 then 'two_pixels'
      when apart > interval 28 day then 'beyond_28_days'
      else 'two_persons'
    end as why,
    '' as destination_id,
    our_currency as currency,
    -coalesce(value_again, 0) as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    events || ' events'
      || case
        when pixels > 1 then ', pixels ' || first_pixel_id || ' and ' || last_pixel_id
        else ''
      end
      || case
        when first_event_id <> last_event_id
          then ', ids ' || first_event_id || ' and ' || last_event_id
        when first_event_id is null then ', without event ids'
        else ', both with the id ' || first_event_id
      end as detail
  from counted
  where events > 1
  union all
  select
    'doubled' as finding,
    'no_order_id' as why,
    '' as destination_id,
    counted.our_currency as currency,
    -beside.value as money,
    counted.order_id,
    coalesce(counted.name, '') as name,
    counted.our_id,
    counted.created_at as made_at,
    counted.total as shop_value,
    counted.our_value,
    'ids ' || coalesce(counted.first_event_id, '(none)') || ' and '
      || coalesce(beside.event_id, '(none)') as detail
  from beside
  inner join counted on beside.order_id = counted.order_id
),
currency_differs as (
  select
    'currency_differs' as finding,
    case
      when our_currency = '' then 'no_currency'
      when our_currency = presentment_currency and our_value = presentment_total
        then 'customers_currency'
      when our_value = total then 'same_amount'
      else 'unknown'
    end as why,
    '' as destination_id,
    shop_currency as currency,
    total as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    coalesce(nullif(our_currency, ''), 'no currency') || ' here' as detail
  from counted
  where our_currency <> shop_currency
    and shop_currency <> ''
    and our_state <> 'draft'
),
value_differs as (
  select
    'value_differs' as finding,
    case
      when our_value = 0 then 'no_value'
      when our_value = total * 100 or our_value * 100 = total then 'hundredfold'
      when total - our_value = tax and tax > 0 then 'tax'
      when total - our_value = shipping and shipping > 0 then 'shipping'
      when total - our_value = tax + shipping and tax > 0 and shipping > 0 then 'tax_and_shipping'
      when total - our_value = refunded and refunded > 0 then 'refund'
      when our_value - total = refunded and refunded > 0 then 'refund_in_total'
      when our_value - total = discount and discount > 0 then 'discount'
      when our_value = presentment_total then 'customers_currency'
      when abs(total - our_value) <= 0.05 then 'rounding'
      else 'unknown'
    end as why,
    '' as destination_id,
    shop_currency as currency,
    total - our_value as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    '' as detail
  from counted
  where (our_currency = shop_currency or shop_currency = '' or our_currency = '')
    and our_value <> total
    and our_state not in ('draft', 'refused')
),
status_differs as (
  select
    'status_differs' as finding,
    case
      when state = 'cancelled' then 'cancelled'
      when our_state in ('draft', 'pending') then 'paid'
      when our_state = 'refused' then 'refused_here'
      when our_state = 'cancelled' then 'cancelled_here'
      when refunded > our_refunds then 'refunded'
      else 'refunded_here'
    end as why,
    '' as destination_id,
    shop_currency as currency,
    case
      when state = 'cancelled' then -our_net
      when our_state in ('draft', 'pending', 'refused', 'cancelled') then shop_net
      else our_refunds - refunded
    end as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    shop_net as shop_value,
    case when our_state in ('draft', 'pending') then 0 else our_net end as our_value,
    case
      when state <> 'cancelled' and our_state = 'sale'
        then 'refunded there ' || cast(refunded as decimal(18, 2)) || ', here '
          || cast(our_refunds as decimal(18, 2))
      else 'there ' || state || ', here ' || our_state
    end as detail
  from counted
  where (our_currency = shop_currency or shop_currency = '')
    and (
      (state = 'cancelled' and our_state <> 'cancelled' and our_net > 0)
      or (state = 'sale' and our_state in ('draft', 'pending', 'refused'))
      or (state in ('sale', 'pending') and our_state = 'cancelled' and shop_net > 0)
      or (state <> 'cancelled' and our_state = 'sale' and refunded <> our_refunds)
    )
),
sides as (
  select
    case
      when events = 0 then 'no_purchase'
      when server_copies = 0 then 'browser_only'
      else 'server_only'
    end as finding,
    '' as why,
    '' as destination_id,
    shop_currency as currency,
    total as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    '' as detail
  from counted
  where events = 0
    or server_copies = 0
    or browser_copies = 0
),
-- --- the relay ----------------------------------------------------------------------------------
destinations as (
  select
    destination_id,
    created_at,
    is_paused,
    problem,
    pixels,
    events,
    domains
  from read_ndjson(
    $destinations_file,
    columns = {
      destination_id: 'varchar',
      created_at: 'bigint',
      is_paused: 'boolean',
      problem: 'varchar',
      pixels: 'varchar[]',
      events: 'varchar[]',
      domains: 'varchar[]'
    }
  )
),
emissions as (
  select
    destination_id,
    log_slot,
    log_offset,
    state,
    reason,
    message,
    make_timestamptz(due_at) as due_at
  from read_ndjson(
    $emissions_file,
    columns = {
      destination_id: 'varchar',
      log_slot: 'integer',
      log_offset: 'bigint',
      state: 'varchar',
      reason: 'varchar',
      message: 'varchar',
      due_at: 'bigint'
    }
  )
),
emitted as (
  select
    purchases.our_id,
    emissions.destination_id,
    emissions.state,
    emissions.reason,
    emissions.message,
    emissions.due_at,
    row_number() over (
      partition by purchases.our_id, emissions.destination_id
      order by
        case emissions.state
          when 'sent' then 1
          when 'ready' then 2
          when 'waiting' then 3
          when 'failed' then 4
          else 5
        end,
        emissions.due_at
    ) as nth
  from emissions
  inner join copies
    on emissions.log_slot = copies.log_slot
    and emissions.log_offset = copies.log_offset
  left join joins
    on copies.pixel_id = joins.pixel_id
    and copies.event_key = joins.event_key
    and copies.chain_at = joins.chain_at
  inner join purchases
    on copies.pixel_id = purchases.pixel_id
    and coalesce(joins.root_key, copies.event_key) = purchases.event_key
    and coalesce(joins.root_at, copies.chain_at) = purchases.anchor_at
  where purchases.our_id is not null
),
not_relayed as (
  select
    'not_relayed' as finding,
    case
      when emitted.state in ('ready', 'waiting') and destinations.is_paused then 'paused'
      when emitted.state in ('ready', 'waiting') and destinations.problem <> '' then 'failing'
      when emitted.state in ('ready', 'waiting')
        and emitted.due_at < span.now_at - interval 1 hour then 'overdue'
      when emitted.state in ('ready', 'waiting') then 'waiting'
      when emitted.state is not null then emitted.state || '/' || emitted.reason
      when counted.events = 0 then 'no_purchase'
      when (len(destinations.pixels) > 0
          and not list_contains(destinations.pixels, counted.first_pixel_id))
        or (len(destinations.events) > 0 and not list_contains(destinations.events, 'Purchase'))
        or (
          len(destinations.domains) > 0
          and len(
            list_filter(
              destinations.domains,
              lambda domain: counted.host = domain
                or (starts_with(domain, '*.') and ends_with(counted.host, substr(domain, 2)))
            )
          ) = 0
        )
        then 'filtered'
      when counted.received_at < make_timestamptz(destinations.created_at)
        then 'before_destination'
      when counted.received_at < span.now_at - interval 90 day then 'forgotten'
      else 'not_noted'
    end as why,
    destinations.destination_id,
    counted.shop_currency as currency,
    counted.total as money,
    counted.order_id,
    coalesce(counted.name, '') as name,
    counted.our_id,
    counted.created_at as made_at,
    counted.total as shop_value,
    counted.our_value,
    case
      when emitted.state = 'sent' then ''
      when emitted.state in ('ready', 'waiting') then destinations.problem
      else coalesce(emitted.message, '')
    end as detail
  from counted
  cross join destinations
  cross join span
  left join emitted
    on counted.our_id = emitted.our_id
    and destinations.destination_id = emitted.destination_id
    and emitted.nth = 1
  where emitted.state is distinct from 'sent'
    and counted.our_state <> 'draft'
),
findings as (
  select * from missing
  union all
  select * from extra
  union all
  select * from doubled
  union all
  select * from currency_differs
  union all
  select * from value_differs
  union all
  select * from status_differs
  union all
  select * from sides
  union all
  select * from not_relayed
),
judged as (
  select
    findings.*,
    list_contains($expected, finding || '/' || why) or starts_with(why, 'withheld/') as is_expected
  from findings
),
compared as (
  select
    'compared' as finding,
    case when wrong.order_id is null then 'agrees' else 'differs' end as why,
    '' as destination_id,
    shop.shop_currency as currency,
    shop.total as money,
    shop.order_id,
    coalesce(shop.name, '') as name,
    '' as our_id,
    shop.created_at as made_at,
    shop.total as shop_value,
    null as our_value,
    '' as detail,
    true as is_expected
  from shop
  left join (select distinct order_id from judged where not is_expected) as wrong
    on shop.order_id = wrong.order_id
  where shop.is_judged
  union all
  select
    'matched' as finding,
    matched_by as why,
    '' as destination_id,
    shop_currency as currency,
    total as money,
    order_id,
    coalesce(name, '') as name,
    our_id,
    created_at as made_at,
    total as shop_value,
    our_value,
    '' as detail,
    true as is_expected
  from both_sides
),
summed as (
  select
    finding,
    why,
    destination_id,
    currency,
    money,
    order_id,
    name,
    our_id,
    made_at,
    shop_value,
    our_value,
    detail,
    is_expected,
    count(*) over same as group_orders,
    sum(money) over same as group_money,
    min(made_at) over same as group_first_at,
    max(made_at) over same as group_last_at,
    row_number() over (
      partition by finding, why, destination_id, currency
      order by made_at desc, order_id, our_id, detail
    ) as nth
  from (select * from judged union all select * from compared) as told
  window same as (partition by finding, why, destination_id, currency)
)
select
  cast(summed.finding as varchar) as finding,
  cast(summed.why as varchar) as why,
  cast(summed.destination_id as varchar) as destination_id,
  cast(summed.currency as varchar) as currency,
  cast(summed.money as decimal(18, 4)) as money,
  cast(summed.order_id as varchar) as order_id,
  cast(summed.name as varchar) as name,
  cast(summed.our_id as varchar) as our_order_id,
  cast(summed.made_at as timestamptz) as made_at,
  cast(summed.shop_value as decimal(18, 4)) as shop_value,
  cast(summed.our_value as decimal(18, 4)) as our_value,
  cast(summed.detail as varchar) as detail,
  cast(summed.is_expected as boolean) as is_expected,
  cast(summed.group_orders as bigint) as group_orders,
  cast(summed.group_money as decimal(38, 4)) as group_money,
  cast(summed.group_first_at as timestamptz) as group_first_at,
  cast(summed.group_last_at as timestamptz) as group_last_at,
  cast(span.since_at as timestamptz) as since_at,
  cast(span.until_at as timestamptz) as until_at
from summed
cross join span
where summed.nth <= $limit
order by
  summed.finding,
  summed.why,
  summed.destination_id,
  summed.currency,
  summed.nth
