"""Decisions of operators become records, so that a rebuild keeps them."""

from __future__ import annotations

import re
from hashlib import blake2b

from doublet.accept.steps import Arrival
from doublet.event import Decision, encode
from doublet.redact import REMOVED, redact

REASON_LENGTH_MAX = 500
"""Longer reasons are cut."""

_phone_numbers = re.compile(
    r"(?<![\w.])(?:\+[1-9](?:[ ()/.-]{0,3}[0-9]){6,14}|00?[1-9](?:[ ()/-]{0,3}[0-9]){7,14})(?!\w)"
)


def decision_id(identifier_a: str, identifier_b: str) -> str:
    """Names the decision about two identifiers, in whichever order they are given."""
    a, b = sorted((identifier_a, identifier_b))
    return blake2b(f"unmerge\n{a}\n{b}".encode(), digest_size=16).hexdigest()


def unmerge_record(
    identifier_a: str, identifier_b: str, reason: str, arrival: Arrival, *, revoked: bool = False
) -> bytes:
    """The record that two identifiers (KEY=VALUE, hashed where events have them so) are not one
    person's, or no longer said not to be. What is decided of one pair again replaces it. The
    reason is kept without mail addresses and what looks like a telephone number."""
    a, b = sorted((identifier_a, identifier_b))
    return encode(
        Decision(
            record_type="decision",
            account_id=arrival.account_id,
            source="server",
            received_at=arrival.received_at,
            decision_id=decision_id(a, b),
            kind="unmerge",
            identifier_a=a,
            identifier_b=b,
            reason=_phone_numbers.sub(REMOVED, str(redact(reason)))[:REASON_LENGTH_MAX],
            is_revoked=revoked,
        )
    )
