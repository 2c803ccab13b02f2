"""A collector process for tests to talk to over real sockets, and to look at what it stored."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import msgspec

from doublet.catalog import Catalog, Pixel
from doublet.log.disk import DiskLog
from doublet.settings import Settings
from tests.factories import make_event
from tests.server import DoubletProcess, free_port

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


class Collector(DoubletProcess):
    """A real `doublet collect` in `folder`/data with two accounts, each with pixel and token."""

    def __init__(self, folder: Path, *pairs: str) -> None:
        """`pairs` are further settings as name=value."""
        self.folder = folder
        self.port = free_port()
        self.settings = Settings(data=folder / "data", port=self.port)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.account, self.pixel, self.token = self._account("Ours")
        self.other_account, self.other_pixel, self.other_token = self._account("Theirs")
        self._positions: dict[int, int] = {}
        settings = (f"port={self.port}", "workers=1", *pairs)
        data = f"--data={self.settings.data}"
        super().__init__(folder, "collect", data, *(f"--set={pair}" for pair in settings))
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"user-agent": USER_AGENT},
            timeout=30,
            trust_env=False,
        )
        self.wait_until(self._is_up, what="/health answers")

    def _account(self, name: str) -> tuple[str, Pixel, str]:
        account = self.catalog.create_account(name)
        pixel, token = self.catalog.create_pixel(account.account_id, name)
        return account.account_id, pixel, token

    def _is_up(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def limit_file_size(self, size_bytes: int) -> None:
        """Let the system refuse every write beyond this size in the collecting processes."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in task.read_text().split():
            resource.prlimit(
                int(child), resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY)
            )

    def close(self) -> None:
        """Stop it as Ctrl-C does; no process may be left."""
        self.client.close()
        self.catalog.close()
        try:
            assert 0 == self.stop()
            self.wait_until_gone()
        finally:
            self.kill()

    def new_records(self) -> list[dict[str, Any]]:
        """What was stored since the last call, in order."""
        log = DiskLog(self.settings.log_folder)
        found: list[dict[str, Any]] = []
        for partition in log.partitions():
            position = self._positions.get(partition, 0)
            while (chunk := log.read(partition, position, 1 << 20)) is not None:
                lines = [msgspec.json.decode(line) for line in chunk.lines.splitlines()]
                found += [line for line in lines if "record_type" in line]
                position = chunk.next_position
            self._positions[partition] = position
        return found

    def new_record(self) -> dict[str, Any]:
        """The one record that was stored since the last call."""
        (record,) = self.new_records()
        return record

    def events_path(self, version: str = "v25.0", pixel: Pixel | None = None) -> str:
        """Where the Conversions API of a pixel is."""
        return "/" + "/".join(filter(None, (version, (pixel or self.pixel).pixel_id, "events")))

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """Post a JSON body with the token in the query."""
        return self.client.post(
            self.events_path(),
            params={"access_token": self.token},
            content=body,
            headers={"content-type": "application/json", **headers},
        )

    def hit(self, **parameters: str) -> httpx.Response:
        """One GET of /tr with these parameters besides pixel and event name."""
        return self.client.get(
            "/tr/", params={"id": self.pixel.pixel_id, "ev": "PageView", **parameters}
        )

    def raw(self, request: bytes, *, half_close: bool = False) -> tuple[int, bytes]:
        """Send exact bytes; status and body of the answer, status 0 when there is none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                return 0, b""

    def assert_takes_events(self) -> None:
        """A good event on each door is taken and stored."""
        self.new_records()
        event_id = uuid.uuid4().hex
        assert 200 == self.post(body_of(event(event_id=event_id))).status_code
        assert 200 == self.hit(eid=event_id).status_code
        assert [(event_id, "server"), (event_id, "browser")] == [
            (record["event_id"], record["source"]) for record in self.new_records()
        ]


def event(**fields: Any) -> dict[str, Any]:
    """A server event of this moment."""
    return make_event(**{"event_time": int(time.time()), **fields})


def body_of(*events: Any, **fields: Any) -> bytes:
    """The JSON body of a request."""
    return json.dumps({"data": events, **fields}).encode()


def refusal_of(answer: httpx.Response) -> str:
    """The reason in the header, after a look at the Graph shape of the body."""
    assert_graph_error(answer.content)
    return answer.headers["x-doublet-refused"]


def assert_graph_error(content: bytes) -> None:
    """The body is an error in the Graph API's shape, with a hint."""
    error = json.loads(content)["error"]
    assert {"message", "type", "code", "error_user_title", "error_user_msg", "fbtrace_id"} <= (
        error.keys()
    )
    assert error["fbtrace_id"].startswith("A")
    assert 23 == len(error["fbtrace_id"])
    assert len(error["error_user_msg"]) > 20


async def blank_page(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: an empty page on every path, for a browser to be on."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<!doctype html><title>p</title>"})


def assert_busy(answer: httpx.Response) -> None:
    """Nothing was stored, and the client is told to come again."""
    assert (503, "busy") == (answer.status_code, refusal_of(answer))
    assert "5" == answer.headers["retry-after"]
    assert answer.json()["error"]["is_transient"]
