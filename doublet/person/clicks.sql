-- One row per click id on the events at some places: of the address, of the pixel's last touch, of
-- fbc (Meta, fbp and fbc parameters), and what the site or its network reported as
-- custom_data.click_id.
-- Parameters: $paths files of `events`, $slots and $offsets of the places.
select distinct click_id
from (
  select
    unnest(
      list_concat(
        regexp_extract_all(
          event_source_url,
          '[?&](fbclid|gclid|wbraid|gbraid|ttclid|msclkid|twclid|li_fat_id|epik|ScCid|rdt_cid'
          || '|click_id|clickid)=([^&#]+)',
          2
        ),
        [
          regexp_extract(user_data.fbc, '^fb[.][0-9]+[.][0-9]+[.]([^.]+)', 1),
          user_data.ctwa_clid,
          json_extract_string(custom_data, '$.click_id'),
          json_extract_string(extra, '$.touch.click_id'),
          json_extract_string(extra, '$.touch.gclid'),
          json_extract_string(extra, '$.touch.ttclid'),
          json_extract_string(extra, '$.touch.msclkid'),
          json_extract_string(extra, '$.touch.twclid'),
          json_extract_string(extra, '$.touch.li_fat_id'),
          json_extract_string(extra, '$.touch.epik'),
          json_extract_string(extra, '$.touch.ScCid'),
          json_extract_string(extra, '$.touch.rdt_cid')
        ]
      )
    ) as click_id
  from read_parquet($paths)
  semi join (
    select cast(unnest($slots) as integer) as log_slot, cast(unnest($offsets) as bigint) as log_offset
  ) as theirs using (log_slot, log_offset)
)
where click_id <> ''
