"""Whose traffic a hit is: what its pixel's rules say of the page and the browser it came from.

Nothing is refused here: a hit that the rules speak against is stored and flagged, so that a rule
that was wrong costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from doublet.catalog import PixelRules

MARKS = ("blocked_domain", "bot", "over_quota")
"""The flags that a pixel's rules give."""

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


def marks(rules: PixelRules, page: str | None, user_agent: str | None) -> list[str]:
    """The flags that a hit gets for the address of its page and for its browser. A page without
    an address is on no list: it is marked where only some domains are allowed."""
    found = []
    if rules.allow_domains or rules.block_domains:
        host = host_of(page)
        if is_listed(host, rules.block_domains) or (
            rules.allow_domains and not is_listed(host, rules.allow_domains)
        ):
            found.append("blocked_domain")
    if rules.mark_bots and (not user_agent or is_bot(user_agent)):
        found.append("bot")
    return found
