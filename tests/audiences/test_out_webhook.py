"""Joins and leaves are told in order, at least once, signed; whoever is silent holds up nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from doublet.audiences import webhook as module
from doublet.audiences.members import refresh
from doublet.audiences.push import client_of
from doublet.audiences.webhook import Teller
from doublet.catalog.audience_webhooks import AudienceWebhook
from tests.audiences.members import having
from tests.audiences.test_push import Place, look, place
from tests.factories import ACCOUNT, sha256

__all__ = ["place"]

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Listener:
    """Who listens: the bodies and headers it had, and the statuses that it answers, then 204."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.url = ""

    def told(self) -> list[tuple[int, bool]]:
        """The changes of all bodies: their ids, and whether they are joins."""
        return [(c["change_id"], c["is_join"]) for body in self.bodies for c in body["data"]]


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
            assert f"v1,{digest}" == headers["webhook-signature"]
            status = listener.statuses.pop(0) if listener.statuses else 204
            if status == 204:
                listener.bodies.append(json.loads(body))
                listener.headers.append(headers)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    listener.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deliver(place: Place) -> int:
    """One round, of a process of its own."""
    with client_of() as client:
        return Teller(place.catalog, place.pipeline.engine, client, lambda: place.now).deliver()


def webhook_for(place: Place, url: str, audience_id: str = "") -> AudienceWebhook:
    """A webhook that was made by the clock of the test."""
    wanted = AudienceWebhook("", ACCOUNT, audience_id, url, SECRET)
    made = place.catalog.audience_webhooks.create(wanted)
    place.catalog.audience_webhooks.change(made.webhook_id, created_at=place.now)
    return msgspec.structs.replace(made, created_at=place.now)


def test_joins_and_leaves_are_told_with_hashes(place: Place) -> None:
    place.tell(look("early"))
    place.tell(look("before"))
    place.clock[0] += 10
    with listening() as listener:
        webhook_for(place, listener.url, place.definition.audience_id)
        assert 0 == deliver(place)
        place.tell(look("a", ph=sha256("1")))
        place.tell(look("a", "Purchase"))
        assert 2 == deliver(place)
        assert 0 == deliver(place)
    (body,) = listener.bodies
    assert "audience.changes" == body["type"]
    joined, left = body["data"]
    assert (True, False) == (joined["is_join"], left["is_join"])
    assert place.definition.audience_id == joined["audience_id"]
    assert joined["person_id"] == left["person_id"]
    assert joined["person_id"].isdigit()
    assert place.now == joined["at"]
    assert {"em": [sha256("a")], "ph": [sha256("1")]} == joined["user_data"]
    (webhook,) = place.catalog.audience_webhooks.all()
    assert (2, "done", 0) == (webhook.delivered, webhook.verdict, webhook.failures)


def test_what_is_not_answered_comes_again_before_anything_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGES_MAX", 2)
    place.tell(look("early"))
    with listening() as listener:
        webhook_for(place, listener.url)
        place.tell(*(look(f"person {n}") for n in range(5)))
        listener.statuses = [204, 503]
        assert 2 == deliver(place)
        (webhook,) = place.catalog.audience_webhooks.all()
        assert (1, "later") == (webhook.failures, webhook.verdict)
        assert webhook.due_at > place.now
        place.tell(look("person 0", "Purchase"))
        assert 0 == deliver(place)
        place.clock[0] = webhook.due_at
        assert 4 == deliver(place)
        told = listener.told()
        assert sorted(told) == told
        assert [True] * 5 + [False] == [is_join for _, is_join in told]
        assert 3 == len({each["webhook-id"] for each in listener.headers})
        # Who was killed before the answer was written down tells the same under the same id.
        place.catalog.audience_webhooks.change(webhook.webhook_id, change_id=told[3][0])
        assert 2 == deliver(place)
        assert listener.headers[-2]["webhook-id"] == listener.headers[-1]["webhook-id"]


def test_webhooks_of_one_audience_hear_of_no_other(place: Place) -> None:
    other = having("Lead", 3600)
    refresh(place.pipeline.engine, [place.definition, other], place.now)
    with listening() as listener:
        webhook_for(place, listener.url, place.definition.audience_id)
        paused = webhook_for(place, f"{listener.url}/paused")
        place.catalog.audience_webhooks.change(paused.webhook_id, is_paused=True)
        place.pipeline.append([])
        place.tell(look("a", "Lead"), look("b"))
        assert 1 == deliver(place)
    assert 1 == len(listener.told())


def test_a_webhook_that_nobody_answers_holds_up_no_other(place: Place) -> None:
    place.tell(look("early"))
    with listening() as listener:
        nobody = webhook_for(place, "http://127.0.0.1:1/nobody").webhook_id
        somebody = webhook_for(place, listener.url).webhook_id
        place.tell(look("a"))
        assert 1 == deliver(place)
    webhooks = {each.webhook_id: each for each in place.catalog.audience_webhooks.all()}
    failed, well = webhooks[nobody], webhooks[somebody]
    assert ("later", "ConnectError No answer came.") == (failed.verdict, failed.message)
    assert "done" == well.verdict
