"""The whole way by HTTP, on the demo: a cart, an audience, a purchase, and who is told to leave."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running_demo import RunningDemo
from tests.server import wait_for

pytestmark = pytest.mark.slow


class Client:
    """Somebody with the demo's address and token."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def __init__(self, demo: RunningDemo) -> None:
        page = httpx.URL(demo.address("Dashboard"))
        self.token = page.params["access_token"]
        self.port = demo.port
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{demo.port}",
            headers={"authorization": f"Bearer {self.token}"},
            timeout=30,
        )
        account = self.http.get("/v25.0/me", params={"fields": "account_id"}).json()
        self.account_id = f"act_{account['account_id']}"
        (pixel,) = self.http.get(f"/v25.0/{self.account_id}/adspixels").json()["data"]
        self.pixel_id = pixel["id"]

    def create_audience(self) -> str:
        """Carted in the last 30 days and not bought, by the Graph API."""

        def one(event: str) -> dict[str, Any]:
            chosen = {
                "event_sources": [{"id": self.pixel_id, "type": "pixel"}],
                "retention_seconds": 30 * 86_400,
                "filter": {
                    "operator": "and",
                    "filters": [{"field": "event", "operator": "eq", "value": event}],
                },
            }
            return {"operator": "or", "rules": [chosen]}

        rule = {"inclusions": one("AddToCart"), "exclusions": one("Purchase")}
        form = {"name": "Carted, not bought", "rule": json.dumps(rule), "retention_days": "30"}
        answer = self.http.post(f"/v25.0/{self.account_id}/customaudiences", data=form)
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["id"])

    def hit(self, event_name: str, fbp: str) -> None:
        """What a visitor's browser reports."""
        now = time.time_ns() // 1_000_000
        pairs = {"id": self.pixel_id, "ev": event_name, "ts": str(now), "fbp": fbp}
        pairs |= {"dl": "https://shop.example/cart", "eid": f"{event_name}.{now}"}
        answer = httpx.get(f"http://127.0.0.1:{self.port}/tr/", params=pairs)
        assert 200 == answer.status_code, answer.text

    def buy(self, fbp: str) -> None:
        """What the shop's server reports of an order."""
        event = {
            "event_name": "Purchase",
            "event_time": int(time.time()),
            "event_id": f"order.{fbp}",
            "action_source": "website",
            "event_source_url": "https://shop.example/thanks",
            "user_data": {"fbp": fbp, "client_user_agent": "x"},
            "custom_data": {"value": 10, "currency": "USD", "order_id": f"order.{fbp}"},
        }
        answer = self.http.post(f"/v25.0/{self.pixel_id}/events", json={"data": [event]})
        assert 200 == answer.status_code, answer.text

    def is_in(self, audience_id: str, fbp: str) -> bool:
        """Whether a person is in an audience; in none while nothing was published."""
        answer = self.http.post("/v1/audiences/of", json={"user_data": {"fbp": fbp}})
        return answer.status_code == 200 and audience_id in answer.json()["audiences"]


def test_a_purchase_takes_the_buyer_out_of_the_cart_audience(tmp_path: Path) -> None:
    with RunningDemo(tmp_path) as demo, Client(demo) as client:
        demo.wait_for_summary()
        audience_id = client.create_audience()
        now = time.time_ns() // 1_000_000
        buyer, other = f"fb.1.{now}.1111111111", f"fb.1.{now}.2222222222"
        for fbp in (buyer, other):
            client.hit("AddToCart", fbp)
        for fbp in (buyer, other):
            wait_for(partial(client.is_in, audience_id, fbp), 60, "joining")
        client.buy(buyer)
        bought_at = time.monotonic()
        wait_for(lambda: not client.is_in(audience_id, buyer), 60, "leaving")
        print(f"out of the audience {time.monotonic() - bought_at:.1f} s after the answer")
        assert client.is_in(audience_id, other)
