"""Which events TikTok's pixel takes, and answers that are not TikTok's."""

from __future__ import annotations

import pytest

from doublet.destinations.contract import Outgoing, Response, Verdict
from doublet.destinations.tiktok import decide, unfit
from tests.destinations.cases import cases

DESTINATION = dict(cases("tiktok"))["purchase"].destination("tiktok")


@pytest.mark.parametrize(
    ("action_source", "url", "is_fit"),
    [
        ("website", "https://shop.example/", True),
        (None, "https://shop.example/", True),
        ("website", None, False),
        ("physical_store", "https://shop.example/", False),
        ("app", None, False),
    ],
)
def test_only_events_of_a_page_are_told(
    action_source: str | None, url: str | None, is_fit: bool
) -> None:
    event = Outgoing("Lead", "e-1", 1, action_source=action_source, event_source_url=url)
    assert is_fit is (unfit(DESTINATION, event) == "")


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b"<html>", Verdict.LATER),
        (200, b"", Verdict.LATER),
        (200, b'{"code": "0"}', Verdict.LATER),
        (302, b"", Verdict.BLOCKED),
        (404, b"not found", Verdict.BLOCKED),
        (413, b"too large", Verdict.DIVIDE),
        (429, b"", Verdict.LATER),
        (502, b"", Verdict.LATER),
        (401, b'{"code": 40104, "message": "Access token is empty"}', Verdict.BLOCKED),
        (200, b'{"code": 40105}', Verdict.BLOCKED),
        (500, b'{"code": 0}', Verdict.LATER),
        (200, b'{"code": 51010}', Verdict.LATER),
    ],
)
def test_an_answer_has_its_verdict(status: int, body: bytes, verdict: Verdict) -> None:
    assert verdict is decide(Response(status, {}, body), 2).verdict
