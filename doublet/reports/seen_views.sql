-- One row per platform and campaign of which views or engaged views are known, from its own log. A
-- campaign is null where nothing names it. Sources: touchpoints, ad_parents, adset_parents.
-- Parameters: $account_id.
with
seen as (
  select
    coalesce(touchpoints.platform, touchpoints.channel) as platform,
    coalesce(
      touchpoints.campaign_id,
      ad_parents.campaign_id,
      adset_parents.campaign_id
    ) as campaign_id
  from touchpoints
  left join ad_parents
    on ad_parents.ad_id = touchpoints.ad_id
  left join adset_parents
    on adset_parents.adset_id = coalesce(touchpoints.adset_id, ad_parents.adset_id)
  where touchpoints.account_id = $account_id
    and touchpoints.kind in ('view', 'engaged_view')
)
select
  cast(platform as varchar) as platform,
  cast(campaign_id as varchar) as campaign_id
from seen
where platform is not null
group by
  platform,
  campaign_id
order by
  platform,
  campaign_id
