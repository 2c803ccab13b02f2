"""Who owns which pixel and token, as a collector process sees it."""

from __future__ import annotations

import asyncio
import time

from doublet.catalog import Catalog, Directory, token_sha256

_REREAD_S = 1.0
_REFRESH_S = 5.0


class Accounts:
    """The directory as of a few seconds ago.

    An unknown one makes it look again, at most once a second, before it is refused.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._directory = Directory({}, {})
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def of_pixel(self, pixel_id: str) -> str | None:
        """The account of a pixel, None when nobody has it."""
        found = self._directory.account_of_pixel.get(pixel_id)
        age_s = time.monotonic() - self._read_at
        if found is None and age_s > _REREAD_S:
            await self.reread()
            return self._directory.account_of_pixel.get(pixel_id)
        if age_s > _REFRESH_S and self._reading is None:
            self._reading = asyncio.create_task(self.reread())
        return found

    async def of_token(self, access_token: str) -> str | None:
        """The account of an access token, None for an unknown one."""
        digest = token_sha256(access_token)
        found = self._directory.account_of_token.get(digest)
        if found is None and time.monotonic() - self._read_at > _REREAD_S:
            await self.reread()
            return self._directory.account_of_token.get(digest)
        return found

    async def reread(self) -> None:
        """Read the catalog now; what was known stays when it cannot be read."""
        self._read_at = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            self._directory = await loop.run_in_executor(None, self._catalog.directory)
        finally:
            self._reading = None
