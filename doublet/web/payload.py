"""The payload helper: paste events of the Conversions API, see what would become of them, send
them, take them away as code. What is pasted may hold a person's data: it never stands in an
address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.accept import EVENTS_PER_REQUEST_MAX, check_payload, read_payload
from doublet.accept.check import Check
from doublet.catalog import Account, Catalog, Role
from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal
from doublet.web import page
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.parameters import Question, read_question
from doublet.web.refused import Refused
from doublet.web.snippets import snippets

FORM_SIZE_BYTES_MAX = 512 << 10
"""Of the form as a browser sends it, in which JSON is up to three times as long."""

_CODE_LENGTH_MAX = 64
_SHOWN_MAX = 20

Send = Callable[[str, str, str, bytes], int | Refusal]
"""Makes a body durable for an account and a pixel, whose phone numbers are of a country: how many
events it had, or why none was taken."""


def example(currency: str, now_s: int) -> str:
    """A purchase to begin with; its e-mail address is that of customer@shop.example."""
    event = {
        "event_name": "Purchase",
        "event_time": now_s,
        "event_id": f"test-{now_s}",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {
            "em": [sha256(b"customer@shop.example").hexdigest()],
            "client_user_agent": "Mozilla/5.0",
        },
        "custom_data": {"value": 49.90, "currency": currency, "order_id": f"test-{now_s}"},
    }
    return json.dumps({"data": [event]}, indent=2)


def as_body(text: str, code: str) -> dict[str, Any] | None:
    """What a text holds as the body of one request, with a test_event_code if there is one; None
    where the text cannot be read."""
    events, beside = read_payload(text.encode("utf-8", "surrogatepass"))
    if isinstance(events, Refusal) or not events:
        return None
    code = code or beside.get("test_event_code") or ""
    return {"data": events, **({"test_event_code": code} if code else {})}


class _Payload:
    def __init__(self, door: Access, catalog: Catalog, public_url: str, send: Send) -> None:
        self._door = door
        self._catalog = catalog
        self._public_url = public_url
        self._send = send

    async def show(self, request: Request) -> Response:
        """The form with an example in it."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await read_question(request, visitor, self._catalog)
        text = example(question.account.currency, int(time.time()))
        return self._answer(question, text, question.pixel_id, "TEST1")

    async def act(self, request: Request) -> Response:
        """Check the payload, and send it where that is asked for."""
        asked = await self._door.admit_to_change(
            request, Role.READ_ONLY, size_bytes_max=FORM_SIZE_BYTES_MAX
        )
        question = await read_question(request, asked.visitor, self._catalog)
        question = question._replace(account=asked.account)
        text, code = asked.fields.get("payload", ""), asked.fields.get("code", "").strip()
        known = [each.pixel_id for each in self._catalog.pixels(asked.account.account_id)]
        pixel_id = asked.fields.get("pixel", "")
        if pixel_id not in known or len(code) > _CODE_LENGTH_MAX:
            field = "code" if pixel_id in known else "pixel"
            message = f"Choose a pixel of yours, and a code of up to {_CODE_LENGTH_MAX} characters."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, field))
        rules = await run_in_threadpool(self._catalog.pixel_rules, pixel_id)
        checked = await run_in_threadpool(
            check_payload,
            text.encode("utf-8", "surrogatepass"),
            time.time_ns() // 1000,
            rules.phone_country,
            events_max=EVENTS_PER_REQUEST_MAX,
        )
        body = as_body(text, code)
        sent: int | Refusal | None = None
        if asked.fields.get("do") == "send" and body is not None:
            asked.visitor.demand(asked.account.account_id, Role.ANALYST)
            sent = await self._take(asked.account, pixel_id, rules.phone_country, body)
            if isinstance(sent, int):
                await run_in_threadpool(
                    record_change,
                    self._catalog,
                    asked.visitor,
                    asked.account.account_id,
                    "test_events.sent",
                    pixel_id,
                    events=sent,
                )
        return self._answer(question, text, pixel_id, code, checked, body, sent)

    async def _take(
        self, account: Account, pixel_id: str, phone_country: str, body: dict[str, Any]
    ) -> int | Refusal:
        send = partial(self._send, account.account_id, pixel_id, phone_country)
        try:
            return await run_in_threadpool(send, json.dumps(body).encode())
        except BusyError as error:
            raise Refused(Refusal(Reason.BUSY, error.message)) from error

    def _answer(
        self,
        question: Question,
        text: str,
        pixel_id: str | None,
        code: str,
        checked: Check | None = None,
        body: dict[str, Any] | None = None,
        sent: int | Refusal | None = None,
    ) -> Response:
        pixels = question.pixels
        chosen = pixel_id or (pixels[0].pixel_id if pixels else None)
        return page.answer(
            "payload.html",
            question=question,
            text=text,
            pixel_id=chosen,
            code=code,
            checked=checked,
            shown=checked.events[:_SHOWN_MAX] if checked else [],
            sent=sent if isinstance(sent, int) else None,
            refusal=sent if isinstance(sent, Refusal) else None,
            snippets=snippets(self._public_url, chosen, body) if chosen and body else [],
        )


def payload_routes(door: Access, catalog: Catalog, public_url: str, send: Send) -> list[Route]:
    """The page; its twin for programs is `POST /v1/check`."""
    view = _Payload(door, catalog, public_url, send)
    return [
        Route("/payload", view.show),
        Route("/payload", view.act, methods=["POST"]),
    ]
