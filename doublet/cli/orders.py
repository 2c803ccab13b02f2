"""`doublet order …` and `doublet rates …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    open_catalog,
    out,
    print_json,
    print_rows,
    read_kept_settings,
)
from doublet.cli.report import print_report

order_app = typer.Typer(help="Say what became of orders, and look at one.", no_args_is_help=True)
rates_app = typer.Typer(help="Exchange rates for reports.", no_args_is_help=True)


@order_app.command("import")
def order_import(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8; its first line names the columns.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look through the file.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Import the good lines of a file with bad ones.")
    ] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Import messages about orders: placed, edited, refunded, cancelled and so on.

    Columns: order_id, kind, changed_at, and if need be value, currency, message_id,
    parent_order_id, action_source. All lines are imported or, when one is wrong, none. Importing a
    file again repeats nothing.

    Example: doublet order import refunds.csv --dry-run
    """
    from doublet.errors import SenderError
    from doublet.order_import import check_file, import_file, listing

    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    with Progress(console=err, transient=True) as progress:
        checking = progress.add_task("Checking …", total=None)
        checked = check_file(file, owner, lambda lines: progress.advance(checking, lines))
        progress.remove_task(checking)
        if checked.bad and not skip_bad:
            raise SenderError(
                f"{listing(file, checked)}\nNothing was imported.",
                "Mend them and import the file again, or leave them out with --skip-bad; what is "
                "known already counts once.",
            )
        imported = 0
        if not dry_run:
            importing = progress.add_task("Importing …", total=checked.good)
            imported = import_file(
                chosen, owner, file, lambda lines: progress.advance(importing, lines)
            )
            if imported != checked.good:
                raise SenderError(
                    f"{file.name} changed meanwhile: {imported:,} of {checked.good:,} messages "
                    "were imported.",
                    "Import it again; what is known already counts once.",
                )
    if as_json:
        found = {"good": checked.good, "bad": len(checked.bad), "imported": imported}
        print_json({**found, "kinds": checked.kinds, "ignored_columns": checked.ignored})
        return
    if checked.ignored:
        err.print(escape(f"Columns left aside: {', '.join(checked.ignored)}."))
    if checked.bad:
        err.print(escape(listing(file, checked)))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(checked.kinds.items()))
    what = "would be imported" if dry_run else "imported"
    print(f"{checked.good:,} messages {what}{f': {kinds}' if kinds else ''}.")


@order_app.command("correct")
def order_correct(
    order_id: Annotated[str, typer.Argument(help="The id that the site's Purchase has.")],
    kind: Annotated[str, typer.Argument(help="refunded, cancelled, edited, placed, confirmed, …")],
    value: Annotated[str | None, typer.Option(help="Total or amount, by kind: 49.90.")] = None,
    currency: Annotated[str | None, typer.Option(help="Left out: the order's.")] = None,
    at: Annotated[
        str | None, typer.Option(help="When it happened, with an offset; left out: now.")
    ] = None,
    message_id: Annotated[
        str | None, typer.Option(help="Names the change; one that is known does not count again.")
    ] = None,
    parent_order_id: Annotated[
        str | None, typer.Option(help="Of a renewal: the subscription's first order.")
    ] = None,
    action_source: Annotated[str | None, typer.Option(help="website, physical_store, …")] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Say what happened to one order; it is durable when the command ends.

    Example: doublet order correct 1001 refunded --value 30 --message-id refund-77
    """
    from doublet.event import WireOrder
    from doublet.order_import import send_one

    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    message = WireOrder(
        order_id=order_id,
        kind=kind,
        changed_at=at or datetime.now(UTC).isoformat(),
        value=value,
        currency=currency,
        message_id=message_id,
        parent_order_id=parent_order_id,
        action_source=action_source,
    )
    send_one(chosen, owner, message)
    if as_json:
        print_json({"order_id": order_id, "kind": kind})
    else:
        print(f"Order {order_id}: {kind}. `doublet refresh` takes it into the reports now.")


@order_app.command("show")
def order_show(
    order_id: Annotated[str, typer.Argument(help="The id that the site's Purchase has.")],
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Tell the ledger of one order: what was said about it, and what it is worth by that.

    Example: doublet order show 1001
    """
    from doublet.ask import read_order
    from doublet.reports.orders import sentences

    chosen = read_kept_settings(data, pairs)
    ledger = read_order(chosen, open_catalog(chosen).account(account), order_id)
    if as_json:
        print_report(ledger)
    else:
        for sentence in sentences(ledger):
            out.print(literal(sentence), soft_wrap=True)


@rates_app.command("import")
def rates_import(
    file: Annotated[Path, typer.Argument(help="CSV with the columns day,currency,rate.")],
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Import exchange rates: what one unit of a currency is worth in the account's own.

    A rate holds from its day until the next one, at most 31 days. A new rate of a known day
    replaces it.

    Example: doublet rates import rates.csv
    """
    from doublet.errors import SenderError
    from doublet.rates import keep_rates, read_rates

    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SenderError(f"{file.name} is not UTF-8.", "Save it as UTF-8.") from error
    rates = read_rates(lines, file.name)
    if any(rate.currency == owner.currency for rate in rates):
        raise SenderError(
            f"{file.name}: {owner.currency} is the account's own currency; one unit is worth 1.",
            f"Give what one unit of each other currency is worth in {owner.currency}; leave "
            f"{owner.currency} out.",
        )
    kept = keep_rates(chosen.rates_folder, owner.account_id, rates)
    if as_json:
        print_json({"imported": len(rates), "known": kept})
    else:
        print(f"{len(rates):,} rates to {owner.currency} imported, {kept:,} known.")


@rates_app.command("list")
def rates_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the exchange rates of an account."""
    from doublet.rates import kept_rates

    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    rates = kept_rates(chosen.rates_folder, owner.account_id)
    print_rows(
        [{"day": str(r.day), "currency": r.currency, "rate": str(r.rate)} for r in rates], as_json
    )
