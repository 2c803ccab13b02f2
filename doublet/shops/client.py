"""One question to a platform's API: what it answers, or when to ask again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import msgspec

from doublet.catalog import Shop
from doublet.errors import OperatorError

SHOPIFY_VERSION = "2025-10"
WAIT_S_MAX = 3600.0
_TIMEOUT_S = 60.0
_ANSWER_SIZE_BYTES_MAX = 64 << 20


class LaterError(Exception):
    """It may go well the next time; after so many seconds, where the platform says it."""

    def __init__(self, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.wait_s = wait_s


class StatusError(Exception):
    """An answer that asking again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(f"It was answered with {status}.")
        self.status = status


class Answer(NamedTuple):
    """An answer, and the JSON in its body, None where it has none (204)."""

    response: httpx.Response
    found: Any


def client_of(shop: Shop) -> httpx.Client:
    """A client whose paths begin at the shop's API. Raises OperatorError where the shop's row lacks
    its address."""
    base, proof = _DOORS[shop.platform]
    # A redirect would hand the token on.
    return httpx.Client(
        base_url=base(shop).rstrip("/"), timeout=_TIMEOUT_S, follow_redirects=False, **proof(shop)
    )


def ask(client: httpx.Client, url: str, method: str = "GET", body: Any = None) -> Answer:
    """What an API answers to one request. Raises LaterError and StatusError."""
    try:
        with client.stream(method, url, json=body) as response:
            if response.status_code == 429 or response.status_code >= 500:
                said = f"It was answered with {response.status_code}."
                raise LaterError(said, _retry_after_s(response))
            if not response.is_success:
                raise StatusError(response.status_code)
            content = b""
            for part in response.iter_bytes():
                content += part
                if len(content) > _ANSWER_SIZE_BYTES_MAX:
                    raise LaterError("It is larger than any answer should be.")
    except httpx.HTTPError as error:
        raise LaterError(f"{type(error).__name__}: {error}") from None
    if response.status_code == 204:
        return Answer(response, None)
    try:
        return Answer(response, msgspec.json.decode(content))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise LaterError("It is no JSON.") from None


def _retry_after_s(response: httpx.Response) -> float | None:
    """How long the platform asks to wait; BigCommerce says it in milliseconds of its own."""
    for name, unit in (("retry-after", 1.0), ("x-rate-limit-time-reset-ms", 0.001)):
        said = response.headers.get(name, "")
        try:
            return min(max(float(said) * unit, 0.0), WAIT_S_MAX)
        except ValueError:
            continue
    return None


def _address(shop: Shop, default: str) -> str:
    """`api_url` of the shop's row, otherwise the platform's own."""
    found = shop.target.get("api_url") or default
    if not found.startswith(("http://", "https://")):
        raise OperatorError(
            f"The shop {shop.name!r} has no address to ask.", "Set api_url, such as https://…"
        )
    return found.rstrip("/")


def _https(shop: Shop) -> str:
    domain = shop.target.get("domain", "")
    return f"https://{domain}" if domain else ""


def _user_and_password(shop: Shop) -> dict[str, Any]:
    key, _, secret = shop.api_token.partition(":")
    return {"auth": (key, secret)}


_DOORS: dict[str, tuple[Callable[[Shop], str], Callable[[Shop], dict[str, Any]]]] = {
    "shopify": (
        lambda shop: f"{_address(shop, _https(shop))}/admin/api/{SHOPIFY_VERSION}",
        lambda shop: {"headers": {"x-shopify-access-token": shop.api_token}},
    ),
    "woocommerce": (
        lambda shop: f"{_address(shop, _https(shop))}/wp-json/wc/v3",
        _user_and_password,
    ),
    "bigcommerce": (
        # The address in a shop's row names the store.
        lambda shop: _address(shop, ""),
        lambda shop: {"headers": {"x-auth-token": shop.api_token, "accept": "application/json"}},
    ),
}
"""Where a platform's API begins, and how one proves oneself there."""
