-- One row per impression: an ad that was chosen and seen (or clicked), with what came of it within the
-- windows of its ad set's goal. Sources: the lake's files of `ad_decisions` and `ad_touches`,
-- conversions. Parameters: $chosen and $touched (paths), $account_id, $since and $until (Unix
-- seconds, half-open, of the decision), $policy (chosen by this model; null: by any), the goals as
-- lists of equal length: $adset_ids, $event_names ('': none that can be observed) and $pixel_ids
-- ('': all), $click_s and $view_s (how long after a touch actions count; 0: never), $browser_only
-- (conversions that only the server has told do not count), and the exchange rates as in lift.sql.
-- Times are Unix seconds, 0 for what has not come. An action has come when it is known: at its
-- event_time or, if that is later, when its first copy was received; so what is late to arrive is
-- part of the delay. `value` is in ten-thousandths of the account's currency, of all actions that
-- the click (otherwise the view) is the last ad touch before; values without a rate are 0.
-- `features` are joined by line feeds.
with
goals as (
  select
    unnest($adset_ids) as adset_id,
    unnest($event_names) as event_name,
    unnest($pixel_ids) as pixel_id
),
rates as (
  select
    unnest($rate_currencies) as currency,
    unnest($rate_firsts) as first_day,
    unnest($rate_lasts) as last_day,
    unnest($rates) as rate
),
touched as (
  select
    regexp_extract(touch_id, '^(.*)[.][vc]$', 1) as chosen_id,
    min(case when kind = 'click' then epoch(touched_at) end) as clicked_s,
    -- The keys that touchpoints.sql gives these touches.
    min(
      case
        when kind = 'click' and click_id is not null
          then md5(concat_ws('|', account_id, 'click', click_id))
        when kind = 'click' then md5(concat_ws('|', account_id, 'logged', touch_key))
      end
    ) as click_digest,
    min(
      case when kind = 'view' then md5(concat_ws('|', account_id, 'logged', touch_key)) end
    ) as view_digest
  from read_parquet($touched)
  where account_id = $account_id
    and platform = 'doublet'
    and kind in ('view', 'click')
    and not is_test
  group by regexp_extract(touch_id, '^(.*)[.][vc]$', 1)
),
shown as (
  select
    touched.chosen_id,
    array_to_string(chosen.features, chr(10)) as features,
    chosen.ad_id,
    chosen.adset_id,
    chosen.campaign_id,
    epoch(chosen.decided_at) as decided_s,
    touched.clicked_s,
    cast('0x' || substring(touched.click_digest, 1, 15) as bigint) as click_key,
    cast('0x' || substring(touched.view_digest, 1, 15) as bigint) as view_key,
    chosen.propensity
  from read_parquet($chosen) as chosen
  inner join touched
    on touched.chosen_id = chosen.decision_id || '.' || chosen.position
  where chosen.account_id = $account_id
    and not chosen.is_test
    and epoch(chosen.decided_at) >= $since
    and epoch(chosen.decided_at) < $until
    and ($policy is null or chosen.policy = $policy)
),
claims as (
  select
    conversions.event_name,
    conversions.pixel_id,
    greatest(conversions.event_time, epoch(conversions.anchor_at)) as known_s,
    conversions.value * cast(rates.rate as decimal(19, 10)) as amount,
    case
      when conversions.click_time > conversions.event_time - $click_s then conversions.click_key
    end as click_key,
    case
      when conversions.click_time > conversions.event_time - $click_s then null
      when conversions.view_time > conversions.event_time - $view_s then conversions.view_key
    end as view_key
  from conversions
  left join rates
    on conversions.currency = rates.currency
    and cast(to_timestamp(conversions.event_time) as date) >= rates.first_day
    and cast(to_timestamp(conversions.event_time) as date) <= rates.last_day
  where conversions.account_id = $account_id
    and conversions.event_time >= $since
    and list_contains($event_names, conversions.event_name)
    and (not $browser_only or conversions.browser_copies > 0)
),
claimed as (
  select shown.chosen_id, claims.event_name, claims.pixel_id, claims.known_s, claims.amount
  from shown
  inner join claims
    on shown.click_key = claims.click_key
  union all
  select shown.chosen_id, claims.event_name, claims.pixel_id, claims.known_s, claims.amount
  from shown
  inner join claims
    on shown.view_key = claims.view_key
),
acted as (
  select
    shown.chosen_id,
    min(claimed.known_s) as acted_s,
    sum(claimed.amount) as amount
  from shown
  inner join goals
    on shown.adset_id = goals.adset_id
  inner join claimed
    on shown.chosen_id = claimed.chosen_id
    and goals.event_name = claimed.event_name
    and (goals.pixel_id = '' or goals.pixel_id = claimed.pixel_id)
  group by shown.chosen_id
)
select
  cast(coalesce(shown.features, '') as varchar) as features,
  cast(shown.ad_id as varchar) as ad_id,
  cast(shown.adset_id as varchar) as adset_id,
  cast(shown.campaign_id as varchar) as campaign_id,
  cast(shown.decided_s as double) as decided_s,
  cast(coalesce(shown.clicked_s, 0) as double) as clicked_s,
  cast(coalesce(acted.acted_s, 0) as double) as acted_s,
  cast(coalesce(acted.amount, 0) * 10000 as double) as value,
  cast(coalesce(shown.propensity, 0) as double) as propensity
from shown
left join acted
  on shown.chosen_id = acted.chosen_id
order by decided_s, shown.chosen_id
