"""Simulated shoppers: they load the shop's pages over HTTP and do what the pixel on them would do.

Of a page they read the pixel's address and id and its calls of `fbq`, as a browser does; what they
send to `/tr/` has the pixel's parameters, cookies included. Purchases go through the shop's
checkout, so that the shop's server reports them by itself.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
import uuid
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import httpx
import msgspec

from doublet.demo.visits import Visit

_TIMEOUT_S = 20.0

_script_address = re.compile(r'"(http[^"]+)/px\.js"').search
_initialised = re.compile(r'fbq\("init", "(\d+)"\)').search
_tracked = re.compile(r'fbq\(("track", .*)\);').findall
_added = re.compile(r"data-event='([^']*)'").search


class Tally(msgspec.Struct):
    """What the shoppers have done so far."""

    visits: int = 0
    orders: int = 0
    blocked_orders: int = 0
    problems: list[str] = []


class Pixel:
    """What the pixel's script would do in one visitor's browser."""

    def __init__(self, client: httpx.AsyncClient, visit: Visit) -> None:
        self._client = client
        self._visit = visit
        self._referrer = ""
        self._address = self._pixel_id = ""
        self._began_ms = self._count = 0

    async def run_page(self, url: str, page: str) -> None:
        """Load the script that the page names, keep the cookies, send what the page tracks."""
        script, initialised = _script_address(page), _initialised(page)
        assert script is not None, "the page names no pixel script"
        assert initialised is not None, "the page initialises no pixel"
        self._address, self._pixel_id = script[1], initialised[1]
        self._began_ms, self._count = time.time_ns() // 1_000_000, 0
        self._keep_cookies(url)
        for call in _tracked(page):
            _, event_name, *rest = json.loads(f"[{call}]")
            await self.track(url, event_name, *rest)
        self._referrer = url

    def _keep_cookies(self, url: str) -> None:
        cookies = self._client.cookies
        if "_fbp" not in cookies:
            cookies.set("_fbp", f"fb.1.{self._began_ms}.{self._visit.browser_digits}")
        if "fbclid=" in url:
            cookies.set("_fbc", f"fb.1.{self._began_ms}.{self._visit.click_id}")

    async def track(
        self,
        url: str,
        event_name: str,
        params: dict[str, Any] | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        """One hit, as the image of the pixel's script requests it."""
        width, height = self._visit.screen
        cookies = self._client.cookies
        # Ids are new in every run, whatever the seed: they name what happened, as a browser's do.
        event_id = (options or {}).get("eventID") or str(uuid.uuid4())
        pairs: list[tuple[str, str | int | float | bool | None]] = [
            ("id", self._pixel_id),
            ("ev", event_name),
            ("dl", url),
            ("rl", self._referrer),
            ("if", "false"),
            ("ts", str(time.time_ns() // 1_000_000)),
            *((f"cd[{name}]", _text(value)) for name, value in (params or {}).items()),
            *(("sw", str(width)), ("sh", str(height)), ("v", "0.1.0"), ("r", "stable")),
            *(("ec", str(self._count)), ("o", "4120")),
            *((name[1:], cookies[name]) for name in ("_fbc", "_fbp") if name in cookies),
            *(("eid", event_id), ("it", str(self._began_ms)), ("coo", "false"), ("rqm", "GET")),
        ]
        self._count += 1
        answer = await self._client.get(f"{self._address}/tr/", params=pairs)
        answer.raise_for_status()


class Shopper:
    """One visitor at work."""

    def __init__(self, client: httpx.AsyncClient, visit: Visit) -> None:
        self._client = client
        self._visit = visit
        self._pixel = None if visit.blocks_pixel else Pixel(client, visit)
        self._pauses = cycle(visit.pauses_s)
        self._url = ""

    async def shop(self) -> bool:
        """Go through the shop as planned; whether an order was placed."""
        visit = self._visit
        await self._open(f"/?fbclid={visit.click_id}" if visit.click_id else "/")
        for slug in visit.products:
            page = await self._open(f"/products/{slug}")
            if slug in visit.bought:
                await self._add(slug, page)
        if visit.bought:
            await self._open("/cart")
        if not visit.checks_out:
            return False
        await self._open("/checkout")
        if not visit.buys:
            return False
        await self._pause()
        placed = await self._client.post(
            "/checkout", data={"name": visit.name, "email": visit.email}
        )
        assert placed.status_code == 303, f"the checkout answered {placed.status_code}"
        await self._open(placed.headers["location"])
        if visit.reloads:
            await self._open(placed.headers["location"])
        return True

    async def _pause(self) -> None:
        await asyncio.sleep(next(self._pauses))

    async def _open(self, address: str) -> str:
        await self._pause()
        answer = await self._client.get(address)
        answer.raise_for_status()
        self._url, page = str(answer.url), answer.text
        if self._pixel is not None:
            await self._pixel.run_page(self._url, page)
        return page

    async def _add(self, slug: str, page: str) -> None:
        await self._pause()
        answer = await self._client.post(
            "/cart", data={"product": slug}, headers={"accept": "application/json"}
        )
        answer.raise_for_status()
        button = _added(page)
        assert button is not None, "the page has no button that adds to the cart"
        if self._pixel is not None:
            await self._pixel.track(self._url, "AddToCart", json.loads(html.unescape(button[1])))


async def send_shoppers(shop_url: str, visits: Sequence[Visit], tally: Tally) -> None:
    """All visits at their times, counted in `tally` as they end; cancel the task to end early.

    A visit that fails is noted among the tally's problems, and the others go on.
    """
    # Making one takes tens of milliseconds, and every client would make its own.
    context = httpx.create_ssl_context()

    async def go(visit: Visit) -> None:
        await asyncio.sleep(visit.start_s)
        try:
            async with httpx.AsyncClient(
                base_url=shop_url,
                headers={"user-agent": visit.agent},
                timeout=_TIMEOUT_S,
                verify=context,
            ) as client:
                has_bought = await Shopper(client, visit).shop()
        except (httpx.HTTPError, AssertionError) as error:
            tally.problems.append(f"{type(error).__name__}: {error}")
            has_bought = False
        tally.visits += 1
        tally.orders += has_bought
        tally.blocked_orders += has_bought and visit.blocks_pixel

    await asyncio.gather(*(go(visit) for visit in visits))


def _text(value: Any) -> str:
    """A value of `cd[…]` on the wire, as the pixel's script writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.15g}"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
