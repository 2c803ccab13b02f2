"""A feed from a file or an address: what it is, its products, and the whole of it into the catalog.

The products are put aside in a temporary file first, so that one transaction takes the time of
writing what has changed, and a feed that breaks off changes nothing.
"""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TextIO, cast

import msgspec

from doublet.catalog.products import PRODUCTS_MAX, Product, digest_of
from doublet.errors import SenderError
from doublet.feeds.fields import FieldError, Reading, product_of
from doublet.feeds.shopify import CSV_SIGNS, JSON_SIZE_BYTES_MAX, Ids, Site, csv_cells, json_rows
from doublet.feeds.xml import xml_rows
from doublet.imports.files import Cells, Fault, csv_rows

Format = Literal["xml", "csv", "shopify-json", "shopify-csv"]

FEED_SIZE_BYTES_MAX = 4 << 30
"""So much is read of a feed, unpacked."""

FAULTS_TOLD_MAX = 20
_PROGRESS_ROWS = 1000


class Feed(NamedTuple):
    """A file that holds a feed. `name` is what people call it, `site_url` the shop's address where
    it is known."""

    path: Path
    name: str
    format: Format
    encoding: str = "utf-8"
    ids: Ids | None = None
    site_url: str = ""


class Read(NamedTuple):
    """What a feed holds: its products put aside, the digest of each by its id, how many rows were
    bad by reason, and the first of those."""

    spool: BinaryIO
    named: dict[str, bytes]
    bad: dict[str, int]
    first: list[Fault]

    def products(self) -> Iterator[Product]:
        """The products, in the order of the feed."""
        self.spool.seek(0)
        for line in self.spool:
            yield _decode(line)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Product).decode


class _Bounded(io.RawIOBase):
    """A stream that ends with an error where it would hold too much."""

    def __init__(self, plain: Any, size_bytes_max: int) -> None:
        self._plain = plain
        self._left = size_bytes_max
        self._size_bytes_max = size_bytes_max

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what fits. Raises SenderError."""
        chunk = self._plain.read(len(buffer))
        self._left -= len(chunk)
        if self._left < 0:
            raise SenderError(
                f"It holds more than {self._size_bytes_max >> 20:,} MiB.", "Divide it."
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)


def open_feed(
    path: Path,
    named: Format | None = None,
    *,
    name: str = "",
    encoding: str = "utf-8",
    ids: Ids | None = None,
    site_url: str = "",
) -> Feed:
    """A feed by what stands in it, or as `named`. Raises SenderError when neither says what it
    is."""
    if not path.is_file():
        raise SenderError(f"There is no file {path}.", "Look at its name.")
    try:
        "".encode(encoding)
    except LookupError as error:
        raise SenderError(
            f"There is no encoding {encoding!r}.", "Write utf-8, cp1252 or utf-16."
        ) from error
    feed = Feed(path, name or path.name, named or "xml", encoding, ids, site_url)
    with _told_of(feed):
        with _opened(feed, FEED_SIZE_BYTES_MAX) as plain:
            start = plain.read(4096)
        # Spreadsheets save tables so under the name of Unicode text.
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            feed = feed._replace(encoding="utf-16")
        form = named or _format_of(start)
        if form == "shopify-csv" and ids in ("product", "variant"):
            raise SenderError(
                "A CSV of Shopify holds no ids of products and variants.",
                "Save https://SHOP/products.json and import that, or take SKUs with --id sku.",
            )
    return feed._replace(format=form)


def _format_of(start: bytes) -> Format:
    is_wide = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = start.decode("utf-16" if is_wide else "latin-1", "ignore")
    text = text.removeprefix("\u00ef\u00bb\u00bf").lstrip()
    if not text:
        raise SenderError("It is empty.", "Export it again.")
    if text[:15].lower().startswith(("<html", "<!doctype html")):
        raise SenderError("It is a web page, no feed.", "Sign in first, or look at its address.")
    if text.startswith("<"):
        return "xml"
    if text.startswith(("{", "[")):
        return "shopify-json"
    columns = {cell.strip(' "\r').lower() for cell in text.partition("\n")[0].split(",")}
    return "shopify-csv" if columns >= CSV_SIGNS else "csv"


@contextmanager
def _opened(feed: Feed, size_bytes_max: int) -> Iterator[io.BufferedReader]:
    with ExitStack() as opened:
        plain: Any = opened.enter_context(feed.path.open("rb"))
        is_packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        if is_packed:
            plain = opened.enter_context(gzip.GzipFile(fileobj=plain))
        yield io.BufferedReader(_Bounded(plain, size_bytes_max), 1 << 16)


@contextmanager
def _told_of(feed: Feed) -> Iterator[None]:
    """Errors name the feed."""
    try:
        yield
    except SenderError as error:
        raise SenderError(f"{feed.name}: {error.message}", error.hint) from error
    except UnicodeError as error:
        raise SenderError(
            f"{feed.name} is not {feed.encoding}.",
            "Save it as UTF-8, or name its encoding, such as --encoding cp1252.",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SenderError(f"{feed.name} is no whole gzip file.", "Copy it again.") from error


def rows_of(feed: Feed) -> Iterator[Cells | Fault]:
    """The rows of a feed. Raises SenderError where the rest of it cannot be read: what it names
    further down must not be taken for gone."""
    site = Site(feed.ids or "variant", feed.site_url.rstrip("/"))
    is_json = feed.format == "shopify-json"
    with (
        _told_of(feed),
        _opened(feed, JSON_SIZE_BYTES_MAX if is_json else FEED_SIZE_BYTES_MAX) as plain,
    ):
        if feed.format == "xml":
            yield from xml_rows(plain)
        elif is_json:
            yield from json_rows(plain.read(), site)
        else:
            encoding = "utf-8-sig" if feed.encoding.lower() in ("utf-8", "utf8") else feed.encoding
            with io.TextIOWrapper(plain, encoding, newline="") as lines:
                rows: Iterator[Cells | Fault] = _whole(csv_rows(cast(TextIO, _Uncommented(lines))))
                yield from csv_cells(rows, site) if feed.format == "shopify-csv" else rows


class _Uncommented:
    """Lines without the comments that Meta's template begins with."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._has_begun = False

    def readline(self) -> str:
        """The next line, empty behind the last."""
        line = self._lines.readline()
        while not self._has_begun and line.lstrip('"').startswith("#"):
            line = self._lines.readline()
        self._has_begun = True
        return line

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


