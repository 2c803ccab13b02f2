-- One row per event and ad touch that it shows: the click that fbc remembers, what the address of
-- its page says, and the last click or campaign that the pixel kept.
-- Key: (pixel_id, event_key, anchor_at, origin). Source: the temporary table `identified`.
-- fbc has the moment of its own making in milliseconds, and perhaps an appendix after the click id
-- (Meta, fbp and fbc parameters). All other moments are the event's, or the pixel's own.
-- An address names ads by utm_id, campaign_id, adset_id, ad_id (Meta's URL parameters), gad_campaignid
-- (Google), hsa_* (HubSpot), or by utm_campaign and utm_content where these are bare ids. A click id
-- names none. A network's own click id is what the site, or a postback, reports as
-- custom_data.click_id. Macros that nobody has replaced ({{ad.id}}, %7Bgclid%7D, __CLICKID__) say
-- nothing.
with
told as (
  select
    pixel_id,
    event_key,
    anchor_at,
    account_id,
    event_time,
    case
      when regexp_matches(event_source_url, '=[^&#]*([{]|%7[Bb])|=__[A-Z0-9_]+__([&#]|$)')
        then regexp_replace(
          event_source_url,
          '=([^&#]*([{]|%7[Bb])[^&#]*|__[A-Z0-9_]+__)([&#]|$)',
          '=\3',
          'g'
        )
      else event_source_url
    end as event_source_url,
    extra,
    user_data.fbc as fbc,
    user_data.ctwa_clid as ctwa_clid,
    own_click_id,
    own_platform
  from identified
  where not is_test
    and not coalesce(list_contains(flags, 'erased'), false)
    and (
      user_data.fbc is not null
      or user_data.ctwa_clid is not null
      or contains(extra, '"touch"')
      or own_click_id is not null
      or regexp_matches(
        event_source_url,
        '[?&](fbclid|gclid|wbraid|gbraid|ttclid|msclkid|twclid|li_fat_id|epik|ScCid|rdt_cid'
        || '|utm_source|utm_medium|utm_campaign|utm_id|campaign_id|adset_id|ad_id|hsa_cam|hsa_ad'
        || '|gad_campaignid)=[^&#]'
      )
    )
),
raw as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    'url' as origin,
    event_time as touched_time,
    ctwa_clid,
    regexp_extract(event_source_url, '[?&]fbclid=([^&#]*)', 1) as fbclid,
    regexp_extract(event_source_url, '[?&]gclid=([^&#]*)', 1) as gclid,
    regexp_extract(event_source_url, '[?&]wbraid=([^&#]*)', 1) as wbraid,
    regexp_extract(event_source_url, '[?&]gbraid=([^&#]*)', 1) as gbraid,
    regexp_extract(event_source_url, '[?&]ttclid=([^&#]*)', 1) as ttclid,
    regexp_extract(event_source_url, '[?&]msclkid=([^&#]*)', 1) as msclkid,
    regexp_extract(event_source_url, '[?&]twclid=([^&#]*)', 1) as twclid,
    regexp_extract(event_source_url, '[?&]li_fat_id=([^&#]*)', 1) as li_fat_id,
    regexp_extract(event_source_url, '[?&]epik=([^&#]*)', 1) as epik,
    regexp_extract(event_source_url, '[?&]ScCid=([^&#]*)', 1) as sccid,
    regexp_extract(event_source_url, '[?&]rdt_cid=([^&#]*)', 1) as rdt_cid,
    regexp_extract(event_source_url, '[?&]utm_source=([^&#]*)', 1) as utm_source,
    regexp_extract(event_source_url, '[?&]utm_medium=([^&#]*)', 1) as utm_medium,
    regexp_extract(event_source_url, '[?&]utm_campaign=([^&#]*)', 1) as utm_campaign,
    regexp_extract(event_source_url, '[?&]utm_content=([^&#]*)', 1) as utm_content,
    regexp_extract(event_source_url, '[?&]utm_id=([^&#]*)', 1) as utm_id,
    regexp_extract(event_source_url, '[?&]campaign_id=([^&#]*)', 1) as campaign_id,
    regexp_extract(event_source_url, '[?&]adset_id=([^&#]*)', 1) as adset_id,
    regexp_extract(event_source_url, '[?&]ad_id=([^&#]*)', 1) as ad_id,
    regexp_extract(event_source_url, '[?&]hsa_cam=([^&#]*)', 1) as hsa_cam,
    regexp_extract(event_source_url, '[?&]hsa_grp=([^&#]*)', 1) as hsa_grp,
    regexp_extract(event_source_url, '[?&]hsa_ad=([^&#]*)', 1) as hsa_ad,
    regexp_extract(event_source_url, '[?&]gad_campaignid=([^&#]*)', 1) as gad_campaignid,
    cast(null as varchar) as own_click_id,
    cast(null as varchar) as own_platform
  from told
  union all
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    'fbc',
    case
      when length(regexp_extract(fbc, '^fb[.][0-9]+[.]([0-9]{10,13})[.]([^.]+)', 1)) = 13
        then cast(regexp_extract(fbc, '^fb[.][0-9]+[.]([0-9]{10,13})[.]([^.]+)', 1) as bigint) // 1000
      else try_cast(regexp_extract(fbc, '^fb[.][0-9]+[.]([0-9]{10,13})[.]([^.]+)', 1) as bigint)
    end,
    null,
    regexp_extract(fbc, '^fb[.][0-9]+[.]([0-9]{10,13})[.]([^.]+)', 2),
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null
  from told
  where fbc is not null
  union all
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    'pixel',
    try_cast(json_extract_string(extra, '$.touch.ts') as bigint) // 1000,
    null,
    null,
    regexp_replace(json_extract_string(extra, '$.touch.gclid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    null,
    null,
    regexp_replace(json_extract_string(extra, '$.touch.ttclid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.msclkid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.twclid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.li_fat_id'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.epik'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.ScCid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    regexp_replace(json_extract_string(extra, '$.touch.rdt_cid'), '^([{]|%7[Bb]|__[A-Z0-9_]+__$).*', ''),
    json_extract_string(extra, '$.touch.utm_source'),
    json_extract_string(extra, '$.touch.utm_medium'),
    json_extract_string(extra, '$.touch.utm_campaign'),
    json_extract_string(extra, '$.touch.utm_content'),
    json_extract_string(extra, '$.touch.utm_id'),
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null
  from told
  where contains(extra, '"touch"')
  union all
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    event_time,
    'own',
    event_time,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    own_click_id,
    own_platform
  from told
  where own_click_id is not null
),
named as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    origin,
    -- A clock that is ahead, or of another century, is not believed.
    case
      when touched_time between 946684800 and event_time then touched_time
      else event_time
    end as touched_time,
    coalesce(nullif(ctwa_clid, ''), nullif(fbclid, ''), nullif(gclid, ''), nullif(wbraid, ''),
      nullif(gbraid, ''), nullif(ttclid, ''), nullif(msclkid, ''), nullif(twclid, ''),
      nullif(li_fat_id, ''), nullif(epik, ''), nullif(sccid, ''), nullif(rdt_cid, ''),
      nullif(own_click_id, '')) as click_id,
    case
      when coalesce(ctwa_clid, '') <> '' or coalesce(fbclid, '') <> '' then 'meta'
      when coalesce(gclid, '') <> '' or coalesce(wbraid, '') <> '' or coalesce(gbraid, '') <> ''
        then 'google'
      when coalesce(ttclid, '') <> '' then 'tiktok'
      when coalesce(msclkid, '') <> '' then 'microsoft'
      when coalesce(twclid, '') <> '' then 'x'
      when coalesce(li_fat_id, '') <> '' then 'linkedin'
      when coalesce(epik, '') <> '' then 'pinterest'
      when coalesce(sccid, '') <> '' then 'snapchat'
      when coalesce(rdt_cid, '') <> '' then 'reddit'
      else own_platform
    end as click_platform,
    case when not regexp_matches(utm_source, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(utm_source, '+', ' '))), utm_source), 200), '') end as utm_source,
    case when not regexp_matches(utm_medium, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(utm_medium, '+', ' '))), utm_medium), 200), '') end as utm_medium,
    case when not regexp_matches(utm_campaign, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(utm_campaign, '+', ' '))), utm_campaign), 200), '') end as utm_campaign,
    case when not regexp_matches(utm_content, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(utm_content, '+', ' '))), utm_content), 200), '') end as utm_content,
    case when not regexp_matches(utm_id, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(utm_id, '+', ' '))), utm_id), 200), '') end as utm_id,
    case when not regexp_matches(campaign_id, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(campaign_id, '+', ' '))), campaign_id), 200), '') end as campaign_id,
    case when not regexp_matches(adset_id, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(adset_id, '+', ' '))), adset_id), 200), '') end as adset_id,
    case when not regexp_matches(ad_id, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(ad_id, '+', ' '))), ad_id), 200), '') end as ad_id,
    case when not regexp_matches(hsa_cam, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(hsa_cam, '+', ' '))), hsa_cam), 200), '') end as hsa_cam,
    case when not regexp_matches(hsa_grp, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(hsa_grp, '+', ' '))), hsa_grp), 200), '') end as hsa_grp,
    case when not regexp_matches(hsa_ad, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(hsa_ad, '+', ' '))), hsa_ad), 200), '') end as hsa_ad,
    case when not regexp_matches(gad_campaignid, '[{]|%7[Bb]|^__[A-Z0-9_]+__$') then nullif(left(coalesce(try(url_decode(replace(gad_campaignid, '+', ' '))), gad_campaignid), 200), '') end as gad_campaignid
  from raw
),
placed as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    origin,
    touched_time,
    click_id,
    utm_source,
    utm_medium,
    utm_campaign,
    coalesce(
      campaign_id,
      utm_id,
      hsa_cam,
      gad_campaignid,
      case when regexp_matches(utm_campaign, '^[0-9]{8,20}$') then utm_campaign end
    ) as campaign,
    coalesce(adset_id, hsa_grp) as adset,
    coalesce(
      ad_id,
      hsa_ad,
      case when regexp_matches(utm_content, '^[0-9]{8,20}$') then utm_content end
    ) as ad,
    coalesce(
      click_platform,
      case
        when regexp_matches(lower(utm_source), '^(facebook|fb|ig|instagram|meta|messenger|an)([._-]|$)')
          then 'meta'
        when regexp_matches(lower(utm_source), '^(google|adwords|youtube)([._-]|$)') then 'google'
        when regexp_matches(lower(utm_source), '^(bing|microsoft)([._-]|$)') then 'microsoft'
        when regexp_matches(lower(utm_source), '^(twitter|x)([._-]|$)') then 'x'
        when lower(utm_source) in ('tiktok', 'linkedin', 'pinterest', 'snapchat', 'reddit')
          then lower(utm_source)
      end
    ) as platform
  from named
  where click_id is not null
    or coalesce(utm_source, utm_medium, utm_campaign, campaign_id, adset_id, ad_id) is not null
    or coalesce(hsa_cam, hsa_ad, gad_campaignid, utm_id) is not null
)
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(null as bigint) as profile_key,
  cast(origin as varchar) as origin,
  cast('click' as varchar) as kind,
  cast(touched_time as bigint) as touched_time,
  cast(platform as varchar) as platform,
  cast(
    case
      when regexp_matches(
        lower(utm_medium),
        '^(e-?mail|newsletter|organic.*|social|referral|sms|push|qr|print|rss|none|[(]none[)])$'
      )
        then false
      when click_id is not null or coalesce(campaign, adset, ad) is not null then true
      else coalesce(
        regexp_matches(
          lower(utm_medium),
          '^(cp[acmv]|ppc|.*paid.*|display|banner|re(targeting|marketing)|ads?|sponsored|shopping'
          || '|affiliate.*)$'
        ),
        false
      )
    end as boolean
  ) as is_ad,
  cast(click_id as varchar) as click_id,
  cast(campaign as varchar) as campaign_id,
  cast(adset as varchar) as adset_id,
  cast(ad as varchar) as ad_id,
  cast(null as varchar) as placement,
  cast(null as varchar) as experiment,
  cast(utm_source as varchar) as utm_source,
  cast(utm_medium as varchar) as utm_medium,
  cast(utm_campaign as varchar) as utm_campaign,
  cast(null as decimal(18,4)) as cost,
  cast(null as varchar) as currency,
  cast(null as integer) as log_slot,
  cast(null as bigint) as log_offset
from placed
