"""The command `doublet`: every option, output for people by default and `--json` for programs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from doublet import __version__
from doublet.cli.accounts import account_app, pixel_app
from doublet.cli.ads import ads_app
from doublet.cli.alerts import alerts
from doublet.cli.attribution import ATTRIBUTION_COMMANDS
from doublet.cli.audience import audience_app
from doublet.cli.audience_out import AUDIENCE_OUT_COMMANDS, webhook_app
from doublet.cli.audience_upload import audience_upload
from doublet.cli.backup import backup, restore
from doublet.cli.campaign import campaign_app
from doublet.cli.campaign_sheet import campaign_export, campaign_import
from doublet.cli.check import check
from doublet.cli.destination import destination_app
from doublet.cli.explain import explain
from doublet.cli.imports import import_
from doublet.cli.leads import lead_app
from doublet.cli.lift import lift_app
from doublet.cli.options import (
    AsJson,
    Data,
    ParentOption,
    SetOption,
    err,
    out,
    print_json,
    read_kept_settings,
    read_settings,
)
from doublet.cli.orders import order_app, rates_app
from doublet.cli.person import person_app
from doublet.cli.persons import PERSONS_COMMANDS
from doublet.cli.product import product_app
from doublet.cli.product_audience import product_audience
from doublet.cli.quality import report_diagnostics, report_quality
from doublet.cli.recipe import recipe
from doublet.cli.reconcile import reconcile
from doublet.cli.refused import refused_app
from doublet.cli.relay import RELAY_COMMANDS
from doublet.cli.report import report_app
from doublet.cli.send import send
from doublet.cli.setup import setup
from doublet.cli.shop import shop_app
from doublet.cli.tail import tail
from doublet.cli.users import user_app
from doublet.errors import DoubletError, OperatorError
from doublet.settings import SETTINGS, Settings, settings_file

app = typer.Typer(
    name="doublet",
    help="Pixel, Conversions API, deduplication and reports for ad conversions, self-hosted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(pixel_app, name="pixel")
app.add_typer(account_app, name="account")
app.add_typer(user_app, name="user")
for name, command in ATTRIBUTION_COMMANDS.items():
    report_app.command(name)(command)
report_app.command("quality")(report_quality)
report_app.command("diagnostics")(report_diagnostics)
app.add_typer(report_app, name="report")
for name, command in PERSONS_COMMANDS.items():
    person_app.command(name)(command)
app.add_typer(person_app, name="person")
app.add_typer(order_app, name="order")
app.add_typer(lead_app, name="lead")
app.add_typer(ads_app, name="ads")
app.add_typer(lift_app, name="lift")
product_app.command("audience")(product_audience)
audience_app.command("upload")(audience_upload)
for name, command in AUDIENCE_OUT_COMMANDS.items():
    audience_app.command(name)(command)
audience_app.add_typer(webhook_app, name="webhook")
app.add_typer(product_app, name="product")
app.add_typer(shop_app, name="shop")
app.add_typer(audience_app, name="audience")
campaign_app.command("export")(campaign_export)
campaign_app.command("import")(campaign_import)
app.add_typer(campaign_app, name="campaign")
app.add_typer(refused_app, name="refused")
for name, command in RELAY_COMMANDS.items():
    destination_app.command(name)(command)
app.add_typer(destination_app, name="destination")
app.add_typer(rates_app, name="rates")
app.command()(backup)
app.command()(restore)
app.command()(explain)
app.command()(check)
app.command()(send)
app.command()(setup)
app.command()(alerts)
app.command()(tail)
app.command("import")(import_)
app.command()(recipe)
app.command()(reconcile)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


@app.command()
def settings(
    as_json: AsJson = False,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print a whole doublet.toml.")] = False,
) -> None:
    """List every setting with its default and meaning.

    Give one as a flag (--set name=value), as DOUBLET_NAME in the environment, or in doublet.toml.

    Example: doublet settings --toml > doublet.toml
    """
    if as_toml:
        print(settings_file())
        return
    if as_json:
        print_json([setting._asdict() for setting in SETTINGS])
        return
    table = RichTable("setting", "default", "takes effect", "meaning")
    for setting in SETTINGS:
        table.add_row(setting.name, setting.default, setting.effect, setting.help)
    out.print(table)


@app.command()
def openapi() -> None:
    """Print the OpenAPI description of every HTTP interface; a server serves it at /openapi.json.

    Example: doublet openapi > openapi.json
    """
    from doublet.openapi import document

    print_json(document())


# --- serving ---------------------------------------------------------------------------------


@app.command()
def serve(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Public port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Collector processes.")] = None,
    faults: Annotated[
        str | None, typer.Option(help="File of faults for clients to meet (docs/faults.md).")
    ] = None,
    pairs: SetOption = None,
) -> None:
    """Run everything on this machine: collectors, worker, dashboard.

    Example: doublet serve --data ./doublet-data --port 8700
    """
    from doublet.serve import Supervisor, first_user_address

    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    chosen = read_settings(data, pairs, host=host, port=port, workers=workers, faults=faults)

    def on_ready() -> None:
        err.print(f"Doublet {__version__} is listening on {chosen.url} (data: {chosen.data}).")
        if chosen.faults:
            where = f"{chosen.local_url}/faults.json"
            err.print(f"Clients meet the faults of {escape(chosen.faults)}, counted at {where}.")
        if address := first_user_address(chosen):
            err.print(f"Nobody can sign in yet; make the first user at\n  {escape(address)}")
        err.print("`doublet setup` leads you through; Ctrl-C stops.")

    Supervisor(chosen).run(on_ready)


@app.command()
def collect(data: Data = None, pairs: SetOption = None, parent: ParentOption = 0) -> None:
    """Run only the collectors: the public port, without loading or reports."""
    from doublet.catalog import Catalog
    from doublet.collect.server import run_collectors

    chosen = _begin_part(data, pairs, parent)
    if not parent:
        from doublet.processes import check_port

        check_port(chosen.host, chosen.port)
        Catalog(chosen.catalog_url).migrate()
        err.print(f"Collecting at {chosen.url} (data: {chosen.data}). Ctrl-C stops.")
    run_collectors(chosen)


@app.command()
def decide(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the deciders.")] = None,
    workers: Annotated[int | None, typer.Option(help="Decider processes.")] = None,
    pairs: SetOption = None,
    parent: ParentOption = 0,
) -> None:
    """Run only the deciders: ads are chosen, and their impressions and clicks taken.

    Example: doublet decide --workers 2 --port 8702
    """
    from doublet.decide.server import run_deciders

    chosen = _begin_part(data, pairs, parent, host=host, decide_port=port, decide_workers=workers)
    if not parent:
        from doublet.catalog import Catalog
        from doublet.processes import check_port

        check_port(chosen.host, chosen.decide_port)
        Catalog(chosen.catalog_url).migrate()
        err.print(f"Deciding at {chosen.deciders_url} (data: {chosen.data}). Ctrl-C stops.")
    run_deciders(chosen, chosen.decide_workers or 1)


@app.command()
def work(data: Data = None, pairs: SetOption = None, parent: ParentOption = 0) -> None:
    """Run only the worker: loading, models, reports."""
    chosen = _begin_part(data, pairs, parent)
    if not parent:
        from doublet.catalog import Catalog

        Catalog(chosen.catalog_url).migrate()
        err.print(f"Working on {chosen.data}; collectors pass its pages on. Ctrl-C stops.")
    from doublet.worker import run_worker

    run_worker(chosen)


@app.command()
def relay(data: Data = None, pairs: SetOption = None, parent: ParentOption = 0) -> None:
    """Run only the relay: what the worker has put into the outbox goes to its destinations."""
    from doublet.relay.run import run_relay

    chosen = _begin_part(data, pairs, parent)
    if not parent:
        err.print(f"Relaying from {chosen.outbox_file}. Ctrl-C stops.")
    run_relay(chosen)


@app.command("fault-front", hidden=True)
def fault_front(
    inner_port: Annotated[int, typer.Option()],
    data: Data = None,
    pairs: SetOption = None,
    parent: ParentOption = 0,
) -> None:
    """Run only what lets clients meet faults; `doublet serve --faults` starts it."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    chosen = _begin_part(data, pairs, parent)
    from doublet.faults.front import run_front

    run_front(chosen, inner_port)


