-- One row per entry of an order's ledger and currency that it concerns: what was said, what it
-- changes, and the state of the order after it. The changes of an order add up to its row in
-- `orders`.
-- Key: (account_id, order_id, position, currency). Sources: the temporary tables `told`, the rows of
-- `order_copies` about the orders to be made, and `bought`, their Purchases.
--
-- Entries are sorted by their own time, then kind, then id, so that the ledger depends on what was
-- said and never on when it came. Only learned_at tells that.
--
-- Refunds never exceed the total. With T the total after entry i, v its refund and S the sum of
-- all v so far, what is refunded is R(i) = min(R(i-1) + v, T(i)), and that is
-- S(i) + min(0, min over k <= i of T(k) - S(k)) (a walk reflected at a barrier: Skorokhod 1961),
-- so that windows can say it. A refund dated before the first total is measured by that total.
with
messages as (
  select
    account_id,
    order_id,
    message_id,
    kind,
    changed_at,
    value,
    currency,
    parent_order_id,
    action_source,
    min(message_key) over same_id <> max(message_key) over same_id as is_id_reused,
    min(received_at) over same_content as learned_at,
    row_number() over (
      partition by account_id, order_id, message_id
      order by changed_at desc, message_key desc, received_at, log_slot, log_offset
    ) as nth
  from told
  window
    same_id as (partition by account_id, order_id, message_id),
    same_content as (partition by account_id, order_id, message_id, message_key)
),
purchases as (
  select
    account_id,
    order_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    value,
    currency,
    action_source,
    row_number() over (
      partition by account_id, order_id
      order by event_time, pixel_id, event_key, anchor_at
    ) as nth
  from bought
),
facts as (
  select
    account_id,
    order_id,
    kind,
    changed_at,
    message_id as entry_id,
    message_id,
    cast(null as varchar) as pixel_id,
    value as said,
    currency as said_currency,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    cast(null as bigint) as nth_purchase
  from messages
  where nth = 1
  union all
  -- Whoever may send events may send any number for one order; fifty tell enough.
  select
    account_id,
    order_id,
    'purchase' as kind,
    to_timestamp(event_time) as changed_at,
    lpad(cast(nth as varchar), 9, '0') as entry_id,
    cast(null as varchar) as message_id,
    pixel_id,
    value as said,
    currency as said_currency,
    cast(null as varchar) as parent_order_id,
    action_source,
    anchor_at as learned_at,
    false as is_id_reused,
    nth as nth_purchase
  from purchases
  where nth <= 50
),
kinds as (
  select
    account_id,
    order_id,
    kind,
    changed_at,
    entry_id,
    message_id,
    pixel_id,
    said,
    said_currency,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    nth_purchase,
    case kind
      when 'drafted' then 1
      when 'placed' then 2
      when 'renewed' then 3
      when 'purchase' then 4
      when 'cash_on_delivery' then 5
      when 'completed' then 6
      when 'paid' then 7
      when 'confirmed' then 8
      when 'edited' then 9
      when 'refunded' then 10
      when 'refused' then 11
      when 'cancelled' then 12
      else 13
    end as kind_order,
    said is not null
      and kind in (
        'drafted', 'placed', 'renewed', 'cash_on_delivery', 'completed', 'confirmed', 'edited'
      ) as is_total
  from facts
),
numbered as (
  select
    account_id,
    order_id,
    kind,
    kind_order,
    changed_at,
    message_id,
    pixel_id,
    said,
    said_currency,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_total,
    case when said is not null then nth_purchase end as nth_purchase,
    cast(
      row_number() over (
        partition by account_id, order_id
        order by changed_at, kind_order, entry_id
      ) as integer
    ) as position,
    -- Whatever names a currency may lend it to what names none.
    case when is_total or kind in ('paid', 'purchase') then said_currency end as lent_currency
  from kinds
),
resolved as (
  select
    account_id,
    order_id,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_total,
    position,
    coalesce(
      said_currency,
      last_value(lent_currency ignore nulls) over up_to,
      first_value(lent_currency ignore nulls) over from_here,
      ''
    ) as currency,
    -- The first Purchase that has a value; the others repeat it.
    nth_purchase is not null
      and nth_purchase = min(nth_purchase) over whole as is_first_purchase,
    count(case when is_total and kind <> 'edited' then 1 end) over whole > 0 as is_placed,
    coalesce(
      min(case when kind in ('placed', 'renewed', 'completed') then changed_at end) over whole,
      min(case when kind = 'cash_on_delivery' then changed_at end) over whole,
      min(case when kind in ('paid', 'purchase') then changed_at end) over whole,
      min(changed_at) over whole
    ) as ordered_at
  from numbered
  window
    up_to as (
      partition by account_id, order_id
      order by position
      rows between unbounded preceding and current row
    ),
    from_here as (
      partition by account_id, order_id
      order by position
      rows between current row and unbounded following
    ),
    whole as (partition by account_id, order_id)
),
-- What the order was ever said to be worth: by the shop or, where it has only edited the order,
-- by the first Purchase. A Purchase that agrees with none of it is in conflict.
worths as (
  select distinct account_id, order_id, said, currency
  from resolved
  where is_total
    or (is_first_purchase and not is_placed)
),
stated as (
  select
    resolved.account_id,
    resolved.order_id,
    resolved.kind,
    resolved.changed_at,
    resolved.message_id,
    resolved.pixel_id,
    resolved.said,
    resolved.currency,
    resolved.parent_order_id,
    resolved.action_source,
    resolved.learned_at,
    resolved.is_id_reused,
    resolved.position,
    resolved.ordered_at,
    resolved.kind = 'purchase'
      and resolved.said is not null
      and worths.said is null as is_in_conflict,
    last_value(case when resolved.is_total then resolved.said end ignore nulls) over up_to
      as total_said,
    last_value(case when resolved.is_total then resolved.currency end ignore nulls) over up_to
      as total_currency,
    max(case when resolved.is_first_purchase then resolved.said end) over up_to as purchase_said,
    max(case when resolved.is_first_purchase then resolved.currency end) over up_to
      as purchase_currency,
    max(case when resolved.kind = 'paid' then resolved.currency end) over up_to as paid_last,
    min(case when resolved.kind = 'paid' then resolved.currency end) over up_to as paid_first,
    count(case when resolved.kind = 'drafted' then 1 end) over up_to > 0
      and count(case when resolved.kind in ('placed', 'renewed', 'completed') then 1 end)
        over up_to = 0 as is_draft,
    count(case when resolved.kind = 'cash_on_delivery' then 1 end) over up_to > 0
      and count(case when resolved.kind = 'confirmed' then 1 end) over up_to = 0 as is_pending,
    coalesce(max(case when resolved.kind = 'refused' then resolved.position end) over up_to, 0)
      > coalesce(
        max(case when resolved.kind in ('confirmed', 'reopened') then resolved.position end)
          over up_to,
        0
      ) as is_refused,
    coalesce(max(case when resolved.kind = 'cancelled' then resolved.position end) over up_to, 0)
      > coalesce(
        max(case when resolved.kind = 'reopened' then resolved.position end) over up_to, 0
      ) as is_cancelled
  from resolved
  left join worths
    on resolved.account_id = worths.account_id
    and resolved.order_id = worths.order_id
    and resolved.said = worths.said
    and resolved.currency = worths.currency
  window up_to as (
    partition by resolved.account_id, resolved.order_id
    order by resolved.position
    rows between unbounded preceding and current row
  )
),
-- Every currency of an order has its own sums, to which any entry may matter: a new total in
-- another currency ends the old one. Eight are more than an order can honestly have.
mentioned as (
  select account_id, order_id, currency, min(position) as first_position
  from stated
  group by account_id, order_id, currency
),
ranked as (
  select
    account_id,
    order_id,
    currency,
    row_number() over (partition by account_id, order_id order by first_position) as nth
  from mentioned
),
currencies as (
  select account_id, order_id, currency
  from ranked
  where nth <= 8
),
lines as (
  select
    stated.account_id,
    stated.order_id,
    stated.position,
    currencies.currency,
    stated.currency = currencies.currency as is_own,
    stated.kind,
    stated.changed_at,
    stated.message_id,
    stated.pixel_id,
    stated.said,
    stated.parent_order_id,
    stated.action_source,
    stated.learned_at,
    stated.is_id_reused,
    stated.is_in_conflict,
    stated.ordered_at,
    stated.is_draft,
    stated.is_pending,
    stated.is_refused,
    stated.is_cancelled,
    case
      when stated.total_said is not null
      then case when stated.total_currency = currencies.currency then stated.total_said else 0 end
      when stated.purchase_said is not null or stated.paid_first is not null
      then greatest(
        coalesce(
          case
            when stated.purchase_currency = currencies.currency
              and stated.purchase_currency = coalesce(stated.paid_first, stated.purchase_currency)
              and stated.purchase_currency = coalesce(stated.paid_last, stated.purchase_currency)
            then stated.purchase_said
          end,
          0
        ),
        coalesce(
          sum(
            case
              when stated.kind = 'paid' and stated.currency = currencies.currency
              then stated.said
            end
          ) over (
            partition by stated.account_id, stated.order_id, currencies.currency
            order by stated.position
            rows between unbounded preceding and current row
          ),
          0
        )
      )
    end as total
  from stated
  inner join currencies
    on stated.account_id = currencies.account_id
    and stated.order_id = currencies.order_id
),
measured as (
  select
    account_id,
    order_id,
    position,
    currency,
    is_own,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_in_conflict,
    ordered_at,
    is_draft,
    is_pending,
    is_refused,
    is_cancelled,
    total,
    coalesce(total, first_value(total ignore nulls) over from_here, 0) as ceiling
  from lines
  window from_here as (
    partition by account_id, order_id, currency
    order by position
    rows between current row and unbounded following
  )
),
refunding as (
  select
    account_id,
    order_id,
    position,
    currency,
    is_own,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_in_conflict,
    ordered_at,
    is_draft,
    is_pending,
    is_refused,
    is_cancelled,
    total,
    ceiling,
    case when kind = 'refunded' and is_own then coalesce(said, ceiling) else 0 end as refund,
    sum(
      case when kind = 'refunded' and is_own then coalesce(said, ceiling) else 0 end
    ) over (
      partition by account_id, order_id, currency
      order by position
      rows between unbounded preceding and current row
    ) as refund_sum
  from measured
),
refunded as (
  select
    account_id,
    order_id,
    position,
    currency,
    is_own,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_in_conflict,
    ordered_at,
    total,
    refund,
    case
      when is_refused then 'refused'
      when is_cancelled then 'cancelled'
      when is_draft then 'draft'
      when is_pending then 'pending'
      when total is null then 'unknown'
      else 'sale'
    end as state,
    total is not null and not (is_draft or is_pending or is_refused) as is_counted,
    is_cancelled,
    refund_sum
      + least(
        0,
        min(ceiling - refund_sum) over (
          partition by account_id, order_id, currency
          order by position
          rows between unbounded preceding and current row
        )
      ) as refunded_sum
  from refunding
),
balances as (
  select
    account_id,
    order_id,
    position,
    currency,
    is_own,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_in_conflict,
    ordered_at,
    state,
    refund,
    refunded_sum,
    coalesce(lag(refunded_sum) over by_position, 0) as refunded_before,
    case when is_counted then total else 0 end as gross_sum,
    case when is_counted then refunded_sum else 0 end as refunds_sum,
    case when is_counted and is_cancelled then total - refunded_sum else 0 end as cancelled_sum,
    case when state = 'pending' then coalesce(total, 0) - refunded_sum else 0 end as pending_sum
  from refunded
  window by_position as (partition by account_id, order_id, currency order by position)
),
changes as (
  select
    account_id,
    order_id,
    position,
    currency,
    is_own,
    kind,
    changed_at,
    message_id,
    pixel_id,
    said,
    parent_order_id,
    action_source,
    learned_at,
    is_id_reused,
    is_in_conflict,
    ordered_at,
    state,
    gross_sum - coalesce(lag(gross_sum) over by_position, 0) as gross,
    refunds_sum - coalesce(lag(refunds_sum) over by_position, 0) as refunds,
    cancelled_sum - coalesce(lag(cancelled_sum) over by_position, 0) as cancelled,
    pending_sum - coalesce(lag(pending_sum) over by_position, 0) as pending,
    kind = 'refunded' and is_own and said is not null
      and refunded_sum < refunded_before + refund as is_capped,
    kind <> 'refunded' and refunded_sum < refunded_before as is_total_below_refunds
  from balances
  window by_position as (partition by account_id, order_id, currency order by position)
)
select
  cast(account_id as varchar) as account_id,
  cast(order_id as varchar) as order_id,
  cast(position as integer) as position,
  cast(currency as varchar) as currency,
  cast(kind as varchar) as kind,
  cast(changed_at as timestamptz) as changed_at,
  cast(learned_at as timestamptz) as learned_at,
  cast(ordered_at as timestamptz) as ordered_at,
  cast(case when is_own then said end as decimal(18, 4)) as value,
  cast(gross as decimal(38, 4)) as gross,
  cast(refunds as decimal(38, 4)) as refunds,
  cast(cancelled as decimal(38, 4)) as cancelled,
  cast(pending as decimal(38, 4)) as pending,
  cast(state as varchar) as state,
  cast(message_id as varchar) as message_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(parent_order_id as varchar) as parent_order_id,
  cast(action_source as varchar) as action_source,
  cast(is_own as boolean) as is_own,
  cast(is_in_conflict and is_own as boolean) as is_in_conflict,
  cast(is_capped as boolean) as is_capped,
  cast(is_total_below_refunds as boolean) as is_total_below_refunds,
  cast(is_id_reused and is_own as boolean) as is_id_reused
from changes
where is_own
  or gross <> 0
  or refunds <> 0
  or cancelled <> 0
  or pending <> 0
