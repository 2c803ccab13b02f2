"""A webhook that tells of joins and leaves, signed as in *Standard Webhooks* 1.0.0.

The body is `{"type": "audience.changes", "data": [CHANGE, …]}` with up to 500 changes in the order
in which they came about. A change has `change_id`, which rises and names it for good,
`audience_id`, `person_id`, `is_join`, `at` (Unix seconds) and `user_data`: the person's hashes as
they are now, by the names of the Conversions API; empty for who has none, or was erased.

Each change is told at least once, and in order: a batch that is not answered with 2xx comes again
before any later one. Changes are kept for seven days; whoever does not answer for longer misses
some.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
from tenacity import wait_random_exponential

from doublet.audiences.keys import keys_of
from doublet.catalog import Catalog
from doublet.catalog.audience_webhooks import AudienceWebhook
from doublet.destinations.contract import Outcome, Response, Verdict
from doublet.destinations.statuses import judge_status
from doublet.destinations.webhook import signing_key
from doublet.engine import Engine
from doublet.waiting import seconds_until

logger = logging.getLogger(__name__)

CHANGES_MAX = 500
BATCHES_MAX = 20
"""So many batches one webhook is sent before the others have their turn."""

_LATER = wait_random_exponential(multiplier=1.0, max=300.0)
_BLOCKED = wait_random_exponential(multiplier=60.0, min=30.0, max=3600.0)

_encode = msgspec.json.Encoder().encode


class Teller:
    """Tells webhooks what they were not told. One process at a time may do so."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        client: httpx.Client,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._client = client
        self._now = now

    def deliver(self) -> int:
        """Tell all webhooks that are due; how many changes were delivered."""
        webhooks = [
            each
            for each in self._catalog.audience_webhooks.all()
            if not each.is_paused and each.due_at <= self._now()
        ]
        if not webhooks or not self._engine.query(
            "select 1 from duckdb_tables() where table_name = 'audience_cursor'"
        ):
            return 0
        told = 0
        for webhook in webhooks:
            try:
                told += self._deliver(webhook)
            except Exception:
                logger.exception("webhook-failed webhook=%s", webhook.webhook_id)
                self._wait(webhook, Outcome(Verdict.LATER, "", "An error here; the log says more."))
        return told

    def _deliver(self, webhook: AudienceWebhook) -> int:
        told = 0
        for _ in range(BATCHES_MAX):
            (state,) = self._engine.query(
                "select coalesce(max(change_id), 0) as last from audience_cursor"
            )
            if not 0 <= webhook.change_id <= state["last"]:
                webhook = self._move(webhook, self._first(webhook), webhook.delivered)
            changes = self._changes(webhook, int(state["last"]))
            if not changes:
                break
            outcome = self._post(webhook, changes)
            if outcome.verdict is not Verdict.DONE:
                self._wait(webhook, outcome)
                break
            told += len(changes)
            last = changes[-1]["change_id"]
            webhook = self._move(webhook, last, webhook.delivered + len(changes), "done")
        return told

    def _first(self, webhook: AudienceWebhook) -> int:
        """What came about before it was made is not its affair."""
        (row,) = self._engine.query(
            "select coalesce(max(change_id), 0) as last from audience_changes "
            "where changed_s < $created_at",
            {"created_at": webhook.created_at},
        )
        return int(row["last"])

    def _changes(self, webhook: AudienceWebhook, last: int) -> list[dict[str, Any]]:
        changes = self._engine.query(
            "select change_id, audience_id, person_id, is_join, changed_s as at "
            "from audience_changes where account_id = $account_id and change_id > $after "
            "and change_id <= $last and ($audience_id = '' or audience_id = $audience_id) "
            "order by change_id limit $limit",
            {
                "account_id": webhook.account_id,
                "audience_id": webhook.audience_id,
                "after": webhook.change_id,
                "last": last,
                "limit": CHANGES_MAX,
            },
        )
        if changes:
            persons = sorted({change["person_id"] for change in changes})
            keys = keys_of(self._engine, webhook.account_id, persons)
            for change in changes:
                change["user_data"] = keys.get(change["person_id"], {})
                # Larger than what JavaScript can count to.
                change["person_id"] = str(change["person_id"])
        return changes

    def _post(self, webhook: AudienceWebhook, changes: list[dict[str, Any]]) -> Outcome:
        body = _encode({"type": "audience.changes", "data": changes})
        try:
            answer = self._client.post(
                webhook.url, content=body, headers=signed(webhook, changes, body, int(self._now()))
            )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Outcome(Verdict.LATER, type(error).__name__, "No answer came.")
        response = Response(answer.status_code, answer.headers, answer.content[:4096])
        return judge_status(response, len(changes))

    def _move(
        self, webhook: AudienceWebhook, change_id: int, delivered: int, verdict: str = ""
    ) -> AudienceWebhook:
        changes: dict[str, Any] = {"change_id": change_id, "delivered": delivered}
        if verdict:
            changes |= {"verdict": verdict, "message": "", "failures": 0, "due_at": 0}
        self._catalog.audience_webhooks.change(webhook.webhook_id, **changes)
        return msgspec.structs.replace(webhook, **changes)

    def _wait(self, webhook: AudienceWebhook, outcome: Outcome) -> None:
        failures = webhook.failures + 1
        is_later = outcome.verdict is Verdict.LATER
        wait_s = seconds_until(failures, _LATER if is_later else _BLOCKED)
        self._catalog.audience_webhooks.change(
            webhook.webhook_id,
            failures=failures,
            due_at=int(self._now() + max(wait_s, outcome.retry_after_s or 0.0)) + 1,
            verdict=outcome.verdict.value,
            message=f"{outcome.code} {outcome.message}".strip()[:500],
        )
        logger.warning(
            "webhook-waits webhook=%s verdict=%s failures=%d",
            *(webhook.webhook_id, outcome.verdict.value, failures),
        )


def signed(
    webhook: AudienceWebhook, changes: list[dict[str, Any]], body: bytes, now_s: int
) -> dict[str, str]:
    """The headers of a request: its id, the same whenever these changes are told, the time of this
    attempt, and HMAC-SHA256 over `ID.TIMESTAMP.BODY`."""
    which = f"{webhook.webhook_id}|{changes[0]['change_id']}|{changes[-1]['change_id']}"
    message_id = f"msg_{hashlib.sha256(which.encode()).hexdigest()[:32]}"
    text = f"{message_id}.{now_s}.".encode() + body
    digest = hmac.digest(signing_key(webhook.secret), text, "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
