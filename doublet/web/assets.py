"""Files that are the same for everyone: style, scripts, chart specifications, the Vega bundle.

An address that carries the digest of its file may be kept for ever by whoever fetches it.
"""

from __future__ import annotations

import gzip
import logging
import os
import threading
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.web.render import render

logger = logging.getLogger(__name__)

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_FOLDERS = ("static", "charts")
_BUNDLE = "vega.js"
_BUNDLE_SNIPPET = "globalThis.vegaEmbed = vegaEmbed;"


class Asset(NamedTuple):
    """A file's bytes, plain and compressed, and the start of their SHA-256."""

    media_type: str
    body: bytes
    compressed: bytes
    digest: str


def _asset(name: str, body: bytes) -> Asset:
    return Asset(
        _MEDIA_TYPES[Path(name).suffix],
        body,
        gzip.compress(body, mtime=0),
        sha256(body).hexdigest()[:16],
    )


@cache
def package_assets() -> dict[str, Asset]:
    """The files that come with this package, by name."""
    return {
        item.name: _asset(item.name, item.read_bytes())
        for folder in _FOLDERS
        for item in files("doublet.web").joinpath(folder).iterdir()
        if Path(item.name).suffix in _MEDIA_TYPES
    }


def address(name: str) -> str:
    """The address of a file for a page, with its digest; the bundle's with its version."""
    known = package_assets().get(name)
    return f"/static/{name}?{known.digest if known else _bundle_key()}"


@cache
def _bundle_key() -> str:
    made_of = f"{version('vl-convert-python')}\0{_BUNDLE_SNIPPET}"
    return sha256(made_of.encode()).hexdigest()[:16]


class Assets:
    """Serves the files. The bundle is made when it is first asked for and kept in `cache`."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._making = threading.Lock()
        self._bundle: Asset | None = None

    def routes(self) -> list[Route]:
        """Where the files lie. They say nothing about anyone, so everyone may have them."""
        return [Route("/static/{name}", self._serve)]

    def prepare(self) -> None:
        """Begin to make the bundle, if it is not there; a page is about to ask for it."""
        if self._bundle is None and not self._making.locked():
            threading.Thread(target=self._try_bundle, name="bundle", daemon=True).start()

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        asset = package_assets().get(name)
        if name == _BUNDLE:
            asset = self._bundle or await run_in_threadpool(self._try_bundle)
            if asset is None:
                raise HTTPException(503)
        if asset is None:
            raise HTTPException(404)
        key = _bundle_key() if name == _BUNDLE else asset.digest
        lasting = "public, max-age=31536000, immutable"
        headers = {
            "etag": f'"{asset.digest}"',
            "vary": "accept-encoding",
            "cache-control": lasting if request.url.query == key else "no-cache",
        }
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(asset.compressed, 200, headers, asset.media_type)
        return Response(asset.body, 200, headers, asset.media_type)

    def _try_bundle(self) -> Asset | None:
        with self._making:
            try:
                self._bundle = self._bundle or _asset(_BUNDLE, self._read_or_make())
            except RuntimeError:
                logger.exception("bundle-failed")
        return self._bundle

    def _read_or_make(self) -> bytes:
        path = self._cache / f"vega-{_bundle_key()}.js"
        if path.exists():
            return path.read_bytes()
        body = render("bundle", _BUNDLE_SNIPPET).encode()
        try:
            self._keep(path, body)
        except OSError as error:
            # Without room on the disk it is made again by the next worker.
            logger.error("bundle-not-kept error=%s", error)
        return body

    def _keep(self, path: Path, body: bytes) -> None:
        """Write it whole or not at all, and remove those of other versions."""
        self._cache.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        with scratch.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        for other in self._cache.glob("vega-*"):
            if other != path:
                other.unlink()
