"""Which events Pinterest takes, and answers that say too little."""

from __future__ import annotations

from typing import Any

import pytest

from doublet.destinations.contract import Outgoing, Response, Verdict
from doublet.destinations.pinterest import decide, unfit
from tests.destinations.cases import cases

DESTINATION = dict(cases("pinterest"))["purchase"].destination("pinterest")


@pytest.mark.parametrize(
    ("user_data", "is_fit"),
    [
        ({"em": ["0" * 64]}, True),
        ({"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"}, True),
        ({"client_ip_address": "192.0.2.7", "client_user_agent": "M"}, True),
        ({"client_ip_address": "192.0.2.7"}, False),
        ({"ph": ["0" * 64], "external_id": ["0" * 64], "fbp": "fb.1.1.1"}, False),
    ],
)
def test_a_person_must_be_named(user_data: dict[str, Any], is_fit: bool) -> None:
    assert is_fit is (unfit(DESTINATION, Outgoing("Lead", "e-1", 1, user_data=user_data)) == "")


PROCESSED = b'{"status": "processed"}'


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b'{"events": [%s, %s]}' % (PROCESSED, PROCESSED), Verdict.DONE),
        (200, b'{"events": [%s]}' % PROCESSED, Verdict.DIVIDE),
        (200, b"", Verdict.LATER),
        (200, b"<html>", Verdict.LATER),
        (422, b'{"code": 1, "message": "No.", "details": "none"}', Verdict.DIVIDE),
        (403, b"", Verdict.BLOCKED),
        (413, b"", Verdict.DIVIDE),
        (429, b"", Verdict.LATER),
    ],
)
def test_an_answer_has_its_verdict(status: int, body: bytes, verdict: Verdict) -> None:
    assert verdict is decide(Response(status, {}, body), 2).verdict


def test_a_limit_that_is_used_up_is_waited_for_also_after_a_success() -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}
    outcome = decide(Response(200, headers, b'{"events": [%s]}' % PROCESSED), 1)
    assert (Verdict.DONE, 7.0) == (outcome.verdict, outcome.retry_after_s)


def test_a_failed_event_without_a_reason_is_refused_all_the_same() -> None:
    outcome = decide(Response(200, {}, b'{"events": [{"status": "failed"}]}'), 1)
    assert {0: "Pinterest gave no reason."} == outcome.refused
