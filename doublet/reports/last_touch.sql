-- One row per conversion, with the touch that it belongs to by an attribution setting: the last
-- click within its window, otherwise the last engaged view, otherwise the last view, otherwise
-- none. Source: chosen_conversions. Parameters: those of chosen_conversions, and the windows
-- $click_s, $engaged_view_s and $view_s.
with
claimed as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_time,
    day,
    amount,
    order_id,
    browser_copies,
    server_copies,
    case
      when click_time > event_time - $click_s then 'click'
      when ev_time > event_time - $engaged_view_s then 'engaged_view'
      when view_time > event_time - $view_s then 'view'
    end as kind,
    click_campaign_id,
    click_adset_id,
    click_ad_id,
    click_platform,
    click_channel,
    ev_campaign_id,
    ev_adset_id,
    ev_ad_id,
    ev_platform,
    ev_channel,
    view_campaign_id,
    view_adset_id,
    view_ad_id,
    view_platform,
    view_channel
  from chosen_conversions
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(day as date) as day,
  cast(amount as decimal(38, 4)) as amount,
  cast(order_id as varchar) as order_id,
  cast(browser_copies as integer) as browser_copies,
  cast(server_copies as integer) as server_copies,
  cast(kind as varchar) as kind,
  cast(case kind
    when 'click' then click_platform
    when 'engaged_view' then ev_platform
    when 'view' then view_platform
  end as varchar) as platform,
  cast(case kind
    when 'click' then click_channel
    when 'engaged_view' then ev_channel
    when 'view' then view_channel
  end as varchar) as channel,
  cast(case kind
    when 'click' then click_campaign_id
    when 'engaged_view' then ev_campaign_id
    when 'view' then view_campaign_id
  end as varchar) as campaign_id,
  cast(case kind
    when 'click' then click_adset_id
    when 'engaged_view' then ev_adset_id
    when 'view' then view_adset_id
  end as varchar) as adset_id,
  cast(case kind
    when 'click' then click_ad_id
    when 'engaged_view' then ev_ad_id
    when 'view' then view_ad_id
  end as varchar) as ad_id
from claimed
