"""Batches: many calls in one request, each with its own answer (Graph API, *Batch requests*)."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from doublet.graph.reader import Call, Reader
from doublet.graph.refused import Refused, invalid
from doublet.refusal import Reason, Refusal

logger = logging.getLogger(__name__)

_CALLS_MAX = 50


class _Operation(msgspec.Struct):
    method: str
    relative_url: str
    depends_on: str | None = None
    body: str = ""


_decode = msgspec.json.Decoder(list[_Operation]).decode


def answer_batch(reader: Reader, call: Call) -> list[dict[str, Any]]:
    """The answers in the order of the calls, each with its status and its body as text.

    One that is refused, or fails, spoils none of the others. Raises Refused for what is no batch.
    """
    reader.account(call)
    try:
        operations = _decode(call.parameters.get("batch", ""))
    except (msgspec.DecodeError, RecursionError):
        form = '[{"method": "GET", "relative_url": "PIXEL?fields=name"}, …]'
        raise invalid("batch", f"(#100) batch must be a JSON array such as {form}") from None
    if len(operations) > _CALLS_MAX:
        raise invalid("batch", f"(#100) batch has more than {_CALLS_MAX} calls")
    with_headers = call.parameters.get("include_headers", "true").lower() not in ("false", "0")
    return [_answer(reader, call, each, with_headers) for each in operations]


def _answer(
    reader: Reader, call: Call, operation: _Operation, with_headers: bool
) -> dict[str, Any]:
    try:
        code, body = 200, msgspec.json.encode(reader.read(_single(call, operation)))
    except Refused as refused:
        code, body = _refusal(refused)
    except Exception:
        logger.exception("call of a batch failed")
        code, body = _refusal(Refused(Refusal(Reason.INTERNAL, "An unknown error occurred.")))
    headers = [{"name": "Content-Type", "value": "application/json"}]
    answer = {"code": code, "headers": headers, "body": body.decode()}
    return answer if with_headers else {"code": code, "body": body.decode()}


def _refusal(refused: Refused) -> tuple[int, bytes]:
    answer = refused.answer
    return answer.status_code, bytes(answer.body)


def _single(call: Call, operation: _Operation) -> Call:
    """One call of the batch; it has the batch's token unless it bears its own."""
    if operation.depends_on is not None:
        raise invalid("depends_on", "(#100) depends_on is not supported")
    try:
        address = urlsplit(operation.relative_url)
    except ValueError:
        raise invalid("relative_url", "(#100) relative_url is no address") from None
    own = dict(parse_qsl(address.query, keep_blank_values=True))
    if operation.method.upper() == "POST":
        own = {**dict(parse_qsl(operation.body, keep_blank_values=True)), **own}
    shared = {
        name: call.parameters[name]
        for name in ("access_token", "appsecret_proof")
        if name in call.parameters and "access_token" not in own
    }
    path = "/" + address.path.strip("/")
    return Call(operation.method.upper(), call.host, path, {**shared, **own}, call.token)
