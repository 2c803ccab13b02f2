"""Opens a live site and says what it saw: in a headless browser where there is one, by HTTP
otherwise."""

from __future__ import annotations

import logging

from doublet.errors import OperatorError
from doublet.guide.sight import Sight
from doublet.guide.site import Expected
from doublet.probe import plain
from doublet.probe.chromium import Chromium, find_chromium
from doublet.probe.guard import Guard

logger = logging.getLogger(__name__)


class Probe:
    """Looks at sites, one at a time. `reaches_private` says whether it may open addresses of
    private networks; the site's own parts are held to the same."""

    def __init__(self, *, reaches_private: bool, flags: tuple[str, ...] = ()) -> None:
        self._reaches_private = reaches_private
        self._chromium = Chromium(flags) if find_chromium() else None

    def look(self, expected: Expected, *, reaches_private: bool = False) -> Sight:
        """What a visitor of the site meets; a browser that fails is replaced by plain HTTP. Raises
        OperatorError for an address that may not be opened."""
        private = self._reaches_private or reaches_private
        Guard(private).check(expected.site_url)
        if self._chromium is not None:
            try:
                return self._chromium.look(expected, reaches_private=private)
            except OperatorError as error:
                logger.warning("browser-failed %s", error.message)
        return plain.look(expected, Guard(private))

    def close(self) -> None:
        """End the browser."""
        if self._chromium is not None:
            self._chromium.close()
