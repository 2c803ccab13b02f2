"""The dashboard over real tables and a real socket, for tests: two shops that must not see each
other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from doublet.catalog import Account, Catalog, Role
from doublet.health import Health
from doublet.web import create_app
from doublet.web.access import Access
from doublet.web.as_of import as_of_routes
from doublet.web.forms import csrf_of
from doublet.web.kept import Kept
from tests.factories import NOON, SECOND, Pipeline, make_record
from tests.server import served

OPERATOR = "opr_test"
PUBLIC_URL = "https://events.shop.example"
HOSTILE = "<script>alert(1)</script>"


@dataclass
class Shop:
    """An account with one pixel and its token."""

    account: Account
    pixel_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What proves that one may read this account."""
        return {"authorization": f"Bearer {self.token}"}


class Browser:
    """A browser with the cookie of a session; posts forms as the site's own pages do."""

    def __init__(self, url: str, secret: str = "") -> None:
        self.secret = secret
        self.client = httpx.Client(base_url=url, timeout=60, headers={"accept": "text/html"})
        if secret:
            self.client.cookies.set("doublet_session", secret, domain="127.0.0.1")

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self.client.get(path)

    def post(self, path: str, **fields: str) -> httpx.Response:
        """A form of this site's own page."""
        return self.client.post(path, data={"csrf": csrf_of(self.secret), **fields})


class Site:
    """The application with all it needs in one folder, answering at `url`."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.pipeline = Pipeline(folder)
        self.catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        self.catalog.migrate()
        self.catalog.users.now = now
        self.ours, self.theirs = self.shop("Our shop"), self.shop("Their shop")
        self.app: Starlette = create_app(
            self.catalog,
            self.pipeline.engine,
            is_operator=OPERATOR.__eq__,
            cache=folder / "web",
            rates=folder / "rates",
            outbox=folder / "relay.sqlite",
            public_url=PUBLIC_URL,
            health=lambda: Health("ok", 0.5, 0.5),
            kept=Kept(lambda: self.pipeline.engine.changes, patience_s=60),
            now=now,
        )
        self.refreshed = 0
        self._is_closing = False
        door = Access(self.catalog, OPERATOR.__eq__, now)
        self.app.router.routes[:0] = as_of_routes(
            door, self.catalog, lambda: self.refreshed, lambda: self._is_closing
        )
        self._serving = served(self.app)
        self.url = self._serving.__enter__()
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.received = NOON
        self._browsers: list[Browser] = []

    def shop(self, name: str) -> Shop:
        """A new account with its pixel and token."""
        account = self.catalog.create_account(name, "Europe/Berlin", "EUR")
        pixel, token = self.catalog.create_pixel(account.account_id, name)
        return Shop(account, pixel.pixel_id, token)

    def fill(self) -> None:
        """A few events of both shops. Those of the other one can be told by name and value."""
        self.add(self.ours, ("browser", "1"), ("server", "1"), ("server", "1"), ("server", "2"))
        self.add(
            self.ours, ("browser", "3"), event_name=HOSTILE, custom_data={"content_ids": ["x"]}
        )
        self.add(self.theirs, ("server", "9"), event_name="TheirEvent", custom_data={"value": 7777})

    def add(self, shop: Shop, *copies: tuple[str, str], **fields: Any) -> None:
        """Copies (source, event id) of one shop, a second apart, written and modelled."""
        records = []
        for source, event_id in copies:
            self.received += SECOND
            records.append(
                make_record(
                    self.received,
                    source,
                    account_id=shop.account.account_id,
                    pixel_id=shop.pixel_id,
                    event_id=event_id,
                    **fields,
                )
            )
        self.pipeline.append(records)
        self.pipeline.refresh()
        self.refreshed += 1
        self.refreshed += 1

    def get(
        self, path: str, shop: Shop | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """What a shop's token gets, or nobody's; cookies of earlier answers are not sent."""
        self.client.cookies.clear()
        return self.client.get(path, headers={**(shop.headers if shop else {}), **(headers or {})})

    def user(self, name: str, role: Role | None = None, *shops: Shop) -> Browser:
        """A browser in which a new user is signed in, with a role in some shops; without one, the
        owner of all."""
        self.catalog.users.create(name, is_operator=role is None)
        for shop in shops or (self.ours,):
            if role is not None:
                self.catalog.users.set_role(name, shop.account.account_id, role)
        return self.browser(self.catalog.users.begin_session(name, "Browser"))

    def browser(self, secret: str = "") -> Browser:
        """A browser with the cookie of a session, or with none."""
        made = Browser(self.url, secret)
        self._browsers.append(made)
        return made

    def close(self) -> None:
        """Stop answering and give everything back."""
        self._is_closing = True
        for browser in self._browsers:
            browser.client.close()
        self.client.close()
        self._serving.__exit__(None, None, None)
        self.catalog.close()
        self.pipeline.close()
