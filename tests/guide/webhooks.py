"""What a shop's platform delivers, to the address and with the secret that the page names."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
from typing import Any

import httpx
from msgspec.structs import replace
from playwright.sync_api import Page, expect

from doublet.catalog import Setup
from tests.guide.server import GuideServer
from tests.sites.site import Answer, Ask, serving

_SHOPIFYS = "shpss_0123456789"


def deliver(server: GuideServer, page: Page, setup: Setup, order: dict[str, Any]) -> None:
    """Report an order as the setup's platform does."""
    if setup.platform == "bigcommerce":
        _bigcommerce(server, page, setup, order)
    else:
        {"woocommerce": _woocommerce, "shopify": _shopify}[setup.platform](page, order)


def _shown(page: Page, key: str) -> str:
    return page.locator(f"#piece-webhook-{key} code").inner_text().strip()


def _post(address: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    headers = {"content-type": "application/json", **headers}
    answer = httpx.post(address, content=body, headers=headers, trust_env=False)
    assert 200 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _signature(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def _woocommerce(page: Page, order: dict[str, Any]) -> None:
    body = json.dumps(order).encode()
    assert "order.created" in _shown(page, "topics").split()
    headers = {
        "x-wc-webhook-topic": "order.created",
        "x-wc-webhook-resource": "order",
        "x-wc-webhook-event": "created",
        "x-wc-webhook-delivery-id": "1",
        "x-wc-webhook-signature": _signature(_shown(page, "secret"), body),
    }
    assert 1 == _post(_shown(page, "webhook"), body, headers)["events"]


def _shopify(page: Page, order: dict[str, Any]) -> None:
    page.get_by_label("Shopify's signing secret").fill(_SHOPIFYS)
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_label("Shopify's signing secret")).to_have_value("")
    body = json.dumps(order).encode()
    assert "orders/create" in _shown(page, "topics").split()
    headers = {
        "x-shopify-topic": "orders/create",
        "x-shopify-shop-domain": "corner.myshopify.com",
        "x-shopify-webhook-id": "b1",
        "x-shopify-hmac-sha256": _signature(_SHOPIFYS, body),
    }
    for _ in range(40):
        # Collectors know a new secret within seconds; Shopify delivers again.
        answer = httpx.post(_shown(page, "webhook"), content=body, headers=headers)
        if answer.status_code != 401:
            break
        time.sleep(0.2)
    assert 200 == answer.status_code, answer.text
    assert 1 == answer.json()["events"]


def _bigcommerce(server: GuideServer, page: Page, setup: Setup, order: dict[str, Any]) -> None:
    """Its API, which makes the webhook and tells of the order that a delivery names."""
    hooks: list[dict[str, Any]] = []
    products = order.pop("products")

    def answer(ask: Ask) -> Answer:
        if ask.path == "/v3/hooks":
            if ask.method == "POST":
                hooks.append(json.loads(ask.body))
            return Answer(json.dumps({"data": []}), "application/json")
        if ask.path.endswith("/refunds"):
            return Answer("", status=204)
        found = products if ask.path.endswith("/products") else order
        return Answer(json.dumps(found), "application/json")

    page.get_by_label("Store hash").fill("abc123")
    page.get_by_label("Token of an API account").fill("t")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_label("Store hash")).to_have_value("")
    with serving(answer) as api:
        shop = server.catalog.shops.one(setup.shop_id)
        assert "https://api.bigcommerce.com/stores/abc123" == shop.target["api_url"]
        server.catalog.shops.save(replace(shop, target=shop.target | {"api_url": api}))
        command = _shown(page, "connect").split()
        assert "doublet" == command[0]
        subprocess.run(
            [
                *(sys.executable, "-m", *command, f"--data={server.settings.data}"),
                f"--set=public_url={server.url}",
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        (hook,) = [hook for hook in hooks if hook["scope"] == "store/order/created"]
        assert _shown(page, "webhook") == hook["destination"]
        payload = {
            "scope": hook["scope"],
            "store_id": "1",
            "producer": "stores/abc123",
            "data": {"type": "order", "id": order["id"]},
            "hash": "0" * 40,
            "created_at": int(time.time()),
        }
        told = _post(hook["destination"], json.dumps(payload).encode(), hook["headers"])
        assert 1 == told["errands"], told
        # The API must answer until the order was fetched.
        expect(page.locator("#check-test_server.passed")).to_be_visible()
