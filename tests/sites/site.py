"""What every demo site is, and how its own server runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from doublet.recipes import Piece
from tests.server import free_port, is_listening, wait_for

_LAUNCH = (
    "import os, sys; from doublet.processes import die_with_parent; "
    "die_with_parent(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)


class DemoSite(Protocol):
    """A site with the pieces of one recipe in their places."""

    url: str

    def buy(self, page: Page) -> str:
        """Buy something as a visitor does, up to the page that thanks; the Purchase's event id."""

    def submit(self, page: Page) -> str:
        """Send the form as a visitor does, until it is taken; the Lead's event id."""

    def order(self) -> dict[str, Any]:
        """The last order as the platform's API has it, for sites whose orders come by webhook."""


class Given(NamedTuple):
    """What a site is built from: `pieces` by key, a folder of its own, and the access token that
    its server finds in the environment."""

    goal: str
    pieces: Mapping[str, Piece]
    folder: Path
    access_token: str

    @property
    def head(self) -> str:
        """The pieces of the head of a page, in their order."""
        heads = ("snippet", "forms", "cart")
        return "\n".join(piece.text for key, piece in self.pieces.items() if key in heads)

    def write(self) -> None:
        """Put the pieces that are files into the folder."""
        for piece in self.pieces.values():
            if piece.filename:
                file = self.folder / piece.filename
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(piece.text, "utf-8")


def needed(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where CI=true."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str]
) -> Iterator[None]:
    """A site's server process, from when it listens until it has ended. What it says goes to
    `folder`/site.log."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    log_file = folder / "site.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(os.getpid()), *command],
            cwd=folder,
            env={**clean, **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: is_listening(port) or process.poll() is not None, 30, " ".join(command))
        assert process.poll() is None, log_file.read_text("utf-8", "replace")
        yield
    finally:
        process.terminate()
        process.wait(20)


class Ask(NamedTuple):
    """A request to a site of this process."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form in the body."""
        return {k: v for k, (v, *_) in parse_qs(self.body.decode(), True).items()}


class Answer(NamedTuple):
    """What a site answers; with `location` it sends the browser there."""

    body: str = ""
    kind: str = "text/html; charset=utf-8"
    location: str = ""
    status: int = 200


class PageServer(ThreadingHTTPServer):
    """Serves what `answer` makes of each request, from a thread of this process."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Ask], Answer], host: str = "127.0.0.1") -> None:
        super().__init__(("127.0.0.1", free_port()), _Visit)
        self.answer = answer
        self.url = f"http://{host}:{self.server_address[1]}"


class _Visit(BaseHTTPRequestHandler):
    server: PageServer

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {k: v for k, (v, *_) in parse_qs(parts.query, True).items()}
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = self.server.answer(Ask(self.command, parts.path, query, body))
        content = answer.body.encode()
        self.send_response(303 if answer.location else answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(content)))
        if answer.location:
            self.send_header("location", answer.location)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(answer: Callable[[Ask], Answer], host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a site of this process."""
    server = PageServer(answer, host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sent_form(page: Page, url: str, form: str, thanks: str) -> str:
    """Send a form of a page that leads to another one; the event id in its hidden field."""
    page.goto(url)
    with page.expect_request(lambda request: request.is_navigation_request()) as sent:
        page.click(f"{form} button")
    page.wait_for_url(thanks)
    fields = parse_qs(sent.value.post_data or "")
    (event_id,) = (v for k, (v, *_) in fields.items() if "doublet_event_id" in k)
    return event_id
