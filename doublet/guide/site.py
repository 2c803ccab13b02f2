"""What a site should look like once it is set up."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

CAMPAIGN = (
    ("utm_source", "doublet"),
    ("utm_medium", "setup"),
    ("utm_campaign", "setup check"),
    ("utm_id", "4711"),
)
"""What a probe adds to the address, as an ad platform would."""


class Expected(NamedTuple):
    """The pixel, where the server answers, and the site."""

    pixel_id: str
    public_url: str
    platform: str
    platform_name: str
    place: str
    site_url: str
    test_code: str

    @property
    def is_sandboxed(self) -> bool:
        """Whether the platform runs the pixel apart from the page (Shopify's custom pixels)."""
        return self.platform == "shopify"

    @property
    def script_url(self) -> str:
        """The address of the library."""
        return f"{self.public_url}/px.js"

    def is_library(self, address: str) -> bool:
        """Whether an address may be that of the library: it may have another name, not another
        host or folder. Some browsers tell a policy's victim by its origin alone."""
        folder = self.public_url + "/"
        parts = urlsplit(address)
        if not parts.netloc or parts.path.endswith("-debug.js"):
            return False
        plain = f"{parts.scheme}://{parts.netloc}{parts.path}"
        own = urlsplit(folder)
        return (plain.startswith(folder) and plain.endswith(".js")) or (
            parts.path in ("", "/") and (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
        )

    def endpoint_of(self, library: str) -> str:
        """Where the library sends events.

        >>> Expected("", "https://t.example", "", "", "", "", "").endpoint_of(
        ...     "https://t.example/px-core.js")
        'https://t.example/px'
        """
        return library.partition("?")[0].removesuffix(".js").removesuffix("-core")

    def address(self, click: str) -> str:
        """The site's address as after the click on an ad, with the test code."""
        parts = urlsplit(self.site_url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        pairs += [*CAMPAIGN, ("fbclid", click), ("test_event_code", self.test_code)]
        return urlunsplit(parts._replace(query=urlencode(pairs), fragment=""))
