"""What a Content-Security-Policy allows, as far as a pixel needs it (W3C, *CSP Level 3*)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_FALLBACK = {
    "script-src-elem": ("script-src-elem", "script-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "img-src": ("img-src", "default-src"),
}
_proves_inline = re.compile(r"'(nonce-|sha256-|sha384-|sha512-)").match


def governing(policy: str, wanted: str) -> tuple[str, list[str]] | None:
    """The directive of one policy that decides, with its sources; None where none does.

    >>> governing("default-src 'self'; img-src *", "connect-src")
    ('default-src', ["'self'"])
    """
    directives: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *sources = part.split() or [""]
        directives.setdefault(name.lower(), sources)
    for name in _FALLBACK.get(wanted, (wanted, "default-src")):
        if name in directives:
            return name, directives[name]
    return None


def forbids(policies: Iterable[str], wanted: str, address: str, page: str) -> str:
    """The directive that forbids a page to use an address, empty when it may.

    >>> forbids(["script-src 'self'"], "script-src-elem", "https://t.example/px.js",
    ...         "https://shop.example/")
    'script-src'
    """
    for policy in policies:
        found = governing(policy, wanted)
        if found and not any(_allows(source, address, page) for source in found[1]):
            return found[0]
    return ""


def forbids_inline(policies: Iterable[str]) -> str:
    """The directive that forbids inline scripts without nonce and hash, empty when they may run.
    Whether a nonce or hash is that of the snippet only a browser tells: then it may."""
    for policy in policies:
        found = governing(policy, "script-src-elem")
        if found and not any(s == "'unsafe-inline'" or _proves_inline(s) for s in found[1]):
            return found[0]
    return ""


def _allows(source: str, address: str, page: str) -> bool:
    target, own = urlsplit(address), urlsplit(page)
    low = source.lower()
    if low == "*":
        return target.scheme in ("http", "https") or target.scheme == own.scheme
    if low == "'self'":
        return (target.scheme, target.netloc.lower()) == (own.scheme, own.netloc.lower())
    if low.startswith("'"):
        # A nonce may be on the script element, which HTML alone does not show to be the same.
        return low.startswith("'nonce-") or low == "'strict-dynamic'"
    if low.endswith(":"):
        return target.scheme == low[:-1]
    scheme, has_scheme, rest = low.rpartition("://")
    if has_scheme and target.scheme not in ({scheme, "https"} if scheme == "http" else {scheme}):
        return False
    authority, has_path, path = rest.partition("/")
    host, _, port = authority.partition(":")
    name = (target.hostname or "").lower()
    if host.startswith("*.") and not name.endswith(host[1:]):
        return False
    if not host.startswith("*.") and host != name:
        return False
    if port not in ("", "*") and port != str(target.port or _port(target.scheme)):
        return False
    if port == "" and target.port not in (None, _port(target.scheme)):
        return False
    whole = f"/{path}"
    if not has_path or whole == "/":
        return True
    return target.path.startswith(whole) if whole.endswith("/") else target.path == whole


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
