-- One row per click or view of an ad, or visit from a campaign, by a person, and span of time in
-- which that person's id stands: a merge ends one span and begins another under the elder's id.
-- Key: (account_id, person_id, since_s, touchpoint_key). Sources: the temporary tables
-- `their_touches`, touches with the person of their profile at its arrival, `their_spans`, rows of
-- person_spans, and `named_clicks`, what ad logs say of a click id.
-- Records that show the same click id are one click, at the earliest moment that any of them says;
-- those that show only utm parameters are one visit while less than 30 minutes lie between them.
with
clicks as (
  select
    touches.account_id,
    touches.person_id,
    touches.click_id,
    least(min(touches.touched_time), min(named.touched_time)) as touched_time,
    coalesce(min(named.platform), min(touches.platform)) as platform,
    bool_and(touches.is_ad) or count(named.click_id) > 0 as is_ad,
    coalesce(max(touches.campaign_id), min(named.campaign_id)) as campaign_id,
    coalesce(max(touches.adset_id), min(named.adset_id)) as adset_id,
    coalesce(max(touches.ad_id), min(named.ad_id)) as ad_id,
    coalesce(max(touches.placement), min(named.placement)) as placement,
    max(touches.utm_source) as utm_source,
    max(touches.utm_medium) as utm_medium,
    max(touches.utm_campaign) as utm_campaign,
    case
      when count(named.click_id) > 0 or max(case when touches.origin = 'ad_log' then 1 end) = 1
        then 'ad_log'
      when max(coalesce(touches.ad_id, touches.adset_id, touches.campaign_id)) is not null
        then 'url'
      else 'click_id'
    end as origin
  from their_touches as touches
  left join named_clicks as named
    on touches.account_id = named.account_id
    and touches.click_id = named.click_id
  where touches.kind = 'click'
    and touches.click_id is not null
  group by touches.account_id, touches.person_id, touches.click_id
),
stepped as (
  select
    account_id,
    person_id,
    touched_time,
    platform,
    is_ad,
    campaign_id,
    adset_id,
    ad_id,
    utm_source,
    utm_medium,
    utm_campaign,
    case
      when touched_time - lag(touched_time) over visits < 1800 then 0
      else 1
    end as begins
  from their_touches
  where click_id is null
    and origin <> 'ad_log'
  window visits as (
    partition by account_id, person_id, utm_source, utm_medium, utm_campaign order by touched_time
  )
),
numbered as (
  select
    account_id,
    person_id,
    touched_time,
    platform,
    is_ad,
    campaign_id,
    adset_id,
    ad_id,
    utm_source,
    utm_medium,
    utm_campaign,
    sum(begins) over (
      partition by account_id, person_id, utm_source, utm_medium, utm_campaign
      order by touched_time
      rows between unbounded preceding and current row
    ) as visit
  from stepped
),
visits as (
  select
    account_id,
    person_id,
    min(touched_time) as touched_time,
    max(platform) as platform,
    bool_and(is_ad) as is_ad,
    max(campaign_id) as campaign_id,
    max(adset_id) as adset_id,
    max(ad_id) as ad_id,
    utm_source,
    utm_medium,
    utm_campaign
  from numbered
  group by account_id, person_id, utm_source, utm_medium, utm_campaign, visit
),
touched as (
  select
    account_id,
    person_id,
    md5(concat_ws('|', account_id, 'click', click_id)) as digest,
    touched_time,
    'click' as kind,
    platform,
    is_ad,
    campaign_id,
    adset_id,
    ad_id,
    placement,
    click_id,
    utm_source,
    utm_medium,
    utm_campaign,
    origin
  from clicks
  union all
  select
    account_id,
    person_id,
    md5(
      concat_ws(
        '|',
        account_id,
        'visit',
        touched_time,
        coalesce(utm_source, ''),
        coalesce(utm_medium, ''),
        coalesce(utm_campaign, '')
      )
    ),
    touched_time,
    'click',
    platform,
    is_ad,
    campaign_id,
    adset_id,
    ad_id,
    null,
    null,
    utm_source,
    utm_medium,
    utm_campaign,
    'url'
  from visits
  union all
  select
    account_id,
    person_id,
    md5(concat_ws('|', account_id, 'logged', event_key)),
    touched_time,
    kind,
    platform,
    is_ad,
    campaign_id,
    adset_id,
    ad_id,
    placement,
    click_id,
    null,
    null,
    null,
    origin
  from their_touches
  where origin = 'ad_log'
    and kind in ('click', 'view', 'engaged_view')
    and (kind <> 'click' or click_id is null)
),
spanned as (
  select
    touched.account_id,
    spans.root_id,
    spans.since_s,
    -- Two persons may have shown the same click before they were found to be one: from then on it
    -- is one, at the earlier moment, with all that both know of its ad.
    least(spans.until_s, lead(spans.since_s) over known) as until_s,
    touched.digest,
    min(touched.touched_time) over known as touched_time,
    touched.kind,
    touched.platform,
    touched.is_ad,
    max(touched.campaign_id) over known as campaign_id,
    max(touched.adset_id) over known as adset_id,
    max(touched.ad_id) over known as ad_id,
    touched.placement,
    touched.click_id,
    touched.utm_source,
    touched.utm_medium,
    touched.utm_campaign,
    touched.origin
  from touched
  inner join their_spans as spans
    on touched.account_id = spans.account_id
    and touched.person_id = spans.person_id
  where spans.since_s < spans.until_s
  window known as (
    partition by touched.account_id, spans.root_id, touched.digest
    order by spans.since_s, touched.touched_time, touched.person_id
  )
)
select
  cast(account_id as varchar) as account_id,
  cast(root_id as bigint) as person_id,
  cast(since_s as bigint) as since_s,
  cast(until_s as bigint) as until_s,
  cast('0x' || substring(digest, 1, 15) as bigint) as touchpoint_key,
  cast(touched_time as bigint) as touched_time,
  cast(kind as varchar) as kind,
  cast(platform as varchar) as platform,
  cast(
    case
      when utm_source is null then coalesce(platform, '(unknown)')
      else utm_source || coalesce(' / ' || utm_medium, '')
    end as varchar
  ) as channel,
  cast(is_ad as boolean) as is_ad,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(placement as varchar) as placement,
  cast(click_id as varchar) as click_id,
  cast(utm_source as varchar) as utm_source,
  cast(utm_medium as varchar) as utm_medium,
  cast(utm_campaign as varchar) as utm_campaign,
  cast(origin as varchar) as origin
from spanned
where since_s < until_s
