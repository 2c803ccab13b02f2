"""What the forms about audiences do. Each raises a DoubletError for what cannot be meant, and
records what it has changed."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec

from doublet.audiences.making import kept_retention_days
from doublet.audiences.presets import preset
from doublet.catalog import Audience, Catalog
from doublet.entries import check_name
from doublet.errors import OperatorError, SenderError
from doublet.lookalikes import parse_spec
from doublet.refusal import Reason, Refusal
from doublet.web.forms import Asked
from doublet.web.refused import Refused

Act = Callable[[Catalog, Asked], str]
"""Does what a form asks; the id of the audience to show then, empty for the list."""


def choose_preset(catalog: Catalog, asked: Asked) -> str:
    """Make an audience by one of our own rules."""
    fields = asked.fields
    chosen = preset(fields.get("preset", ""))
    given = {each.name: fields[each.name] for each in chosen.parameters if each.name in fields}
    pixels = [pixel.pixel_id for pixel in catalog.pixels(asked.account.account_id)]
    rule = chosen.make(pixels, given)
    name = fields.get("name", "").strip() or chosen.title
    return _create(catalog, asked, _by_rule(catalog, asked, name, rule, chosen.name))


def write_rule(catalog: Catalog, asked: Asked) -> str:
    """Make an audience by a rule as JSON."""
    name, rule = asked.fields.get("name", ""), asked.fields.get("rule", "")
    return _create(catalog, asked, _by_rule(catalog, asked, name, rule))


def find_alike(catalog: Catalog, asked: Asked) -> str:
    """Make a lookalike of an audience."""
    origin = _own(catalog, asked)
    if origin.subtype == "LOOKALIKE":
        raise SenderError(f"{origin.name} is itself a lookalike.", "Choose what that is like.")
    ratio, country = asked.fields.get("ratio", "1"), asked.fields.get("country", "").strip()
    if not (ratio.isascii() and ratio.isdecimal() and 1 <= int(ratio[:4]) <= 20):
        raise OperatorError("The share is no whole number from 1 to 20.", "Write 1 for 1 %.")
    spec = {"ratio": int(ratio) / 100, **({"country": country.upper()} if country else {})}
    if not country:
        spec["allow_international_seeds"] = True
    text = json.dumps(spec)
    parse_spec(text)
    name = f"Like {origin.name}, {ratio} %"
    wanted = msgspec.structs.replace(
        _audience(asked, name),
        subtype="LOOKALIKE",
        origin_audience_id=origin.audience_id,
        lookalike_spec=text,
        is_value_based=origin.is_value_based,
    )
    return _create(catalog, asked, wanted)


def rename(catalog: Catalog, asked: Asked) -> str:
    """Change an audience's name."""
    each = _own(catalog, asked)
    name = check_name(asked.fields.get("name", ""), "an audience")
    catalog.audiences.save(msgspec.structs.replace(each, name=name))
    asked.record(catalog, "audience.changed", each.name, name=name)
    return each.audience_id


def delete(catalog: Catalog, asked: Asked) -> str:
    """Forget an audience; its name has to be written, for it does not come back."""
    each = _own(catalog, asked)
    if asked.fields.get("sure", "").strip() != each.name:
        raise OperatorError("The audience has another name.", "Write the name as it stands there.")
    catalog.audiences.remove(each.audience_id)
    asked.record(catalog, "audience.removed", each.name)
    return ""


ACTS: tuple[tuple[str, Act], ...] = (
    ("preset", choose_preset),
    ("rule", write_rule),
    ("like", find_alike),
    ("rename", rename),
    ("delete", delete),
)
"""What can be done, by the last part of the address that a form posts to."""


def _by_rule(
    catalog: Catalog, asked: Asked, name: str, rule: str, preset_name: str = ""
) -> Audience:
    if not rule.strip():
        raise SenderError("The rule is missing.", "Paste one as JSON, or choose a preset.")
    pixels = [pixel.pixel_id for pixel in catalog.pixels(asked.account.account_id)]
    days = kept_retention_days(rule, None, pixels)
    made = _audience(asked, name)
    return msgspec.structs.replace(made, rule=rule, retention_days=days, preset=preset_name)


def _audience(asked: Asked, name: str) -> Audience:
    return Audience(
        audience_id="",
        account_id=asked.account.account_id,
        name=check_name(name, "an audience"),
        subtype="WEBSITE",
    )


def _create(catalog: Catalog, asked: Asked, wanted: Audience) -> str:
    made = catalog.audiences.create(wanted)
    asked.record(catalog, "audience.created", made.name, audience_id=made.audience_id)
    return made.audience_id


def _own(catalog: Catalog, asked: Asked) -> Audience:
    each = catalog.audiences.find(asked.account.account_id, asked.fields.get("audience", ""))
    if each is None:
        raise Refused(Refusal(Reason.NOT_FOUND, "There is no such audience.", "audience"))
    return each
