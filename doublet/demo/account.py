"""The demo's own account, pixel and access token: made once, found again by the next run."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from doublet.catalog import Catalog
from doublet.settings import Settings


class DemoAccount(msgspec.Struct, frozen=True):
    """Who the shop is to the server."""

    account_id: str
    pixel_id: str
    access_token: str


def demo_folder(settings: Settings) -> Path:
    """Where the demo keeps what is its own, beside what the server stores."""
    return settings.data / "demo"


def open_account(settings: Settings) -> DemoAccount:
    """The account of earlier runs in this data folder, or a new one."""
    file = demo_folder(settings) / "account.json"
    catalog = Catalog(settings.catalog_url)
    try:
        catalog.migrate()
        known = _read(file)
        if known is not None and catalog.account_of_token(known.access_token) is not None:
            return known
        owner = catalog.create_account("Demo shop")
        pixel, access_token = catalog.create_pixel(owner.account_id, "Demo shop")
    finally:
        catalog.close()
    made = DemoAccount(owner.account_id, pixel.pixel_id, access_token)
    _write(file, made)
    return made


def read_account(settings: Settings) -> DemoAccount:
    """The account that `open_account` has written down."""
    known = _read(demo_folder(settings) / "account.json")
    assert known is not None, "open_account comes first"
    return known


def _read(file: Path) -> DemoAccount | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=DemoAccount)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _write(file: Path, account: DemoAccount) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = file.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    # The token is a secret, so the file is never readable by others, not even for a moment.
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(account))
    scratch.replace(file)
