"""A feed from an address, into a file: bounded, with time limits, page after page where a shop
gives its products so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from doublet import __version__
from doublet.errors import SenderError
from doublet.feeds.read import FEED_SIZE_BYTES_MAX
from doublet.feeds.shopify import JSON_SIZE_BYTES_MAX

_TIMEOUT_S = 60.0
_REDIRECTS_MAX = 5
_PAGE_PRODUCTS = 250
_PAGES_MAX = 4000


class _Page(msgspec.Struct):
    products: list[msgspec.Raw] = []


def is_address(text: str) -> bool:
    """Whether a feed is named by its address and not by a file's name."""
    return text.lower().startswith(("http://", "https://"))


def site_of(url: str) -> str:
    """The server that an address names."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def name_in(url: str) -> str:
    """What to call a feed by its address: the last part of its path."""
    parts = urlsplit(url)
    return parts.path.rstrip("/").rpartition("/")[2] or parts.netloc.rpartition("@")[2]


def fetch(url: str, target: Path, on_progress: Callable[[int], None] | None = None) -> None:
    """Write what an address gives into a file. Raises SenderError when it gives nothing."""
    headers = {"user-agent": f"doublet/{__version__}", "accept": "*/*"}
    with httpx.Client(
        timeout=_TIMEOUT_S, follow_redirects=True, max_redirects=_REDIRECTS_MAX, headers=headers
    ) as client:
        try:
            if urlsplit(url).path.endswith("/products.json") and "page_info" not in url:
                _fetch_pages(client, url, target, on_progress)
            else:
                _fetch_whole(client, url, target, on_progress)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise SenderError(
                f"{_shown(url)} gives no feed: {type(error).__name__}.",
                "Look at the address, or save the feed as a file and import that.",
            ) from error


def _fetch_whole(
    client: httpx.Client, url: str, target: Path, on_progress: Callable[[int], None] | None
) -> None:
    size = 0
    with client.stream("GET", url) as answer, target.open("wb") as file:
        _check(answer, url)
        for chunk in answer.iter_bytes(1 << 16):
            size += len(chunk)
            if size > FEED_SIZE_BYTES_MAX:
                raise SenderError(f"{_shown(url)} gives too much.", "Divide the feed.")
            file.write(chunk)
            if on_progress is not None:
                on_progress(size)


def _fetch_pages(
    client: httpx.Client, url: str, target: Path, on_progress: Callable[[int], None] | None
) -> None:
    """A shop's products.json is given in pages; an empty one is behind the last."""
    found: list[msgspec.Raw] = []
    before, size = b"", 0
    for page in range(1, _PAGES_MAX + 1):
        asked = httpx.URL(url).copy_merge_params({"limit": str(_PAGE_PRODUCTS), "page": str(page)})
        answer = client.get(asked)
        _check(answer, url)
        try:
            products = msgspec.json.decode(answer.content, type=_Page).products
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SenderError(
                f"{_shown(url)} gives no products.json.", "Is the shop open to everyone?"
            ) from error
        # Who gives the same page whatever is asked would do so for ever.
        if not products or answer.content == before:
            break
        before, size = answer.content, size + len(answer.content)
        if size > JSON_SIZE_BYTES_MAX:
            raise SenderError(f"{_shown(url)} gives too much.", "Import its parts one by one.")
        found += products
        if on_progress is not None:
            on_progress(size)
    target.write_bytes(msgspec.json.encode({"products": found}))


def _check(answer: httpx.Response, url: str) -> None:
    if not answer.is_success:
        raise SenderError(
            f"{_shown(url)} answers {answer.status_code}.",
            "Look at the address, or save the feed as a file and import that.",
        )


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
