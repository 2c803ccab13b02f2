"""Setups: which site is being set up for which pixel, and what the guide has found there."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from doublet.catalog.database import Database
from doublet.catalog.rows import Setup
from doublet.catalog.tables import setups
from doublet.errors import OperatorError
from doublet.event import SETUP_CODE_LENGTH, SETUP_CODE_START

SETUPS_MAX = 200
"""So many setups an account may have."""

# Nothing that people take for something else when they type it.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Setups:
    """The table of setups."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        account_id: str,
        pixel_id: str,
        platform: str,
        goal: str,
        place: str,
        site_url: str,
        shop_id: str = "",
    ) -> Setup:
        """Make a setup with a test code of its own. Raises OperatorError when the account has too
        many already."""
        if len(self.all(account_id)) >= SETUPS_MAX:
            raise OperatorError(
                f"The account has {SETUPS_MAX} setups already.",
                "Remove some with `doublet setup SETUP --remove`.",
            )
        length = SETUP_CODE_LENGTH - len(SETUP_CODE_START)
        made = Setup(
            f"set_{10**11 + secrets.randbelow(9 * 10**11)}",
            account_id,
            pixel_id,
            shop_id,
            platform,
            goal,
            place,
            site_url,
            SETUP_CODE_START + "".join(secrets.choice(_LETTERS) for _ in range(length)),
            "",
            {},
            None,
            int(time.time()),
        )
        with self._database.write() as connection:
            connection.execute(setups.insert().values(**_columns_of(made)))
        return made

    def change(self, setup_id: str, **changes: Any) -> None:
        """Change some fields of a setup."""
        if "results" in changes:
            changes["results"] = msgspec.json.encode(changes["results"]).decode()
        with self._database.write() as connection:
            connection.execute(
                setups.update().where(setups.c.setup_id == setup_id).values(**changes)
            )

    def remove(self, setup_id: str) -> None:
        """Forget a setup; pixel, shop and what arrived stay."""
        with self._database.write() as connection:
            connection.execute(setups.delete().where(setups.c.setup_id == setup_id))

    def all(self, account_id: str | None = None) -> list[Setup]:
        """The setups of one account or of all, newest first."""
        query = sa.select(setups).order_by(setups.c.created_at.desc(), setups.c.setup_id)
        if account_id is not None:
            query = query.where(setups.c.account_id == account_id)
        return [_setup(row) for row in self._database.rows(query)]

    def one(self, setup_id: str | None, account_id: str | None = None) -> Setup:
        """The setup with this id; None means the newest. Raises OperatorError when there is
        none."""
        for setup in self.all(account_id):
            if setup_id in (None, setup.setup_id):
                return setup
        named = f" {setup_id!r}" if setup_id else ""
        raise OperatorError(f"There is no setup{named}.", "`doublet setup --list` shows them.")

    def codes(self) -> dict[str, str]:
        """The pixel of each test code."""
        return dict(self._database.rows(sa.select(setups.c.test_code, setups.c.pixel_id)))

    # --- sharing ------------------------------------------------------------------------------

    def share(self, setup_id: str) -> str:
        """A new key that opens the setup for reading; an earlier one opens it no longer."""
        key = secrets.token_urlsafe(24)
        self.change(setup_id, share_sha256=_sha256(key))
        return key

    def unshare(self, setup_id: str) -> None:
        """Have no key open it any longer."""
        self.change(setup_id, share_sha256="")

    def shared(self, setup_id: str, key: str) -> Setup | None:
        """The setup that a key opens, None for a key that does not."""
        query = sa.select(setups).where(setups.c.setup_id == setup_id)
        for row in self._database.rows(query):
            setup = _setup(row)
            if setup.share_sha256 and hmac.compare_digest(setup.share_sha256, _sha256(key)):
                return setup
        return None


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _columns_of(setup: Setup) -> dict[str, Any]:
    columns = msgspec.structs.asdict(setup)
    columns["results"] = msgspec.json.encode(columns["results"]).decode()
    return columns


def _setup(row: tuple[Any, ...]) -> Setup:
    columns = dict(zip(Setup.__struct_fields__, row, strict=True))
    columns["results"] = msgspec.json.decode(columns["results"], type=dict[str, Any])
    return Setup(**columns)
