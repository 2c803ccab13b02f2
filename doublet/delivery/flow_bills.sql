-- One row per lease that has newly cost something: how much, in units.
-- Source: the temporary table `matched`, touches that have found their decisions.
select
  cast(lease as varchar) as lease,
  cast(sum(units) as bigint) as units
from matched
where units > 0
group by lease
order by lease
