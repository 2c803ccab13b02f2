"""A customer list on a server with a Graph API, Meta's or another Doublet's: rows put into it and
taken out again, in sessions of batches."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from doublet.audiences.keys import NAMING
from doublet.catalog.shares import Share
from doublet.destinations.answers import judge
from doublet.destinations.contract import Outcome, Response, Verdict
from doublet.destinations.encoding import decoded, without

ROWS_MAX = 10_000
"""So many rows a request may have (Marketing API, *Custom audiences: add users*)."""

_ANSWER_SIZE_BYTES_MAX = 4 << 20
_PAGES_MAX = 50

_encode = msgspec.json.Encoder().encode


class StoppedError(Exception):
    """A request came to nothing; what is left waits."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class GraphList:
    """The list of one share. `requests` and `invalid` count what was asked, and the rows that were
    not taken."""

    def __init__(self, share: Share, client: httpx.Client) -> None:
        self._share = share
        self._client = client
        self.requests = 0
        self.invalid = 0
        self.pause_s: float | None = None
        """How long the server wishes not to be asked, since a rate limit is nearly used up."""

    def follow(self, share: Share) -> None:
        """Go by what the share says now."""
        self._share = share

    def find_or_create(self, description: str) -> str:
        """The id of the list. One that was made before by the same share, which its description
        tells, is taken: who makes it may have died before the id was kept. Raises StoppedError."""
        share = self._share
        parameters = {"fields": "id,name,description", "limit": "200"}
        path = f"{share.remote_account_id}/customaudiences"
        for _ in range(_PAGES_MAX):
            found = self._ask("GET", path, parameters)
            for each in found.get("data") or ():
                if isinstance(each, dict) and share.share_id in str(each.get("description")):
                    return str(each["id"])
            after = ((found.get("paging") or {}).get("cursors") or {}).get("after")
            if not after or not (found.get("paging") or {}).get("next"):
                break
            parameters["after"] = str(after)
        made = self._ask(
            "POST",
            path,
            body={
                "name": share.remote_name,
                "subtype": "CUSTOM",
                "description": description,
                "customer_file_source": "USER_PROVIDED_ONLY",
            },
        )
        if not str(made.get("id") or "").isdigit():
            message = "The answer names no audience."
            raise StoppedError(Outcome(Verdict.LATER, "answer", message))
        return str(made["id"])

    def send(self, method: str, rows: Sequence[Sequence[str]], session: dict[str, Any]) -> None:
        """One batch: POST puts rows in, DELETE takes them out. Raises StoppedError."""
        body = {"payload": {"schema": [*NAMING.values()], "data": rows}, "session": session}
        found = self._ask(method, f"{self._share.remote_audience_id}/users", body=body)
        if "num_received" not in found:
            # Some other server's, such as a proxy's sign-in page.
            message = "The answer does not say that rows were received."
            raise StoppedError(Outcome(Verdict.LATER, "answer", message))
        invalid = found.get("num_invalid_entries")
        self.invalid += invalid if isinstance(invalid, int) else 0

    def _ask(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        share = self._share
        url = f"{share.url.rstrip('/')}/{share.version}/{path}"
        headers = {"authorization": f"Bearer {share.secret}", "content-type": "application/json"}
        self.requests += 1
        try:
            content = _encode(body) if body is not None else None
            answer = self._client.request(
                method, url, params=parameters, headers=headers, content=content
            )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # Not its own words, which may hold the address.
            outcome = Outcome(Verdict.LATER, type(error).__name__, "No answer came.")
            raise StoppedError(outcome) from error
        said = answer.content[:_ANSWER_SIZE_BYTES_MAX]
        outcome = judge(Response(answer.status_code, answer.headers, said))
        if outcome.verdict is not Verdict.DONE:
            message = without(share.secret, outcome.message)
            raise StoppedError(msgspec.structs.replace(outcome, message=message))
        self.pause_s = outcome.retry_after_s
        return decoded(said)


class Session:
    """Rows of persons on their way, in batches; no person is divided among two. `before` and
    `after` are told who is in a batch: before it is sent, and when the server has taken it."""

    def __init__(
        self,
        target: GraphList,
        method: str,
        before: Callable[[list[int]], None],
        after: Callable[[list[int]], None],
    ) -> None:
        self._target = target
        self._method = method
        self._before = before
        self._after = after
        self._session_id = secrets.randbits(62)
        self._batch_seq = 0
        self._persons: list[int] = []
        self._rows: list[list[str]] = []

    def add(self, person: int, rows: list[list[str]]) -> None:
        """Take a person's rows along. Raises StoppedError."""
        if self._rows and len(self._rows) + len(rows) > ROWS_MAX:
            self._send(is_last=False)
        self._persons.append(person)
        # Nobody has so many; one who had would not hold up the others.
        self._rows += rows[:ROWS_MAX]

    def finish(self) -> None:
        """Send what is left. Raises StoppedError."""
        if self._persons:
            self._send(is_last=True)

    def _send(self, *, is_last: bool) -> None:
        self._batch_seq += 1
        session = {
            "session_id": self._session_id,
            "batch_seq": self._batch_seq,
            "last_batch_flag": is_last,
        }
        self._before(self._persons)
        self._target.send(self._method, self._rows, session)
        self._after(self._persons)
        self._persons, self._rows = [], []
        if (pause_s := self._target.pause_s) is not None:
            message = "A rate limit is nearly used up."
            raise StoppedError(Outcome(Verdict.LATER, "usage", message, pause_s))
