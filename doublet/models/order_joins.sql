-- One row per chain of Purchase copies that is the same order as an earlier one.
-- Key: (pixel_id, event_key, chain_at). Source: the temporary table `order_chains`, every chain of
-- the changed order ids of a pixel.
-- The first chain of an order id takes in those that begin up to 28 days later; a later one begins
-- anew (Meta, Deduplication: order id). With $meta both must name the same person. Otherwise a
-- chain that names none, or several, goes with its neighbour, first the one before, and only chains
-- of persons who differ are kept apart: two shops on one pixel may use the same numbers.
with recursive
threads as (
  select
    pixel_id,
    order_id,
    event_key,
    chain_at,
    coalesce(
      person,
      last_value(person ignore nulls) over (
        partition by pixel_id, order_id
        order by chain_at, event_key
        rows between unbounded preceding and current row
      ),
      first_value(person ignore nulls) over (
        partition by pixel_id, order_id
        order by chain_at, event_key
        rows between current row and unbounded following
      ),
      ''
    ) as person
  from order_chains
  where not $meta or person is not null
),
later as (
  select distinct
    pixel_id,
    order_id,
    person,
    chain_at,
    min(chain_at) over (
      partition by pixel_id, order_id, person
      order by chain_at
      range between interval '2419200.000001 seconds' following and unbounded following
    ) as next_at
  from threads
),
firsts as (
  select
    pixel_id,
    order_id,
    person,
    min(chain_at) as first_at
  from threads
  group by pixel_id, order_id, person
  union all
  select
    firsts.pixel_id,
    firsts.order_id,
    firsts.person,
    later.next_at as first_at
  from firsts
  inner join later
    on firsts.pixel_id = later.pixel_id
    and firsts.order_id = later.order_id
    and firsts.person = later.person
    and firsts.first_at = later.chain_at
  where later.next_at is not null
),
grouped as (
  select
    threads.pixel_id,
    threads.order_id,
    threads.person,
    threads.event_key,
    threads.chain_at,
    max(firsts.first_at) as group_at
  from threads
  inner join firsts
    on threads.pixel_id = firsts.pixel_id
    and threads.order_id = firsts.order_id
    and threads.person = firsts.person
    and firsts.first_at <= threads.chain_at
  group by
    threads.pixel_id,
    threads.order_id,
    threads.person,
    threads.event_key,
    threads.chain_at
),
named as (
  select
    pixel_id,
    event_key,
    chain_at,
    group_at,
    min(case when chain_at = group_at then event_key end) over (
      partition by pixel_id, order_id, person, group_at
    ) as group_key
  from grouped
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(chain_at as timestamptz) as chain_at,
  cast('order_id' as varchar) as rule,
  cast(group_key as bigint) as group_key,
  cast(group_at as timestamptz) as group_at
from named
where event_key <> group_key or chain_at <> group_at
