"""`POST /v1/shops/<shop_id>/…`: what a shop's platform delivers, and who is at its carts."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from doublet.accept import Arrival
from doublet.catalog import Shop
from doublet.collect.intake import Intake, refuse
from doublet.collect.request import (
    HeaderList,
    Receive,
    Scope,
    Send,
    header,
    json_headers,
    respond,
)
from doublet.deliveries import Asked, Deliveries, Outcome
from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal
from doublet.shops import PLATFORMS, Delivery, Platform, Told, UnreadableError
from doublet.shops.records import hashed, records_of

T = TypeVar("T")

SHOPS_PATH = "/v1/shops/"
_VISITOR_SIZE_BYTES_MAX = 4096
_OTHER_TOPIC = "other"
_COUNT_S = 1.0

_is_token = re.compile(r"[\w.:-]{8,200}", re.ASCII).fullmatch
_is_cookie = re.compile(r"fb\.[0-9]\.[0-9]{10,16}\.[\w.~-]{1,500}", re.ASCII).fullmatch

_ANYWHERE: HeaderList = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type"),
]


class Visitor(msgspec.Struct, forbid_unknown_fields=True):
    """What a shop's page says of who is at a cart."""

    token: str
    fbp: str = ""
    fbc: str = ""


class ShopDoor:
    """Takes deliveries; it opens their file with the first one."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._opened: Deliveries | None = None
        self._opening = asyncio.Lock()
        self._counted: Counter[tuple[str, str, Outcome]] = Counter()
        self._counting: asyncio.Task[None] | None = None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request; 200 means that what it says is durable."""
        shop_id, _, what = scope["path"].removeprefix(SHOPS_PATH).partition("/")
        answer = {"webhooks": self._take, "visitor": self._remember}.get(what)
        if scope["method"] == "OPTIONS" and what == "visitor":
            await respond(send, 204, _ANYWHERE)
            return
        extra = _ANYWHERE if what == "visitor" else []
        if answer is None:
            await refuse(send, Refusal(Reason.NOT_FOUND, "There is nothing at this address."))
            return
        if scope["method"] != "POST":
            message = "Platforms deliver with POST."
            await refuse(send, Refusal(Reason.METHOD_NOT_ALLOWED, message), more=extra)
            return
        try:
            shop = await self._intake.accounts.of_shop(shop_id)
            if shop is None or shop.platform not in PLATFORMS:
                refusal = Refusal(Reason.NOT_FOUND, "There is no shop at this address.")
                await refuse(send, refusal, more=extra)
                return
            outcome = await answer(shop, scope, receive)
        except BusyError as error:
            outcome = Refusal(Reason.BUSY, error.message)
        if isinstance(outcome, Refusal):
            await refuse(send, outcome, more=extra)
            return
        body = msgspec.json.encode(outcome)
        await respond(send, 200, json_headers(body, extra), body)

    async def _take(self, shop: Shop, scope: Scope, receive: Receive) -> dict[str, Any] | Refusal:
        """Prove a delivery, make what it says durable, keep that it came."""
        body = await self._intake.read_body(scope, receive)
        if isinstance(body, Refusal):
            return body
        platform = PLATFORMS[shop.platform]
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        now = time.time()
        valid = [s.value for s in shop.secrets if s.until is None or s.until > now]
        if not platform.is_proven(headers, body, valid, now):
            is_ping = platform.is_ping(headers, body)
            await self._count(shop, "", "pinged" if is_ping else "unproven")
            message = "The signature is none that a secret of this shop makes."
            return {"pinged": True} if is_ping else Refusal(Reason.SIGNATURE_INVALID, message)
        arrival = Arrival(shop.account_id, shop.pixel_id, "server", 0, self._intake.appender.slot)
        try:
            delivery = platform.read(headers, body)._replace(received_at_s=int(now))
            deliveries = await self._deliveries()
            if await _run(deliveries.was_seen, shop.shop_id, delivery.delivery_id):
                await self._count(shop, _topic(platform, delivery), "repeated")
                return {"repeated": True}
            told = platform.tell(delivery, shop)
            country = self._intake.accounts.phone_country_of(shop.pixel_id)
            errands = [Asked(*hashed(errand, country)) for errand in told.errands]
        except UnreadableError as error:
            # Sending it again would not mend it, and a platform that is refused gives the address
            # up after a few times. It is kept where an operator sees it.
            refusal = Refusal(Reason.MALFORMED_BODY, str(error))
            kept = await self._intake.set_aside(refusal, arrival, body, proven=True, payload=[])
            if kept is not refusal:
                return kept
            await self._count(shop, "", "refused")
            return {"refused": str(error)}
        return await self._keep(shop, platform, delivery, told, errands, arrival)

    async def _keep(
        self,
        shop: Shop,
        platform: Platform,
        delivery: Delivery,
        told: Told,
        errands: list[Asked],
        arrival: Arrival,
    ) -> dict[str, Any] | Refusal:
        deliveries = await self._deliveries()
        visitor = dict(told.visitor)
        if told.tokens:
            known = await _run(deliveries.visitor, shop.shop_id, told.tokens)
            visitor = {**known, **visitor}
        arrival.phone_country = self._intake.accounts.phone_country_of(shop.pixel_id)
        arrival.received_at = self._intake.appender.clock.stamp()
        made = records_of(told, arrival, visitor)
        if made.records:
            busy = await self._intake.append(made.records)
            if busy is not None:
                return busy
        await _run(deliveries.remember, shop.shop_id, told.tokens, told.visitor)
        # Last, since a delivery that is known is not taken again.
        outcome: Outcome = "refused" if made.refused else "taken"
        if told.passed_over and not made.records:
            outcome = "passed_over"
        await _run(
            deliveries.take,
            shop.shop_id,
            shop.account_id,
            _topic(platform, delivery),
            outcome,
            delivery.delivery_id,
            errands,
        )
        said: dict[str, Any] = {"events": made.events, "orders": made.orders}
        if errands:
            said["errands"] = len(errands)
        if made.refused:
            said["refused"] = [refusal.message for refusal in made.refused]
        if told.passed_over:
            said["passed_over"] = told.passed_over
        return said

    async def _remember(
        self, shop: Shop, scope: Scope, receive: Receive
    ) -> dict[str, Any] | Refusal:
        """Keep who is at a cart, which only their browser knows."""
        body = await self._intake.read_body(scope, receive)
        if isinstance(body, Refusal):
            return body
        try:
            if len(body) > _VISITOR_SIZE_BYTES_MAX:
                raise ValueError
            said = _decode_visitor(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # The decoder's own words may hold a value.
            message = 'Send {"token": "the cart", "fbp": "…", "fbc": "…"}.'
            return Refusal(Reason.PARAMETER_INVALID, message)
        if not _is_token(said.token):
            message = "token has 8 to 200 letters, digits, and . : _ -"
            return Refusal(Reason.PARAMETER_INVALID, message, "token")
        fields = {
            "fbp": said.fbp if _is_cookie(said.fbp) else "",
            "fbc": said.fbc if _is_cookie(said.fbc) else "",
            "client_ip_address": self._intake.proxies.client_ip(scope) or "",
            "client_user_agent": header(scope, b"user-agent")[:500],
        }
        kept = {key: value for key, value in fields.items() if value}
        await _run((await self._deliveries()).remember, shop.shop_id, (said.token,), kept)
        return {"remembered": sorted(kept)}

    async def _count(self, shop: Shop, topic: str, outcome: Outcome) -> None:
        """Count a delivery of which nothing is kept; written down once a second at most, since
        anybody may send such."""
        self._counted[shop.shop_id, topic, outcome] += 1
        if self._counting is None:
            self._counting = asyncio.create_task(self._write_counts())

    async def _write_counts(self) -> None:
        await asyncio.sleep(_COUNT_S)
        self._counting = None
        counted, self._counted = self._counted, Counter()
        try:
            await _run((await self._deliveries()).count, counted)
        except BusyError:
            self._counted.update(counted)

    async def _deliveries(self) -> Deliveries:
        async with self._opening:
            if self._opened is None:
                self._opened = await _run(Deliveries, self._intake.deliveries_file)
        return self._opened

    def close(self) -> None:
        """Write what was counted, and give the file back."""
        if self._counting is not None:
            self._counting.cancel()
        if self._opened is not None:
            with suppress(BusyError):
                self._opened.count(self._counted)
            self._opened.close()


_decode_visitor = msgspec.json.Decoder(Visitor).decode


def _topic(platform: Platform, delivery: Delivery) -> str:
    """A topic to count by; any other text is the sender's own."""
    return delivery.topic if delivery.topic in platform.topics else _OTHER_TOPIC


async def _run(act: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, act, *arguments)
