"""Bodies, forms, and who the client is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doublet.collect.request import Proxies, Room, parse_form, parse_pairs, read_body
from doublet.errors import BusyError
from doublet.refusal import Refusal


def read(*messages: dict[str, Any], limit: int = 10, timeout_s: float = 5.0) -> bytes | str:
    """What becomes of a body that arrives in these messages and then stops: bytes or a reason."""

    async def run() -> bytes | Refusal:
        left = list(messages)
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not left:
                await never.wait()
            return left.pop(0)

        room = Room(100)
        try:
            return await read_body(receive, limit, room, timeout_s)
        finally:
            assert 100 == room.left

    body = asyncio.run(run())
    return body.reason.label if isinstance(body, Refusal) else body


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    """One message of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([part(b"")], b""),
        ([part(b"0123456789")], b"0123456789"),
        ([part(b"01234567890")], "too_large"),
        ([part(b"01", more=True), part(b"", more=True), part(b"2")], b"012"),
        ([part(b"01234", more=True), part(b"567890", more=True)], "too_large"),
        ([part(b"01234", more=True), part(b"567890")], "too_large"),
        ([GONE], "malformed_body"),
        ([part(b"01", more=True), GONE], "malformed_body"),
    ],
)
def test_a_body_is_whole_or_refused(messages: list[dict[str, Any]], expected: bytes | str) -> None:
    assert expected == read(*messages)


def test_a_body_that_never_ends_is_given_up() -> None:
    assert "malformed_body" == read(part(b"01", more=True), timeout_s=0.01)
    assert "malformed_body" == read(timeout_s=0.01)


def test_large_bodies_that_arrive_at_once_share_one_room() -> None:
    room = Room(9)

    def messages(*parts: dict[str, Any], after: asyncio.Event | None = None) -> Any:
        left = list(parts)

        async def receive() -> dict[str, Any]:
            if after is not None and len(left) == 1:
                await after.wait()
            return left.pop(0)

        return receive

    async def run() -> None:
        go_on = asyncio.Event()
        slow = messages(part(b"01234", more=True), part(b"5"), after=go_on)
        first = asyncio.create_task(read_body(slow, 10, room, 5.0))
        await asyncio.sleep(0)
        assert 4 == room.left
        with pytest.raises(BusyError):
            await read_body(messages(part(b"01234", more=True), part(b"5")), 10, room, 5.0)
        with pytest.raises(BusyError), room.hold(b"01234"):
            raise AssertionError("there was no room")
        with room.hold(b"0123"):
            assert 0 == room.left
        go_on.set()
        assert b"012345" == await first
        again = messages(part(b"01234567", more=True), part(b"8"))
        assert b"012345678" == await read_body(again, 10, room, 5.0)

    asyncio.run(run())
    assert 9 == room.left


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", []),
        (b"a=1&b=&a=2", [("a", "1"), ("b", ""), ("a", "2")]),
        (b"cd[x]=%5B1%5D&cd%5By%5D=+%2B", [("cd[x]", "[1]"), ("cd[y]", " +")]),
        (b"a=%C3%BC", [("a", "ü")]),
        ("a=ü".encode(), [("a", "ü")]),
        (b"a=%ff", "bad_encoding"),
        (b"a=\xff", "bad_encoding"),
        (b"%ff=1&b=2", "bad_encoding"),
    ],
)
def test_parameters_are_decoded_or_refused(query: bytes, expected: Any) -> None:
    pairs = parse_pairs(query)
    assert expected == (pairs.reason.label if isinstance(pairs, Refusal) else pairs)


def test_a_multipart_form_is_decoded_with_its_files() -> None:
    body = (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n2\r\n'
        b"--B\r\nContent-Type: text/plain\r\n"
        b'content-disposition: form-data; filename="f"; name="cd[x]"\r\n\r\n\xc3\xbc\r\n--B--\r\n'
    )
    assert [("a", "1\r\n2"), ("cd[x]", "ü")] == parse_form(body, "multipart/form-data; boundary=B")


def scope(peer: str | None, **headers: list[str] | str) -> dict[str, Any]:
    """A request from this address with these headers."""
    lines = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return {"client": (peer, 1234) if peer else None, "headers": lines, "scheme": "http"}


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", "203.0.113.1", ["198.51.100.7"], "203.0.113.1"),
        ("10.0.0.0/8", "203.0.113.1", ["198.51.100.7"], "203.0.113.1"),
        ("10.0.0.0/8", "10.1.1.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.0/8", "10.1.1.1", ["6.6.6.6, 198.51.100.7, 10.2.2.2"], "198.51.100.7"),
        ("10.0.0.0/8", "10.1.1.1", ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.0/8", "10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.0.0.0/8", "10.1.1.1", [], "10.1.1.1"),
        ("10.0.0.0/8", "10.1.1.1", [" , "], "10.1.1.1"),
        ("10.0.0.0/8", "::ffff:10.1.1.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.0/8, 2001:db8::/32", "2001:db8::9", ["2a00::1"], "2a00::1"),
        ("10.0.0.0/8", None, ["198.51.100.7"], None),
    ],
)
def test_only_a_configured_proxy_speaks_for_its_clients(
    trusted: str, peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert expected == Proxies(trusted).client_ip(scope(peer, x_forwarded_for=forwarded))


@pytest.mark.parametrize(
    ("trusted", "peer", "claimed", "expected"),
    [
        ("", "10.1.1.1", "https", "http"),
        ("10.0.0.0/8", "203.0.113.1", "https", "http"),
        ("10.0.0.0/8", "10.1.1.1", "https", "https"),
        ("10.0.0.0/8", "10.1.1.1", "gopher", "http"),
        ("10.0.0.0/8", None, "https", "http"),
    ],
)
def test_only_a_configured_proxy_names_the_scheme(
    trusted: str, peer: str | None, claimed: str, expected: str
) -> None:
    assert expected == Proxies(trusted).scheme(scope(peer, x_forwarded_proto=claimed))
