"""`doublet product …`: what is sold, from a product feed, and how events name it."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    not_empty,
    open_catalog,
    out,
    print_json,
    print_rows,
    read_kept_settings,
    record,
)
from doublet.cli.report import Since, Until, check_forms

if TYPE_CHECKING:
    from doublet.catalog.products import Replaced
    from doublet.feeds.read import Feed, Read
    from doublet.products.match import Match
    from doublet.settings import Settings

product_app = typer.Typer(
    help="What is sold, from a product feed, and how events name it.", no_args_is_help=True
)

Format = Annotated[
    Literal["xml", "csv", "shopify-json", "shopify-csv"] | None,
    typer.Option("--format", help="What the feed is, where it does not look like it."),
]
Ids = Annotated[
    Literal["product", "variant", "sku"] | None,
    typer.Option("--id", help="Of Shopify's products: what events name as content_ids."),
]
Currency = Annotated[
    str | None,
    typer.Option("--currency", help="Of prices without one; else the account's."),
]
Decimal = Annotated[
    Literal["comma", "point"] | None,
    typer.Option("--decimal", help="What stands before decimals, where that is not plain."),
]
Encoding = Annotated[str, typer.Option("--encoding", help="Of the text of a CSV, such as cp1252.")]


@product_app.command("import")
def product_import(
    feed: Annotated[
        str, typer.Argument(help="A file, or the address of a feed.", callback=not_empty)
    ],
    form: Format = None,
    ids: Ids = None,
    currency: Currency = None,
    decimal: Decimal = None,
    encoding: Encoding = "utf-8",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep products that the feed does not name.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Import the good rows of a feed with bad ones.")
    ] = False,
    bad_rows: Annotated[
        Path | None, typer.Option("--bad-rows", help="Write each bad row's fault here (CSV).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look through it.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Take in a product feed: Merchant XML, CSV or TSV of Merchant Center or Meta, Shopify.

    The feed's products replace those before, all or none. Nothing fetches a feed by itself: import
    it again when it has changed.

    Example: doublet product import feed.xml --dry-run
    """
    from doublet.entries import check_currency
    from doublet.feeds.fields import Reading
    from doublet.feeds.read import read_feed
    from doublet.products.audiences import renew

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    code = check_currency(currency) if currency else owner.currency
    reading = Reading(owner.account_id, code, decimal or "")
    with (
        _feed_of(chosen, feed, form, encoding, ids) as found,
        _bar() as bar,
        _faults_into(bad_rows) as on_fault,
    ):
        task = bar.add_task("Reading …", total=None)

        def say(rows: int) -> None:
            bar.update(task, description=f"Reading … {rows:,} rows")

        with read_feed(found, reading, _folder(chosen), say, on_fault) as read:
            is_refused = bool(read.bad) and not skip_bad
            done = None
            if not dry_run and not is_refused:
                bar.update(task, description="Writing …")
                done = catalog.products.replace(
                    owner.account_id, read.products(), read.named, keeps_others=keep
                )
                record(catalog, "products.imported", found.name, owner.account_id, **done._asdict())
    renewed = [] if done is None else list(renew(catalog, owner.account_id))
    _tell(found, read, done, as_json)
    for each in renewed:
        if each.problem:
            err.print(f"Audience {literal(each.name)} stays as it was: {escape(each.problem)}")
        elif each.is_changed:
            err.print(f"Audience {literal(each.name)} follows the feed.")
    if is_refused:
        _refuse(found, read)


def _folder(chosen: Settings) -> Path | None:
    """Where what is put aside belongs: beside the data, which is as private."""
    folder = chosen.data / "tmp"
    if not chosen.data.is_dir():
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def _feed_of(chosen: Settings, given: str, form: Any, encoding: str, ids: Any) -> Iterator[Feed]:
    from doublet.feeds.fetch import fetch, is_address, name_in, site_of
    from doublet.feeds.read import open_feed

    if not is_address(given):
        yield open_feed(Path(given), form, encoding=encoding, ids=ids)
        return
    with tempfile.TemporaryDirectory(dir=_folder(chosen)) as folder:
        target = Path(folder) / "feed"
        with _bar() as bar:
            task = bar.add_task("Fetching …", total=None)

            def say(size: int) -> None:
                bar.update(task, description=f"Fetching … {size >> 10:,} KiB")

            fetch(given, target, say)
        name, site = name_in(given), site_of(given)
        yield open_feed(target, form, name=name, encoding=encoding, ids=ids, site_url=site)


