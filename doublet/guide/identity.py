"""Checks of what a visitor is known by: cookies, and the parameters of an ad click."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qs, urlsplit

from doublet.guide.finding import Finding, failed, noted, passed, skipped, unseen
from doublet.guide.sight import Hit, Sight, host_of
from doublet.guide.site import CAMPAIGN, Expected

_fbp = re.compile(r"fb\.(\d)\.\d{10,14}\.\d+(\.[\w-]+)?").fullmatch


def _ours(sight: Sight, expected: Expected) -> list[Hit]:
    return [hit for hit in sight.hits if hit.pixel_id == expected.pixel_id]


def cookie(sight: Sight, expected: Expected) -> Finding:
    """`_fbp`: there, well formed, one, and for all hosts of the site."""
    if sight.via == "http":
        return unseen("Scripts write this cookie, and plain HTTP runs none.")
    found = [cookie for cookie in sight.cookies if cookie.name == "_fbp"]
    if not found:
        return failed(
            "cookie_missing",
            "The browser has no cookie _fbp.",
            "Do not turn firstPartyCookies off (fbq('set', 'firstPartyCookies', …)), and let the "
            "consent tool allow the cookie once the visitor agrees.",
        )
    if len(found) > 1:
        domains = " and ".join(sorted(each.domain for each in found))
        return failed(
            "cookie_twice",
            f"There are {len(found)} cookies _fbp, of {domains}; pages read either.",
            "Let only the pixel write _fbp: remove the script or plug-in that writes one of its "
            "own for a single host.",
        )
    (kept,) = found
    parts = _fbp(kept.value)
    if parts is None:
        return failed(
            "cookie_malformed",
            "The cookie _fbp is not of the form fb.1.TIME.NUMBER.",
            "Let only the pixel write _fbp: another script or plug-in overwrites it.",
        )
    widest = _widest(host_of(sight.url), int(parts[1]))
    if kept.domain.lstrip(".") != widest:
        return failed(
            "cookie_narrow",
            f"The cookie _fbp belongs to {kept.domain} alone, while its value names {widest}.",
            "Let only the pixel write _fbp: it takes the widest domain, so that all hosts of the "
            "site know the visitor.",
        )
    return passed(f"_fbp is kept for {kept.domain}.")


def _widest(host: str, dots: int) -> str:
    labels = host.split(".")
    if _is_address(host) or len(labels) <= dots:
        return host
    return ".".join(labels[-1 - dots :])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def first_party(sight: Sight, expected: Expected) -> Finding:
    """Whether page and script share a domain, and the server sets the cookies as well."""
    hits = _ours(sight, expected)
    page, server = host_of(sight.url), host_of(hits[0].url)
    if any("_fbp" in hit.cookies for hit in hits):
        return passed(f"{server} sets _fbp for the site too, for 90 days.")
    if not share_domain(page, server):
        says = f"The script comes from {server}, which is another site than {page}."
        if expected.place == "local":
            return noted(
                "third_party", says, "For trying this will do; live, choose `own` or `proxy`."
            )
        return failed(
            "third_party",
            says,
            f"Give Doublet a name below the site's, such as t.{_parent(page)}, or have the site's "
            "web server pass a path on, and set `public_url` to it.",
        )
    if expected.is_sandboxed:
        return noted(
            "script_cookie",
            "Only the pixel's script keeps _fbp.",
            "Nothing: a custom pixel's requests carry no cookies.",
        )
    if not hits[0].fbp:
        return skipped("The event bears no _fbp.")
    return failed(
        "host_lost",
        f"Page and script share a domain, and {server} sets no cookie for it.",
        "Have the web server in front pass the Host header on (nginx: `proxy_set_header Host "
        "$host;`) and let Set-Cookie through.",
    )


def share_domain(one: str, other: str) -> bool:
    """Whether two hosts may share a cookie.

    >>> share_domain("www.shop.example", "t.shop.example"), share_domain("a.example", "b.example")
    (True, False)
    """
    if one == other:
        return True
    if _is_address(one) or _is_address(other):
        return False
    mine, theirs = one.split("."), other.split(".")
    return len(mine) > 1 and mine[-2:] == theirs[-2:]


def _parent(host: str) -> str:
    return host.removeprefix("www.") if not _is_address(host) else "shop.example"


def parameters(sight: Sight, expected: Expected) -> Finding:
    """Whether the parameters of an ad click outlive redirects and become `_fbc`."""
    asked = parse_qs(urlsplit(sight.asked).query)
    landed = parse_qs(urlsplit(sight.url).query)
    wanted = [name for name, _ in CAMPAIGN] + ["fbclid"]
    lost = [name for name in wanted if landed.get(name) != asked.get(name)]
    if lost:
        where = f" at {sight.redirects[0]}" if sight.redirects else ""
        return failed(
            "parameters_lost",
            f"{', '.join(lost)} did not reach the page: a redirect{where} dropped them.",
            "Have redirects keep the query (nginx: `return 301 https://$host$request_uri;`), also "
            "those to www, to https and to a language.",
        )
    hits = _ours(sight, expected)
    if sight.via == "http":
        return passed("utm_… and fbclid reach the page.")
    if not hits:
        return skipped("utm_… and fbclid reach the page; no event was sent that would name them.")
    click = (asked.get("fbclid") or [""])[0]
    if not any(hit.fbc.endswith(f".{click}") for hit in hits):
        return failed(
            "fbc_missing",
            "The click's fbclid is in the address, and the event bears no fbc of it.",
            "Let the snippet run before scripts that tidy the address, and do not turn "
            "firstPartyCookies off.",
        )
    return passed("utm_… and fbclid reach the page, and _fbc is made of the click.")
