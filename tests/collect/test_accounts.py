"""Tokens and pixels: who may send what, and how soon a new one is known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.collector import (
    Collector,
    assert_busy,
    body_of,
    event,
    refusal_of,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_new(request: pytest.FixtureRequest) -> None:
    """Every test begins with the records of the others read."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server").new_records()


def _without_trace(answer: httpx.Response, pixel_id: str) -> tuple[int, str, str]:
    text = answer.json()
    text["error"].pop("fbtrace_id")
    return (
        answer.status_code,
        refusal_of(answer),
        json.dumps(text).replace(pixel_id, "PIXEL"),
    )


@pytest.mark.parametrize(
    ("place", "kind"),
    [(place, kind) for place in ("query", "header", "json", "form") for kind in ("good", "bad")]
    # A token cannot be read from a body that cannot be read.
    + [("query", "malformed"), ("header", "malformed")],
)
def test_a_foreign_token_is_answered_like_an_unknown_pixel(
    server: Collector, place: str, kind: str
) -> None:
    answers = []
    for pixel_id in (server.other_pixel.pixel_id, "1234567890123456"):
        path = f"/v25.0/{pixel_id}/events"
        token = {"access_token": server.token}
        data: Any = [event()] if kind == "good" else [event(event_time=5)]
        body = b"{" if kind == "malformed" else body_of(*data)
        if place == "query":
            answer = server.client.post(path, params=token, content=body)
        elif place == "header":
            headers = {"authorization": f"Bearer {server.token}"}
            answer = server.client.post(path, headers=headers, content=body)
        elif place == "json":
            answer = server.client.post(path, json={**token, "data": data})
        else:
            answer = server.client.post(path, data={**token, "data": json.dumps(data)})
        answers.append(_without_trace(answer, pixel_id))
        record = server.new_record()
        assert ("refused", "", None) == (
            record["record_type"],
            record["account_id"],
            record.get("payload"),
        )
    assert answers[0] == answers[1]
    assert (400, "pixel_unknown") == answers[0][:2]
    server.assert_takes_events()


@pytest.mark.parametrize("token", ["", "wrong", "dbl_" + "x" * 43, "\0", "ü", "a" * 5000])
def test_a_wrong_token_is_refused_for_every_pixel_alike(server: Collector, token: str) -> None:
    answers = [
        _without_trace(
            server.client.post(
                f"/v25.0/{pixel_id}/events",
                params={"access_token": token},
                content=body_of(event()),
            ),
            pixel_id,
        )
        for pixel_id in (server.pixel.pixel_id, "1234567890123456")
    ]
    assert answers[0] == answers[1]
    assert (401, "token_invalid") == answers[0][:2]
    assert ["refused"] * 2 == [record["record_type"] for record in server.new_records()]
    server.assert_takes_events()


def test_the_same_external_id_of_two_accounts_stays_two_records(server: Collector) -> None:
    body = body_of(event(user_data={"external_id": 42}, event_id="same"))
    for pixel, token in (
        (server.pixel, server.token),
        (server.other_pixel, server.other_token),
    ):
        path = server.events_path(pixel=pixel)
        answer = server.client.post(path, params={"access_token": token}, content=body)
        assert 200 == answer.status_code
    ours, theirs = server.new_records()
    assert (server.account, server.other_account) == (ours["account_id"], theirs["account_id"])
    assert ours["event_key"] != theirs["event_key"]


def test_a_pixel_made_while_the_server_runs_is_known_at_once(server: Collector) -> None:
    for _ in range(3):
        # Somebody who asks for what does not exist must not keep the catalog from being read.
        server.hit(id="1234567890123456")
        pixel, token = server.catalog.create_pixel(server.account, "New")
        assert 200 == server.hit(id=pixel.pixel_id).status_code
        pixel, token = server.catalog.create_pixel(server.account, "New")
        path = server.events_path(pixel=pixel)
        answer = server.client.post(path, params={"access_token": token}, content=body_of(event()))
        assert 200 == answer.status_code


def test_what_is_unknown_while_the_catalog_cannot_be_read_is_not_refused(server: Collector) -> None:
    rename = "alter table {} rename to {}"
    with closing(sqlite3.connect(server.settings.data / "catalog.sqlite")) as catalog:
        catalog.execute(rename.format("pixels", "elsewhere"))
        try:
            assert_busy(server.hit(id="1234567890123456"))
            path = "/v25.0/1234567890123456/events"
            token = {"access_token": server.token}
            assert_busy(server.client.post(path, params=token, content=body_of(event())))
            assert 200 == server.hit().status_code
        finally:
            catalog.execute(rename.format("elsewhere", "pixels"))
    assert "pixel_unknown" == refusal_of(server.hit(id="1234567890123456"))
