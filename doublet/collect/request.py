"""HTTP in: bodies, forms, who the client is. HTTP out: one function per kind of answer."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from fast_query_parsers import parse_query_string
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from doublet.refusal import Reason, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Pairs = list[tuple[str, str]]
HeaderList = list[tuple[bytes, bytes]]

_escape_beyond_ascii = re.compile(rb"%[89a-fA-F]").search


def header(scope: Scope, name: bytes) -> str:
    """The first value of a header, empty when it is absent. Names come in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


async def read_body(receive: Receive, size_bytes_max: int) -> bytes | None:
    """The whole body, None as soon as it is larger than allowed."""
    message = await receive()
    body = message.get("body", b"")
    if not message.get("more_body") and len(body) <= size_bytes_max:
        return bytes(body)
    parts, size = [body], len(body)
    while size <= size_bytes_max and message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts) if size <= size_bytes_max else None


def parse_pairs(query: bytes) -> Pairs | Refusal:
    """Decode a query string or an urlencoded body.

    The fast parser drops what is not UTF-8 without a word. That can only happen where there is a
    byte beyond ASCII, raw or as an escape; a name that still holds its `=` then gives it away, and
    the input goes the slow way, which says what is wrong.
    """
    if query.isascii():
        pairs = parse_query_string(query, "&")
        if not _escape_beyond_ascii(query) or not any("=" in name for name, _ in pairs):
            return pairs
    try:
        return parse_qsl(
            query.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=2000
        )
    except UnicodeDecodeError:
        return Refusal(Reason.BAD_ENCODING, "A parameter is not valid UTF-8.")
    except ValueError:
        return Refusal(Reason.MALFORMED_BODY, "The request has more than 2000 parameters.")


def parse_form(body: bytes, content_type: str) -> Pairs | Refusal:
    """Decode an urlencoded or multipart body; file parts count as text."""
    if not content_type.startswith("multipart/"):
        return parse_pairs(body)
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return Refusal(Reason.MALFORMED_BODY, "The multipart body names no boundary.")
    try:
        return _parse_multipart(body, boundary)
    except FormParserError:
        return Refusal(Reason.MALFORMED_BODY, "The multipart body is malformed.")
    except UnicodeDecodeError:
        return Refusal(Reason.BAD_ENCODING, "A form field is not valid UTF-8.")


def _parse_multipart(body: bytes, boundary: bytes) -> Pairs:
    pairs: Pairs = []
    value = bytearray()
    line = [bytearray(), bytearray()]
    disposition = bytearray()

    def on_part_begin() -> None:
        value.clear()
        disposition.clear()

    def on_header_begin() -> None:
        line[0].clear()
        line[1].clear()

    def on_header_field(data: bytes, start: int, end: int) -> None:
        line[0] += data[start:end]

    def on_header_value(data: bytes, start: int, end: int) -> None:
        line[1] += data[start:end]

    def on_header_end() -> None:
        if bytes(line[0]).lower() == b"content-disposition":
            disposition[:] = line[1]

    def on_part_data(data: bytes, start: int, end: int) -> None:
        value.extend(data[start:end])

    def on_part_end() -> None:
        name = parse_options_header(bytes(disposition))[1].get(b"name", b"")
        pairs.append((name.decode("utf-8"), value.decode("utf-8")))

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": on_part_begin,
            "on_part_data": on_part_data,
            "on_part_end": on_part_end,
            "on_header_begin": on_header_begin,
            "on_header_field": on_header_field,
            "on_header_value": on_header_value,
            "on_header_end": on_header_end,
        },
    )
    parser.write(body)
    parser.finalize()
    return pairs


class Proxies:
    """Whom to believe about the client: only configured networks may speak for others."""

    def __init__(self, networks: str) -> None:
        self._networks = [
            ipaddress.ip_network(part.strip(), strict=False)
            for part in networks.split(",")
            if part.strip()
        ]
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def client_ip(self, scope: Scope) -> str | None:
        """The peer, or the last address before it that no trusted proxy vouches for.

        Walks X-Forwarded-For from the right: entries further left are the client's own claim.
        """
        peer = scope.get("client")
        address: str | None = peer[0] if peer else None
        if not self._networks or address is None or not self.trusts(address):
            return address
        chain = [part.strip() for part in header(scope, b"x-forwarded-for").split(",")]
        for entry in reversed([part for part in chain if part]):
            address = entry
            if not self.trusts(entry):
                break
        return address

    def scheme(self, scope: Scope) -> str:
        """http or https as the client used it."""
        peer = scope.get("client")
        claimed = header(scope, b"x-forwarded-proto") if self._networks else ""
        if claimed in ("http", "https") and peer and self.trusts(peer[0]):
            return claimed
        return str(scope.get("scheme", "http"))


async def respond(
    send: Send, status: int, headers: HeaderList, body: bytes = b"", *, head: bool = False
) -> None:
    """Send one whole answer; to HEAD only its headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def json_headers(body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()) -> HeaderList:
    """Headers of a JSON answer."""
    return [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *extra,
    ]
