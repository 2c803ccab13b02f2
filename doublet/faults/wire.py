"""One side of a conversation over HTTP/1.1: a connection, and where it stands (h11)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import h11

_CHUNK_SIZE_BYTES = 1 << 16
_HEAD_SIZE_BYTES_MAX = 1 << 18
_LINGER_S = 1.0

Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


async def forever() -> None:
    """Until it is cancelled."""
    await asyncio.get_running_loop().create_future()


class Wire:
    """Reads and writes the parts of messages; what a broken connection raises is an OSError when
    writing, and its end when reading."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        role: type[h11.CLIENT] | type[h11.SERVER],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.http = h11.Connection(role, max_incomplete_event_size=_HEAD_SIZE_BYTES_MAX)

    async def event(self) -> Event:
        """The next part. Raises h11.RemoteProtocolError for what is no HTTP, or ends too early."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(await self._read())
        return event

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body that follows, as it arrives."""
        while isinstance(event := await self.event(), h11.Data):
            yield bytes(event.data)

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK_SIZE_BYTES)
        except OSError:
            return b""

    async def gone(self) -> None:
        """Until the other side has ended the connection; what it sends meanwhile is kept."""
        while data := await self._read():
            self.http.receive_data(data)
            if len(self.http.trailing_data[0]) > _HEAD_SIZE_BYTES_MAX:
                await forever()

    async def send(self, *events: h11.Event) -> None:
        """Write these parts."""
        await self.write(b"".join(self.http.send(event) or b"" for event in events))

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    def begin_next(self) -> bool:
        """Whether another request may follow on this connection."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False

    def reset(self) -> None:
        """End it with a reset instead of an orderly end (socket(7), SO_LINGER of 0 s)."""
        connection: socket.socket | None = self._writer.get_extra_info("socket")
        if connection is not None and not self._writer.is_closing():
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def close(self) -> None:
        """End it in order."""
        # With data unread the system would reset the connection, and the answer might be lost.
        if self.http.their_state is h11.SEND_BODY and not self._writer.is_closing():
            with suppress(OSError):
                self._writer.write_eof()
                async with asyncio.timeout(_LINGER_S):
                    while await self._read():
                        pass
        self._writer.close()
