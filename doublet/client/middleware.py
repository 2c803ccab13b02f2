"""Middlewares that read the visitor of each request: one for WSGI, one for ASGI.

`track` then knows the visitor on its own, in any framework: Flask, Django, FastAPI, Starlette.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from doublet.client.visitor import Reader, Visitor, current_visitor, set_cookie_headers

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
WSGIApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class WSGIMiddleware:
    """Wraps a WSGI application: `app.wsgi_app = WSGIMiddleware(app.wsgi_app)`.

    With `cookie_domain` it also sets `_fbp` and `_fbc` where they are missing: do so only where
    the visitor's consent allows it.
    """

    def __init__(
        self, app: WSGIApp, *, trusted_proxies: Iterable[str] = (), cookie_domain: str = ""
    ) -> None:
        self._app = app
        self._reader = Reader(trusted_proxies, cookie_domain)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        visitor = self._reader.from_wsgi(environ)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            lines = _cookie_lines(visitor, self._reader.cookie_domain)
            return start_response(status, [*headers, *(("Set-Cookie", v) for v in lines)], *rest)

        current_visitor.set(visitor)
        return _Body(self._app(environ, start), visitor)


class _Body:
    """The body of a WSGI answer. The server closes it when it is sent (PEP 3333); until then it may
    still be made, so that only then the thread forgets the visitor."""

    def __init__(self, body: Iterable[bytes], visitor: Visitor) -> None:
        self._body = body
        self._visitor = visitor

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """The server has sent the answer, or given it up."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if current_visitor.get() is self._visitor:
                current_visitor.set(None)


class ASGIMiddleware:
    """Wraps an ASGI application: `app.add_middleware(ASGIMiddleware)`.

    `cookie_domain` as for `WSGIMiddleware`.
    """

    def __init__(
        self, app: ASGIApp, *, trusted_proxies: Iterable[str] = (), cookie_domain: str = ""
    ) -> None:
        self._app = app
        self._reader = Reader(trusted_proxies, cookie_domain)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request; what is not HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = self._reader.from_asgi(scope)

        async def send_with_cookies(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                lines = _cookie_lines(visitor, self._reader.cookie_domain)
                cookies = [(b"set-cookie", line.encode("latin-1")) for line in lines]
                message = {**message, "headers": [*message.get("headers", []), *cookies]}
            await send(message)

        current = current_visitor.set(visitor)
        try:
            await self._app(scope, receive, send_with_cookies)
        finally:
            current_visitor.reset(current)


def _cookie_lines(visitor: Visitor, cookie_domain: str) -> list[str]:
    if not cookie_domain:
        return []
    is_secure = (visitor.event_source_url or "").startswith("https:")
    return set_cookie_headers(visitor, cookie_domain, is_secure)
