"""`doublet reconcile`: the shop's own orders beside what is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer
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
    read_kept_settings,
)
from doublet.cli.report import print_report

if TYPE_CHECKING:
    from doublet.catalog import Account, Shop
    from doublet.reconcile import Group, Question, Reconciliation
    from doublet.reconciling import Export

DIFFERS = 4
"""Exit code when the two sides do not agree."""

_DAYS = 7
_LISTED = 10
_LISTED_FOR_PROGRAMS = 10_000


def reconcile(
    file: Annotated[
        Path | None,
        typer.Argument(help="The shop's export of its orders as CSV; left out: its API."),
    ] = None,
    shop: Annotated[
        str | None,
        typer.Option("--shop", help="Shop, by name or id; whose orders.", callback=not_empty),
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="First day.", formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option(help="Last day.", formats=["%Y-%m-%d"])] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN where the guess is wrong; FIELD= for none."),
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None, typer.Option(help="What stands before decimals.")
    ] = None,
    date_format: Annotated[
        str | None, typer.Option(help="How times are written, such as '%d/%m/%Y %H:%M'.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Orders listed of each finding and reason."),
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the lists as CSV.")] = False,
    pairs: SetOption = None,
) -> None:
    """Compare the shop's own orders with ledger and relay: what is missing, doubled or different.

    With a file the days default to the file's, otherwise to the last 7. Ends with 0 when both sides
    agree, with 4 when not.

    Example: doublet reconcile orders_export.csv
    """
    from doublet.cli.report import check_forms
    from doublet.reconciling import read_reconciliation, staging

    check_forms(since, until, as_json and as_csv)
    if file is None and shop is None:
        raise typer.BadParameter("Name a file of the shop's orders, or --shop to ask its API.")
    given = _mapping(columns)
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    row = None if shop is None else catalog.shops.one(shop, owner.account_id)
    question = _question(owner, row, file, since, until)
    question.limit = limit or (_LISTED_FOR_PROGRAMS if as_json or as_csv else _LISTED)
    with staging(chosen) as folder:
        orders = folder / "orders"
        if file is not None:
            _stage_file(orders, file, owner, given, decimal, date_format)
        else:
            assert row is not None
            _stage_api(orders, row, owner, question)
        with err.status("Comparing …"):
            told = read_reconciliation(chosen, owner, question, orders)
    hooks = [] if row is None or file is not None else _webhooks(told, row)
    _print(told, as_json, as_csv, hooks)
    if not told.agrees:
        raise typer.Exit(DIFFERS)


def _mapping(columns: list[str] | None) -> dict[str, str]:
    given = {}
    for pair in columns or []:
        field, sign, column = pair.partition("=")
        if not sign:
            raise typer.BadParameter(f"{pair!r} names no column; write FIELD=COLUMN.")
        given[field.strip()] = column.strip()
    return given


def _question(
    owner: Account,
    row: Shop | None,
    file: Path | None,
    since: datetime | None,
    until: datetime | None,
) -> Question:
    from doublet.reconcile import Question

    first = since.date() if since else None
    last = until.date() if until else None
    if file is None:
        last = last or datetime.now(ZoneInfo(owner.time_zone)).date()
        first = first or last - timedelta(days=_DAYS - 1)
    return Question(first, last, row.shop_id if row else None, is_whole=file is None)


# --- reading -----------------------------------------------------------------------------------


@contextmanager
def _reading() -> Iterator[Callable[[int], None]]:
    with err.status("Reading the shop's orders …") as status:
        yield lambda count: status.update(f"{count:,} orders read …")


def _stage_file(
    orders: Path,
    file: Path,
    owner: Account,
    given: dict[str, str],
    decimal: Literal["point", "comma"] | None,
    date_format: str | None,
) -> None:
    from doublet.reconcile.shop_file import Manner
    from doublet.reconciling import stage_export

    manner = Manner(decimal, None, date_format)
    with _reading() as on_progress:
        export = stage_export(orders, file, owner, given, manner, on_progress)
    _print_export(file, export)


def _print_export(file: Path, export: Export) -> None:
    taken = ", ".join(
        f"{mapped.field} = {mapped.column}{' (as told)' if mapped.is_given else ''}"
        for mapped in export.mapped
    )
    err.print(literal(f"{export.orders:,} orders in {file.name}; columns: {taken}."))
    if export.currency:
        err.print(f"No column says a currency: all amounts are taken for {export.currency}.")
    if export.unknown_states:
        words = ", ".join(f"{word!r}" for word in export.unknown_states)
        err.print(literal(f"Of orders in these states it is not compared: {words}."))


def _stage_api(orders: Path, row: Shop, owner: Account, question: Question) -> None:
    from doublet.reconciling import stage_orders
    from doublet.reports import bounds
    from doublet.shops.api import ShopApi, Span

    assert question.since is not None
    assert question.until is not None
    # A day more on either side: clocks differ, and a Purchase may come after midnight.
    first, last = question.since - timedelta(days=1), _later(question.until)
    since, until = bounds(owner, first, last)
    assert since is not None
    assert until is not None
    with _reading() as on_progress, ShopApi(row) as api:
        stage_orders(orders, api.orders(Span(since, until)), on_progress)


def _later(day: date) -> date:
    return day if day > date.max - timedelta(days=2) else day + timedelta(days=1)


def _webhooks(told: Reconciliation, row: Shop) -> list[str]:
    """What the shop's webhooks explain of what is not here."""
    from doublet.errors import DoubletError
    from doublet.reconcile import words
    from doublet.shops.api import ShopApi

    if not words.wanted_topics(told, row.platform):
        return []
    try:
        with ShopApi(row) as api:
            found = api.subscriptions()
    except DoubletError as error:
        return [f"The shop's webhooks could not be looked at: {error.message}"]
    return list(words.webhooks(told, row, found))


