"""The demo: a running server, a small shop with the pixel, and a minute of simulated shoppers."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.markup import escape

from doublet.demo.account import open_account
from doublet.demo.story import Story
from doublet.demo.visits import plan_visits
from doublet.errors import OperatorError
from doublet.processes import FileLock, check_port
from doublet.serve import Supervisor
from doublet.settings import Settings


def run_demo(
    settings: Settings,
    *,
    shop_port: int,
    seconds: float,
    shoppers: int,
    seed: int,
    console: Console,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises OperatorError when a port or the folder is taken."""
    check_port(settings.host, settings.port)
    check_port(settings.host, shop_port, flag="--shop-port")
    if shop_port == settings.port:
        raise OperatorError(
            f"Server and shop cannot both have port {shop_port}.", "Choose another --shop-port."
        )
    # The supervisor takes the lock again; here it keeps the demo out of a folder in use.
    FileLock(settings.run_folder / "serve.lock", str(settings.data)).release()
    account = open_account(settings)
    supervisor = Supervisor(settings, ("demo-shop", f"--shop-port={shop_port}"))
    visits = plan_visits(seed, shoppers if seconds > 0 else 0, seconds)
    story = Story(supervisor, settings, account, shop_port, console)
    teller = threading.Thread(target=story.tell, args=(visits, seconds), name="story")
    try:
        supervisor.run(teller.start)
    finally:
        story.end()
        if teller.ident is not None:
            teller.join()
    console.print(
        f"Stopped. What arrived is kept in {escape(str(settings.data))}; "
        "the next run goes on from there.",
        soft_wrap=True,
    )
