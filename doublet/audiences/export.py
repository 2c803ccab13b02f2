"""An audience as a file: its members' hashes in the columns of Meta's customer lists."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from doublet.audiences.keys import BESIDE, NAMING, member_rows
from doublet.engine import Engine

SCHEMA = [*NAMING.values(), *BESIDE.values()]

Format = Literal["csv", "parquet"]


class Exported(NamedTuple):
    """The file, how many rows it has, and how many members are in none of them, for lack of a hash
    that names them."""

    body: bytes
    rows: int
    nameless: int


def export_audience(
    engine: Engine, account_id: str, audience_id: str, form: Format = "csv"
) -> Exported:
    """The members with an e-mail address, phone number, id of the advertiser's own or of a device.
    Whoever has several of a kind has several rows."""
    nameless = count = 0
    rows: list[list[str]] = []
    for lacking, some in member_rows(engine, account_id, audience_id):
        nameless, count = nameless + lacking, count + len(some)
        rows += some
    return Exported(_csv(rows) if form == "csv" else _parquet(rows), count, nameless)


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SCHEMA)
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(rows: list[list[str]]) -> bytes:
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    def column(at: int) -> Iterator[str | None]:
        return (row[at] or None for row in rows)

    columns: dict[str, Any] = {
        name: Array(list(column(n)), DataType.utf8()) for n, name in enumerate(SCHEMA)
    }
    file = io.BytesIO()
    write_parquet(Table.from_pydict(columns), file, compression="zstd(3)")
    return file.getvalue()