def _begin_part(data: Path | None, pairs: list[str] | None, parent: int, **more: Any) -> Settings:
    if parent:
        from doublet.processes import die_with_parent

        die_with_parent(parent)
    from doublet.processes import check_restored

    chosen = read_settings(data, pairs, **more)
    check_restored(chosen)
    return chosen


@app.command()
def demo(
    data: Data = None,
    port: Annotated[int | None, typer.Option(help="Public port.")] = None,
    shop_port: Annotated[int, typer.Option(help="Port of the demo shop.")] = 8701,
    seconds: Annotated[float, typer.Option(help="How long visitors shop.", min=0)] = 60.0,
    shoppers: Annotated[int, typer.Option(help="How many visitors are simulated.", min=0)] = 120,
    seed: Annotated[int, typer.Option(help="Seed of the simulated visitors.")] = 1,
    pairs: SetOption = None,
) -> None:
    """Run the server, a small shop with the pixel, and a minute of simulated shoppers.

    Example: doublet demo --seconds 20
    """
    from doublet.demo import run_demo

    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    usual = None if os.environ.get("DOUBLET_DATA") else Path("doublet-demo")
    chosen = read_settings(data or usual, pairs, port=port)
    run_demo(
        chosen, shop_port=shop_port, seconds=seconds, shoppers=shoppers, seed=seed, console=err
    )


