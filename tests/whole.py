"""All that the worker answers, with users, for tests."""

from __future__ import annotations

from pathlib import Path

from doublet.catalog import Catalog, Role
from doublet.relaying import filler_of
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.worker import OperatorKey, application, feed_of
from tests.dashboard import Browser
from tests.server import served


class Whole:
    """All that the worker answers, of two accounts, and browsers of their users."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.settings.run_folder.mkdir(parents=True)
        self.catalog = Catalog(self.settings.catalog_url)
        self.catalog.migrate()
        self.ours = self.catalog.create_account("Our shop", "Europe/Berlin", "EUR")
        self.theirs = self.catalog.create_account("Their shop")
        self.pixel, self.token = self.catalog.create_pixel(self.ours.account_id, "Site")
        self.their_pixel, _ = self.catalog.create_pixel(self.theirs.account_id, "Their site")
        self._freshener = Freshener(self.settings)
        key = OperatorKey(self.settings.run_folder)
        self.key = key.path.read_text()
        self.app = application(
            self.settings,
            self.catalog,
            self._freshener,
            key,
            feed_of(self.settings, self.catalog, self._freshener),
            filler_of(self.settings, self.catalog, self._freshener),
        )
        self._serving = served(self.app)
        self.url = self._serving.__enter__()
        self._browsers: list[Browser] = []

    def browser(self, secret: str = "") -> Browser:
        """A browser with the cookie of a session, or with none."""
        made = Browser(self.url, secret)
        self._browsers.append(made)
        return made

    def user(self, name: str, role: Role | None = None, account_id: str = "") -> Browser:
        """A browser of a new user, with a role in our account or another; without one, the owner
        of all."""
        self.catalog.users.create(name, is_operator=role is None)
        if role is not None:
            self.catalog.users.set_role(name, account_id or self.ours.account_id, role)
        return self.browser(self.catalog.users.begin_session(name))

    def changed(self) -> list[tuple[str, str, str]]:
        """Who did what to what, oldest first."""
        return [(c.who, c.what, c.target) for c in reversed(self.catalog.changes.newest())]

    def close(self) -> None:
        """Stop answering."""
        for browser in self._browsers:
            browser.client.close()
        self._serving.__exit__(None, None, None)
        self._freshener.close()
        self.catalog.close()
