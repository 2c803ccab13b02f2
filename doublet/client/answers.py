"""What a server's answer means for the events that were sent: done, wait, divide or give up."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import httpx
import msgspec

RETRY_AFTER_S_MAX = 3600.0

# Graph API, *Handling errors*: temporary trouble and rate limits; then tokens and permissions,
# which somebody has to put right before anything can be sent.
_TRANSIENT_CODES = frozenset({1, 2, 4, 17, 32, 341, 368, 613, 80004})
_CREDENTIAL_CODES = frozenset({10, 102, 190, *range(200, 300)})
_UNKNOWN_OBJECT_SUBCODE = 33


class Verdict(Enum):
    """What to do with the events of a request."""

    DONE = "done"
    LATER = "later"
    BLOCKED = "blocked"
    DIVIDE = "divide"


class Answer(msgspec.Struct, frozen=True):
    """A verdict, the server's sentence for people, and its wish when to come again (seconds)."""

    verdict: Verdict
    http_status: int = 0
    message: str = ""
    retry_after_s: float | None = None


def judge(response: httpx.Response) -> Answer:
    """The meaning of one response.

    BLOCKED is about the request as such (token, pixel, address): events are kept. DIVIDE is about
    at least one event, and a request refuses all of its events for it.
    """
    status = response.status_code
    if status in (200, 202):
        return Answer(Verdict.DONE, status)
    error = _error(response)
    code, message = error.get("code"), _message(error, status)
    wait_s = _retry_after_s(response.headers.get("retry-after", ""))
    if (
        status >= 500
        or status in (408, 425, 429)
        or error.get("is_transient") is True
        or code in _TRANSIENT_CODES
    ):
        # An unreadable token is answered with 500 by some versions of the Graph API.
        if code in _CREDENTIAL_CODES:
            return Answer(Verdict.BLOCKED, status, message, wait_s)
        return Answer(Verdict.LATER, status, message, wait_s)
    is_of_event = status in (400, 413, 422) and code not in _CREDENTIAL_CODES
    if is_of_event and error.get("error_subcode") != _UNKNOWN_OBJECT_SUBCODE:
        return Answer(Verdict.DIVIDE, status, message)
    return Answer(Verdict.BLOCKED, status, message, wait_s)


def _error(response: httpx.Response) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _message(error: dict[str, Any], status: int) -> str:
    return str(error.get("error_user_msg") or error.get("message") or f"HTTP {status}")


def _retry_after_s(text: str) -> float | None:
    """Seconds from now, of either form (RFC 9110, section 10.2.3); at most an hour."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX) if seconds == seconds else None
