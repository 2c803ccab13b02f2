-- One row per event, or ad touch, that says something of the person: the identifiers it carries, and
-- which of them are but variants.
-- Key: (pixel_id, event_key, anchor_at). Source: the temporary table `identified`.
-- An address of the network and a browser's name are nobody's; a click id names a click. A hash
-- that another client would make of the same raw value (extra.hash_variants) is its key's too.
-- Who denied the use of his data for ads, or limited it in any copy (Limited Data Use), is nobody, and
-- so is what was made anonymous. Digests are md5 of text, which every engine makes alike.
with
permitted as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    user_data,
    case
      when contains(extra, '"hash_variants"')
        then from_json(
          json_extract(extra, '$.hash_variants'),
          '{"em": ["VARCHAR"], "ph": ["VARCHAR"], "external_id": ["VARCHAR"], '
          || '"app_user_id": ["VARCHAR"]}'
        )
    end as variants
  from identified
  where not is_test
    and not coalesce(list_contains(flags, 'erased'), false)
    and not coalesce(
      contains(consent, 'denied')
      and (
        json_extract_string(consent, '$.ad_user_data') = 'denied'
        or json_extract_string(consent, '$.ad_storage') = 'denied'
      ),
      false
    )
    and not coalesce(list_contains(flags, 'limited_data_use'), false)
),
listed as (
  select
    account_id,
    pixel_id,
    event_key,
    anchor_at,
    user_data.fbc as fbc,
    user_data.ctwa_clid as ctwa_clid,
    list_filter(
      list_concat(
        list_transform(user_data.em, lambda value: 'em=' || value),
        list_transform(user_data.ph, lambda value: 'ph=' || value),
        list_transform(user_data.external_id, lambda value: 'external_id=' || value),
        list_transform(user_data.app_user_id, lambda value: 'app_user_id=' || value),
        [
          'subscription_id=' || user_data.subscription_id,
          'fb_login_id=' || user_data.fb_login_id,
          'lead_id=' || user_data.lead_id,
          'page_scoped_user_id=' || user_data.page_scoped_user_id,
          'ig_sid=' || user_data.ig_sid,
          'fbp=' || user_data.fbp,
          'anon_id=' || user_data.anon_id,
          'madid=' || user_data.madid
        ]
      ),
      lambda identifier: identifier is not null
    ) as own,
    list_filter(
      list_concat(
        list_transform(variants.em, lambda value: 'em=' || value),
        list_transform(variants.ph, lambda value: 'ph=' || value),
        list_transform(variants.external_id, lambda value: 'external_id=' || value),
        list_transform(variants.app_user_id, lambda value: 'app_user_id=' || value)
      ),
      lambda identifier: identifier is not null
    ) as others
  from permitted
),
-- A record that carries nothing else is still the browser's that was clicked in.
named as (
  select
    listed.account_id,
    listed.pixel_id,
    listed.event_key,
    listed.anchor_at,
    list_sort(
      list_distinct(
        list_filter(coalesce(listed.others, []), lambda each: not list_contains(listed.own, each))
      )
    ) as variants,
    case
      when len(listed.own) > 0 or len(listed.others) > 0
        then list_sort(list_distinct(list_concat(listed.own, listed.others)))
      when listed.fbc is not null then ['fbc=' || listed.fbc]
      when listed.ctwa_clid is not null then ['ctwa_clid=' || listed.ctwa_clid]
      else []
    end as identifiers
  from listed
)
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(
    '0x' || substring(
      md5(
        account_id || '|' || array_to_string(identifiers, '|')
        || case when len(variants) > 0 then '||' || array_to_string(variants, '|') else '' end
      ),
      1,
      15
    ) as bigint
  ) as profile_key,
  cast(identifiers as varchar[]) as identifiers,
  cast(variants as varchar[]) as variants
from named
where len(identifiers) > 0
