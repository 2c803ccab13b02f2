"""Impression and click links: what a decision promised, sealed, so that nobody can read or change
it on its way through pages and proxies.

A link is one text: AES-SIV (RFC 5297, by the package `cryptography`) of a `Link`, base64url. The
same link is in both URLs of an ad. It tells what the touch costs and until when, who was meant
(hashes and cookies, as events keep them), and where a click leads, so that a click finds its way
whatever has become of the ad meanwhile.
"""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from doublet.errors import CorruptError, SenderError

IMPRESSION_S = 600
"""How long after its decision an impression can cost anything."""
CLICK_S = 300
"""The same for a click that is paid for; until then its price is reserved."""
KEY_FILE = "link.key"

_KEY_BYTES = 64
_FORMAT = [b"doublet link 1"]
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_SEALED_LENGTH_MAX = 6_144
"""Longer addresses are refused by proxies on their way, most of them from 8,192 characters on."""
_HASHES_MAX = 4
_PLAIN_LENGTH_MAX = 256
_HELD_OUT_MAX = 20


class LinkError(SenderError):
    """A link that this server did not make, or that was changed since."""

    code = "link"


class HeldOut(msgspec.Struct, frozen=True, array_like=True):
    """An ad that this person would have seen here, and did not for an experiment."""

    campaign_id: str
    adset_id: str
    ad_id: str


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What one ad of one answer is. `price` is in units, `decided_at` in Unix seconds, `position`
    counts from 1. Clicks are paid for where `is_per_click` says so, otherwise impressions;
    `is_experiment` tells that the campaign has a holdout. `person` is the key that frequency counts
    by, 0 for nobody."""

    account_id: str
    campaign_id: str
    adset_id: str
    ad_id: str
    decision_id: str
    position: int
    decided_at: int
    price: int
    is_per_click: bool
    currency: str
    lease: str
    click_id: str
    url: str
    person: int = 0
    placement: str = ""
    user_data: dict[str, Any] = {}
    is_experiment: bool = False
    held_out: tuple[HeldOut, ...] = ()
    is_test: bool = False

    def cost(self, kind: str, now: float) -> int:
        """What a touch (`view` or `click`) costs at a moment, in units: its price where such
        touches are paid for and it comes in time, otherwise nothing."""
        if self.is_per_click != (kind == "click"):
            return 0
        return self.price if now <= self.decided_at + expiry_s(self.is_per_click) else 0


def expiry_s(is_per_click: bool) -> int:
    """For how long after its decision a link can cost anything, in seconds."""
    return CLICK_S if is_per_click else IMPRESSION_S


def fresh_id() -> str:
    """A new id of a decision or a click: 96 random bits in 16 characters of base64url."""
    return secrets.token_urlsafe(12)


class Links:
    """Makes and reads links with the key of a folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the key, or gets one. Raises CorruptError when it is no key."""
        self._siv = AESSIV(_key(folder / KEY_FILE))
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Link).decode

    def seal(self, link: Link) -> str:
        """The text of a link, of characters that stand in a URL as they are. Of a key of user_data
        it bears the first values only, and none where it would be too long to travel."""
        fitting = msgspec.structs.replace(
            link, user_data=_packed(link.user_data), held_out=link.held_out[:_HELD_OUT_MAX]
        )
        sealed = self._sealed(fitting)
        if len(sealed) > _SEALED_LENGTH_MAX:
            sealed = self._sealed(msgspec.structs.replace(fitting, user_data={}, held_out=()))
        return sealed

    def _sealed(self, packed: Link) -> str:
        data = self._siv.encrypt(self._encode(packed), _FORMAT)
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    def open(self, sealed: str) -> Link:
        """The link of a text. Raises LinkError."""
        try:
            if len(sealed) > _SEALED_LENGTH_MAX:
                raise ValueError
            data = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
            link = self._decode(self._siv.decrypt(data, _FORMAT))
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            raise LinkError(
                "This link was not made by this server, or was changed on its way.",
                "Use impression_url and click_url exactly as /v1/decide gave them.",
            ) from None
        return msgspec.structs.replace(link, user_data=_unpacked(link.user_data))


def landing_url(url: str, click_id: str) -> str:
    """Where a click leads: the ad's address with `fbclid`, from which the pixel makes `_fbc`
    (Meta, *fbp and fbc parameters*). Characters that no header may hold are escaped.

    >>> landing_url("https://shop.example/a?b=1#top", "x1")
    'https://shop.example/a?b=1&fbclid=x1#top'
    """
    page, hash_mark, fragment = url.partition("#")
    # The pixel takes the first; one that was copied along with the address is somebody's old click.
    path, mark, query = page.partition("?")
    kept = [each for each in query.split("&") if each.partition("=")[0] != "fbclid"]
    page = f"{path}{mark}{'&'.join(kept)}" if any(kept) else path
    joint = "&" if "?" in page else "?"
    return quote(f"{page}{joint}fbclid={click_id}{hash_mark}{fragment}", safe=_SAFE)


def _packed(user_data: dict[str, Any]) -> dict[str, Any]:
    """Hashes as bytes: half as long."""
    return {
        key: [bytes.fromhex(digest) for digest in value[:_HASHES_MAX]]
        if isinstance(value, list)
        else value
        for key, value in user_data.items()
        if isinstance(value, list) or len(value) <= _PLAIN_LENGTH_MAX
    }


def _unpacked(user_data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [digest.hex() for digest in value] if isinstance(value, list) else value
        for key, value in user_data.items()
    }


def _key(path: Path) -> bytes:
    """The key, made by whoever comes first. It appears whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(scratch, path)
        except FileExistsError:
            pass
        finally:
            scratch.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise CorruptError(f"{path} is no key of links.", "Remove it; older links end with it.")
    return key