def _whole(rows: Iterator[Cells | Fault]) -> Iterator[Cells | Fault]:
    for row in rows:
        if isinstance(row, Fault) and row.reason == "unreadable":
            raise SenderError(f"Line {row.line}: {row.message}", "Export it again.")
        yield row


@contextmanager
def read_feed(
    feed: Feed,
    reading: Reading,
    folder: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_fault: Callable[[Fault], None] | None = None,
) -> Iterator[Read]:
    """Look through a whole feed. Its products are kept in a file without a name in `folder`, as
    long as this is open. Raises SenderError where it cannot be read, or holds no row."""
    named: dict[str, bytes] = {}
    bad: Counter[str] = Counter()
    first: list[Fault] = []
    with tempfile.TemporaryFile(dir=folder) as spool:
        number = 0
        for number, row in enumerate(rows_of(feed), 1):
            fault = row if isinstance(row, Fault) else _take(row, reading, named, spool)
            if fault is not None:
                bad[fault.reason] += 1
                if len(first) < FAULTS_TOLD_MAX:
                    first.append(fault)
                if on_fault is not None:
                    on_fault(fault)
            if on_progress is not None and number % _PROGRESS_ROWS == 0:
                on_progress(number)
        if not number:
            raise SenderError(f"{feed.name} holds no products.", "Look at it.")
        yield Read(spool, named, dict(bad), first)


def _take(row: Cells, reading: Reading, named: dict[str, bytes], spool: BinaryIO) -> Fault | None:
    try:
        product = product_of(row.values, reading)
    except FieldError as error:
        return Fault(row.line, error.column, error.reason, str(error))
    if product.product_id in named:
        message = "Its id was there before; the first product of an id counts."
        return Fault(row.line, "id", "repeated", message)
    if len(named) >= PRODUCTS_MAX:
        raise SenderError(
            f"The feed names more than {PRODUCTS_MAX:,} products.", "Leave some out of it."
        )
    named[product.product_id] = digest_of(product)
    spool.write(_encode(product) + b"\n")
    return None
