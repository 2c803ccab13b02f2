"""Batches: each call gets the answer that it would have got alone."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from doublet.graph.reader import Call, Reader
from tests.dashboard import Site
from tests.graph.test_nodes import fire, read


def send(site: Site, operations: Any, path: str = "/v25.0/", **fields: str) -> httpx.Response:
    """A batch of our shop, its token in the form as SDKs for PHP send it."""
    form = {"access_token": site.ours.token, "batch": json.dumps(operations), **fields}
    return site.client.post(path, data=form)


def get_of(path: str) -> dict[str, str]:
    """A call that reads."""
    return {"method": "GET", "relative_url": path}


@pytest.mark.parametrize("path", ["/", "/v25.0", "/v25.0/"])
def test_calls_are_answered_in_their_order(site: Site, path: str) -> None:
    fire(site)
    paths = [f"{site.ours.pixel_id}?fields=name", "v25.0/me/adspixels?fields=id", "/me"]
    answers = send(site, [get_of(each) for each in paths], path).json()
    assert [200, 200, 200] == [each["code"] for each in answers]
    alone = [read(site, f"/{each.lstrip('/')}") for each in paths]
    bodies = [json.loads(each["body"]) for each in answers]
    assert alone == bodies
    content_type = {"name": "Content-Type", "value": "application/json"}
    assert all(content_type in each["headers"] for each in answers)


def test_what_is_refused_spoils_none_of_the_others(site: Site) -> None:
    operations = [
        get_of(site.theirs.pixel_id),
        {"method": "POST", "relative_url": f"{site.ours.pixel_id}/events", "body": "data=[]"},
        {**get_of("me"), "depends_on": "first"},
        get_of(f"me?access_token={site.theirs.token}&fields=name"),
        get_of("me?access_token=wrong"),
        get_of("me?fields=name"),
    ]
    answers = send(site, operations, include_headers="false").json()
    assert [{"code", "body"}] * 6 == [set(each) for each in answers]
    assert [400, 400, 400, 200, 401, 200] == [each["code"] for each in answers]
    bodies = [json.loads(each["body"]) for each in answers]
    assert 33 == bodies[0]["error"]["error_subcode"]
    assert bodies[1]["error"]["message"].startswith("Unsupported post request.")
    assert ("Their shop", "Our shop") == (bodies[3]["name"], bodies[5]["name"])


def test_a_call_that_fails_spoils_none_of_the_others(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = Reader.read

    def broken(reader: Reader, call: Call) -> Any:
        return 1 / 0 if call.path == "/me" else real(reader, call)

    monkeypatch.setattr(Reader, "read", broken)
    bad, good = send(site, [get_of("me"), get_of(f"{site.ours.pixel_id}?fields=name")]).json()
    error = json.loads(bad["body"])["error"]
    assert (500, 1, True) == (bad["code"], error["code"], error["is_transient"])
    assert 200 == good["code"]
    assert "ZeroDivisionError" in caplog.text


def test_a_batch_may_be_json_with_the_token_in_a_header(site: Site) -> None:
    body = {"batch": [get_of("me?fields=name")]}
    found = site.client.post("/v25.0", json=body, headers=site.ours.headers)
    assert [200] == [each["code"] for each in found.json()]


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({}, "(#100) batch must be a JSON array such as "),
        ([{"method": "GET"}], "(#100) batch must be a JSON array such as "),
        ([get_of("me")] * 51, "(#100) batch has more than 50 calls"),
    ],
)
def test_what_is_no_batch_is_refused(site: Site, operations: Any, message: str) -> None:
    found = send(site, operations)
    assert 400 == found.status_code
    assert found.json()["error"]["message"].startswith(message)


def test_a_batch_needs_a_token(site: Site) -> None:
    found = site.client.post("/v25.0", data={"batch": "[]"})
    assert (401, 190) == (found.status_code, found.json()["error"]["code"])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/x-www-form-urlencoded", b"a=1&" * 200),
        ("multipart/form-data; boundary=x", b"not a part"),
        ("multipart/form-data", b""),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v25.0"])
def test_a_body_that_cannot_be_read_is_refused(
    site: Site, path: str, content_type: str, body: bytes
) -> None:
    headers = {**site.ours.headers, "content-type": content_type}
    found = site.client.post(path, content=body, headers=headers)
    assert (400, 100) == (found.status_code, found.json()["error"]["code"])


def test_an_address_that_is_none_is_refused_alone(site: Site) -> None:
    bad, good = send(site, [get_of("//["), get_of("me?fields=name")]).json()
    assert (400, 200) == (bad["code"], good["code"])
    assert "relative_url" in json.loads(bad["body"])["error"]["message"]
