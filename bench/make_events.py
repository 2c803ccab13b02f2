"""Write `events.jsonl`, the fixed payload of all benchmarks: one Conversions API event a line.

An event has about 1.2 KB, seven hashed keys in `user_data` and two contents in `custom_data`. It
has no `event_time`, since one in a file would soon be too old; `measure.events` adds it.
"""

from __future__ import annotations

import json
import random
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

COUNT = 600
SEED = 20_260_101
FILE = Path(__file__).with_name("events.jsonl")

_FIRST_NAMES = "anna bo chloe dmitri elif femi grace hugo ines jonas kaya liam mei noor".split()
_LAST_NAMES = "abe berg costa duarte eriksson fischer garcia haddad ito jansen kim lopez".split()
_CITIES = "berlin lisbon lyon madrid milan oslo porto rotterdam toronto vienna".split()
_COUNTRIES = "at ca de es fr it nl no pt se".split()
_CURRENCIES = "EUR EUR EUR USD USD GBP".split()
_NAMES = "ViewContent AddToCart InitiateCheckout Purchase".split()
_WEIGHTS = (5, 3, 2, 4)
_PRODUCTS = "linen-shirt canvas-tote desk-lamp wool-socks tea-kettle trail-shoes".split()
_CAMPAIGNS = "autumn-sale brand-search new-arrivals retargeting-cart lookalike-1pct".split()
_PLATFORMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
)
_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def make_event(number: int, chance: random.Random) -> dict[str, Any]:
    """One event; its ids hold `number`, so that no two are alike."""
    contents = [_content(chance), _content(chance)]
    value = sum(content["quantity"] * content["item_price"] for content in contents)
    click_id = "IwAR" + "".join(chance.choices(_BASE64URL, k=57))
    landing = f"{chance.choice(_PRODUCTS)}?utm_source=social&utm_campaign="
    return {
        "event_name": chance.choices(_NAMES, _WEIGHTS)[0],
        "event_id": f"evt.{number:06d}.{chance.getrandbits(48):012x}",
        "action_source": "website",
        "event_source_url": f"https://shop.example/p/{landing}{chance.choice(_CAMPAIGNS)}",
        "user_data": _user_data(number, click_id, chance),
        "custom_data": {
            "value": round(value, 2),
            "currency": chance.choice(_CURRENCIES),
            "order_id": f"R{number:06d}-{chance.randrange(10_000):04d}",
            "content_type": "product",
            "contents": contents,
        },
    }


def _content(chance: random.Random) -> dict[str, Any]:
    return {
        "id": f"SKU-{chance.randrange(100_000):05d}",
        "quantity": chance.randint(1, 3),
        "item_price": round(chance.uniform(4, 180), 2),
    }


def _user_data(number: int, click_id: str, chance: random.Random) -> dict[str, Any]:
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    plain = {
        "em": f"{first}.{last}.{number}@mail.example",
        "ph": f"49{chance.randrange(10**9, 10**10)}",
        "fn": first,
        "ln": last,
        "ct": chance.choice(_CITIES),
        "country": chance.choice(_COUNTRIES),
        "external_id": f"customer-{number}",
    }
    clicked_ms = 1_760_000_000_000 + chance.randrange(10**9)
    version = f"{chance.randint(120, 140)}.0.0.0"
    return {
        **{key: [sha256(text.encode()).hexdigest()] for key, text in plain.items()},
        "client_ip_address": f"203.0.113.{chance.randint(1, 254)}",
        "client_user_agent": f"Mozilla/5.0 ({chance.choice(_PLATFORMS)}) AppleWebKit/537.36 "
        f"(KHTML, like Gecko) Chrome/{version} Safari/537.36",
        "fbp": f"fb.1.{clicked_ms}.{chance.randrange(10**9, 10**10)}",
        "fbc": f"fb.1.{clicked_ms}.{click_id}",
    }


def make_lines() -> str:
    """The content of the file; the same on every machine."""
    chance = random.Random(SEED)
    events = [make_event(number, chance) for number in range(COUNT)]
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)


if __name__ == "__main__":
    lines = make_lines()
    FILE.write_text(lines, "utf-8")
    sys.stdout.write(f"{FILE.name}: {COUNT} events, {len(lines) / COUNT:,.0f} bytes each\n")