# --- printing ----------------------------------------------------------------------------------


def _print(told: Reconciliation, as_json: bool, as_csv: bool, hooks: Sequence[str]) -> None:
    from doublet.reconcile import Listed, words
    from doublet.reports import as_csv as csv_of

    if as_json:
        print_report({**msgspec.structs.asdict(told), "webhooks": list(hooks)})
        return
    if as_csv:
        listed = [order for group in told.groups for order in group.listed]
        print(csv_of(listed, Listed), end="")
        return
    for sentence in words.sentences(told):
        out.print(literal(sentence), soft_wrap=True)
    if told.groups:
        out.print(_summary(told.groups))
    for group in told.groups:
        # Of what is in order the summary says enough.
        if not group.is_expected:
            _print_group(group)
    for sentence in hooks:
        out.print(literal(sentence), soft_wrap=True)


def _summary(groups: Sequence[Group]) -> RichTable:
    from doublet.reconcile import words
    from doublet.reconcile.findings import FINDINGS

    table = RichTable("finding", "reason", "orders", "share", "money", "")
    for column in table.columns[2:5]:
        column.justify = "right"
    for group in groups:
        where = f" to {group.destination}" if group.destination else ""
        table.add_row(
            literal(f"{FINDINGS[group.finding].title}{where}"),
            literal(group.why),
            f"{group.orders:,}",
            f"{group.share:.1%}",
            words.money(group.money),
            "in order" if group.is_expected else "",
        )
    return table


def _print_group(group: Group) -> None:
    from doublet.reconcile import words
    from doublet.reconcile.findings import FINDINGS

    title = FINDINGS[group.finding].title
    where = f" to {group.destination}" if group.destination else ""
    head = f"{title[0].upper()}{title[1:]}{where}, {group.why}: {group.orders:,}"
    out.print(f"\n[bold]{literal(head)}[/], {words.money(group.money)}", soft_wrap=True)
    out.print(literal(f"{group.says} {group.do}".strip()), soft_wrap=True)
    rows = [
        (
            f"{order.made_at:%Y-%m-%d %H:%M}",
            " ".join(filter(None, (order.order_id, order.name))) or "–",
            order.our_order_id or "–",
            _money(order.shop_value, order.currency),
            _money(order.our_value, order.currency),
            order.detail,
        )
        for order in group.listed
    ]
    table = RichTable("made", "in the shop", "here", "worth there", "worth here", "details")
    for row in rows:
        table.add_row(*map(literal, row))
    out.print(table)
    if group.orders > len(group.listed):
        out.print(f"… and {group.orders - len(group.listed):,} more; --limit lists more.")


def _money(value: Any, currency: str) -> str:
    from doublet.reports.orders import amount

    return "–" if value is None else amount(value, currency)
