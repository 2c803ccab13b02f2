"""What the guide asks: the platform, the goal, where the server runs, and whose site it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from doublet.entries import check_currency, check_name, check_time_zone
from doublet.errors import OperatorError
from doublet.recipes import PLATFORMS, Platform

GoalKey = Literal["purchases", "leads"]
URL_LENGTH_MAX = 500
_IN_PATH = "/%:@!&()*+,;=~-._"
_is_host = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?").fullmatch
_is_ipv6 = re.compile(r"[0-9a-fA-F:.]+").fullmatch


class Choice(NamedTuple):
    """One of the few answers to a question."""

    key: str
    name: str
    about: str


GOALS = (
    Choice("purchases", "Sell", "Orders that are paid on the site: the event Purchase."),
    Choice("leads", "Collect leads", "Forms that visitors send in: the event Lead."),
)

EVENT_OF_GOAL: dict[str, str] = {"purchases": "Purchase", "leads": "Lead"}

PLACES = (
    Choice(
        "own",
        "A subdomain of the site leads to Doublet",
        "Such as t.shop.example; cookies are the site's own. Choose this where you can.",
    ),
    Choice(
        "proxy",
        "The site's own web server passes a path on",
        "Such as shop.example/assets; the most lasting cookies, and one more line for nginx or "
        "Caddy.",
    ),
    Choice(
        "local",
        "Doublet and site are on this machine",
        "For trying only: other people's browsers do not reach it.",
    ),
)


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """All answers, checked. `name` is what the pixel is called, and the account where there is
    none; time zone and currency are those of a new account."""

    platform: str
    goal: GoalKey
    place: Literal["own", "proxy", "local"]
    site_url: str
    name: str
    time_zone: str = "UTC"
    currency: str = "EUR"


class AnswerError(OperatorError):
    """One answer cannot be used; `field` says which."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


def platform_of(key: str) -> Platform:
    """The platform of a name. Raises AnswerError for an unknown one."""
    for platform in PLATFORMS:
        if platform.key == key:
            return platform
    raise AnswerError(
        "platform",
        f"The guide knows no platform {key!r}." if key else "Which platform is the site on?",
        f"Choose one of {', '.join(p.key for p in PLATFORMS)}.",
    )


def read_answers(given: Mapping[str, str]) -> Answers:
    """Answers from their texts. Raises AnswerError for the first that cannot be used."""
    texts = {name: text.strip() for name, text in given.items()}
    platform = platform_of(texts.get("platform", ""))
    goal = _choice("goal", texts.get("goal", ""), GOALS)
    if goal not in platform.goals:
        raise AnswerError(
            "goal",
            f"There is no recipe for {goal} on {platform.name}.",
            f"Choose {' or '.join(platform.goals)}, or another platform.",
        )
    site_url = read_site_url(texts.get("site_url", ""))
    return Answers(
        platform=platform.key,
        goal=goal,
        place=_choice("place", texts.get("place", ""), PLACES),  # type: ignore[arg-type]
        site_url=site_url,
        name=_entry("name", texts.get("name") or _host(site_url), check_name),
        time_zone=_entry("time_zone", texts.get("time_zone") or "UTC", check_time_zone),
        currency=_entry("currency", texts.get("currency") or "EUR", check_currency),
    )


def _choice(field: str, text: str, choices: tuple[Choice, ...]) -> str:
    keys = [choice.key for choice in choices]
    if text not in keys:
        said = f"{field} is {text[:40]!r}, but must be" if text else f"{field} is missing; it is"
        raise AnswerError(field, f"{said} {' or '.join(keys)}.")
    return text


def _entry(field: str, text: str, check: object) -> str:
    try:
        return str(check(text))  # type: ignore[operator]
    except OperatorError as error:
        raise AnswerError(field, error.message, error.hint) from None


def read_site_url(text: str) -> str:
    """A site's address, `https://` where it has no scheme. Raises AnswerError.

    >>> read_site_url("shop.example"), read_site_url("localhost:8080/shop")
    ('https://shop.example/', 'http://localhost:8080/shop')
    >>> read_site_url("https://Bücher.example/a'b?c=d%20e")
    'https://xn--bcher-kva.example/a%27b?c=d%20e'
    """
    example = "Write the address of a page, such as https://shop.example/."
    if not text or len(text) > URL_LENGTH_MAX or not text.isprintable() or " " in text:
        raise AnswerError("site_url", "The site's address is missing or none.", example)
    if "://" not in text:
        is_local = text.startswith(("localhost", "127.", "[::1]"))
        text = f"{'http' if is_local else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise AnswerError("site_url", f"{text} is no address.", example) from None
    host = _host_name(parts.hostname or "")
    if parts.scheme not in ("http", "https") or not host or parts.username or port == 0:
        raise AnswerError("site_url", f"{text} is no address of a site.", example)
    # It is shown inside of commands and settings, where quotes and blanks mean something.
    path, query = quote(parts.path or "/", safe=_IN_PATH), quote(parts.query, safe=_IN_PATH + "?")
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, path, query, ""))


def _host_name(host: str) -> str:
    """A host as browsers send it, empty for what is none."""
    import idna

    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""
    if ":" in host:
        return f"[{host}]" if _is_ipv6(host) else ""
    return host.lower() if _is_host(host) else ""


def _host(site_url: str) -> str:
    return urlsplit(site_url).netloc
