"""Rows of a report as a Parquet file, with the types of their columns."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from doublet.errors import OperatorError

_TYPES = {
    bool: "boolean",
    int: "bigint",
    float: "double",
    str: "varchar",
    Decimal: "decimal(38, 12)",
    date: "date",
    datetime: "timestamptz",
    list[str]: "varchar[]",
}


def write_parquet(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct], file: Path) -> None:
    """Write rows of `kind` to a file that appears complete or not at all; one that is there is
    replaced. Money is decimal(38, 12). Raises OperatorError where it cannot be written."""
    hints = typing.get_type_hints(kind)
    names = kind.__struct_fields__
    columns = ", ".join(f'"{name}" {_sql_type(hints[name])}' for name in names)
    half = file.with_name(f".{file.name}.{os.getpid()}")
    quoted = str(half).replace("'", "''")
    connection = duckdb.connect()
    try:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create table rows ({columns})")
        if rows:
            places = ", ".join("?" for _ in names)
            cells = [[getattr(row, name) for name in names] for row in rows]
            connection.begin()
            connection.executemany(f"insert into rows values ({places})", cells)
            connection.commit()
        try:
            connection.execute(f"copy rows to '{quoted}' (format parquet)")
            half.replace(file)
        except (OSError, duckdb.IOException) as error:
            raise OperatorError(
                f"{file} cannot be written: {error}.", "Name a file in a folder that is yours."
            ) from error
    finally:
        connection.close()
        half.unlink(missing_ok=True)


def _sql_type(hint: Any) -> str:
    """The column that holds a field; whether it may be None makes no difference."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in hint.__args__ if part is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        return "varchar"
    return _TYPES[hint]
