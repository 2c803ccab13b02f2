"""The demo as a person meets it: `doublet demo`, its addresses, its shoppers, its end."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from doublet.catalog import Catalog
from doublet.demo.account import DemoAccount
from doublet.demo.orders import Order, OrderNumbers, read_cart
from doublet.demo.products import PRODUCTS
from doublet.demo.server_side import ServerSide
from doublet.demo.shop import create_shop
from doublet.demo.shoppers import Tally, send_shoppers
from doublet.demo.story import Story
from doublet.demo.visits import PRODUCTS_SEEN_MAX, plan_visits
from doublet.errors import LockedError
from doublet.settings import Settings
from tests.factories import sha256
from tests.running_demo import SECONDS, SHOPPERS, RunningDemo
from tests.server import DoubletProcess, free_port, served, wait_for


def add_up(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Purchases on the report, and those that only the server saw."""
    row = rows["Purchase"]
    assert row["events"] == row["both"] + row["browser_only"] + row["server_only"]
    assert 0 == row["browser_only"]
    return {"orders": row["events"], "blocked": row["server_only"]}


@pytest.mark.slow
def test_the_demo_counts_every_order_once_and_a_second_run_goes_on(tmp_path: Path) -> None:
    planned = plan_visits(1, SHOPPERS, SECONDS)
    expected = {
        "visits": SHOPPERS,
        "orders": sum(visit.buys for visit in planned),
        "blocked": sum(visit.buys and visit.blocks_pixel for visit in planned),
    }
    assert expected["orders"] > expected["blocked"] > 0

    with RunningDemo(tmp_path) as demo:
        dashboard = demo.address("Dashboard")
        assert 200 == httpx.get(dashboard, follow_redirects=True).status_code
        shelf = httpx.get(demo.address("Shop"))
        assert (200, True) == (shelf.status_code, "Wool mittens" in shelf.text)
        assert expected == demo.wait_for_summary()
        first = demo.overview()
        assert {"orders": expected["orders"], "blocked": expected["blocked"]} == add_up(first)
        # One shelf, the products and, from the cart on, one page each; nothing lost, none twice.
        assert (
            sum(len(v.products) for v in planned if not v.blocks_pixel)
            == (first["ViewContent"]["events"])
        )
        assert 0 == demo.stop(signal.SIGINT)
        assert "Traceback" not in demo.stderr
        demo.wait_until_gone()
        assert not demo.is_listening()
    account = demo.data / "demo" / "account.json"
    assert 0o600 == stat.S_IMODE(account.stat().st_mode)
    token = json.loads(account.read_text())["access_token"]
    assert dashboard.endswith(f"access_token={token}")

    with RunningDemo(tmp_path) as demo:
        assert demo.address("Dashboard").endswith(f"access_token={token}")
        assert expected == demo.wait_for_summary()
        # The summary fits 80 columns without folding a name.
        assert " InitiateCheckout " in demo.stderr
        second = demo.overview()
        assert {name: 2 * n for name, n in add_up(first).items()} == add_up(second)
        assert 2 * first["PageView"]["events"] == second["PageView"]["events"]
        assert 0 == demo.stop(signal.SIGTERM)
        demo.wait_until_gone()
    last = int((demo.data / "demo" / "order-number").read_text())
    assert 1000 + 2 * expected["orders"] == last


@pytest.mark.slow
def test_the_demo_ends_cleanly_while_shoppers_are_at_work(tmp_path: Path) -> None:
    with RunningDemo(tmp_path) as demo:
        wait_for(lambda: (demo.data / "demo" / "order-number").exists(), what="an order")
        assert 0 == demo.stop(signal.SIGINT)
        assert "Traceback" not in demo.stderr
        assert "not-reported" not in demo.stderr
        demo.wait_until_gone()


@pytest.mark.slow
def test_a_killed_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunningDemo(tmp_path, shoppers=0) as demo:
        assert len(demo.pids()) >= 5  # The demo, a worker, the shop, collectors and their main.
        os.kill(demo.process.pid, signal.SIGKILL)
        assert -signal.SIGKILL == demo.wait()
        demo.wait_until_gone()
        # The kernel drops a killed process's memory, by which it is found, before its sockets.
        wait_for(lambda: not demo.is_listening(), what="nobody listens")


