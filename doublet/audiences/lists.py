"""Customer lists: a request's payload and session read, its rows taken into the catalog.

Marketing API, *Customer file custom audiences*. Rows are hashed here, before anything is kept; rows
of no use are counted and described, never repeated. A row that comes again is the same row, and a
batch of a replacing session that comes again is answered as the first time.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from doublet.audiences.list_rows import BadRow, RowReader
from doublet.catalog import Audience, Catalog, ListBatch, ListEntry
from doublet.decoding import decoder
from doublet.errors import SenderError

ROWS_MAX = 10_000
SAMPLES_MAX = 100

Change = Literal["add", "remove", "replace"]

_is_session_id = re.compile(r"-?[0-9]{1,19}", re.ASCII).fullmatch


class PayloadError(SenderError):
    """The payload of a customer list is not what it must be."""

    code = "list_payload"


class SessionError(SenderError):
    """The session of a customer list is not what it must be."""

    code = "list_session"


class _Payload(msgspec.Struct):
    schema: str | list[str]
    data: list[Any]


class _Session(msgspec.Struct):
    session_id: int | str
    batch_seq: int | str = 1
    last_batch_flag: bool | str | int = False
    estimated_num_total: int | str | None = None


class ListSession(NamedTuple):
    """Which batch of which session a request is."""

    session_id: str
    batch_seq: int
    is_last: bool


class Rows(NamedTuple):
    """The rows of a request: those of use, why others are not (how many by reason), and what the
    first of these look like."""

    entries: list[ListEntry]
    received: int
    invalid: Counter[str]
    samples: list[str]
    has_value: bool

    @property
    def digest(self) -> int:
        """The same for the same rows."""
        text = "".join(f"{e.row_key}|{e.value}|{e.is_limited}\n" for e in self.entries)
        return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)


_decode_payload = decoder(_Payload)
_decode_session = decoder(_Session)


def read_payload(text: str, phone_country: str = "") -> Rows:
    """The rows of a `payload` (JSON). Raises PayloadError and SchemaError."""
    try:
        read = _decode_payload(text.encode("utf-8", "surrogatepass"))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise PayloadError(
            "payload is no JSON object with schema and data.",
            'Send for example {"schema": ["EMAIL", "FN"], "data": [["HASH", "HASH"]]}.',
        ) from None
    if len(read.data) > ROWS_MAX:
        raise PayloadError(
            f"payload has {len(read.data)} rows, and may have {ROWS_MAX}.",
            "Send the others in more batches.",
        )
    schema = [read.schema] if isinstance(read.schema, str) else read.schema
    return read_rows(RowReader(schema, phone_country), read.data)


def read_rows(reader: RowReader, rows: Iterable[object], first: int = 1) -> Rows:
    """Rows by a reader; `first` is the number of the first, for what is said of them."""
    entries: list[ListEntry] = []
    invalid: Counter[str] = Counter()
    samples: list[str] = []
    number = first - 1
    for number, row in enumerate(rows, first):
        found = reader.read(row)
        if isinstance(found, BadRow):
            invalid[f"{found.column}: {found.why}" if found.column else found.why] += 1
            if len(samples) < SAMPLES_MAX:
                samples.append(f"Row {number}: {found}")
        else:
            entries.append(found)
    return Rows(entries, number - first + 1, invalid, samples, reader.has_value)


def read_session(text: str) -> ListSession | None:
    """A `session` (JSON); None for nothing. Raises SessionError."""
    if not text.strip():
        return None
    try:
        read = _decode_session(text.encode("utf-8", "surrogatepass"))
        session_id, seq = str(read.session_id), int(read.batch_seq)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        session_id, seq = "", 0
    if not _is_session_id(session_id) or abs(int(session_id)) >= 1 << 63 or not 1 <= seq < 1 << 31:
        raise SessionError(
            "session is no JSON object with session_id and batch_seq.",
            "session_id is a number of 64 bits of your own, batch_seq counts from 1 on, and "
            "last_batch_flag is true for the last.",
        )
    return ListSession(session_id, seq, str(read.last_batch_flag).lower() in ("true", "1"))


def take(
    catalog: Catalog,
    audience: Audience,
    change: Change,
    rows: Rows,
    session: ListSession | None,
    now_s: int,
) -> dict[str, Any]:
    """Change an audience's list by the rows of one request, and say what the sender is told. Raises
    SessionError where a list is to be replaced without a session, and what `Lists.stage` raises."""
    session_id = session.session_id if session else str(secrets.randbits(62))
    answer: dict[str, Any] = {
        "audience_id": audience.audience_id,
        "session_id": session_id,
        "num_received": rows.received,
        "num_invalid_entries": rows.invalid.total(),
        "invalid_entry_samples": rows.samples,
    }
    if change == "add":
        catalog.lists.add(audience, rows.entries, now_s)
    elif change == "remove":
        catalog.lists.remove(audience, rows.entries, now_s)
    elif session is None:
        raise SessionError(
            "A list is replaced in a session, and there is none.",
            'Send session={"session_id": 1, "batch_seq": 1, "last_batch_flag": true} too.',
        )
    else:
        text = msgspec.json.encode(answer).decode()
        batch = ListBatch(session_id, session.batch_seq, rows.digest, text)
        told = catalog.lists.stage(audience, rows.entries, now_s, batch, is_last=session.is_last)
        if told is not None:
            answer = msgspec.json.decode(told, type=dict[str, Any])
    return answer


def remove_everywhere(
    catalog: Catalog, account_id: str, entries: Sequence[ListEntry], now_s: int
) -> list[Audience]:
    """Take rows out of every customer list of an account; the audiences that have one."""
    lists = [each for each in catalog.audiences.all(account_id) if each.subtype == "CUSTOM"]
    for audience in lists:
        catalog.lists.remove(audience, entries, now_s)
    return lists


def phone_country(catalog: Catalog, account_id: str) -> str:
    """The country of an account's phone numbers without a country code: the one that its pixels
    have, empty where they have none or several."""
    known = {
        catalog.pixel_rules(pixel.pixel_id).phone_country for pixel in catalog.pixels(account_id)
    } - {""}
    return known.pop() if len(known) == 1 else ""
