"""What a probe saw of a live site. A browser sees all of it, plain HTTP only a part."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

Via = Literal["browser", "http"]


class Snippet(msgspec.Struct, frozen=True):
    """A pixel that the page initialises. `script` is the address of the library that it loads,
    empty where none was found."""

    pixel_id: str
    script: str = ""


class Script(msgspec.Struct, frozen=True):
    """An attempt to load the library. `error` is why there was no answer."""

    url: str
    status: int | None = None
    content_type: str = ""
    error: str = ""


class Violation(msgspec.Struct, frozen=True):
    """What the page's Content-Security-Policy forbade: `blocked` is an address, or `inline`, and
    `named` the directive of the policy that decides, which may be a wider one than `directive`."""

    directive: str
    blocked: str
    named: str


class Hit(msgspec.Struct, frozen=True):
    """A request with an event. `seen` is what the server told of the request, `cookies` the names
    that its answer set, `refused` its reason to refuse; `status` is None without an answer."""

    url: str
    pixel_id: str
    event_name: str
    event_id: str = ""
    page: str = ""
    fbp: str = ""
    fbc: str = ""
    status: int | None = None
    refused: str = ""
    seen: str = ""
    cookies: tuple[str, ...] = ()
    error: str = ""


class Cookie(msgspec.Struct, frozen=True):
    """A cookie of the browser; `domain` begins with a dot where other hosts get it too."""

    name: str
    value: str
    domain: str


class Sight(msgspec.Struct, kw_only=True):
    """One look at a site. `asked` is the address with the test's parameters, `url` the one at which
    it ended, `error` why there is no page. `held` names the events that wait for consent,
    `loaders` what else may bring a pixel in, `fbq` whose library answers to `fbq`."""

    via: Via
    asked: str
    url: str = ""
    status: int | None = None
    content_type: str = ""
    error: str = ""
    redirects: tuple[str, ...] = ()
    snippets: tuple[Snippet, ...] = ()
    scripts: tuple[Script, ...] = ()
    violations: tuple[Violation, ...] = ()
    hits: tuple[Hit, ...] = ()
    cookies: tuple[Cookie, ...] = ()
    other_pixels: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()
    consent_tools: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fbq: Literal["", "doublet", "meta", "other"] = ""


def host_of(address: str) -> str:
    """The host of an address in lower case, empty when there is none.

    >>> host_of("https://Shop.example:8443/a"), host_of("inline")
    ('shop.example', '')
    """
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
