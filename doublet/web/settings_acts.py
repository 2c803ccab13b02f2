"""What the forms of the settings do to the account, its pixels and its access tokens.

Each act raises OperatorError for what cannot be meant, and records what it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from doublet.catalog import PixelRules
from doublet.entries import check_domains, check_phone_country
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.forms import Asked
from doublet.web.parameters import own_pixel_id
from doublet.web.refused import Refused

_HITS_MAX = 10**9


def edit_account(door: Access, asked: Asked, _: Mapping[str, str]) -> None:
    """Change name, time zone and currency."""
    before, fields = asked.account, asked.fields
    after = door.catalog.edit_account(
        before.account_id,
        name=fields.get("name"),
        time_zone=fields.get("time_zone"),
        currency=fields.get("currency"),
    )
    if changed := _changed(msgspec.structs.asdict(before), msgspec.structs.asdict(after)):
        asked.record(door.catalog, "account.changed", after.name, **changed)


def create_pixel(door: Access, asked: Asked, _: Mapping[str, str]) -> tuple[str, str]:
    """Make a pixel, and the access token that comes with it."""
    pixel, token = door.catalog.create_pixel(asked.account.account_id, asked.fields.get("name", ""))
    asked.record(door.catalog, "pixel.created", pixel.name, pixel_id=pixel.pixel_id)
    return f"Access token of the new pixel {pixel.pixel_id}", token


def edit_pixel(door: Access, asked: Asked, place: Mapping[str, str]) -> None:
    """Change a pixel's name and rules. Raises Refused for a pixel of another account."""
    catalog, fields = door.catalog, asked.fields
    pixels = catalog.pixels(asked.account.account_id)
    pixel_id = own_pixel_id(place["pixel_id"], pixels)
    assert pixel_id is not None
    (name,) = (pixel.name for pixel in pixels if pixel.pixel_id == pixel_id)
    before = catalog.pixel_rules(pixel_id)
    rules = msgspec.structs.replace(
        before,
        phone_country=check_phone_country(fields.get("phone_country", "").strip()),
        allow_domains=check_domains(fields.get("allow_domains", "").split()),
        block_domains=check_domains(fields.get("block_domains", "").split()),
        mark_bots="mark_bots" in fields,
        hits_per_hour=_hits(fields.get("hits_per_hour", "")),
    )
    new_name = fields.get("name", name)
    catalog.edit_pixel(pixel_id, name=new_name, rules=rules)
    if changed := _changed(_told(name, before), _told(new_name.strip(), rules)):
        asked.record(catalog, "pixel.changed", name, pixel_id=pixel_id, **changed)


def _told(name: str, rules: PixelRules) -> dict[str, Any]:
    return {"name": name} | msgspec.structs.asdict(rules)


def _hits(text: str) -> int:
    text = text.strip() or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _HITS_MAX):
        raise OperatorError(
            f"{text[:40]!r} is no number of hits.", f"Write one up to {_HITS_MAX}; 0 is no limit."
        )
    return int(text)


def create_token(door: Access, asked: Asked, _: Mapping[str, str]) -> tuple[str, str]:
    """Make one more access token."""
    name = asked.fields.get("name", "").strip()
    token = door.catalog.create_token(asked.account.account_id, name)
    asked.record(door.catalog, "token.created", name)
    return f"Access token {name}", token


def revoke_token(door: Access, asked: Asked, place: Mapping[str, str]) -> None:
    """Forget an access token. Raises Refused for one of another account."""
    revoked = door.catalog.tokens.revoke(asked.account.account_id, place["token_id"])
    if revoked is None:
        raise Refused(Refusal(Reason.NOT_FOUND, "There is no such access token."))
    asked.record(door.catalog, "token.revoked", revoked.name)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is another now, by name."""
    return {name: value for name, value in after.items() if before[name] != value}
