"""Reconciling beside the server: the shop's orders from a file or its API, handed to whoever has
the tables; the running worker's address for it."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.ask import ROUND_TIMEOUT_S, ask_worker
from doublet.ask_refused import own_freshener
from doublet.catalog import Account, Catalog, Role, Shop
from doublet.destinations.status import opened
from doublet.errors import OperatorError, SenderError
from doublet.reconcile import LIMIT_MAX, Question, Reconciliation, Sides, compare, stage
from doublet.reconcile.columns import Mapped
from doublet.reconcile.shop_file import Fault, Manner, ShopFile
from doublet.refusal import Reason, Refusal
from doublet.relay.fill import Filler
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.shops.orders import ShopOrder
from doublet.web.access import Access
from doublet.web.parameters import read_choice, read_question
from doublet.web.refused import Refused

_BODY_SIZE_BYTES_MAX = 256 << 20
_LINE_SIZE_BYTES_MAX = 64 << 10
_STAGED = "reconcile-"
_STAGED_AGE_S = 86_400
_FAULTS_TOLD = 20
_TELL_EVERY = 1000

_decode_order = msgspec.json.Decoder(ShopOrder).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode

OnProgress = Callable[[int], object]


class Export(NamedTuple):
    """What was read of a shop's export, beside its orders: what its columns were taken for, the
    `currency` of all amounts where no column says it, words for a state that mean nothing here."""

    orders: int
    mapped: list[Mapped]
    columns: list[str]
    currency: str | None
    unknown_states: dict[str, int]


class Pasted(NamedTuple):
    """An export that is in memory alone, since it holds what no disk may."""

    text: str
    name: str = "the text"

    def open(self, encoding: str = "", newline: str = "") -> TextIO:
        """Its lines."""
        return io.StringIO(self.text, newline=newline)


# --- what the shop has -------------------------------------------------------------------------


@contextmanager
def staging(settings: Settings) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    for left in settings.run_folder.glob(f"{_STAGED}*"):
        # Of a process that was killed: its hashes are not to lie about.
        if left.stat().st_mtime < time.time() - _STAGED_AGE_S:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_STAGED, dir=settings.run_folder) as folder:
        yield Path(folder)


def stage_orders(
    file: Path, orders: Iterable[ShopOrder], on_progress: OnProgress | None = None
) -> int:
    """Write orders to a file that the comparison reads; how many."""

    def told() -> Iterator[ShopOrder]:
        for number, order in enumerate(orders, 1):
            if on_progress is not None and number % _TELL_EVERY == 0:
                on_progress(number)
            yield order

    return stage(file, told())


def stage_export(
    file: Path,
    export: Path | Pasted,
    account: Account,
    given: Mapping[str, str],
    manner: Manner,
    on_progress: OnProgress | None = None,
) -> Export:
    """The same for the orders of a shop's export; see `ShopFile`. Raises SenderError when a line
    cannot be understood, naming the first such lines: a comparison without them would call their
    orders missing."""
    with _read(export, account, given, manner) as lines:
        manner = lines.learn()
    faults: list[Fault] = []
    with _read(export, account, given, manner) as lines:
        count = stage_orders(file, _good(lines, faults), on_progress)
    if faults:
        raise SenderError(_listing(export, faults, count), "Mend these lines, or export again.")
    return Export(count, lines.mapped, lines.columns, lines.currency, lines.unknown_states)


def _good(lines: ShopFile, faults: list[Fault]) -> Iterator[ShopOrder]:
    """The orders; what is wrong goes to `faults`."""
    for found in lines:
        if isinstance(found, ShopOrder):
            yield found
        else:
            faults.append(found)


@contextmanager
def _read(
    export: Path | Pasted, account: Account, given: Mapping[str, str], manner: Manner
) -> Iterator[ShopFile]:
    zone = ZoneInfo(account.time_zone)
    try:
        with export.open(encoding="utf-8", newline="") as lines:
            yield ShopFile(lines, zone, account.currency, given, manner)
    except UnicodeDecodeError as error:
        raise SenderError(f"{export.name} is not UTF-8.", "Save it as UTF-8.") from error


def _listing(export: Path | Pasted, faults: list[Fault], good: int) -> str:
    lines = [f"{len(faults):,} of {len(faults) + good:,} lines of {export.name} are wrong:"]
    for fault in faults[:_FAULTS_TOLD]:
        column = f", column {fault.column}" if fault.column else ""
        lines.append(f"line {fault.line}{column}: {fault.message}")
    if len(faults) > _FAULTS_TOLD:
        lines.append(f"… and {len(faults) - _FAULTS_TOLD:,} more.")
    return "\n".join(lines)


# --- comparing ---------------------------------------------------------------------------------


def read_reconciliation(
    settings: Settings, account: Account, question: Question, orders: Path
) -> Reconciliation:
    """The comparison of staged orders with what is here, by whoever has the tables; see
    `doublet.reconcile`. Raises OperatorError."""
    given = msgspec.to_builtins(question) | {"account": account.account_id}
    parameters = {name: str(value) for name, value in given.items() if value is not None}
    parameters["is_whole"] = "1" if question.is_whole else "0"
    answer = ask_worker(
        settings,
        "POST",
        "/v1/reconcile",
        parameters,
        timeout_s=ROUND_TIMEOUT_S,
        body=orders.read_bytes(),
    )
    if answer is not None:
        return msgspec.json.decode(answer, type=Reconciliation)
    with own_freshener(settings) as freshener, closing(Catalog(settings.catalog_url)) as catalog:
        shop = _shop(catalog, account, question)
        return _compare(settings, freshener, catalog, account, shop, question, orders)


def _shop(catalog: Catalog, account: Account, question: Question) -> Shop | None:
    if question.shop is None:
        return None
    return catalog.shops.one(question.shop, account.account_id)


def _compare(
    settings: Settings,
    freshener: Freshener,
    catalog: Catalog,
    account: Account,
    shop: Shop | None,
    question: Question,
    orders: Path,
) -> Reconciliation:
    with opened(settings.outbox_file) as outbox:
        sides = Sides(
            freshener.engine,
            [pixel.pixel_id for pixel in catalog.pixels(account.account_id)],
            freshener.refusals(),
            [each for each in catalog.destinations() if each.account_id == account.account_id],
            outbox,
            freshener.problem,
        )
        return compare(
            sides, account, question, orders, orders.parent, shop=shop, now_s=int(time.time())
        )


def reconcile_text(
    settings: Settings,
    catalog: Catalog,
    freshener: Freshener,
    filler: Filler,
    account: Account,
    question: Question,
    text: str,
) -> tuple[Export, Reconciliation]:
    """The comparison of a shop's export, given as a text, with what is here. Raises SenderError
    when it cannot be understood."""
    with staging(settings) as folder:
        orders = folder / "orders"
        export = stage_export(orders, Pasted(text), account, {}, Manner())
        # What has just come must not be called missing.
        freshener.freshen()
        filler.fill(freshener.positions)
        told = _compare(settings, freshener, catalog, account, None, question, orders)
    return export, told


def reconcile_routes(
    door: Access, catalog: Catalog, settings: Settings, freshener: Freshener, filler: Filler
) -> list[Route]:
    """`POST /v1/reconcile`, for whom the account's token or the operator's key lets in: a shop's
    orders as JSON lines."""

    async def post(request: Request) -> Response:
        visitor = await door.admit(request)
        found = await read_question(request, visitor, catalog)
        visitor.demand(found.account.account_id, Role.ANALYST)
        if found.pixel_id is not None:
            message = "An order belongs to the account, not to a pixel; leave pixel out."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "pixel"))
        question = Question(
            found.since,
            found.until,
            request.query_params.get("shop") or None,
            read_choice(request, "is_whole", ("0", "1")) == "1",
            _limit(request),
        )

        try:
            shop = await run_in_threadpool(_shop, catalog, found.account, question)
        except OperatorError as error:
            raise Refused(Refusal(Reason.PARAMETER_INVALID, error.message, "shop")) from None

        def run(orders: Path) -> Reconciliation:
            # What has just come must not be called missing.
            freshener.freshen()
            filler.fill(freshener.positions)
            return _compare(settings, freshener, catalog, found.account, shop, question, orders)

        with staging(settings) as folder:
            orders = folder / "orders"
            await _receive(request, orders)
            told = await run_in_threadpool(run, orders)
        return Response(_encode(told), media_type="application/json")

    return [Route("/v1/reconcile", post, methods=["POST"])]


def _limit(request: Request) -> int:
    text = request.query_params.get("limit") or "10"
    if not text.isdecimal() or not 1 <= int(text[:9]) <= LIMIT_MAX:
        message = f"limit must be a number from 1 to {LIMIT_MAX}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "limit"))
    return int(text)


async def _receive(request: Request, file: Path) -> None:
    """Write the orders of a body to a file, line by line as they ought to be."""
    size_bytes = number = 0
    rest = b""
    with file.open("wb") as out:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > _BODY_SIZE_BYTES_MAX:
                raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than 256 MiB."))
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_SIZE_BYTES_MAX:
                raise Refused(Refusal(Reason.TOO_LARGE, "A line is larger than any order."))
            for line in lines:
                number += 1
                out.write(_checked(line, number))
        out.write(_checked(rest, number + 1))


def _checked(line: bytes, number: int) -> bytes:
    if not line.strip():
        return b""
    try:
        return msgspec.json.encode(_decode_order(line)) + b"\n"
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        names = ", ".join(ShopOrder.__struct_fields__)
        message = f"Line {number} is no order; send a JSON object a line, with some of {names}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message)) from None