def test_the_demo_waits_for_a_worker_that_is_still_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account_id = catalog.create_account("Shop").account_id
    catalog.close()
    asked = []

    def reading(*given: object) -> list[object]:
        asked.append(given)
        if len(asked) < 3:
            raise LockedError("The folder is in use by another process.", "Stop it.")
        return []

    async def nobody(*_: object) -> None:
        """Shoppers who do not come."""

    monkeypatch.setattr("doublet.demo.story.read_overview", reading)
    monkeypatch.setattr("doublet.demo.story.send_shoppers", nobody)
    told = io.StringIO()
    account = DemoAccount(account_id, "1", "token")
    monkeypatch.setattr("doublet.demo.story.httpx.get", lambda *_, **__: None)
    supervisor: Any = SimpleNamespace(is_stopping=False)
    story = Story(supervisor, settings, account, 1, Console(file=told))
    story.tell(plan_visits(1, 1, 0.0), 1.0)
    assert "cannot go on" not in told.getvalue()
    assert len(asked) > 3


@pytest.mark.parametrize(("flag", "other"), [("--port", "--shop-port"), ("--shop-port", "--port")])
def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path, flag: str, other: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = (f"--data={tmp_path / 'data'}", f"{flag}={port}", f"{other}={free_port()}")
        with DoubletProcess(tmp_path, "demo", *arguments) as demo:
            assert 3 == demo.wait()
            assert f"Port {port} on 127.0.0.1 is taken." in demo.stderr
            assert f"choose another with {flag}." in demo.stderr
    assert not (tmp_path / "data").exists()


def test_one_port_cannot_serve_both(tmp_path: Path) -> None:
    port = free_port()
    arguments = (f"--data={tmp_path / 'data'}", f"--port={port}", f"--shop-port={port}")
    with DoubletProcess(tmp_path, "demo", *arguments) as demo:
        assert 3 == demo.wait()
        assert "cannot both have port" in demo.stderr


# --- the shop and its server side ---------------------------------------------------------------

PIXEL = "1000000000000001"


def make_order(**fields: Any) -> Order:
    """An order of two teacup pairs, with `fields` in place of the usual ones."""
    usual: dict[str, Any] = {
        "order_id": "TS-1001",
        "cart": read_cart("teacups.2"),
        "email": " Ada@Example.com ",
        "visitor_id": "visitor-7",
        "url": "http://shop.example/orders/TS-1001",
        "ordered_at": 1_780_000_000,
        "client_ip_address": "127.0.0.1",
        "client_user_agent": "Browser/1",
        "fbp": "",
        "fbc": "",
    }
    return Order(**usual | fields)


class Endpoint:
    """Answers `statuses` one after the other, the last one for ever, and keeps what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.tokens: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.paths.append(request.url.path)
            self.tokens.append(request.headers["authorization"])
            self.bodies.append(await request.json())
            status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
            response: Response = JSONResponse({"error": {"message": "no room"}}, status)
            await response(scope, receive, send)


def report(url: str, order: Order) -> None:
    """Report one order as the demo's shop does."""

    async def run() -> None:
        server_side = ServerSide(url, PIXEL, "dbl_secret")
        try:
            await server_side(order)
        finally:
            await server_side.close()

    asyncio.run(run())


def test_a_report_is_repeated_with_the_same_event_id_until_it_is_taken() -> None:
    endpoint = Endpoint(503, 500, 200)
    with served(endpoint) as url:
        report(url, make_order())
    assert [f"/v25.0/{PIXEL}/events"] * 3 == endpoint.paths
    assert ["Bearer dbl_secret"] * 3 == endpoint.tokens
    assert endpoint.bodies[0] == endpoint.bodies[1] == endpoint.bodies[2]
    (event,) = endpoint.bodies[0]["data"]
    assert ("Purchase", "TS-1001") == (event["event_name"], event["event_id"])
    assert [sha256("ada@example.com")] == event["user_data"]["em"]
    assert (64.0, "USD") == (event["custom_data"]["value"], event["custom_data"]["currency"])
    assert {"em", "external_id", "client_ip_address", "client_user_agent"} == set(
        event["user_data"]
    )


