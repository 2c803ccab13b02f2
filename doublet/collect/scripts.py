"""Scripts for browsers: the pixel's own, and what Meta's library fetches before it sends."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256

import msgspec

from doublet import pixel
from doublet.collect.accounts import Accounts
from doublet.collect.request import HeaderList, Scope, Send, header, json_headers, respond

CONFIG_PATH = "/signals/config/"
CONFIG_AGE_S = 1200

_SCRIPT_AGE_S = 3600
_GZIP_LEVEL = 9
_JAVASCRIPT = (b"content-type", b"text/javascript; charset=utf-8")
_ANYBODY = (b"access-control-allow-origin", b"*")
# Accepted, and not with a quality of 0 (RFC 9110, section 12.5.3).
_gzip_wanted = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))").search

MATCHED_KEYS = tuple("em fn ln ph ge zp ct st country db external_id".split())
"""Keys of user data that a site's plug-in may fill (Meta, *Advanced matching*)."""


class MatchingConfig(msgspec.Struct, rename="camel"):
    """Whether plug-ins for shops may send user data, and which."""

    enable_automatic_matching: bool
    enabled_automatic_matching_fields: tuple[str, ...]


class MatchingSettings(msgspec.Struct, rename="camel"):
    """What such plug-ins read of a pixel's settings."""

    matching_config: MatchingConfig


class Encoded(msgspec.Struct, frozen=True):
    """A script in one encoding, with the headers of its answer."""

    etag: str
    body: bytes
    headers: HeaderList


def _encoded(body: bytes, encoding: str) -> Encoded:
    etag = f'"{sha256(body).hexdigest()[:16]}"'
    named: HeaderList = [(b"content-encoding", encoding.encode())] if encoding else []
    headers: HeaderList = [
        (b"cache-control", b"public, max-age=%d" % _SCRIPT_AGE_S),
        _ANYBODY,
        (b"vary", b"accept-encoding"),
        (b"etag", etag.encode()),
        *named,
        _JAVASCRIPT,
        (b"content-length", b"%d" % len(body)),
    ]
    return Encoded(etag, body, headers)


class Scripts:
    """The pixel's scripts, each made ready once."""

    def __init__(self) -> None:
        self._plain = {path: _encoded(pixel.script(path), "") for path in pixel.SCRIPTS}
        self._gzip = {
            path: _encoded(gzip.compress(plain.body, _GZIP_LEVEL, mtime=0), "gzip")
            for path, plain in self._plain.items()
        }

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with the script of a path in `pixel.SCRIPTS`."""
        wants_gzip = _gzip_wanted(header(scope, b"accept-encoding"))
        found = (self._gzip if wants_gzip else self._plain)[scope["path"]]
        known = header(scope, b"if-none-match").replace("W/", "").split(",")
        if found.etag in map(str.strip, known):
            await respond(send, 304, found.headers[:4])
        else:
            head = scope["method"] == "HEAD"
            await respond(send, 200, found.headers, found.body, head=head)


def config(pixel_id: str) -> bytes:
    """JavaScript that tells Meta's library to go ahead with a pixel: until then it keeps events.

    It asks for no plug-ins, since the library would wait for code that is not served here.
    """
    name = json.dumps(pixel_id)
    return f"""(function (fbq) {{
  if (!fbq || !fbq.registerPlugin) return;
  function ready(host, instance) {{
    instance.configLoaded({name});
  }}
  fbq.registerPlugin({name}, {{ __fbEventsPlugin: 1, plugin: ready }});
}})(window.fbq || window._fbq);
""".encode()


def matching() -> bytes:
    """The settings of every pixel: what a shop's plug-in sends stays with the shop."""
    return msgspec.json.encode(MatchingSettings(MatchingConfig(True, MATCHED_KEYS)))


async def answer_config(accounts: Accounts, scope: Scope, send: Send) -> None:
    """Answer `/signals/config/PIXEL` and `/signals/config/json/PIXEL`. Raises BusyError while
    nobody can tell which pixels there are."""
    wanted: str = scope["path"].removeprefix(CONFIG_PATH)
    pixel_id = wanted.removeprefix("json/")
    head = scope["method"] == "HEAD"
    known = pixel_id.isdecimal() and await accounts.of_pixel(pixel_id)
    if not known:
        body = msgspec.json.encode({"errorMessage": "There is no such pixel here."})
        await respond(send, 404, json_headers(body, [_ANYBODY]), body, head=head)
        return
    is_json = wanted != pixel_id
    body = matching() if is_json else config(pixel_id)
    media = (b"content-type", b"application/json; charset=utf-8") if is_json else _JAVASCRIPT
    headers: HeaderList = [
        media,
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"public, max-age=%d" % CONFIG_AGE_S),
        _ANYBODY,
    ]
    await respond(send, 200, headers, body, head=head)
