"""Which addresses a probe may open: whoever has one account's token must not look through it at
the network that the server stands in."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from doublet.errors import OperatorError


class Guard:
    """Lets everything pass with `reaches_private`, otherwise only public addresses. A name is
    looked up here and once more by whoever connects."""

    def __init__(self, reaches_private: bool) -> None:
        self.reaches_private = reaches_private

    def allows(self, address: str) -> bool:
        """Whether an address may be opened."""
        parts = urlsplit(address)
        if parts.scheme in ("data", "blob", "about"):
            return True
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        return self.reaches_private or _is_public(parts.hostname)

    def check(self, address: str) -> None:
        """Raises OperatorError for an address that may not be opened."""
        if not self.allows(address):
            raise OperatorError(
                f"{address} is in a private network.",
                "Only the operator has such a site checked: `doublet setup SETUP --check`.",
            )


def is_private(host: str) -> bool:
    """Whether a host is this machine or of a private network, as far as its name tells.

    >>> is_private("127.0.0.1"), is_private("shop.localhost"), is_private("shop.example")
    (True, True, False)
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _is_public(host: str) -> bool:
    if is_private(host):
        return False
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        # Nobody can connect to it either; the probe says so in its own words.
        return True
    return all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_global for each in found)