@app.command("demo-shop", hidden=True)
def demo_shop(
    shop_port: Annotated[int, typer.Option()],
    data: Data = None,
    pairs: SetOption = None,
    parent: ParentOption = 0,
) -> None:
    """Run only the demo's shop; `doublet demo` starts it."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    chosen = _begin_part(data, pairs, parent)
    from doublet.demo.shop_server import run_shop

    run_shop(chosen, shop_port)


# --- tables ----------------------------------------------------------------------------------


@app.command()
def refresh(data: Data = None, as_json: AsJson = False, pairs: SetOption = None) -> None:
    """Bring lake and models up to date now, through the running worker if there is one."""
    _run_rounds(
        read_kept_settings(data, pairs),
        "/v1/refresh",
        lambda freshener, tell: dict(
            zip(("loaded", "modelled"), freshener.freshen(tell), strict=True)
        ),
        as_json,
    )


@app.command()
def rebuild(data: Data = None, as_json: AsJson = False, pairs: SetOption = None) -> None:
    """Make the models anew from the lake; reports show the old state until it is done."""
    _run_rounds(
        read_kept_settings(data, pairs),
        "/v1/rebuild",
        lambda freshener, tell: {"modelled": freshener.rebuild(tell)},
        as_json,
    )


def _run_rounds(
    chosen: Settings,
    path: str,
    act: Callable[[Any, Callable[[str, int], None]], dict[str, int]],
    as_json: bool,
) -> None:
    from doublet.ask import ask_for_round

    with err.status("Working …") as status:
        result = ask_for_round(chosen, path)
        if result is None:
            from doublet.rounds import Freshener

            totals = {"loaded": 0, "modelled": 0}

            def tell(what: str, rows: int) -> None:
                totals[what] += rows
                status.update(f"{totals['loaded']:,} loaded, {totals['modelled']:,} modelled …")

            freshener = Freshener(chosen)
            try:
                result = act(freshener, tell)
            finally:
                freshener.close()
    if as_json:
        print_json(result)
    else:
        print(", ".join(f"{rows:,} {what}" for what, rows in result.items()))


def main() -> None:
    """Run a command; expected errors print what to do and set the exit code."""
    # What is stored is personal data, and for nobody else on this machine.
    os.umask(0o077)
    try:
        app()
    except DoubletError as error:
        err.print("[bold red]Error:[/]", escape(error.message))
        if error.hint:
            err.print(escape(error.hint))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:
        # What the operating system refuses is for the operator to mend.
        place = f": {error.filename}" if error.filename else ""
        err.print("[bold red]Error:[/]", escape(f"{error.strerror or error}{place}."))
        err.print("Check the folder, its owner and its disk.")
        sys.exit(OperatorError.exit_code)