def test_a_report_waits_for_a_server_that_is_not_up_yet() -> None:
    port = free_port()
    endpoint = Endpoint(200)
    shop = threading.Thread(target=report, args=(f"http://127.0.0.1:{port}", make_order()))
    shop.start()
    with served(endpoint, port):
        shop.join(30)
        assert not shop.is_alive()
    assert 1 == len(endpoint.bodies)


def test_a_refused_report_is_said_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(400)
    with served(endpoint) as url:
        report(url, make_order())
    assert 1 == len(endpoint.bodies)
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("doublet")]
    assert "purchase-not-reported order_id=TS-1001" in line
    assert "400" in line
    assert "no room" in line


def make_shop(folder: Path, orders: list[Order]) -> ASGIApp:
    """A shop that puts its orders into a list."""
    return create_shop(
        pixel_id=PIXEL,
        public_url="http://127.0.0.1:1",
        dashboard_url="http://127.0.0.1:1/overview",
        order_numbers=OrderNumbers(folder / "order-number"),
        report=orders.append,
    )


def test_the_longest_visit_comes_to_its_end(tmp_path: Path) -> None:
    every = tuple(product.slug for product in PRODUCTS[:PRODUCTS_SEEN_MAX])
    longest = plan_visits(1, 1, 0.0)[0]._replace(
        products=every,
        bought=every,
        blocks_pixel=True,
        checks_out=True,
        buys=True,
        reloads=True,
    )
    orders: list[Order] = []
    tally = Tally()
    with served(make_shop(tmp_path, orders)) as url:
        asyncio.run(send_shoppers(url, [longest], tally))
    assert [] == tally.problems
    assert (1, 1, 1) == (tally.visits, tally.orders, len(orders))


def test_the_shop_works_without_script_and_explains_what_is_wrong(tmp_path: Path) -> None:
    orders: list[Order] = []
    with (
        served(make_shop(tmp_path, orders)) as url,
        httpx.Client(base_url=url, follow_redirects=True) as visitor,
    ):
        assert 404 == visitor.get("/products/nothing").status_code
        assert 404 == visitor.post("/cart", data={"product": "nothing"}).status_code
        assert 404 == visitor.get("/orders/TS-1001").status_code
        assert "Nothing in it yet" in visitor.get("/checkout").text

        cart = visitor.post("/cart", data={"product": "mittens"})
        assert (f"{url}/cart", True) == (str(cart.url), "Wool mittens" in cart.text)
        visitor.post("/cart", data={"product": "dominoes"})
        cart = visitor.post("/cart/remove", data={"product": "dominoes"})
        assert (True, False) == ("Wool mittens" in cart.text, "Double-six" in cart.text)

        wrong = visitor.post("/checkout", data={"name": "", "email": "<b>nobody"})
        assert 422 == wrong.status_code
        assert 2 == wrong.text.count('aria-invalid="true"')
        assert "<b>nobody" not in wrong.text
        assert [] == orders

        thanks = visitor.post("/checkout", data={"name": "Ada", "email": "ada@example.com"})
        assert f"{url}/orders/TS-1001" == str(thanks.url)
        assert thanks.text == visitor.get(thanks.url).text
        assert '{"eventID": "TS-1001"}' in thanks.text
        wait_for(lambda: len(orders) == 1, what="the order is reported")
        assert ("TS-1001", 24.0) == (orders[0].order_id, orders[0].value)
        assert "Nothing in it yet" in visitor.get("/cart").text


def test_order_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "order-number"
    first = [OrderNumbers(file).next() for _ in range(2)]
    assert ["TS-1001", "TS-1002", "TS-1003"] == [*first, OrderNumbers(file).next()]


@pytest.mark.parametrize(
    ("cookie", "lines"),
    [
        ("", []),
        ("mittens.2-teacups.1", [("mittens", 2), ("teacups", 1)]),
        ("gold.1-mittens.0-teacups.x-mills.99999999999999999999", [("mills", 9)]),
        ("mittens.²", []),
    ],
)
def test_a_cart_holds_only_what_is_for_sale(cookie: str, lines: list[tuple[str, int]]) -> None:
    assert lines == [(line.product.slug, line.quantity) for line in read_cart(cookie)]
