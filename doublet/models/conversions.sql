-- One row per deduplicated event that may be a conversion (every one but a PageView): whose it was, and
-- the last click, engaged view and view of an ad that this person had before it.
-- Key: (pixel_id, event_key, anchor_at). Sources: the temporary table `their_conversions`, and the
-- model tables `profiles`, `person_spans` and `touchpoints` as temporary views of the same names
-- with `all_` before them.
-- The person is the one whom the event's identifiers named 28 days after its first receipt (today,
-- before that): a later merge leaves it and its credit as they are. Touches count from event_time
-- back: clicks 28 days, engaged views 1 day, views 7 days; windows of up to as many days are
-- made from the age of the last one, since the last click within W is the last click if that is
-- no older than W.
with
placed as (
  select
    facts.account_id,
    facts.pixel_id,
    facts.event_key,
    facts.anchor_at,
    facts.event_name,
    facts.event_time,
    facts.profile_key,
    facts.value,
    facts.currency,
    facts.order_id,
    facts.action_source,
    facts.browser_copies,
    facts.server_copies,
    cast(floor(epoch(facts.anchor_at)) as bigint) as anchor_s,
    cast(floor(epoch(facts.anchor_at)) as bigint) + 28 * 86400 as frozen_s,
    profiles.person_id as first_person
  from their_conversions as facts
  left join all_profiles as profiles
    on facts.profile_key = profiles.profile_key
),
owned as (
  select
    placed.account_id,
    placed.pixel_id,
    placed.event_key,
    placed.anchor_at,
    placed.event_name,
    placed.event_time,
    placed.profile_key,
    placed.value,
    placed.currency,
    placed.order_id,
    placed.action_source,
    placed.browser_copies,
    placed.server_copies,
    placed.anchor_s,
    placed.frozen_s,
    spans.root_id as person_id
  from placed
  left join all_person_spans as spans
    on placed.account_id = spans.account_id
    and placed.first_person = spans.person_id
    and placed.frozen_s >= spans.since_s
    and placed.frozen_s < spans.until_s
),
-- Who became the same person between the first receipt and the moment that counts.
restated as (
  select
    owned.pixel_id,
    owned.event_key,
    owned.anchor_at,
    max(spans.since_s) as restated_s
  from owned
  inner join all_person_spans as spans
    on owned.account_id = spans.account_id
    and owned.person_id = spans.root_id
    and spans.since_s > owned.anchor_s
    and spans.since_s <= owned.frozen_s
  group by owned.pixel_id, owned.event_key, owned.anchor_at
),
ranked as (
  select
    owned.pixel_id,
    owned.event_key,
    owned.anchor_at,
    touchpoints.kind,
    touchpoints.touched_time,
    touchpoints.touchpoint_key,
    touchpoints.platform,
    touchpoints.channel,
    touchpoints.placement,
    touchpoints.campaign_id,
    touchpoints.adset_id,
    touchpoints.ad_id,
    row_number() over (
      partition by owned.pixel_id, owned.event_key, owned.anchor_at, touchpoints.kind
      order by touchpoints.touched_time desc, touchpoints.touchpoint_key desc
    ) as place
  from owned
  inner join all_touchpoints as touchpoints
    on owned.account_id = touchpoints.account_id
    and owned.person_id = touchpoints.person_id
    and owned.frozen_s >= touchpoints.since_s
    and owned.frozen_s < touchpoints.until_s
    and touchpoints.touched_time <= owned.event_time
    and touchpoints.touched_time > owned.event_time - 86400 * case touchpoints.kind
      when 'click' then 28
      when 'view' then 7
      else 1
    end
  where touchpoints.is_ad
),
lasts as (
  select
    pixel_id,
    event_key,
    anchor_at,
    max(case when kind = 'click' then touched_time end) as click_time,
    max(case when kind = 'click' then touchpoint_key end) as click_key,
    max(case when kind = 'click' then platform end) as click_platform,
    max(case when kind = 'click' then channel end) as click_channel,
    max(case when kind = 'click' then placement end) as click_placement,
    max(case when kind = 'click' then campaign_id end) as click_campaign_id,
    max(case when kind = 'click' then adset_id end) as click_adset_id,
    max(case when kind = 'click' then ad_id end) as click_ad_id,
    max(case when kind = 'engaged_view' then touched_time end) as ev_time,
    max(case when kind = 'engaged_view' then touchpoint_key end) as ev_key,
    max(case when kind = 'engaged_view' then platform end) as ev_platform,
    max(case when kind = 'engaged_view' then channel end) as ev_channel,
    max(case when kind = 'engaged_view' then placement end) as ev_placement,
    max(case when kind = 'engaged_view' then campaign_id end) as ev_campaign_id,
    max(case when kind = 'engaged_view' then adset_id end) as ev_adset_id,
    max(case when kind = 'engaged_view' then ad_id end) as ev_ad_id,
    max(case when kind = 'view' then touched_time end) as view_time,
    max(case when kind = 'view' then touchpoint_key end) as view_key,
    max(case when kind = 'view' then platform end) as view_platform,
    max(case when kind = 'view' then channel end) as view_channel,
    max(case when kind = 'view' then placement end) as view_placement,
    max(case when kind = 'view' then campaign_id end) as view_campaign_id,
    max(case when kind = 'view' then adset_id end) as view_adset_id,
    max(case when kind = 'view' then ad_id end) as view_ad_id
  from ranked
  where place = 1
  group by pixel_id, event_key, anchor_at
)
select
  cast(owned.account_id as varchar) as account_id,
  cast(owned.pixel_id as varchar) as pixel_id,
  cast(owned.event_key as bigint) as event_key,
  cast(owned.anchor_at as timestamptz) as anchor_at,
  cast(owned.event_name as varchar) as event_name,
  cast(owned.event_time as bigint) as event_time,
  cast(owned.profile_key as bigint) as profile_key,
  cast(owned.person_id as bigint) as person_id,
  cast(owned.frozen_s as bigint) as frozen_s,
  cast(owned.value as decimal(18, 4)) as value,
  cast(owned.currency as varchar) as currency,
  cast(owned.order_id as varchar) as order_id,
  cast(owned.action_source as varchar) as action_source,
  cast(owned.browser_copies as integer) as browser_copies,
  cast(owned.server_copies as integer) as server_copies,
  cast(lasts.click_time as bigint) as click_time,
  cast(lasts.click_key as bigint) as click_key,
  cast(lasts.click_platform as varchar) as click_platform,
  cast(lasts.click_channel as varchar) as click_channel,
  cast(lasts.click_placement as varchar) as click_placement,
  cast(lasts.click_campaign_id as varchar) as click_campaign_id,
  cast(lasts.click_adset_id as varchar) as click_adset_id,
  cast(lasts.click_ad_id as varchar) as click_ad_id,
  cast(lasts.ev_time as bigint) as ev_time,
  cast(lasts.ev_key as bigint) as ev_key,
  cast(lasts.ev_platform as varchar) as ev_platform,
  cast(lasts.ev_channel as varchar) as ev_channel,
  cast(lasts.ev_placement as varchar) as ev_placement,
  cast(lasts.ev_campaign_id as varchar) as ev_campaign_id,
  cast(lasts.ev_adset_id as varchar) as ev_adset_id,
  cast(lasts.ev_ad_id as varchar) as ev_ad_id,
  cast(lasts.view_time as bigint) as view_time,
  cast(lasts.view_key as bigint) as view_key,
  cast(lasts.view_platform as varchar) as view_platform,
  cast(lasts.view_channel as varchar) as view_channel,
  cast(lasts.view_placement as varchar) as view_placement,
  cast(lasts.view_campaign_id as varchar) as view_campaign_id,
  cast(lasts.view_adset_id as varchar) as view_adset_id,
  cast(lasts.view_ad_id as varchar) as view_ad_id,
  cast(restated.restated_s as bigint) as restated_time
from owned
left join lasts
  on owned.pixel_id = lasts.pixel_id
  and owned.event_key = lasts.event_key
  and owned.anchor_at = lasts.anchor_at
left join restated
  on owned.pixel_id = restated.pixel_id
  and owned.event_key = restated.event_key
  and owned.anchor_at = restated.anchor_at
