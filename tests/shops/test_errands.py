"""What a delivery asks for that takes longer: orders from an API that fails at first, persons."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.factories import sha256
from tests.server import RunningServer, served, wait_for
from tests.shops.stories import resource, signed

FBP = "fb.1.1780000000000.987654321"
CART = "a8458391-ef68-4fe5-9ec1-442e6a767364"


class Api:
    """The parts of BigCommerce's API that are asked, which fails as often as it is told to."""

    def __init__(self) -> None:
        now = formatdate(time.time() - 60)
        self.order = {
            **resource("bigcommerce", "order"),
            **{"date_created": now, "date_modified": now, "cart_id": CART, "status_id": 11},
        }
        self.hooks: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.failures = [Response(status_code=503), Response(status_code=429)]
        self.is_open = True
        self.app = Starlette(
            routes=[
                Route("/v3/hooks", self._hooks, methods=["GET", "POST"]),
                Route("/v3/hooks/{hook}", self._hook, methods=["PUT"]),
                Route("/v2/orders/{order}", self._order),
                Route("/v2/orders/{order}/products", self._of("products")),
                Route("/v3/orders/{order}/payment_actions/refunds", self._none),
            ]
        )

    async def _hooks(self, request: Request) -> Response:
        if request.headers.get("x-auth-token") != "api-token":
            return Response(status_code=401)
        if request.method == "POST":
            self.hooks.append({"id": len(self.hooks) + 1, **(await request.json())})
        return JSONResponse({"data": self.hooks})

    async def _hook(self, request: Request) -> Response:
        self.hooks[int(request.path_params["hook"]) - 1] |= await request.json()
        return JSONResponse({"data": {}})

    async def _order(self, request: Request) -> Response:
        self.asked.append(request.path_params["order"])
        if not self.is_open:
            return Response(status_code=401)
        if request.path_params["order"] != str(self.order["id"]):
            return Response(status_code=404)
        return self.failures.pop() if self.failures else JSONResponse(self.order)

    def _of(self, name: str) -> Any:
        async def answer(request: Request) -> Response:
            return JSONResponse(resource("bigcommerce", name))

        return answer

    async def _none(self, request: Request) -> Response:
        return Response(status_code=204)


class Shop:
    """A BigCommerce shop, added and connected from the command line."""

    def __init__(self, server: RunningServer, api_url: str, folder: Path) -> None:
        self.server = server
        (folder / "token.txt").write_text("api-token\n")
        added = server.run(
            *("shop", "add", "bigcommerce", "Corner", "--store-hash", "abc123"),
            *("--domain", "shop.example", "--api-url", api_url),
            *("--api-token-file", str(folder / "token.txt")),
        )
        self.shop_id = added["id"]

    def deliver(self, order_id: int, headers: dict[str, str]) -> httpx.Response:
        """One delivery about an order."""
        payload = resource("bigcommerce", "payload") | {
            "scope": "store/order/created",
            "data": {"type": "order", "id": order_id},
            "hash": f"{order_id}-{time.monotonic_ns()}",
        }
        url = f"{self.server.url}/v1/shops/{self.shop_id}/webhooks"
        return httpx.post(url, json=payload, headers=headers)

    def errands(self) -> list[dict[str, Any]]:
        """As the command lists them."""
        listed: list[dict[str, Any]] = self.server.run("shop", "errands")
        return listed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("errands"), workers=1) as running:
        yield running


