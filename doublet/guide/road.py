"""Checks of the road to the server: what stands between, and why an event is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

from doublet.guide.finding import Finding, failed, passed, unseen
from doublet.guide.sight import Hit, Sight, host_of
from doublet.guide.site import Expected
from doublet.refusal import Reason


def fix_of_refusal(hit: Hit) -> str:
    """What to change about a hit that was not taken."""
    known = Reason.__members__.get(hit.refused.upper())
    if known is not None:
        return known.row.hint
    if hit.status in (502, 503, 504):
        return "Look whether `doublet serve` runs and its disk has room (`/health`)."
    return (
        "This answer is not Doublet's: have the web server in front pass the path on as it is "
        "(docs/first_party.md)."
    )


def read_seen(seen: str) -> dict[str, str]:
    """The parts of `X-Doublet-Seen`.

    >>> read_seen("address=192.0.2.1; scheme=https")
    {'address': '192.0.2.1', 'scheme': 'https'}
    """
    pairs = (part.partition("=") for part in seen.split("; ") if "=" in part)
    return {name.strip(): value for name, _, value in pairs}


def proxy(sight: Sight, expected: Expected) -> Finding:
    """Whether Doublet sees the visitor's address, scheme and host, and not the proxy's."""
    hit = next((hit for hit in sight.hits if hit.seen and hit.pixel_id == expected.pixel_id), None)
    if hit is None:
        return unseen("No answer told what Doublet saw of the request.")
    seen = read_seen(hit.seen)
    if seen.get("forwarded") == "ignored":
        peer = seen.get("peer", "")
        return failed(
            "proxy_untrusted",
            f"A proxy at {peer} tells the visitor's address, and Doublet does not believe it: all "
            "visitors would look like the proxy.",
            f'Set `trusted_proxies = "{peer}"` in doublet.toml and restart.',
        )
    if expected.place == "proxy" and seen.get("forwarded") == "none":
        return failed(
            "proxy_silent",
            f"The web server in front does not tell the visitor's address; Doublet sees "
            f"{seen.get('address', '')}.",
            "Have it send X-Forwarded-For (nginx: `proxy_set_header X-Forwarded-For "
            "$proxy_add_x_forwarded_for;`), and set `trusted_proxies` to its address.",
        )
    if urlsplit(hit.url).scheme == "https" and seen.get("scheme") == "http":
        return failed(
            "proxy_scheme",
            "The request came by https, and Doublet was told http: its cookies would not be "
            "Secure.",
            "Have the web server in front send X-Forwarded-Proto (nginx: `proxy_set_header "
            "X-Forwarded-Proto $scheme;`), and set `trusted_proxies` to its address.",
        )
    if seen.get("host") != host_of(hit.url):
        return failed(
            "proxy_host",
            f"The request was for {host_of(hit.url)}, and Doublet was told "
            f"{seen.get('host') or 'no host'}.",
            "Have the web server in front pass the host on (nginx: `proxy_set_header Host "
            "$host;`).",
        )
    return passed(f"Doublet sees the visitor at {seen.get('address', '')}.")
