-- One row per conversion and window, with the touch that it belongs to: the last click that is not
-- too old, otherwise the last engaged view, otherwise the last view, otherwise none. Source:
-- chosen_conversions. Parameters: those of chosen_conversions, and of the windows, as lists of
-- equal length: $windows (names), $windows_click_s, $windows_engaged_view_s and $windows_view_s
-- (seconds; 0: never), $windows_kind (what is left to no touch unless it belongs to one of this
-- kind; 'any': nothing).
with
windows as (
  select
    unnest($windows) as window_name,
    unnest($windows_click_s) as click_s,
    unnest($windows_engaged_view_s) as engaged_view_s,
    unnest($windows_view_s) as view_s,
    unnest($windows_kind) as only_kind
),
claimed as (
  select
    windows.window_name,
    windows.only_kind,
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
      when click_time > event_time - windows.click_s then 'click'
      when ev_time > event_time - windows.engaged_view_s then 'engaged_view'
      when view_time > event_time - windows.view_s then 'view'
    end as claimed_kind,
    click_time,
    click_campaign_id,
    click_adset_id,
    click_ad_id,
    click_platform,
    click_channel,
    ev_time,
    ev_campaign_id,
    ev_adset_id,
    ev_ad_id,
    ev_platform,
    ev_channel,
    view_time,
    view_campaign_id,
    view_adset_id,
    view_ad_id,
    view_platform,
    view_channel
  from chosen_conversions
  cross join windows
),
narrowed as (
  select
    window_name,
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
    case when only_kind in ('any', claimed_kind) then claimed_kind end as kind,
    click_time,
    click_campaign_id,
    click_adset_id,
    click_ad_id,
    click_platform,
    click_channel,
    ev_time,
    ev_campaign_id,
    ev_adset_id,
    ev_ad_id,
    ev_platform,
    ev_channel,
    view_time,
    view_campaign_id,
    view_adset_id,
    view_ad_id,
    view_platform,
    view_channel
  from claimed
)
select
  cast(window_name as varchar) as window_name,
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
    when 'click' then click_time
    when 'engaged_view' then ev_time
    when 'view' then view_time
  end as bigint) as touched_time,
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
from narrowed
