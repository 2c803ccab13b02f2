"""The shop's server side: each purchase goes to the Conversions API, until it is taken."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

from doublet.demo.orders import Order, custom_data
from doublet.normalize import hash_user_value

logger = logging.getLogger(__name__)

GRAPH_VERSION = "v25.0"
RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses between attempts; the server may be starting or its disk may be slow."""
_TIMEOUT_S = 15.0


def purchase_event(order: Order) -> dict[str, Any]:
    """The server's copy. Its event_id is the order id, as in the browser's `{eventID: …}`."""
    user_data: dict[str, Any] = {
        "em": [hash_user_value("em", order.email)],
        "external_id": [hash_user_value("external_id", order.visitor_id)],
        "client_ip_address": order.client_ip_address,
        "client_user_agent": order.client_user_agent,
        "fbp": order.fbp,
        "fbc": order.fbc,
    }
    return {
        "event_name": "Purchase",
        "event_time": order.ordered_at,
        "event_id": order.order_id,
        "action_source": "website",
        "event_source_url": order.url,
        "user_data": {key: value for key, value in user_data.items() if value and value != [None]},
        "custom_data": {**custom_data(order.cart), "order_id": order.order_id},
    }


class ServerSide:
    """Reports orders to one pixel; call it with an order."""

    def __init__(self, url: str, pixel_id: str, access_token: str) -> None:
        """`url` is where the events server answers, without a trailing slash."""
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {access_token}"},
            timeout=_TIMEOUT_S,
        )
        self._path = f"/{GRAPH_VERSION}/{pixel_id}/events"

    async def __call__(self, order: Order) -> None:
        """Send until it is taken; a repeat has the same event_id, so that it counts once.

        What cannot be delivered is said on the error output.
        """
        body = {"data": [purchase_event(order)]}
        problem = ""
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                answer = await self._client.post(self._path, json=body)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if answer.is_success:
                    return
                problem = f"{answer.status_code} {answer.text[:500]}"
                if not answer.is_server_error:
                    break
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        logger.error("purchase-not-reported order_id=%s problem=%s", order.order_id, problem)

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()
