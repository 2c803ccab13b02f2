"""The shop whose persons `audiences.py` makes audiences of: what its lake holds, by SQL.

Visits of five events each, 20 seconds apart, over 180 days up to now. Each person comes about four
times (20 events). 5,000 products in 40 categories; addresses name both and the campaign. Four
persons in ten are known by e-mail, all by a browser's cookie. One copy per event: what merging
copies costs, `models.py` says.
"""

from __future__ import annotations

from lake_rows import LakeWriter, user_data_sql
from load import ACCOUNT, PIXEL

from doublet.lake.columns import EVENTS
from doublet.settings import Settings

DAYS = 180
PRODUCTS = 5_000
CATEGORIES = 40
EVENTS_PER_PERSON = 20
_VISIT = 5
_FILE_EVENTS = 500_000
_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)",
    "Mozilla/5.0 (Linux; Android 16; Pixel 9) Chrome/150 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/150",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605",
    "Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X)",
)


def product(category: int, number: int) -> str:
    """The content id of a product of a category."""
    return f"SKU-{category + number * CATEGORIES}"


def _events(first: int, last: int, persons: int, begin_s: float, step_s: float) -> str:
    return f"""
    with numbered as (
      select e, e // {_VISIT} as v, e % {_VISIT} as k,
        cast(hash(e // {_VISIT} * 31) % {persons} as bigint) as person,
        cast(hash(e * 17) % {PRODUCTS} as bigint) as item
      from range({first}, {last}) as numbers(e)
    )
    select *, item % {CATEGORIES} as category, 5 + item % 95 as price,
      case
        when k < 2 then 'PageView'
        when k < 4 then 'ViewContent'
        when v % 10 < 4 then 'AddToCart'
        when v % 10 = 4 then 'Purchase'
        when v % 10 = 5 then 'InitiateCheckout'
        when v % 20 = 6 then 'Lead'
        when v % 10 = 7 then 'Search'
        else 'PageView'
      end as event_name,
      cast({begin_s!r} + v * {_VISIT} * {step_s!r} + k * 20 as bigint) as event_time
    from numbered"""


def copies_sql(events: str) -> str:
    """The lake's columns of these events."""
    agents = "[" + ", ".join(f"'{agent}'" for agent in _AGENTS) + "]"
    signed_in = "person % 10 < 4 and (event_name in ('Purchase', 'Lead') or v % 3 = 0)"
    user = {
        "em": f"case when {signed_in} then [sha256('em' || person)] end",
        "country": f"case when {signed_in} then [sha256('de')] end",
        "fbp": "'fb.1.' || (1760000000000 + person) || '.' || (person * 7919 % 10000000000)",
        "client_ip_address": "'198.51.' || (person % 100) || '.' || (person % 250)",
        "client_user_agent": f"({agents})[person % {len(_AGENTS)} + 1]",
    }
    return f"""
    select '{ACCOUNT}' as account_id, '{PIXEL}' as pixel_id, 'event' as record_type,
      'browser' as source, make_timestamptz((event_time + 1) * 1000000 + e % 1000000)
        as received_at,
      cast(received_at as date) as received_date, cast(0 as integer) as log_slot,
      e as log_offset, cast(hash(e) % 9223372036854775807 as bigint) as event_key, event_name,
      event_time, 'evt.' || e as event_id, 'website' as action_source,
      'https://shop.example/category-' || category || '/product-' || item
        || '?utm_source=meta&utm_campaign=' || (v % 50) || '&visit=' || v as event_source_url,
      {user_data_sql(user)} as user_data,
      case when is_product then cast(price as decimal(18, 4)) end as value,
      case when is_product then 'USD' end as currency,
      case when event_name = 'Purchase' then 'R' || e end as order_id,
      case when is_product then '{{"value":' || price || ',"currency":"USD","content_ids":["SKU-'
        || item || '"],"contents":[{{"id":"SKU-' || item || '","quantity":' || (1 + item % 3)
        || '}}],"content_type":"product","content_category":"category-' || category || '"}}'
        when event_name = 'Search' then '{{"search_string":"product ' || item || '"}}'
      end as custom_data,
      '{{"sw":"1920","sh":"1080","v":"2.9.324","if":"false"}}' as extra,
      cast(null as varchar[]) as flags, false as is_test
    from (select *, event_name in ('ViewContent', 'AddToCart', 'InitiateCheckout', 'Purchase')
      as is_product from ({events}))"""


def fill(settings: Settings, first: int, last: int, total: int, now_s: int) -> None:
    """Write the events `first` to `last` of a shop that has `total` by `now_s`. Runs in a process
    of its own, whose memory is not the worker's."""
    lake = LakeWriter(settings.lake_folder / "events", EVENTS)
    lake.written = first
    step_s = DAYS * 86_400 / total
    begin_s = now_s - DAYS * 86_400
    persons = max(1, total // EVENTS_PER_PERSON)
    for begin in range(first, last, _FILE_EVENTS):
        end = min(begin + _FILE_EVENTS, last)
        lake.write(copies_sql(_events(begin, end, persons, begin_s, step_s)), end - begin)
