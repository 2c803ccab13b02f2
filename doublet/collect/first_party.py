"""`_fbp` and `_fbc` as cookies of the site's own server.

Browsers shorten the life of cookies that scripts write (Safari to seven days, where a link brought
the visitor to one). Where page and collector are of one site, the collector writes the pixel's
values again for 90 days, and reads them where the hit lacks them. What the two must share is the
domain that the value itself names: its second part counts the dots of the cookie's domain (Meta,
*fbp and fbc parameters*).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

from doublet.collect.request import HeaderList, host_name
from doublet.normalize import clean_fbc, clean_fbp, fold_dots

MAX_AGE_S = 90 * 86_400

_NAMES = (("fbp", clean_fbp), ("fbc", clean_fbc))
_INDEX_DIGITS_MAX = 3
_VALUE_LENGTH_MAX = 2048
# As encodeURIComponent has it (ECMA-262, section 19.2.6.4), so that a script reads what it wrote.
_UNESCAPED = "!'()*~"


def page_host(headers: Mapping[bytes, bytes]) -> str:
    """The host of the page that a request comes from, empty when the browser does not say."""
    address = headers.get(b"origin") or headers.get(b"referer") or b""
    return host_name(address.split(b"/", 3)[2]) if address.count(b"/") > 1 else ""


@lru_cache(maxsize=4096)
def shared_domain(host: str, page: str, index: int) -> str | None:
    """The domain of a cookie for both hosts with so many dots in it: empty for a cookie of the one
    host that both are, None when they share none.

    >>> shared_domain("collect.shop.example", "www.shop.example", 1)
    'shop.example'
    >>> shared_domain("127.0.0.1", "127.0.0.1", 1), shared_domain("shop.example", "a.example", 1)
    ('', None)
    """
    if not host or not page:
        return None
    if "." not in host or _is_address(host):
        return "" if host == page else None
    labels = host.split(".")
    # Without a dot it is a top-level domain, which no browser takes a cookie for.
    if not 1 <= index < len(labels):
        return None
    domain = ".".join(labels[-1 - index :])
    return domain if page == domain or page.endswith("." + domain) else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def written(fields: Mapping[str, str], host: str, page: str, scheme: str) -> HeaderList:
    """Set-Cookie for the values that a hit bears."""
    found: HeaderList = []
    for name, clean in _NAMES:
        value = fields.get(name)
        if not value or len(value) > _VALUE_LENGTH_MAX:
            continue
        domain = shared_domain(host, page, _index(value))
        if domain is None:
            continue
        kept = clean(value)
        if kept is None:
            value = fold_dots(value.strip())
            if clean(value) is None:
                continue
        # A clean value holds nothing that would be escaped.
        text = value if kept is value else quote(value, safe=_UNESCAPED)
        # Browsers take no longer one, and proxies answer for us that our headers are too large.
        if len(text) > _VALUE_LENGTH_MAX:
            continue
        found.append(
            (
                b"set-cookie",
                (
                    f"_{name}={text}; Path=/; Max-Age={MAX_AGE_S}; SameSite=Lax"
                    f"{f'; Domain={domain}' if domain else ''}"
                    f"{'; Secure' if scheme == 'https' else ''}"
                ).encode("ascii"),
            )
        )
    return found


def read_missing(fields: dict[str, str], cookies: bytes, host: str, page: str) -> None:
    """Give a hit the values that it lacks from the request's cookies."""
    for name, clean in _NAMES:
        if fields.get(name):
            continue
        value = unquote(_cookie(cookies, b"_" + name.encode()))
        if value and shared_domain(host, page, _index(value)) is not None and clean(value):
            fields[name] = value


def _cookie(cookies: bytes, name: bytes) -> str:
    """The first cookie of a name in a Cookie header, as it is written there."""
    for pair in cookies.split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value.decode("latin-1").strip('"')
    return ""


def _index(value: str) -> int:
    """The second part of fb.INDEX.TIME.VALUE; -1 when that is no number."""
    parts = value.split(".", 2)
    index = parts[1] if len(parts) == 3 else ""
    return int(index) if index.isdecimal() and len(index) <= _INDEX_DIGITS_MAX else -1
