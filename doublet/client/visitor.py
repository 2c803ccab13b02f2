"""Who is on the other side of a request: the browser's ids, address and page, from WSGI or ASGI.

`_fbp`, `_fbc` and the IP address follow Meta's *fbp and fbc parameters* and its Parameter Builder;
nothing here does any I/O.
"""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from doublet.normalize import clean_fbc, clean_fbp, clean_ip

CLICK_ID_LENGTH_MAX = 500
COOKIE_AGE_S = 90 * 24 * 3600


class Visitor(msgspec.Struct, kw_only=True, frozen=True):
    """What one request tells of the person; None where it tells nothing.

    `new_cookies` are `_fbp` and `_fbc` that the browser does not have yet.
    """

    client_ip_address: str | None = None
    client_user_agent: str | None = None
    fbp: str | None = None
    fbc: str | None = None
    event_source_url: str | None = None
    referrer_url: str | None = None
    new_cookies: dict[str, str] = {}

    def user_data(self) -> dict[str, str]:
        """The keys of `user_data` that are known, none of which is hashed."""
        known = {
            "client_ip_address": self.client_ip_address,
            "client_user_agent": self.client_user_agent,
            "fbp": self.fbp,
            "fbc": self.fbc,
        }
        return {key: text for key, text in known.items() if text}


current_visitor: ContextVar[Visitor | None] = ContextVar("current_visitor", default=None)
"""The visitor of the request being answered, where a middleware has set it."""


class Reader:
    """Reads visitors for one site.

    `trusted_proxies` are networks (`10.0.0.0/8`) whose `X-Forwarded-For` and `X-Forwarded-Proto`
    are believed; a bad one raises ValueError. With `cookie_domain` (`shop.example`) a visitor
    without `_fbp` gets one in `new_cookies`.
    """

    def __init__(
        self,
        trusted_proxies: Iterable[str] = (),
        cookie_domain: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]
        self.cookie_domain = cookie_domain.strip(".")
        self._now = now

    def from_wsgi(self, environ: Mapping[str, Any]) -> Visitor:
        """The visitor of a WSGI request (PEP 3333); also of Django's `request.META`."""
        # Paths are bytes seen as latin-1.
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        return self._read(
            str(environ.get("REMOTE_ADDR") or ""),
            lambda name: str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", "")),
            str(environ.get("wsgi.url_scheme", "http")),
            quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~"),
            str(environ.get("QUERY_STRING", "")),
        )

    def from_asgi(self, scope: Mapping[str, Any]) -> Visitor:
        """The visitor of an ASGI HTTP scope; also of Starlette's `request.scope`."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            joint = "; " if key == "cookie" else ","
            headers[key] = f"{headers[key]}{joint}{text}" if key in headers else text
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        return self._read(
            str((scope.get("client") or ("",))[0]),
            lambda name: headers.get(name, ""),
            str(scope.get("scheme", "http")),
            raw_path.partition(b"?")[0].decode("latin-1"),
            scope.get("query_string", b"").decode("latin-1"),
        )

    def _read(
        self, peer: str, header: Callable[[str], str], scheme: str, path: str, query: str
    ) -> Visitor:
        if self._trusts(peer):
            claimed = header("x-forwarded-proto")
            scheme = claimed if claimed in ("http", "https") else scheme
        host, referrer = header("host"), header("referer")
        url = f"{scheme}://{host}{path}{'?' + query if query else ''}" if host else None
        cookies = _cookies(header("cookie"))
        new_cookies = {}
        fbp = clean_fbp(cookies.get("_fbp", ""))
        if fbp is None and self.cookie_domain:
            number = random.randrange(1, 2**31)
            fbp = new_cookies["_fbp"] = f"fb.{self._index}.{self._now_ms()}.{number}"
        fbc = clean_fbc(cookies.get("_fbc", ""))
        click_id = _click_id(query) or _click_id(urlsplit_query(referrer))
        # A click seen before keeps the time at which it was first seen.
        if click_id and (fbc is None or fbc.split(".", 3)[3] != click_id):
            fbc = new_cookies["_fbc"] = f"fb.{self._index}.{self._now_ms()}.{click_id}"
        return Visitor(
            client_ip_address=self._client_ip(peer, header("x-forwarded-for")),
            client_user_agent=header("user-agent") or None,
            fbp=fbp,
            fbc=fbc,
            event_source_url=url,
            referrer_url=referrer or None,
            new_cookies=new_cookies,
        )

    @property
    def _index(self) -> int:
        return self.cookie_domain.count(".") if self.cookie_domain else 1

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    def _trusts(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(clean_ip(address) or address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def _client_ip(self, peer: str, forwarded_for: str) -> str | None:
        """The peer, or the last address before it that no trusted proxy vouches for."""
        address = peer
        if self._trusts(peer):
            for entry in reversed([part.strip() for part in forwarded_for.split(",")]):
                if entry:
                    address = entry
                    if not self._trusts(entry):
                        break
        return clean_ip(address)


def urlsplit_query(url: str) -> str:
    """The query of a URL; empty for what is none."""
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def _click_id(query: str) -> str:
    """The `fbclid` exactly as received, case kept; empty when absent, too long or not one word of
    ASCII: it goes into a cookie, and a header holds nothing else."""
    if "fbclid=" not in query:
        return ""
    click_id = parse_qs(query).get("fbclid", [""])[0]
    if len(click_id) > CLICK_ID_LENGTH_MAX or not click_id.isascii():
        return ""
    if clean_fbc(f"fb.1.1.{click_id}") is None:
        return ""
    return click_id


def _cookies(text: str) -> dict[str, str]:
    # Browsers send what SimpleCookie refuses, and one odd cookie must not hide the others.
    found = {}
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name in ("_fbp", "_fbc"):
            found[name] = value.strip('"')
    return found


def set_cookie_headers(visitor: Visitor, cookie_domain: str, secure: bool) -> list[str]:
    """Values of `Set-Cookie` for a visitor's new cookies: 90 days, readable by the pixel."""
    lines = []
    for name, value in visitor.new_cookies.items():
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie[name] = value
        except CookieError:
            continue
        attributes = {"domain": cookie_domain, "path": "/", "max-age": COOKIE_AGE_S}
        for key, attribute in attributes.items():
            cookie[name][key] = attribute
        cookie[name]["samesite"] = "Lax"
        if secure:
            cookie[name]["secure"] = True
        lines.append(cookie[name].OutputString())
    return lines
