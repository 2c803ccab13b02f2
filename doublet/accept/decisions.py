"""Decisions of operators become records, so that a rebuild keeps them."""

from __future__ import annotations

from hashlib import blake2b

from doublet.accept.steps import Arrival
from doublet.event import Decision, encode
from doublet.redact import redact

REASON_LENGTH_MAX = 500
"""Longer reasons are cut."""


def unmerge_record(
    identifier_a: str, identifier_b: str, reason: str, arrival: Arrival, *, revoked: bool = False
) -> bytes:
    """The record that two identifiers (KEY=VALUE, hashed where events have them so) are not one
    person's, or no longer said not to be. What is decided of one pair again replaces it. The
    reason is kept without personal values."""
    a, b = sorted((identifier_a, identifier_b))
    digest = blake2b(f"unmerge\n{a}\n{b}".encode(), digest_size=16).hexdigest()
    return encode(
        Decision(
            record_type="decision",
            account_id=arrival.account_id,
            source="server",
            received_at=arrival.received_at,
            decision_id=digest,
            kind="unmerge",
            identifier_a=a,
            identifier_b=b,
            reason=str(redact(reason))[:REASON_LENGTH_MAX],
            is_revoked=revoked,
        )
    )
