"""HTTP in: bodies, forms, who the client is. HTTP out: one function per kind of answer."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from fast_query_parsers import parse_query_string
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Pairs = list[tuple[str, str]]
HeaderList = list[tuple[bytes, bytes]]

_FIELDS_MAX = 2000
_BROKEN = "The compressed body ends early or is damaged."
_GZIP_MEMBERS_MAX = 256

_AUTHORITY_LENGTH_MAX = 262
"""A name has at most 253 characters (RFC 1035, section 2.3.4), before a port or in brackets."""

_host_name = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f.]*:[0-9a-f:.]*").fullmatch
_escape_beyond_ascii = re.compile(rb"%[89a-fA-F]").search


def header(scope: Scope, name: bytes) -> str:
    """The first value of a header, empty when it is absent. Names come in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def host_name(authority: bytes) -> str:
    """The host of `host:port` in lower case, empty when it is no name and no address.

    >>> host_name(b"Shop.example.:8443"), host_name(b"[::1]:8700"), host_name(b"a b")
    ('shop.example', '::1', '')
    """
    # Only what can be a name is looked at and remembered: a header may be of any length.
    return _host_of(authority) if len(authority) <= _AUTHORITY_LENGTH_MAX else ""


@lru_cache(maxsize=4096)
def _host_of(authority: bytes) -> str:
    text = authority.decode("latin-1").strip().lower()
    host = text[1:].partition("]")[0] if text[:1] == "[" else text.partition(":")[0].rstrip(".")
    return host if _host_name(host) else ""


class Room:
    """Bytes that all bodies which are still arriving may hold at once in this process."""

    def __init__(self, size_bytes_max: int) -> None:
        self.left = size_bytes_max

    @contextmanager
    def hold(self, body: bytes) -> Iterator[None]:
        """Count one that has arrived too, for as long as it is kept. Raises BusyError."""
        self.left -= len(body)
        try:
            if self.left < 0:
                raise BusyError("Too many large requests at once.", "Try again later.")
            yield
        finally:
            self.left += len(body)


