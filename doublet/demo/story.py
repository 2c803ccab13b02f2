"""What the demo tells at the terminal: where to look, how the shoppers get on, what came of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from doublet.ask import read_overview
from doublet.catalog import Account, Catalog
from doublet.demo.account import DemoAccount
from doublet.demo.products import CURRENCY
from doublet.demo.shop_server import dashboard_url, shop_url
from doublet.demo.shoppers import Tally, send_shoppers
from doublet.demo.visits import Visit
from doublet.errors import DoubletError, LockedError, OperatorError
from doublet.reports import OverviewRow
from doublet.serve import Supervisor, first_user_address
from doublet.settings import Settings

_SHOP_START_S = 30.0
_REPORTED_S = 20.0
_LOOK_S = 0.2
_PLAIN_LINES = 4
_COUNTS = ("browser", "server", "events", "both", "browser_only", "server_only")
_NOTHING = OverviewRow("Purchase", 0, 0, 0, 0, 0, 0, {})


class Story:
    """Told by a thread beside the supervisor; silent once that is stopping."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: Settings,
        account: DemoAccount,
        shop_port: int,
        console: Console,
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._account = account
        self._shop_url = shop_url(settings, shop_port)
        self._console = console
        self._ended = threading.Event()

    def end(self) -> None:
        """Have it stop soon, wherever it is."""
        self._ended.set()

    @property
    def _is_over(self) -> bool:
        return self._ended.is_set() or self._supervisor.is_stopping

    def tell(self, visits: Sequence[Visit], seconds: float) -> None:
        """All of it, from the addresses to the summary."""
        try:
            if self._shop_answers():
                self._say_where(len(visits), seconds)
                if visits:
                    self._send(visits)
        except (DoubletError, httpx.HTTPError) as error:
            # Parts that are stopping do not answer; that is no news.
            if not self._is_over:
                self._say(f"[bold red]The demo cannot go on:[/] {escape(str(error))}")

    def _say(self, text: str) -> None:
        # Addresses must stay in one piece to be opened with a click.
        self._console.print(text, soft_wrap=True)

    def _shop_answers(self) -> bool:
        give_up_at = time.monotonic() + _SHOP_START_S
        while not self._is_over:
            try:
                httpx.get(self._shop_url, timeout=5)
                return True
            except httpx.TransportError:
                if time.monotonic() > give_up_at:
                    raise OperatorError(
                        f"The shop does not answer at {self._shop_url}.", "See the lines above."
                    ) from None
            self._ended.wait(_LOOK_S)
        return False

    def _say_where(self, shoppers: int, seconds: float) -> None:
        dashboard = dashboard_url(self._settings, self._account.access_token)
        self._say(f"\n  [bold]Shop[/]       {self._shop_url}/")
        self._say(f"  [bold]Dashboard[/]  {escape(dashboard)}")
        if address := first_user_address(self._settings):
            self._say(f"  [bold]First user[/] {escape(address)}")
        self._say("")
        self._say(
            "Open both and buy something. Your browser tells of each page, and the shop's server\n"
            "reports your purchase once more: within five seconds the dashboard shows one "
            "Purchase,\nseen by both. Behind an ad blocker only the server's copy comes, and it "
            "still counts."
        )
        if shoppers:
            self._say(
                f"\n{shoppers} simulated shoppers visit in the next {seconds:g} seconds."
                " Ctrl-C stops everything."
            )
        else:
            self._say("\nCtrl-C stops everything.")

    def _send(self, visits: Sequence[Visit]) -> None:
        owner = self._owner()
        before = self._purchases(owner)
        tally = Tally()
        with self._progress(len(visits), tally):
            asyncio.run(self._shop(visits, tally))
        if self._is_over:
            return
        if tally.problems:
            self._say(
                f"[red]{len(tally.problems)} visits failed[/]; the first: "
                f"{escape(tally.problems[0])}"
            )
        self._wait_until_reported(owner, before, tally)
        if not self._is_over:
            self._sum_up(owner, tally)

    async def _shop(self, visits: Sequence[Visit], tally: Tally) -> None:
        shopping = asyncio.create_task(send_shoppers(self._shop_url, visits, tally))
        while not shopping.done():
            await asyncio.wait({shopping}, timeout=_LOOK_S)
            if self._is_over:
                shopping.cancel()
                return
        shopping.result()

    @contextmanager
    def _progress(self, visits: int, tally: Tally) -> Iterator[None]:
        """A bar at a terminal; otherwise a line for each quarter of the visits."""
        finished = threading.Event()
        watch = self._draw_bar if self._console.is_terminal else self._print_lines
        watcher = threading.Thread(target=watch, args=(visits, tally, finished), name="progress")
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()

    def _draw_bar(self, visits: int, tally: Tally, finished: threading.Event) -> None:
        columns = (TextColumn("Shoppers"), BarColumn(), MofNCompleteColumn())
        orders = TextColumn("{task.fields[orders]} orders")
        with Progress(*columns, orders, TimeElapsedColumn(), console=self._console) as progress:
            bar = progress.add_task("", total=visits, orders=0)
            is_last = False
            while not is_last:
                is_last = finished.wait(_LOOK_S)
                progress.update(bar, completed=tally.visits, orders=tally.orders)

    def _print_lines(self, visits: int, tally: Tally, finished: threading.Event) -> None:
        said = 0
        is_last = False
        while not is_last:
            is_last = finished.wait(_LOOK_S)
            if tally.visits * _PLAIN_LINES // visits > said:
                said = tally.visits * _PLAIN_LINES // visits
                self._say(f"{tally.visits} of {visits} visits, {tally.orders} orders")

    def _owner(self) -> Account:
        catalog = Catalog(self._settings.catalog_url)
        try:
            return catalog.account(self._account.account_id)
        finally:
            catalog.close()

    def _read(self, owner: Account) -> list[OverviewRow]:
        give_up_at = time.monotonic() + _SHOP_START_S
        while True:
            try:
                return read_overview(self._settings, owner)
            except LockedError:
                # A worker that is starting has the database before it can be asked.
                if self._is_over or time.monotonic() > give_up_at:
                    raise
                self._ended.wait(_LOOK_S)

    def _purchases(self, owner: Account) -> OverviewRow:
        rows = self._read(owner)
        return next((row for row in rows if row.event_name == "Purchase"), _NOTHING)

    def _wait_until_reported(self, owner: Account, before: OverviewRow, tally: Tally) -> None:
        """Until both sides' copies of all orders are on the report."""
        give_up_at = time.monotonic() + _REPORTED_S
        while not self._is_over:
            now = self._purchases(owner)
            if (
                now.server - before.server >= tally.orders
                and now.both - before.both >= tally.orders - tally.blocked_orders
            ):
                return
            if time.monotonic() > give_up_at:
                self._say("[red]Not all purchases are on the report yet;[/] see the lines above.")
                return
            self._ended.wait(_LOOK_S)

    def _sum_up(self, owner: Account, tally: Tally) -> None:
        # Narrow, with titles broken by hand, so that it fits a terminal of 80 columns; in a
        # narrower one names fold, since a cut figure is a wrong one.
        table = Table(
            box=SIMPLE_HEAD,
            padding=(0, 0, 0, 1),
            pad_edge=False,
            title="What arrived, of all runs",
            title_justify="left",
        )
        table.add_column("event", overflow="fold")
        for title in (*_COUNTS, CURRENCY):
            table.add_column(title.replace("_", "\n"), justify="right")
        purchases = _NOTHING
        for row in self._read(owner):
            purchases = row if row.event_name == "Purchase" else purchases
            value = f"{row.value[CURRENCY]:,.2f}" if CURRENCY in row.value else ""
            table.add_row(row.event_name, *(f"{getattr(row, name):,}" for name in _COUNTS), value)
        self._console.print()
        self._console.print(table)
        self._say(
            f"This run: {tally.visits} visits and {tally.orders} orders, "
            f"{tally.blocked_orders} of them past an ad blocker."
        )
        self._say(
            f"In all: {purchases.events:,} purchases, {purchases.server_only:,} of which only the "
            f"server saw (ad blockers), {purchases.both:,} that came twice and count once."
        )
        self._say("Everything stays up: shop yourself, or press Ctrl-C.")
