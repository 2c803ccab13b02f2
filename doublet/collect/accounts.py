"""Who owns which pixel and token, as a collector process sees it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from doublet.catalog import Catalog, Directory, PixelRules, Shop, token_sha256
from doublet.errors import BusyError
from doublet.event import may_be_setup_code

logger = logging.getLogger(__name__)

_REREAD_S = 0.25
_REFRESH_S = 5.0


class Accounts:
    """The directory as of at most a few seconds ago.

    An unknown pixel or token waits until the catalog was read again, which happens at most four
    times a second, and is refused only then: what exists is never refused. While the catalog
    cannot be read, nobody can tell; then BusyError is raised.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._directory = Directory({}, {})
        self._read_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._rereading: asyncio.Task[bool] | None = None

    async def open(self) -> None:
        """Read the catalog, and again every few seconds from now on."""
        await self._read()
        self._refreshing = asyncio.create_task(self._refresh())

    def of_known_pixel(self, pixel_id: str) -> str | None:
        """The account of a pixel, without looking again."""
        return self._directory.account_of_pixel.get(pixel_id)

    def rules_of_pixel(self, pixel_id: str) -> PixelRules | None:
        """The rules of a known pixel, None when it has none of its own."""
        return self._directory.rules_of_pixel.get(pixel_id)

    async def of_pixel(self, pixel_id: str) -> str | None:
        """The account of a pixel, None when nobody has it."""
        found = self._directory.account_of_pixel.get(pixel_id)
        if found is None:
            await self._look_again()
            found = self._directory.account_of_pixel.get(pixel_id)
        return found

    def pixels_of(self, account_id: str) -> list[str]:
        """The pixels of an account, as of the last reading."""
        owners = self._directory.account_of_pixel
        return [pixel_id for pixel_id, owner in owners.items() if owner == account_id]

    def phone_country_of(self, pixel_id: str) -> str:
        """The country of a pixel's phone numbers without country code, empty for none."""
        rules = self._directory.rules_of_pixel.get(pixel_id)
        return rules.phone_country if rules else ""

    def phone_countries_of(self, account_id: str) -> dict[str, str]:
        """The pixels of an account, each with the country of its phone numbers."""
        return {each: self.phone_country_of(each) for each in self.pixels_of(account_id)}

    async def of_token(self, access_token: str) -> str | None:
        """The account of an access token, None for an unknown one."""
        digest = token_sha256(access_token)
        found = self._directory.account_of_token.get(digest)
        if found is None:
            await self._look_again()
            found = self._directory.account_of_token.get(digest)
        return found

    async def is_setup_code(self, pixel_id: str, code: str | None) -> bool:
        """Whether the set-up guide made a test_event_code for this pixel. Only then are its events
        tests, which no report counts: a visitor must not be able to say so of a real order."""
        if code is None or not may_be_setup_code(code):
            return False
        if code not in self._directory.pixel_of_setup_code:
            await self._look_again()
        return self._directory.pixel_of_setup_code.get(code) == pixel_id

    async def of_shop(self, shop_id: str) -> Shop | None:
        """The shop of this id, None for an unknown one."""
        found = self._directory.shops.get(shop_id)
        if found is None:
            await self._look_again()
            found = self._directory.shops.get(shop_id)
        return found

    def secret_of(self, account_id: str) -> str:
        """An account's secret for `appsecret_proof`, empty when it has none."""
        return self._directory.secret_of_account.get(account_id, "")

    async def _look_again(self) -> None:
        """Wait for a reading that begins from now on; all who wait share it."""
        if self._rereading is None:
            self._rereading = asyncio.create_task(self._reread())
        # A client that hangs up must not take the reading away from the others.
        if not await asyncio.shield(self._rereading):
            raise BusyError("The catalog cannot be read.", "Look at its database.")

    async def _reread(self) -> bool:
        await asyncio.sleep(max(0.0, self._read_at + _REREAD_S - time.monotonic()))
        self._rereading = None
        try:
            await self._read()
        except Exception as error:
            logger.error("catalog-unreadable error=%s", error)
            return False
        return True

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        loop = asyncio.get_running_loop()
        self._directory = await loop.run_in_executor(None, self._catalog.directory)

    async def _refresh(self) -> None:
        """What is revoked must stop working, also when nobody asks for anything unknown."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            with suppress(BusyError):
                await self._look_again()

    def close(self) -> None:
        """Stop reading."""
        for task in (self._refreshing, self._rereading):
            if task is not None:
                task.cancel()
        self._catalog.close()
