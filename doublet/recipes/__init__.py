"""Recipes: for each platform and goal, the exact code and settings that a site needs.

Their texts are files, `PLATFORM/…`, listed by `PLATFORM/recipe.toml`; a site's own values take the
places `@PIXEL_ID@`, `@PUBLIC_URL@`, `@CURRENCY@` and `@SHOP_ID@` in them. A token is in none: what
runs on a server reads it from the environment, DOUBLET_ACCESS_TOKEN.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from doublet.errors import OperatorError
from doublet.pixel import snippet
from doublet.pixel.snippets import shopify_snippet

Goal = Literal["purchases", "leads"]

_ORDER = (
    *("shopify", "woocommerce", "bigcommerce", "webflow", "html", "wordpress", "gtm"),
    *("nextjs", "django", "flask", "fastapi"),
)


class Site(NamedTuple):
    """What is filled in. `public_url` is Doublet's address as browsers see it; webhooks of the shop
    `shop_id` (`shp_…`) go to `{public_url}/v1/shops/{shop_id}/webhooks`."""

    pixel_id: str
    public_url: str
    currency: str = "EUR"
    shop_id: str = ""


class Piece(NamedTuple):
    """One piece of code, or one setting. `key` is unique in its recipe, `filename` set where the
    piece is a file of its own, relative to the site's folder."""

    key: str
    title: str
    where: str
    language: str
    text: str
    filename: str = ""


class Platform(NamedTuple):
    """What sites are made with. `about` says in a sentence whom it is for; `has_webhooks` that its
    orders come by webhooks of a shop."""

    key: str
    name: str
    goals: tuple[Goal, ...]
    has_webhooks: bool
    about: str


def recipe(platform: str, goal: Goal, site: Site) -> tuple[Piece, ...]:
    """The pieces, in the order in which they are put in place.

    Raises OperatorError for a platform or goal that is not there, and for a value that no site can
    have.
    """
    known = _named(platform)
    if goal not in known.goals:
        others = " or ".join(known.goals)
        raise OperatorError(
            f"{known.name} has no recipe for {goal!r}.", f"It has one for {others}."
        )
    places = _places(site)
    return tuple(
        Piece(
            piece["key"],
            _placed(piece["title"], places),
            _placed(piece["where"], places),
            piece["language"],
            _filled(platform, piece["file"], places),
            piece.get("filename", ""),
        )
        for piece in _read(platform)["pieces"]
        if goal in piece.get("goals", (goal,))
    )


def _platform(key: str) -> Platform:
    read = _read(key)
    return Platform(key, read["name"], tuple(read["goals"]), read["has_webhooks"], read["about"])


def _named(key: str) -> Platform:
    for platform in PLATFORMS:
        if platform.key == key:
            return platform
    near = difflib.get_close_matches(key.lower(), _ORDER, 1)
    hint = f"Do you mean {near[0]}?" if near else f"There are {', '.join(_ORDER)}."
    raise OperatorError(f"There is no recipe for {key!r}.", hint)


def _read(platform: str) -> dict[str, Any]:
    return tomllib.loads(_file(platform, "recipe.toml"))


def _file(folder: str, name: str) -> str:
    return files("doublet.recipes").joinpath(folder, name).read_text("utf-8")


def _filled(platform: str, file: str, places: Mapping[str, str]) -> str:
    """A text of a platform's folder, or by `FOLDER/FILE` of another's, with what belongs into it.

    A line `@FILE name@` is the place of that text, indented as the line is; `@JSON name@` that of
    the text as a JSON string.
    """
    folder, _, name = file.rpartition("/")
    text = _placed(_file(folder or platform, name), places)

    def taken_in(place: re.Match[str]) -> str:
        return textwrap.indent(_filled(platform, place[2], places).rstrip("\n"), place[1])

    def quoted(place: re.Match[str]) -> str:
        return json.dumps(_filled(platform, place[1], places), ensure_ascii=False)

    text = re.sub(r"^([ \t]*)@FILE (\S+)@$", taken_in, text, flags=re.MULTILINE)
    return re.sub(r"@JSON (\S+)@", quoted, text)


def _placed(text: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


_FORMS = {
    "pixel_id": (r"[0-9]{1,20}", "a number, as `doublet pixel list` shows it"),
    "public_url": (r"https?://[A-Za-z0-9.:\[\]_/~-]+", "an address that begins with https://"),
    "currency": (r"[A-Z]{3}", "three letters, such as EUR"),
    "shop_id": (r"(shp_[A-Za-z0-9]+)?", "that of `doublet shop list`"),
}
"""What a site's values are like: harmless in every language, so that none needs an escape."""


def _places(site: Site) -> dict[str, str]:
    values = site._replace(public_url=site.public_url.rstrip("/"))._asdict()
    for name, (form, meant) in _FORMS.items():
        if not re.fullmatch(form, values[name]):
            raise OperatorError(f"{name} {values[name]!r} cannot be one.", f"Give {meant}.")
    whole = (values["pixel_id"], values["public_url"])
    base_code = snippet(*whole)
    return {
        **{f"@{name.upper()}@": value for name, value in values.items()},
        "@SNIPPET@\n": base_code,
        "@BASE_SCRIPT@": base_code.partition("<script>\n")[2].partition("\n</script>")[0],
        "@SHOPIFY_PIXEL@\n": shopify_snippet(*whole),
    }


PLATFORMS: tuple[Platform, ...] = tuple(_platform(key) for key in _ORDER)
"""All there are, shops first."""
