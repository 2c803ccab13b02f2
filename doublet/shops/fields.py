"""Fields of a platform's resources: read with care, since what is missing is often null."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import msgspec

from doublet.shops.contract import Resource, UnreadableError

_AMOUNT_MAX = Decimal(10) ** 14
_is_amount = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?").fullmatch
_is_date = re.compile(r"[A-Za-z]{3}, \d\d? [A-Za-z]{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}").fullmatch
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def json_object(body: bytes) -> Resource:
    """A body as a resource. Raises UnreadableError when it is none."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise UnreadableError("The body is no JSON object.") from None


def record(resource: Resource, key: str) -> Resource:
    """An object inside of an object, empty where there is none."""
    found = resource.get(key)
    return found if isinstance(found, dict) else {}


def records(resource: Resource, key: str) -> list[Resource]:
    """The objects of a list inside of an object, empty where there are none."""
    found = resource.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def text(value: Any) -> str:
    """A text or number as text; empty for null, objects and lists."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def needed(resource: Resource, key: str) -> str:
    """The text of a field. Raises UnreadableError when there is none."""
    found = text(resource.get(key))
    if not found:
        raise UnreadableError(f"The field {key} is missing.")
    return found


def seconds(value: Any) -> int:
    """Unix seconds of a time in ISO 8601, UTC unless it says otherwise. Raises UnreadableError for
    what is none."""
    try:
        moment = datetime.fromisoformat(text(value))
        return math.floor(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        raise UnreadableError("A time is missing or not in ISO 8601.") from None


def mail_seconds(value: Any) -> int:
    """Unix seconds of a time as e-mail has it (RFC 2822): `Thu, 28 May 2026 10:00:00 +0000`. Raises
    UnreadableError for what is none."""
    given = text(value)
    try:
        if _is_date(given):
            return math.floor(parsedate_to_datetime(given).timestamp())
    except (ValueError, OverflowError, TypeError):
        pass
    raise UnreadableError("A time is missing or not as RFC 2822 has it.")


def utc(moment_s: int) -> str:
    """A moment as messages about orders have it: `2026-05-28T10:00:00Z`. Raises UnreadableError for
    one that no calendar holds."""
    try:
        return f"{datetime.fromtimestamp(moment_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        raise UnreadableError("A time is not of this age.") from None


def amount(value: Any) -> Decimal:
    """A sum of money. Raises UnreadableError for what is none, and for more than there is."""
    given = text(value)
    try:
        found = Decimal(given) if _is_amount(given) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if found.is_nan() or abs(found) > _AMOUNT_MAX:
        raise UnreadableError("An amount is missing or no number.")
    return found


def plain(money: Decimal) -> str:
    """A sum of money as messages have it: `10.50`, never `1E+1`."""
    return f"{money:f}"


def present(fields: Resource) -> Resource:
    """Fields that have a value."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


def click_cookie(click_id: str, seen_s: int) -> str:
    """`_fbc` as the pixel makes it of a click id (Meta, *fbp and fbc parameters*)."""
    return f"fb.1.{seen_s * 1000}.{click_id}"


def click_id(url: str) -> str:
    """The `fbclid` of an address, empty without one."""
    try:
        found = parse_qs(urlsplit(url).query).get("fbclid")
    except ValueError:
        return ""
    return found[0] if found else ""


def page_url(home: str, path: str) -> str:
    """An address on a shop's site, or the site's own where the path is none."""
    try:
        return urljoin(home, path)
    except ValueError:
        return home


def origin(url: str) -> str:
    """`https://shop.example/` of any address there, empty for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_site = parts.scheme in ("http", "https") and parts.netloc
    return f"{parts.scheme}://{parts.netloc}/" if is_site else ""