async def read_body(
    receive: Receive, size_bytes_max: int, room: Room, timeout_s: float
) -> bytes | Refusal:
    """The whole body; it is refused when it is larger than allowed, or does not arrive whole.

    Raises BusyError when there is no room for it just now.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            body = message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body"):
                return bytes(body) if len(body) <= size_bytes_max else _too_large(size_bytes_max)
            parts, size = [body], len(body)
            room.left -= size
            while size <= size_bytes_max:
                if room.left < 0:
                    raise BusyError("Too many large requests at once.", "Try again later.")
                if message["type"] != "http.request":
                    return Refusal(Reason.MALFORMED_BODY, "The body ended before its length.")
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                room.left -= len(parts[-1])
    except TimeoutError:
        return Refusal(Reason.MALFORMED_BODY, f"The body took longer than {timeout_s:g} s.")
    finally:
        room.left += size
    return _too_large(size_bytes_max)


def _too_large(size_bytes_max: int) -> Refusal:
    return Refusal(Reason.TOO_LARGE, f"The request body is larger than {size_bytes_max} bytes.")


def decompress(body: bytes, scope: Scope, size_bytes_max: int) -> bytes | Refusal:
    """A body without its Content-Encoding, gzip or deflate; never more of it than allowed.

    One that is not compressed as its header says stays as it is, since some clients only say so.
    """
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return body
    parts: list[bytes] = []
    # 15 is the largest window, 32 takes zlib's header and gzip's.
    left, size, window = body, 0, 15 + 32
    # A gzip body may have several members (RFC 1952, section 2.2). What follows each is copied, so
    # that a body of nothing but empty ones would keep the process busy for half a minute.
    while left:
        if len(parts) == _GZIP_MEMBERS_MAX:
            return Refusal(Reason.COMPRESSED, f"More than {_GZIP_MEMBERS_MAX} members of gzip.")
        stream = zlib.decompressobj(window)
        try:
            parts.append(stream.decompress(left, size_bytes_max + 1 - size))
        except zlib.error:
            if parts:
                return Refusal(Reason.COMPRESSED, _BROKEN)
            if encoding != "deflate" or window < 0 or body[:1] == b"{":
                return body
            # Many clients send deflate without zlib's header.
            window = -15
            continue
        size += len(parts[-1])
        if size > size_bytes_max:
            return _too_large(size_bytes_max)
        if not stream.eof:
            return Refusal(Reason.COMPRESSED, _BROKEN)
        left = stream.unused_data
    return b"".join(parts)


def explain(refusal: Refusal, scope: Scope) -> Refusal:
    """The refusal of a body that cannot be read; compression is the likeliest cause."""
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding in ("", "identity", "gzip", "x-gzip", "deflate"):
        return refusal
    return Refusal(Reason.COMPRESSED, "The body is compressed in a way that is not supported.")


def parse_pairs(query: bytes) -> Pairs | Refusal:
    """Decode a query string or an urlencoded body.

    The fast parser drops what is not UTF-8 without a word. That can only happen where there is a
    byte beyond ASCII, raw or as an escape; a name that still holds its `=` then gives it away, and
    the input goes the slow way, which says what is wrong.
    """
    if query.count(b"&") >= _FIELDS_MAX:
        return Refusal(Reason.MALFORMED_BODY, "The request has more than 2000 parameters.")
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
    if content_type[:10].lower() != "multipart/":
        return parse_pairs(body)
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return Refusal(Reason.MALFORMED_BODY, "The multipart body names no boundary.")
    if body.count(b"--" + boundary) > _FIELDS_MAX:
        return Refusal(Reason.MALFORMED_BODY, "The request has more than 2000 parameters.")
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
        # Seen through a socket that serves both families (RFC 4291, section 2.5.5.2).
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._networks)

    def client_ip(self, scope: Scope) -> str | None:
        """The peer, or the last address before it that no trusted proxy vouches for.

        Walks X-Forwarded-For from the right, over all headers of that name: entries further left
        are the client's own claim, and some proxies add theirs as a header of its own.
        """
        peer = scope.get("client")
        address: str | None = peer[0] if peer else None
        if not self._networks or address is None or not self.trusts(address):
            return address
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        chain = [part.strip() for part in b",".join(lines).decode("latin-1").split(",")]
        for entry in reversed([part for part in chain if part]):
            address = entry
            if not self.trusts(entry):
                break
        return address

    def host(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """The host that the client asked for, empty when it names none."""
        asked = headers.get(b"host", b"")
        if self._networks and b"x-forwarded-host" in headers:
            peer = scope.get("client")
            if peer and self.trusts(peer[0]):
                asked = headers[b"x-forwarded-host"].partition(b",")[0]
        return host_name(asked)

    def scheme(self, scope: Scope) -> str:
        """http or https as the client used it."""
        peer = scope.get("client")
        claimed = header(scope, b"x-forwarded-proto") if self._networks else ""
        if claimed in ("http", "https") and peer and self.trusts(peer[0]):
            return claimed
        return str(scope.get("scheme", "http"))

    def seen(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bytes:
        """What is believed of a client, for the set-up guide's own requests: a header's value. It
        tells why a visitor may look like the proxy that brings him."""
        peer = scope.get("client")
        is_forwarded = b"x-forwarded-for" in headers
        believed = "believed" if peer and self.trusts(peer[0]) else "ignored"
        told = {
            "address": self.client_ip(scope) or "",
            "peer": peer[0] if peer else "",
            "forwarded": believed if is_forwarded else "none",
            "scheme": self.scheme(scope),
            "host": self.host(scope, headers),
        }
        # What comes from a header may hold anything; addresses and names hold none of these.
        return "; ".join(f"{key}={_plain(text)}" for key, text in told.items()).encode()


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in ".:-_"))[:253]


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
