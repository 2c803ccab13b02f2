"""Whose traffic a hit is: what its pixel's rules say of the page and the browser it came from.

Nothing is refused here: a hit that the rules speak against is stored and flagged, so that a rule
that was wrong costs nothing.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import PixelRules

AUTOMATIC = "automatic"
"""The flag of a hit that no line of the site's own code asked for."""

MARKS = (AUTOMATIC, "blocked_domain", "bot", "datacenter", "over_quota")
"""The flags of hits that reports leave out unless asked: those that a pixel's rules give, and that
of what the browser library reports by itself."""

_HOUR_US = 3_600_000_000
_AGENT_LENGTH_MAX = 1024
_AGENTS_MAX = 8192


@lru_cache(maxsize=_AGENTS_MAX)
def is_bot(user_agent: str) -> bool:
    """Whether a user agent is that of a known crawler or script, by the list of the package
    crawler-user-agents. Verdicts are remembered, since few user agents make most of the hits.

    >>> is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    True
    >>> is_bot("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    False
    """
    # The list is loaded by the first pixel that asks for it.
    from crawleruseragents import is_crawler

    return bool(is_crawler(user_agent[:_AGENT_LENGTH_MAX]))


def host_of(address: str | None) -> str:
    """The host of a page's address in lower case, without a port; empty when there is none."""
    try:
        return (urlsplit(address or "").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_listed(host: str, domains: Sequence[str]) -> bool:
    """Whether a host is one of the domains; `*.example.com` stands for all hosts below
    example.com, but not for example.com itself.

    >>> is_listed("a.shop.example", ["*.shop.example"]), is_listed("shop.example", ["*.example"])
    (True, True)
    >>> is_listed("shop.example", ["*.shop.example"]), is_listed("", ["*.shop.example"])
    (False, False)
    """
    return any(
        host.endswith(domain[1:]) if domain[:2] == "*." else host == domain for domain in domains
    )


class Networks:
    """A set of networks, any number of them; looking one address up takes about 3 µs.

    >>> clouds = Networks(["203.0.113.0/25", "203.0.113.128/25", "2001:db8::/32"])
    >>> clouds.holds("203.0.113.200"), clouds.holds("2001:db8::1"), clouds.holds("192.0.2.1")
    (True, True, False)
    """

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for a text that is no network in CIDR notation."""
        found = [ipaddress.ip_network(text, strict=False) for text in networks]
        old = [network for network in found if isinstance(network, ipaddress.IPv4Network)]
        new = [network for network in found if isinstance(network, ipaddress.IPv6Network)]
        self._ranges = {
            4: _ranges(ipaddress.collapse_addresses(old)),
            6: _ranges(ipaddress.collapse_addresses(new)),
        }

    def holds(self, address: str | None) -> bool:
        """Whether an address is of one of the networks; no address is of none."""
        try:
            ip = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        firsts, lasts = self._ranges[ip.version]
        at = bisect_right(firsts, int(ip)) - 1
        return at >= 0 and int(ip) <= lasts[at]


def _ranges(
    networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> tuple[list[int], list[int]]:
    """First and last addresses of sorted networks, as numbers."""
    ends = [(int(each.network_address), int(each.broadcast_address)) for each in networks]
    return [first for first, _ in ends], [last for _, last in ends]


def read_networks(path: str) -> Networks:
    """The networks in a file, one per line in CIDR notation; `#` begins a comment. An empty path
    stands for none. Raises SettingsError, which names the line, when that cannot be read."""
    try:
        lines = Path(path).read_text("utf-8").splitlines() if path else []
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"datacenter_networks: {path} cannot be read: {error}.", "Make it, or name another."
        ) from error
    texts = [line.partition("#")[0].strip() for line in lines]
    for number, text in enumerate(texts, 1):
        try:
            Networks([text] if text else [])
        except ValueError as error:
            raise SettingsError(
                f"datacenter_networks: line {number} of {path} is no network.",
                "Write one per line, for example 203.0.113.0/24 or 2001:db8::/32.",
            ) from error
    return Networks(filter(None, texts))


NOWHERE = Networks([])


class Quotas:
    """How many hits each pixel has had in the present hour, UTC, in this process."""

    def __init__(self) -> None:
        self._hour = 0
        self._hits: dict[str, int] = {}

    def is_over(self, pixel_id: str, hits_per_hour: int, received_at: int) -> bool:
        """Count a hit, received at so many µs since 1970: whether it is one too many."""
        hour = received_at // _HOUR_US
        if hour != self._hour:
            self._hour, self._hits = hour, {}
        hits = self._hits[pixel_id] = self._hits.get(pixel_id, 0) + 1
        return hits > hits_per_hour


def marks(
    rules: PixelRules,
    page: str | None,
    user_agent: str | None,
    client_ip: str | None = None,
    datacenters: Networks = NOWHERE,
) -> list[str]:
    """The flags that a hit gets for the address of its page, for its browser and for where it
    came from. A page without an address is on no list: it is marked where only some domains are
    allowed."""
    found = []
    if rules.allow_domains or rules.block_domains:
        host = host_of(page)
        if is_listed(host, rules.block_domains) or (
            rules.allow_domains and not is_listed(host, rules.allow_domains)
        ):
            found.append("blocked_domain")
    if rules.mark_bots:
        if not user_agent or is_bot(user_agent):
            found.append("bot")
        if datacenters.holds(client_ip):
            found.append("datacenter")
    return found