def test_an_order_is_completed_through_an_api_that_fails(
    server: RunningServer, tmp_path: Path
) -> None:
    api = Api()
    with served(api.app) as api_url:
        shop = Shop(server, api_url, tmp_path)
        made = server.run("shop", "connect")
        assert {"made"} == {row["webhook"] for row in made}
        assert {"kept"} == {row["webhook"] for row in server.run("shop", "connect")}
        headers = api.hooks[0]["headers"]
        url = f"{server.url}/v1/shops/{shop.shop_id}/visitor"
        assert 200 == httpx.post(url, content=json.dumps({"token": CART, "fbp": FBP})).status_code

        order_id = int(api.order["id"])
        assert 401 == shop.deliver(order_id, {"x-doublet-secret": "guess"}).status_code
        answer = shop.deliver(order_id, headers)
        assert (200, 1) == (answer.status_code, answer.json()["errands"])
        again = shop.deliver(order_id, headers)
        assert 200 == again.status_code
        wait_for(
            lambda: all("1 events" in row["state"] for row in shop.errands()), 60, "it is completed"
        )
        assert [] == api.failures
        wait_for(lambda: "Purchase" in server.overview(), 20)
        log = b"".join(path.read_bytes() for path in server.settings.log_folder.rglob("*.jsonl"))
        assert FBP.encode() in log
        ledger = server.run("order", "show", str(order_id))
        assert str(order_id) in json.dumps(ledger)
        assert 1 == server.overview()["Purchase"]["events"]

        shop.deliver(4711, headers)
        wait_for(
            lambda: any("knows nothing" in row["state"] for row in shop.errands()), 20, "it is gone"
        )
        api.is_open = False
        shop.deliver(order_id, headers)
        wait_for(
            lambda: any("check the shop's API token" in row["problem"] for row in shop.errands()),
            20,
            "an operator sees why",
        )
        shown = server.run("shop", "show")
        assert {"taken", "unproven"} <= {row["outcome"] for row in shown["deliveries"]}
        assert 1 == len(shown["errands"])
        rotated = server.run("shop", "secret")
        assert {"changed"} == {row["webhook"] for row in server.run("shop", "connect")}
        assert rotated["secret"] == api.hooks[0]["headers"]["X-Doublet-Secret"]


def test_a_person_is_exported_and_erased_on_request(server: RunningServer, tmp_path: Path) -> None:
    email = "ada@shop.example"
    event = {
        "event_name": "Lead",
        "event_time": int(time.time()),
        "event_id": "ada-lead",
        "action_source": "website",
        "event_source_url": "https://shop.example/",
        "user_data": {"em": email, "client_user_agent": "Mozilla/5.0", "fbp": FBP},
    }
    path = f"{server.url}/v25.0/{server.pixel_id}/events"
    assert 200 == httpx.post(path, headers=server.headers, json={"data": [event]}).status_code
    (tmp_path / "secret.txt").write_text("not_one")
    shop_id = server.run(
        *("shop", "add", "shopify", "Other", "--domain", "other.example"),
        *("--secret-file", str(tmp_path / "secret.txt")),
    )["id"]
    (tmp_path / "secret.txt").write_text("whsec_not")
    server.run("shop", "secret", "Other", "--secret-file", str(tmp_path / "secret.txt"))

    def ask(topic: str) -> int:
        body = json.dumps({"customer": {"id": 7, "email": email}}).encode()
        url = f"{server.url}/v1/shops/{shop_id}/webhooks"
        headers = signed("shopify", topic, body, topic)
        return httpx.post(url, content=body, headers=headers).status_code

    def state(kind: str) -> str:
        rows = server.run("shop", "errands", "Other")
        return next(str(row["state"]) for row in rows if row["kind"] == kind)

    wait_for(lambda: ask("customers/data_request") == 200, 20, "the new secret proves")
    wait_for(lambda: "lines in" in state("export"), 30, "it is exported")
    (exported,) = (server.settings.data / "exports").glob("*.jsonl")
    assert "ada-lead" in exported.read_text("utf-8")
    assert 0o600 == exported.stat().st_mode & 0o777
    assert 200 == ask("customers/redact")
    wait_for(lambda: "asked to erase" in state("erase"), 30, "it is asked")
    assert not exported.exists()

    def is_erased() -> bool:
        answer = httpx.get(f"{server.url}/v1/person/erasures", headers=server.headers).json()
        return bool(answer) and all(erasure["state"] == "done" for erasure in answer)

    wait_for(is_erased, 60, "the person is erased")
    log = b"".join(path.read_bytes() for path in server.settings.log_folder.rglob("*.jsonl"))
    assert sha256(email).encode() not in log
