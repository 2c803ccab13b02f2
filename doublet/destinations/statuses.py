"""What a plain HTTP answer means, where the receiver documents no more than its status."""

from __future__ import annotations

from doublet.destinations.answers import retry_after_s
from doublet.destinations.contract import Outcome, Response, Verdict

# Who asks, where and how: what no event can help.
_BLOCKED = frozenset({401, 402, 403, 404, 405, 407, 410})
_LATER = frozenset({408, 425, 429})

_ANSWER_LENGTH_MAX = 200


def judge_status(response: Response, count: int) -> Outcome:
    """2xx: all arrived. 408, 425, 429 and 5xx: later, when `Retry-After` says. Other 4xx are about
    an event, but for those about the request as such. A redirect is not followed: events may be for
    the eyes of this address only (Standard Webhooks, *Delivery success and failure*)."""
    status = response.status
    if 200 <= status < 300:
        return Outcome(Verdict.DONE, http_status=status)
    said = (str(status), _sentence(response))
    if status >= 500 or status in _LATER:
        wait_s = retry_after_s(response.headers)
        return Outcome(Verdict.LATER, *said, wait_s, http_status=status)
    if status < 400 or status in _BLOCKED:
        return Outcome(Verdict.BLOCKED, *said, http_status=status)
    return Outcome(Verdict.DIVIDE, *said, http_status=status)


def _sentence(response: Response) -> str:
    """The beginning of the answer, in one line."""
    text = " ".join(response.body[: 4 * _ANSWER_LENGTH_MAX].decode("utf-8", "replace").split())
    return text[:_ANSWER_LENGTH_MAX] or f"HTTP {response.status}"
