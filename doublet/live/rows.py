"""What is shown of a record of the log: everything but the values of user data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from doublet.accept.flags import Advice, advise
from doublet.refusal import Reason

CUSTOM_DATA_SIZE_BYTES_MAX = 8 << 10
_TEXT_LENGTH_MAX = 1_000


class Place(NamedTuple):
    """Where a record lies in the log."""

    log_slot: int
    log_offset: int


class Row(msgspec.Struct):
    """An accepted copy of an event (kind event) or a refused request (kind refused, of which
    `reason`, `message` and `fix` tell why). Of user data only the names of the keys are there."""

    kind: Literal["event", "refused"]
    log_slot: int
    log_offset: int
    received_at: datetime
    pixel_id: str
    source: str
    event_name: str | None = None
    event_time: int | None = None
    event_id: str | None = None
    order_id: str | None = None
    action_source: str | None = None
    event_source_url: str | None = None
    custom_data: dict[str, Any] = {}
    user_data_keys: Sequence[str] = ()
    test_event_code: str | None = None
    warnings: Sequence[Advice] = ()
    reason: str | None = None
    message: str | None = None
    fix: str | None = None

    @property
    def happened_at(self) -> datetime | None:
        """What the sender claims, where that is more than a minute from the receipt."""
        if self.event_time is None or abs(self.event_time - self.received_at.timestamp()) <= 60:
            return None
        return datetime.fromtimestamp(self.event_time, UTC)

    @property
    def place(self) -> Place:
        """Where its record lies."""
        return Place(self.log_slot, self.log_offset)


class _Record(msgspec.Struct):
    """The fields that both kinds of records may have."""

    log_offset: int
    record_type: str
    pixel_id: str
    source: str
    received_at: int
    event_name: str | None = None
    event_time: int | None = None
    event_id: str | None = None
    order_id: str | None = None
    action_source: str | None = None
    event_source_url: str | None = None
    custom_data: dict[str, Any] | None = None
    user_data: dict[str, msgspec.Raw] | None = None
    extra: dict[str, Any] | None = None
    flags: Sequence[str] | None = None
    reason: str = ""
    message: str = ""


_decode = msgspec.json.Decoder(_Record).decode
_encode = msgspec.json.encode


def read_row(line: bytes, slot: int) -> Row:
    """The row of a record's line. Raises msgspec.MsgspecError for a line that is none."""
    record = _decode(line)
    at = datetime.fromtimestamp(record.received_at / 1e6, UTC)
    if record.record_type == "refused":
        return Row(
            "refused",
            slot,
            record.log_offset,
            at,
            record.pixel_id,
            record.source,
            reason=record.reason,
            message=record.message[:_TEXT_LENGTH_MAX],
            fix=_fix(record.reason),
        )
    custom, warnings = record.custom_data or {}, [advise(flag) for flag in record.flags or ()]
    size = len(_encode(custom))
    if size > CUSTOM_DATA_SIZE_BYTES_MAX:
        says = f"custom_data takes {size:,} bytes, which is too much to show here."
        warnings.append(Advice("custom_data_not_shown", says, "`doublet explain` shows all of it."))
        custom = {}
    return Row(
        "event",
        slot,
        record.log_offset,
        at,
        record.pixel_id,
        record.source,
        record.event_name,
        record.event_time,
        record.event_id,
        record.order_id,
        record.action_source,
        record.event_source_url and record.event_source_url[:_TEXT_LENGTH_MAX],
        custom,
        sorted(record.user_data or ()),
        (record.extra or {}).get("test_event_code"),
        warnings,
    )


def nobodys(row: Row) -> Row:
    """What is left of a row whose person was erased."""
    return Row(
        row.kind,
        row.log_slot,
        row.log_offset,
        row.received_at,
        row.pixel_id,
        row.source,
        row.event_name,
        row.event_time,
        warnings=[advise("erased")] if row.kind == "event" else (),
        reason=row.reason,
        message=row.message,
        fix=row.fix,
    )


def _fix(label: str) -> str:
    try:
        return Reason[label.upper()].row.hint
    except KeyError:
        return ""
