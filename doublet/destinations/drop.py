"""A drop: files in a folder, for any program that reads JSON lines or Parquet.

A request is a file `FOLDER/event_date=YYYY-MM-DD/DESTINATION-DIGEST.FORMAT` of events of one UTC
day of `event_time` (Hive's names, which DuckDB and Spark read as a column). It appears whole, and
its name is made of its events: written again it takes its own place. After a restart events may
come in other company; then pixel, name and `event_id` name one.

Lines and columns have the names of the Conversions API; see COLUMNS. In Parquet the objects are
JSON texts, since every site has other fields.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from doublet.destinations.contract import Kind, Outgoing, Request
from doublet.destinations.encoding import custom_data, digest_of, encode_json, wire_event
from doublet.destinations.statuses import judge_status
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination


class Column(NamedTuple):
    """One column: its name, Parquet's type and what it holds."""

    name: str
    type: Literal["utf8", "int64", "bool", "decimal(18,4)"]
    about: str


COLUMNS = (
    Column("event_name", "utf8", "As on the wire, after the destination's rules."),
    Column("event_id", "utf8", "The sender's, or one that is the same each time."),
    Column("event_time", "int64", "Unix seconds."),
    Column("pixel_id", "utf8", "Doublet's pixel."),
    Column("action_source", "utf8", "website, app, physical_store, …"),
    Column("event_source_url", "utf8", "Page address without personal values."),
    Column("user_data", "utf8", "Object: lists of SHA-256 as Meta documents them, others plain."),
    Column("value", "decimal(18,4)", "After the destination's rules; exact."),
    Column("currency", "utf8", "ISO 4217."),
    Column("order_id", "utf8", "The order."),
    Column("custom_data", "utf8", "Object: all of it."),
    Column("extra", "utf8", "Object: further fields, other platforms' click ids in `touch`."),
    Column("is_limited", "bool", "The visitor's data may be used in a limited way only."),
    Column("corrects", "utf8", "Of a Refund: the event_id of the Purchase."),
)
_OBJECTS = ("user_data", "custom_data", "extra")


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Where the files go."""

    folder: Annotated[str, Meta(description="Folder, as /var/events; it must be there.")]
    format: Annotated[Literal["jsonl", "parquet"], Meta(description="Of the files.")] = "jsonl"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    folder = msgspec.convert(destination.target, Target).folder
    path = PurePosixPath(folder)
    if not path.is_absolute() or ".." in path.parts or not folder.isprintable():
        raise SettingsError(
            f"folder {folder!r} is no whole path.", "Begin it with /, as /var/events."
        )


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One file of events of one day."""
    target = msgspec.convert(destination.target, Target)
    parts = [encode_json(wire_event(event)) for event in events]
    name = f"{destination.destination_id}-{digest_of(events)}.{target.format}"
    path = PurePosixPath(target.folder, f"event_date={day_of(events[0])}", name)
    body = b"\n".join([*parts, b""]) if target.format == "jsonl" else _parquet(events)
    return Request("PUT", path.as_uri(), {}, body, parts)


def day_of(event: Outgoing) -> date:
    """UTC."""
    return datetime.fromtimestamp(event.event_time, UTC).date()


def _parquet(events: Sequence[Outgoing]) -> bytes:
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    rows = [_row(event) for event in events]
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        values = [row[column.name] for row in rows]
        if column.type == "decimal(18,4)":
            texts = Array(values, DataType.utf8())
            columns[column.name] = texts.cast(DataType.decimal128(18, 4))
        else:
            columns[column.name] = Array(values, getattr(DataType, column.type)())
    file = io.BytesIO()
    write_parquet(Table.from_pydict(columns), file, compression="zstd(3)")
    return file.getvalue()


def _row(event: Outgoing) -> dict[str, Any]:
    row = {**msgspec.structs.asdict(event), "custom_data": custom_data(event)}
    for name in _OBJECTS:
        row[name] = encode_json(row[name]).decode()
    return row


KIND = Kind(
    name="drop",
    title="Files in a folder",
    target=Target,
    secret="",
    # Who reads them is not known; so they are treated like an ad platform.
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=True,
    events_max=10_000,
    size_bytes_max=64 << 20,
    age_max_s=lambda event: None,
    encode=encode,
    decide=judge_status,
    group=day_of,
    check=check,
    in_flight=1,
    batch_wait_s=60.0,
    corrects=True,
)
