"""Webhooks made through a platform's API where it has no page for them: BigCommerce."""

from __future__ import annotations

from typing import Any

import httpx

from doublet.catalog import Shop
from doublet.errors import DestinationError
from doublet.shops import PLATFORMS
from doublet.shops.client import LaterError, StatusError, ask, client_of

SECRET_HEADER = "X-Doublet-Secret"


def connect(shop: Shop, address: str) -> dict[str, str]:
    """Have the shop's platform deliver to `address`, with the newest secret; by topic, whether its
    webhook was `made`, `changed` or is as it was (`kept`). It may be asked again.

    Raises DestinationError when the API does not do it.
    """
    done: dict[str, str] = {}
    with client_of(shop) as client:
        answer = _ask(client, "GET", "?limit=250")
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
                _ask(client, "POST", "", body)
                done[topic] = "made"
            elif all(hook.get(key) == value for key, value in wanted.items()):
                done[topic] = "kept"
            else:
                _ask(client, "PUT", f"/{hook.get('id')}", body)
                done[topic] = "changed"
    return done


def _ask(client: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    try:
        found = ask(client, f"/v3/hooks{path}", method, body).found
    except StatusError as error:
        raise DestinationError(
            f"The platform's API answers {error.status} to {method} /v3/hooks.",
            "The API account needs *Information & settings: modify* and *Orders: read-only*.",
        ) from error
    except LaterError as error:
        raise DestinationError(
            f"The platform's API cannot be asked. {error}",
            "Check the store hash (`doublet shop show`) and the network, then try again.",
        ) from error
    return found if isinstance(found, dict) else {}
