-- One row per deduplicated event that is a person's: what audience rules and lookalikes ask of it.
-- Key: (pixel_id, event_key, anchor_at). Sources: the temporary tables `identified` and `new_records`,
-- and the model table `profiles` as the temporary view `all_profiles`.
-- Events of our own checks and hits that reports leave out are not here, nor are those whose use for
-- ads was denied or limited, which are nobody's. The person is the one known now, and null for a
-- profile of shared identifiers alone. Where content_ids is missing, contents name the products.
-- A country is the hash that user data carry. What was granted is null where nothing was said.
with
theirs as (
  select
    identified.*,
    new_records.profile_key,
    profiles.root_id as person_id,
    regexp_extract(identified.event_source_url, '^[a-zA-Z]+://([^/?#:]+)', 1) as host,
    identified.user_data.client_user_agent as agent
  from identified
  inner join new_records
    on identified.pixel_id = new_records.pixel_id
    and identified.event_key = new_records.event_key
    and identified.anchor_at = new_records.anchor_at
  left join all_profiles as profiles
    on new_records.profile_key = profiles.profile_key
  where not identified.is_test
    and not identified.is_marked
)
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(profile_key as bigint) as profile_key,
  cast(person_id as bigint) as person_id,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(action_source as varchar) as action_source,
  cast(event_source_url as varchar) as event_source_url,
  cast(nullif(lower(host), '') as varchar) as domain,
  cast(
    nullif(regexp_extract(event_source_url, '^[a-zA-Z]+://[^/?#]+(/[^?#]*)?', 1), '') as varchar
  ) as path,
  cast(
    case
      when regexp_matches(agent, 'iPhone|iPod') then 'mobile_iphone'
      when regexp_matches(agent, 'iPad|Tablet|Silk/') then 'mobile_tablet'
      when contains(agent, 'Android') and contains(agent, 'Mobile') then 'mobile_android_phone'
      when contains(agent, 'Android') then 'mobile_tablet'
      when regexp_matches(agent, 'Windows NT|Macintosh|X11|CrOS') then 'desktop'
      when agent is not null then 'other'
    end as varchar
  ) as device_type,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(order_id as varchar) as order_id,
  cast(
    case
      when contains(custom_data, '"content_ids"')
        then case json_type(custom_data, '$.content_ids')
          when 'ARRAY' then json_extract_string(custom_data, '$.content_ids[*]')
          else [json_extract_string(custom_data, '$.content_ids')]
        end
      when contains(custom_data, '"contents"')
        then nullif(json_extract_string(custom_data, '$.contents[*].id'), [])
    end as varchar[]
  ) as content_ids,
  cast(
    case
      when contains(custom_data, '"content_type"')
        then json_extract_string(custom_data, '$.content_type')
    end as varchar
  ) as content_type,
  cast(
    case
      when contains(custom_data, '"content_category"')
        then json_extract_string(custom_data, '$.content_category')
    end as varchar
  ) as content_category,
  cast(
    case
      when contains(custom_data, '"content_name"')
        then json_extract_string(custom_data, '$.content_name')
    end as varchar
  ) as content_name,
  cast(
    case
      when contains(custom_data, '"num_items"')
        then try_cast(json_extract_string(custom_data, '$.num_items') as double)
    end as double
  ) as num_items,
  cast(
    case
      when contains(custom_data, '"quantity"')
        then list_sum(
          list_transform(
            json_extract_string(custom_data, '$.contents[*].quantity'),
            lambda each: try_cast(each as double)
          )
        )
    end as double
  ) as quantity,
  cast(user_data.country[1] as varchar) as country,
  cast(custom_data as varchar) as custom_data,
  cast(
    case
      when contains(consent, '"ad_')
        then coalesce(json_extract_string(consent, '$.ad_user_data'), 'granted') = 'granted'
        and coalesce(json_extract_string(consent, '$.ad_storage'), 'granted') = 'granted'
    end as boolean
  ) as is_granted
from theirs
