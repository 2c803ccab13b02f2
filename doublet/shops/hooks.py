"""Webhooks made through a platform's API where it has no page for them: BigCommerce."""

from __future__ import annotations

from typing import Any

import httpx

from doublet.catalog import Shop
from doublet.errors import DestinationError
from doublet.shops import PLATFORMS

SECRET_HEADER = "X-Doublet-Secret"

_TIMEOUT_S = 20.0


def connect(shop: Shop, address: str) -> dict[str, str]:
    """Have the shop's platform deliver to `address`, with the newest secret; by topic, whether its
    webhook was `made`, `changed` or is as it was (`kept`). It may be asked again.

    Raises DestinationError when the API does not do it.
    """
    base = shop.target.get("api_url", "").rstrip("/")
    headers = {"x-auth-token": shop.api_token, "accept": "application/json"}
    done: dict[str, str] = {}
    with httpx.Client(timeout=_TIMEOUT_S, headers=headers) as client:
        answer = _ask(client, "GET", f"{base}/v3/hooks?limit=250")
        known = {
            hook.get("scope"): hook
            for hook in answer.get("data") or []
            if hook.get("destination") == address
        }
        wanted = {
            "destination": address,
            "is_active": True,
            "headers": {SECRET_HEADER: shop.secrets[0].value},
        }
        for topic in PLATFORMS[shop.platform].topics:
            hook = known.get(topic)
            body = {"scope": topic, **wanted}
            if hook is None:
                _ask(client, "POST", f"{base}/v3/hooks", body)
                done[topic] = "made"
            elif all(hook.get(key) == value for key, value in wanted.items()):
                done[topic] = "kept"
            else:
                _ask(client, "PUT", f"{base}/v3/hooks/{hook.get('id')}", body)
                done[topic] = "changed"
    return done


def _ask(client: httpx.Client, method: str, url: str, body: Any = None) -> dict[str, Any]:
    try:
        answer = client.request(method, url, json=body)
        answer.raise_for_status()
        found = answer.json()
    except httpx.HTTPStatusError as error:
        raise DestinationError(
            f"The platform's API answers {error.response.status_code} to {method} /v3/hooks.",
            "The API account needs *Information & settings: modify* and *Orders: read-only*.",
        ) from error
    except (httpx.HTTPError, ValueError) as error:
        raise DestinationError(
            f"The platform's API cannot be asked: {type(error).__name__}.",
            "Check the store hash (`doublet shop show`) and the network, then try again.",
        ) from error
    return found if isinstance(found, dict) else {}
