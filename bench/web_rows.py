"""The shop that `web.py` asks about: what its lake holds, by SQL.

Visits of five events each, 30 seconds apart, over 28 days up to now, on two pixels (one visit in
ten on the second). Each person comes about three times. Three visits in ten begin with a click on
an ad. Of page views the browser reports all and the server three in ten; of other events 80 % come
from both sides, 8 % from the browser only and 12 % from the server only. Three events in a hundred
are purchases with an order id, one is a lead, half of which a CRM tells more of.
"""

from __future__ import annotations

from collections.abc import Iterator

from lake_rows import LakeWriter, user_data_sql

from doublet.lake.columns import AD_DAYS, EVENTS, REFUSED
from doublet.settings import Settings

DAYS = 28
_DAY_S = 86_400
_VISIT = 5
_FILE_EVENTS = 500_000
_ADS = 60
_REFUSED = 5_000
_NAME = """
  case
    when k < 2 or (k = 3 and v % 2 = 0) then 'PageView'
    when k = 3 and v % 40 = 31 then 'QualifiedLead'
    when k < 4 then 'ViewContent'
    when v % 20 in (3, 9, 15) then 'Purchase'
    when v % 20 = 11 then 'Lead'
    when v % 20 in (1, 5, 12) then 'InitiateCheckout'
    when v % 20 in (2, 17) then 'Search'
    when v % 20 = 19 then 'newsletter_opened'
    else 'AddToCart'
  end"""


def _rows(first: int, last: int, events: int, now_s: int) -> str:
    """Copies of the events `first` to `last`, with what decides the rest."""
    step_s = DAYS * _DAY_S / events
    begin_s = now_s - DAYS * _DAY_S - 600
    return f"""
    with numbered as (
      select e, e // {_VISIT} as v, e % {_VISIT} as k,
        cast(hash(e) % 100 as integer) as luck,
        cast(hash(e // {_VISIT} * 31) % {max(1, events // 15)} as bigint) as person
      from range({first}, {last}) as numbers(e)
    ),
    named as (
      select *, {_NAME} as event_name,
        cast({begin_s} + v * {_VISIT} * {step_s!r} + k * 30 as bigint) as event_time
      from numbered
    ),
    sided as (
      select *,
        event_name <> 'QualifiedLead' and (event_name = 'PageView' or luck < 88) as by_browser,
        event_name = 'QualifiedLead'
          or case when event_name = 'PageView' then luck < 30 else luck >= 8 end as by_server,
        event_name in ('ViewContent', 'AddToCart', 'InitiateCheckout', 'Purchase') as has_value
      from named
    )
    select *, side = 'server' as is_server
    from sided cross join (values ('browser'), ('server')) as sides(side)
    where case when side = 'server' then by_server else by_browser end"""


