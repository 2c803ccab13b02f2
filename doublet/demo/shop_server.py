"""The shop as a process of its own: its application on a real socket."""

from __future__ import annotations

import asyncio
import signal

import msgspec
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.applications import Starlette

from doublet.demo.account import demo_folder, read_account
from doublet.demo.orders import OrderNumbers
from doublet.demo.server_side import ServerSide
from doublet.demo.shop import create_shop
from doublet.settings import Settings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def shop_url(settings: Settings, port: int) -> str:
    """Where visitors find the shop, without a trailing slash."""
    return msgspec.structs.replace(settings, port=port).local_url


def dashboard_url(settings: Settings, access_token: str) -> str:
    """The dashboard, opened by the token."""
    return f"{settings.url}/overview?access_token={access_token}"


def make_server(app: Starlette, host: str, port: int) -> Server:
    """A server for one application in this process; `await serve()` it, `stop()` it."""
    # Its warning that an embedded server is experimental is not for visitors of the demo.
    return Server(app, host, port, interface=Interfaces.ASGI, log_level=LogLevels.error)


def run_shop(settings: Settings, port: int) -> None:
    """Serve the shop until SIGINT or SIGTERM."""
    asyncio.run(_serve(settings, port))


async def _serve(settings: Settings, port: int) -> None:
    account = read_account(settings)
    report = ServerSide(settings.local_url, account.pixel_id, account.access_token)
    # Whoever reaches the shop sees its pages, and the token in a link is as good as the key.
    is_private = settings.host in _LOOPBACK
    app = create_shop(
        pixel_id=account.pixel_id,
        public_url=settings.url,
        dashboard_url=dashboard_url(settings, account.access_token)
        if is_private
        else f"{settings.url}/overview",
        order_numbers=OrderNumbers(demo_folder(settings) / "order-number"),
        report=report,
    )
    server = make_server(app, settings.host, port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    finally:
        await report.close()
