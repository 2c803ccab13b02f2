"""Events and ad touches for the tests of persons and touchpoints."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.models import LASTING
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record, sha256

DAY = 86_400 * SECOND


def em(name: str) -> list[str]:
    """A hashed address."""
    return [sha256(f"{name}@example.com")]


def fbp(number: int) -> str:
    """A browser's cookie."""
    return f"fb.1.{NOON // 1000}.{number}"


def fbc(click_id: str, at: int = 0) -> str:
    """A click's cookie, made `at` µs after NOON."""
    return f"fb.1.{(NOON + at) // 1000}.{click_id}"


def make(name: str, at: int = 0, number: int = 0, **fields: Any) -> bytes:
    """One server event `at` µs after NOON, by the user_data of `fields`, which may name a url."""
    url = fields.pop("url", None)
    more = fields.pop("more", {})
    return make_record(
        NOON + at,
        event_name=name,
        event_id=f"{name}.{at}.{number}",
        event_source_url=url,
        user_data={**fields, "client_user_agent": "x", "client_ip_address": "198.51.100.7"},
        **more,
    )


def make_touch(
    kind: str, at: int = 0, *, received_at: int | None = None, number: int = 0, **fields: Any
) -> bytes:
    """The log's record of one reported ad touch, `at` µs after NOON."""
    user_data = {key: fields.pop(key) for key in ("em", "ph", "fbp") if key in fields}
    record = {
        "record_type": "ad_touch",
        "account_id": ACCOUNT,
        "source": "server",
        "received_at": NOON + at if received_at is None else received_at,
        "touch_id": f"{kind}.{at}.{number}",
        "touch_key": int(sha256(f"{kind}.{at}.{number}")[:15], 16),
        "kind": kind,
        "touched_at": NOON + at,
        "platform": "meta",
        "user_data": user_data,
        **fields,
    }
    return msgspec.json.encode(record)


def tables(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, each in an order of its own."""
    return {name: pipeline.table(name, "all") for name in LASTING}


def persons_of(pipeline: Pipeline) -> list[list[str]]:
    """The ids of the events of each person of now."""
    rows = pipeline.engine.query(
        "select list_sort(list(event_id)) as ids from events_deduplicated "
        "inner join record_profiles using (pixel_id, event_key, anchor_at) "
        "inner join profiles using (profile_key) where profiles.root_id is not null "
        "group by profiles.root_id order by 1"
    )
    return [row["ids"] for row in rows]