def copies_sql(account: str, pixels: tuple[str, str], rows: str) -> str:
    """The lake's columns of these rows."""
    fbc = "case when v % 10 < 3 then 'fb.1.' || (event_time - k * 30) || '000.click' || v end"
    known = "(event_name in ('Purchase', 'Lead') or (is_server and person % 10 < 7))"
    user = {
        "em": f"case when {known} then [sha256('em' || person)] end",
        "ph": "case when is_server and person % 10 < 4 then [sha256('ph' || person)] end",
        "external_id": "case when is_server and person % 10 < 6 then [sha256('x' || person)] end",
        "fn": "case when is_server and person % 10 < 5 then [sha256('fn' || person % 3000)] end",
        "ln": "case when is_server and person % 10 < 5 then [sha256('ln' || person % 9000)] end",
        "ct": "case when is_server and person % 10 < 5 then [sha256('ct' || person % 500)] end",
        "zp": "case when is_server and person % 10 < 5 then [sha256('zp' || person % 5000)] end",
        "country": "case when is_server and person % 10 < 5 then [sha256('de')] end",
        "client_ip_address": "case when not is_server or luck < 95 "
        "then '198.51.' || (person % 250) || '.' || (person % 241) end",
        "client_user_agent": "'Mozilla/5.0 (X11; Linux x86_64) Chrome/' || (person % 40)",
        "fbp": "case when not is_server or luck < 85 "
        "then 'fb.1.' || (1760000000000 + person) || '.' || (person * 7919 % 10000000000) end",
        "fbc": f"case when not is_server or luck < 90 then {fbc} end",
        "lead_id": "cast(null as varchar)",
    }
    address = (
        "'https://shop.example/products/' || (v % 1000) || case when k = 0 and v % 10 < 3 then "
        f"'?utm_source=meta&utm_medium=paid&utm_campaign=c' || (v % {_ADS} // 10) "
        f"|| '&campaign_id=' || (9000 + v % {_ADS} // 10) || '&adset_id=' "
        f"|| (9100 + v % {_ADS} // 5) || '&ad_id=' || (9200 + v % {_ADS}) "
        "|| '&fbclid=click' || v else '' end"
    )
    received = (
        "make_timestamptz((event_time + case when is_server then 2 + luck else 0 end) * 1000000 "
        "+ e % 1000000)"
    )
    return f"""
    select '{account}' as account_id, case when v % 10 = 9 then '{pixels[1]}' else '{pixels[0]}' end
        as pixel_id, 'event' as record_type, side as source, {received} as received_at,
      cast({received} as date) as received_date, 0 as log_slot,
      e * 2 + case when is_server then 1 else 0 end as log_offset,
      cast(hash(case when event_name = 'PageView' and not by_server then -e - 1 else e end)
        % 9223372036854775807 as bigint) as event_key,
      event_name, event_time,
      case when event_name <> 'PageView' or by_server then 'evt.' || e end as event_id,
      case when event_name = 'QualifiedLead' then 'system_generated' else 'website' end
        as action_source,
      case when event_name <> 'QualifiedLead' then {address} end as event_source_url,
      {user_data_sql(user)} as user_data,
      case when has_value then cast(5 + e % 95 + 0.99 as decimal(18, 4)) end as value,
      case when has_value then 'EUR' end as currency,
      case when event_name = 'Purchase' then 'R' || e end as order_id,
      case
        when event_name = 'QualifiedLead' then '{{"event_source":"crm","lead_event_source":"CRM",'
          || '"lead_id":"evt.' || ((v - 20) * {_VISIT} + 4) || '"}}'
        when has_value then '{{"value":' || (5 + e % 95) || '.99,"currency":"EUR","content_ids":["'
          || (e % 1000) || '"],"contents":[{{"id":"' || (e % 1000)
          || '","quantity":1}}],"content_type":"product"}}'
      end as custom_data,
      '{{"sw":"1920","sh":"1080","v":"2.9.324","if":"false"}}' as extra,
      case when not is_server and v % 97 = 5 then ['bot']
        when is_server and luck = 50 then ['invalid_fbp'] end as flags,
      false as is_test
    from ({rows})"""


def ad_days_sql(account: str, now_s: int) -> str:
    """What a platform says of each ad and day."""
    at = f"make_timestamptz({now_s}000000)"
    return f"""
    select '{account}' as account_id, 'ad_day' as record_type, 'server' as source,
      {at} as received_at, cast({at} as date) as received_date, 0 as log_slot,
      ad * 100 + day as log_offset, 'meta' as platform, 'ad' as level,
      cast({at} as date) - cast(day as integer) as date, cast(9000 + ad // 10 as varchar)
        as campaign_id, 'Campaign ' || (ad // 10) as campaign_name,
      cast(9100 + ad // 5 as varchar) as adset_id, 'Set ' || (ad // 5) as adset_name,
      cast(9200 + ad as varchar) as ad_id, 'Ad ' || ad as ad_name, 1000 + ad * 31 as impressions,
      20 + ad as clicks, 900 as reach, 12.5 + ad as spend, 'EUR' as currency,
      cast(null as varchar) as reported, cast(null as varchar) as time_zone
    from range({_ADS}) as ads(ad) cross join range({DAYS}) as days(day)"""


def refused_sql(account: str, pixel: str, now_s: int) -> str:
    """Requests that were refused."""
    at = f"make_timestamptz({now_s}000000 - n * 400000000)"
    return f"""
    select '{account}' as account_id, '{pixel}' as pixel_id, 'refused' as record_type,
      'server' as source, {at} as received_at, cast({at} as date) as received_date,
      0 as log_slot, n as log_offset, 'parameter_missing' as reason, 'event_name is missing.'
        as message, 120 as size_bytes, sha256('' || n) as sha256,
      cast(null as varchar) as payload
    from range({_REFUSED}) as numbers(n)"""


def fill(
    settings: Settings, account: str, pixels: tuple[str, str], events: int, now_s: int
) -> Iterator[int]:
    """Write everything; yields how many copies there are by and by."""
    lake = settings.lake_folder
    writer = LakeWriter(lake / "events", EVENTS)
    written = 0
    for first in range(0, events, _FILE_EVENTS):
        rows = _rows(first, min(first + _FILE_EVENTS, events), events, now_s)
        written += writer.write(copies_sql(account, pixels, rows))
        yield written
    LakeWriter(lake / "ad_days", AD_DAYS).write(ad_days_sql(account, now_s))
    LakeWriter(lake / "refused", REFUSED).write(refused_sql(account, pixels[0], now_s))
