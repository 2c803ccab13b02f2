"""`users`, `usersreplace`, `usersofanyaudience`: people put into customer lists, and taken out."""

from __future__ import annotations

import secrets
import time
from typing import Any

from doublet.audiences.list_rows import SchemaError
from doublet.audiences.lists import (
    Change,
    ListSession,
    PayloadError,
    Rows,
    SessionError,
    phone_country,
    read_payload,
    read_session,
    remove_everywhere,
    take,
)
from doublet.catalog import Audience, Catalog
from doublet.catalog.lists import (
    SessionBusyError,
    SessionExpiredError,
    SessionGapError,
    SessionOverError,
)
from doublet.errors import SenderError
from doublet.graph.audience_rows import data_source
from doublet.graph.question import Question, Row
from doublet.graph.refused import Refused, invalid
from doublet.refusal import Reason, Refusal

_REASONS: dict[type[SenderError], Reason] = {
    SessionBusyError: Reason.AUDIENCE_BUSY,
    SessionExpiredError: Reason.LIST_SESSION_EXPIRED,
    SessionGapError: Reason.AUDIENCE_NOT_UPDATED,
    SessionOverError: Reason.AUDIENCE_NOT_UPDATED,
}


class AudienceUsers:
    """The customer lists of the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def change(self, question: Question, audience: Audience, change: Change) -> Row:
        """Add, remove or replace what the payload has. Raises Refused."""
        if audience.subtype != "CUSTOM":
            raise Refused(
                Refusal(
                    Reason.AUDIENCE_NOT_UPDATED,
                    "(#2650) Failed to update the custom audience: This audience was created from "
                    f"data source {data_source(audience)}, which does not support data source "
                    "FILE_IMPORTED.MULTI_HASHES",
                )
            )
        rows, session = self._read(question)
        try:
            answer = take(self._catalog, audience, change, rows, session, int(time.time()))
        except SessionError as error:
            raise invalid("session", f"(#100) {error}") from None
        except tuple(_REASONS) as error:
            reason = _REASONS[type(error)]
            said = f"(#2650) Failed to update the custom audience: {error}"
            raise Refused(Refusal(reason, said, "session")) from None
        # One line for a session, however many batches it has.
        if session is None or session.is_last:
            what = "list.replaced" if change == "replace" else "list.changed"
            details = {"change": change, "rows": rows.received, "invalid": rows.invalid.total()}
            self._catalog.changes.record(
                question.who, what, audience.name, details, account_id=audience.account_id
            )
        return answer

    def remove_everywhere(self, question: Question) -> Row:
        """Take what the payload has out of every list of the account. Raises Refused."""
        rows, session = self._read(question)
        account_id = question.account.account_id
        touched = remove_everywhere(self._catalog, account_id, rows.entries, int(time.time()))
        for audience in touched:
            details = {"change": "remove", "rows": rows.received, "invalid": rows.invalid.total()}
            self._catalog.changes.record(
                question.who, "list.changed", audience.name, details, account_id=account_id
            )
        return {
            "success": True,
            "session_id": session.session_id if session else str(secrets.randbits(62)),
            "num_received": rows.received,
            "num_invalid_entries": rows.invalid.total(),
            "invalid_entry_samples": rows.samples,
        }

    def _read(self, question: Question) -> tuple[Rows, ListSession | None]:
        given: Any = question.parameters
        if not given.get("payload"):
            raise invalid("payload", "(#100) The parameter payload is required")
        country = phone_country(self._catalog, question.account.account_id)
        try:
            return read_payload(given["payload"], country), read_session(given.get("session", ""))
        except (PayloadError, SchemaError) as error:
            raise invalid("payload", f"(#100) {error}") from None
        except SessionError as error:
            raise invalid("session", f"(#100) {error}") from None
