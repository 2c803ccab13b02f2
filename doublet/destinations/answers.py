"""What an answer of the Graph API means for the events that were sent (Meta, *Handling errors*)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from doublet.destinations.contract import RETRY_AFTER_S_MAX, Outcome, Response, Verdict
from doublet.destinations.encoding import decoded, is_object

# Temporary trouble and rate limits; then tokens and permissions, which somebody has to put right
# before anything can be sent.
_TRANSIENT_CODES = frozenset({1, 2, 4, 17, 32, 341, 368, 613, 5000, 21009, *range(80000, 80100)})
_CREDENTIAL_CODES = frozenset({3, 10, 102, 104, 190, 294, *range(200, 300)})
_UNKNOWN_OBJECT_SUBCODE = 33

_USAGE_FULL = 95
_USAGE_WAIT_S = 60.0
_MINUTE_S = 60.0


def judge(response: Response) -> Outcome:
    """The meaning of one response.

    A request refuses all of its events for one; a success is a JSON object. After it,
    `retry_after_s` is set when a rate limit is nearly used up.
    """
    status = response.status
    if status in (200, 202):
        if not is_object(response.body):
            # A proxy's page, say: what it did not pass on must not count as sent.
            message = "It is no answer of the Conversions API."
            return Outcome(Verdict.LATER, str(status), message, http_status=status)
        return Outcome(
            Verdict.DONE, retry_after_s=_usage_wait_s(response.headers), http_status=status
        )
    error = _error(response.body)
    code = error.get("code")
    code = code if isinstance(code, int) else None
    said = (_code(error, status), _message(error, status))
    wait_s = retry_after_s(response.headers)
    if (
        status >= 500
        or status in (408, 425, 429)
        or error.get("is_transient") is True
        or code in _TRANSIENT_CODES
    ):
        # An unreadable token is answered with 500 by some versions of the Graph API.
        if code in _CREDENTIAL_CODES:
            return Outcome(Verdict.BLOCKED, *said, wait_s, http_status=status)
        wait_s = wait_s if wait_s is not None else _usage_wait_s(response.headers)
        return Outcome(Verdict.LATER, *said, wait_s, http_status=status)
    is_of_event = status in (400, 413, 422) and code not in _CREDENTIAL_CODES
    if is_of_event and error.get("error_subcode") != _UNKNOWN_OBJECT_SUBCODE:
        return Outcome(Verdict.DIVIDE, *said, http_status=status)
    return Outcome(Verdict.BLOCKED, *said, wait_s, http_status=status)


def _error(body: bytes) -> dict[str, Any]:
    error = decoded(body).get("error")
    return error if isinstance(error, dict) else {}


def _code(error: dict[str, Any], status: int) -> str:
    numbers = [error[key] for key in ("code", "error_subcode") if isinstance(error.get(key), int)]
    return "/".join(map(str, numbers)) or str(status)


def _message(error: dict[str, Any], status: int) -> str:
    return str(error.get("error_user_msg") or error.get("message") or f"HTTP {status}")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The header `Retry-After` as seconds from now, of either form (RFC 9110, section 10.2.3); at
    most an hour."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX) if seconds == seconds else None


def _usage_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait when a share of calls or time is nearly used up (Graph API, *Rate limits*):
    what `X-Business-Use-Case-Usage` estimates, or a minute."""
    waits = []
    for name in ("x-app-usage", "x-ad-account-usage", "x-business-use-case-usage"):
        for usage in _usages(headers.get(name)):
            shares = [value for key, value in usage.items() if _is_share(key, value)]
            if shares and max(shares) >= _USAGE_FULL:
                minutes = usage.get("estimated_time_to_regain_access")
                if not isinstance(minutes, int | float) or minutes <= 0:
                    minutes = _USAGE_WAIT_S / _MINUTE_S
                waits.append(minutes * _MINUTE_S)
    return min(max(waits), RETRY_AFTER_S_MAX) if waits else None


def _is_share(key: str, value: object) -> bool:
    named = key in ("call_count", "total_time", "total_cputime", "acc_id_util_pct")
    return named and isinstance(value, int | float)


def _usages(text: str | None) -> list[dict[str, Any]]:
    """The objects in a usage header: itself, or lists of them by business."""
    found = decoded(text.encode()) if text else {}
    lists = [value for value in found.values() if isinstance(value, list)]
    entries = [entry for each in lists for entry in each] if lists else [found]
    return [entry for entry in entries if isinstance(entry, dict)]
