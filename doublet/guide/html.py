"""What the HTML of a page says about pixels, read without running it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin

from doublet.guide.sight import Snippet

_init = re.compile(r"""\b(\w+)\(\s*["']init["']\s*,\s*["']?(\d{5,20})["']?""").finditer
_library = re.compile(r"""["']((?:https?:)?//[^"'\s]+?\.js|/[^"'\s]+?\.js)["']""").findall
_is_base_code = re.compile(r"\bcallMethod\b").search
_META = "connect.facebook.net"

CONSENT_TOOLS = {
    "cookiebot": "Cookiebot",
    "onetrust": "OneTrust",
    "optanon": "OneTrust",
    "usercentrics": "Usercentrics",
    "cookieyes": "CookieYes",
    "borlabs-cookie": "Borlabs Cookie",
    "complianz": "Complianz",
    "didomi": "Didomi",
    "iubenda": "iubenda",
    "quantcast": "Quantcast Choice",
    "consentmanager": "consentmanager",
    "klaro": "Klaro",
    "osano": "Osano",
    "termly": "Termly",
    "trustarc": "TrustArc",
    "__tcfapi": "a consent tool of the IAB (TCF)",
}
"""Consent tools by a word that their code has in it."""

LOADERS = {
    "googletagmanager.com/gtm.js": "Google Tag Manager",
    "cdn.shopify.com": "Shopify",
    "/_next/": "Next.js",
}
"""What may bring a pixel in that the page's own HTML does not hold, by a part of its address."""


class Found(NamedTuple):
    """Pixels of our own library, of Meta's, consent tools and loaders; `held_back` says that a
    consent tool has turned off a script with one of our pixels."""

    snippets: tuple[Snippet, ...]
    other_pixels: tuple[str, ...]
    consent_tools: tuple[str, ...]
    loaders: tuple[str, ...]
    held_back: bool


class _Scripts(HTMLParser):
    """The scripts of a page: type, address and text of each, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[list[str]] = []
        self._is_inside = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A script begins."""
        if tag == "script":
            named = {name: value or "" for name, value in attributes}
            self.found.append([named.get("type", "").lower(), named.get("src", ""), ""])
            self._is_inside = True

    def handle_endtag(self, tag: str) -> None:
        """A script ends."""
        if tag == "script":
            self._is_inside = False

    def handle_data(self, data: str) -> None:
        """A part of its text."""
        if self._is_inside:
            self.found[-1][2] += data


def read_html(text: str, url: str) -> Found:
    """What the page at `url` has in its HTML."""
    parser = _Scripts()
    parser.feed(text)
    parser.close()
    ours: list[Snippet] = []
    others: list[str] = []
    library, held_back = "", False
    for kind, src, code in parser.found:
        runs = kind in ("", "module", "text/javascript", "application/javascript")
        ids = [found[2] for found in _init(code)]
        if _META in src or _META in code:
            others += ids or ["of unknown id"]
            continue
        found = [urljoin(url, address) for address in _library(code.replace("\\/", "/"))]
        if found and _is_base_code(code):
            library = found[0]
        elif src and re.search(r"/px(-core)?\.js$|data-doublet", src):
            library = urljoin(url, src)
        if ids and not runs:
            held_back = True
        ours += [Snippet(pixel_id, library) for pixel_id in ids if runs]
    low = text.lower()
    tools = {name for word, name in CONSENT_TOOLS.items() if word in low}
    loaders = {name for part, name in LOADERS.items() if part in low}
    return Found(
        tuple(ours),
        tuple(dict.fromkeys(others)),
        tuple(sorted(tools)),
        tuple(sorted(loaders)),
        held_back,
    )