def _bar() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=err, transient=True)


@contextmanager
def _faults_into(file: Path | None) -> Iterator[Any]:
    if file is None:
        yield None
        return
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("line", "column", "reason", "message"))
        yield writer.writerow


def _tell(feed: Feed, read: Read, done: Replaced | None, as_json: bool) -> None:
    bad = sum(read.bad.values())
    if as_json:
        print_json(
            {
                "format": feed.format,
                "products": len(read.named),
                "bad": bad,
                "reasons": read.bad,
                "errors": [fault._asdict() for fault in read.first],
                **(done._asdict() if done else {}),
                "imported": done is not None,
            }
        )
        return
    noun = "product" if feed.format == "shopify-json" else "line"
    for fault in read.first:
        column = f", {fault.column}" if fault.column else ""
        out.print(literal(f"{noun} {fault.line}{column}: {fault.message}"), soft_wrap=True)
    if bad > len(read.first):
        out.print(f"… and {bad - len(read.first):,} more.")
    if done is None:
        out.print(f"{len(read.named):,} products are good, {bad:,} rows are bad.")
        out.print("Nothing was stored.")
        return
    left = f" {bad:,} bad rows were left out." if bad else ""
    out.print(
        f"{len(read.named):,} products: {done.added:,} new, {done.changed:,} changed, "
        f"{done.same:,} as before; {done.removed:,} are gone.{left}",
        soft_wrap=True,
    )


def _refuse(feed: Feed, read: Read) -> None:
    from doublet.errors import SenderError

    bad = sum(read.bad.values())
    raise SenderError(
        f"{bad:,} rows of {feed.name} are bad; nothing was imported.",
        "Mend them and import the feed again, or leave them out with --skip-bad.",
    )


@product_app.command("list")
def product_list(
    category: Annotated[
        str | None, typer.Option(help="Only this one and those below it.", callback=not_empty)
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="In id, title or brand.", callback=not_empty)
    ] = None,
    categories: Annotated[
        bool, typer.Option("--categories", help="List categories instead, with their products.")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List products, or their categories.

    Example: doublet product list --category "Shoes > Running" --json
    """
    from doublet.catalog.products import Chosen
    from doublet.products import clean_category

    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    if categories:
        counts = sorted(catalog.products.categories(owner.account_id).items())
        print_rows([{"category": name, "products": count} for name, count in counts], as_json)
        return
    which = Chosen(clean_category(category or ""), "", words or "")
    found = catalog.products.some(owner.account_id, which, limit + 1)
    shown = [msgspec.structs.asdict(product) for product in found[:limit]]
    if not as_json:
        names = ("product_id", "title", "category", "price", "currency", "availability")
        shown = [{name: row[name] for name in names} for row in shown]
    print_rows(shown, as_json)
    if len(found) > limit:
        err.print(f"There are more: --limit {limit * 10} shows them.")


@product_app.command("match")
def product_match(
    account: AccountOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """How many of the content_ids in events the feed knows, and what to do about the others.

    Without days, it looks at the last thirty.

    Example: doublet product match --since 2026-11-01
    """
    from doublet.ask_products import read_match

    check_forms(since, until, False)
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    found = read_match(chosen, owner, since and since.date(), until and until.date())
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif not found.rows:
        err.print("No events of these days name products.")
    else:
        _print_match(found)


def _print_match(found: Match) -> None:
    table = RichTable("event_name")
    for title in ("events", "without ids", "all known", "some known", "none known", "match rate"):
        table.add_column(title, justify="right")
    for row in found.rows:
        counts = (row.events, row.without_ids, row.all_known, row.some_known, row.none_known)
        rate = "" if row.match_rate is None else f"{row.match_rate:.1%}"
        table.add_row(literal(row.event_name), *(f"{count:,}" for count in counts), rate)
    out.print(table)
    if found.unknown:
        unknown = RichTable("unknown id", "in events named", "what to do")
        unknown.add_column("events", justify="right")
        for each in found.unknown[:20]:
            names = literal(", ".join(each.event_names))
            unknown.add_row(literal(each.content_id), names, literal(each.fix), f"{each.events:,}")
        out.print(unknown)
    for sentence in found.advice:
        err.print(escape(sentence))
