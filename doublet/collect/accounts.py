"""Who owns which pixel and token, as a collector process sees it."""

from __future__ import annotations

import asyncio
import logging
import time

from doublet.catalog import Catalog, Directory, token_sha256

logger = logging.getLogger(__name__)

_REREAD_S = 1.0
_REFRESH_S = 5.0


class Accounts:
    """The directory as of at most a few seconds ago.

    An unknown pixel or token makes it look again, at most once a second, before it is refused.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._directory = Directory({}, {})
        self._read_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the catalog, and again every few seconds from now on."""
        await self._reread()
        self._refreshing = asyncio.create_task(self._refresh())

    def of_known_pixel(self, pixel_id: str) -> str | None:
        """The account of a pixel, without looking again."""
        return self._directory.account_of_pixel.get(pixel_id)

    async def of_pixel(self, pixel_id: str) -> str | None:
        """The account of a pixel, None when nobody has it."""
        found = self._directory.account_of_pixel.get(pixel_id)
        if found is None and await self._looked_again():
            found = self._directory.account_of_pixel.get(pixel_id)
        return found

    async def of_token(self, access_token: str) -> str | None:
        """The account of an access token, None for an unknown one."""
        digest = token_sha256(access_token)
        found = self._directory.account_of_token.get(digest)
        if found is None and await self._looked_again():
            found = self._directory.account_of_token.get(digest)
        return found

    async def _looked_again(self) -> bool:
        if time.monotonic() - self._read_at < _REREAD_S:
            return False
        try:
            await self._reread()
        except Exception as error:
            logger.error("catalog-unreadable error=%s", error)
            return False
        return True

    async def _reread(self) -> None:
        self._read_at = time.monotonic()
        loop = asyncio.get_running_loop()
        self._directory = await loop.run_in_executor(None, self._catalog.directory)

    async def _refresh(self) -> None:
        """What is revoked must stop working, also when nobody asks for anything unknown."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self._looked_again()

    def close(self) -> None:
        """Stop reading."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._catalog.close()
