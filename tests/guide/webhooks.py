"""What a shop's platform delivers, to the address and with the secret that the page names."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import httpx
from playwright.sync_api import Page

from doublet.catalog import Setup
from tests.guide.server import GuideServer


def deliver(server: GuideServer, page: Page, setup: Setup, order: dict[str, Any]) -> None:
    """Report an order as the setup's platform does."""
    {"woocommerce": _woocommerce}[setup.platform](page, order)


def _shown(page: Page, key: str) -> str:
    return page.locator(f"#piece-webhook-{key} code").inner_text().strip()


def _signature(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def _woocommerce(page: Page, order: dict[str, Any]) -> None:
    body = json.dumps(order).encode()
    assert "order.created" in _shown(page, "topics").split()
    headers = {
        "content-type": "application/json",
        "x-wc-webhook-topic": "order.created",
        "x-wc-webhook-resource": "order",
        "x-wc-webhook-event": "created",
        "x-wc-webhook-delivery-id": "1",
        "x-wc-webhook-signature": _signature(_shown(page, "secret"), body),
    }
    answer = httpx.post(_shown(page, "webhook"), content=body, headers=headers)
    assert 200 == answer.status_code, answer.text
    assert 1 == answer.json()["events"], answer.text
