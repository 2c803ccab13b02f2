"""Every platform against its golden cases."""

from __future__ import annotations

import json

import msgspec
import pytest

from doublet.destinations.kinds import KINDS
from doublet.event import STANDARD_EVENTS
from tests.destinations.cases import FOLDER, Case, body_of, cases, outcome_of

CASES = [
    pytest.param(kind, case, id=f"{kind}-{name}") for kind in KINDS for name, case in cases(kind)
]


def test_every_kind_has_cases_and_every_folder_a_kind() -> None:
    assert sorted(KINDS) == sorted(path.name for path in FOLDER.iterdir())
    for kind in KINDS:
        verdicts = {case.outcome["verdict"] for _, case in cases(kind)}
        assert {"done", "later", "blocked"} <= verdicts, kind


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_an_event_becomes_the_request_that_the_platform_documents(kind: str, case: Case) -> None:
    destination = case.destination(kind)
    KINDS[kind].check(destination)
    request = KINDS[kind].encode(destination, case.events)
    assert request == KINDS[kind].encode(destination, case.events)
    request = KINDS[kind].sign(destination, request, case.sent_at)
    wanted = case.request
    assert (wanted["method"], wanted["url"]) == (request.method, request.url)
    for name, value in wanted.get("headers", {}).items():
        assert value == request.headers[name]
    assert wanted["body"] == body_of(request.body)
    assert len(case.events) == len(request.parts)
    assert case.secret not in json.dumps([part.decode() for part in request.parts])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_events_of_a_case_may_be_told_in_one_request(kind: str, case: Case) -> None:
    destination = case.destination(kind)
    reasons = [KINDS[kind].unfit(destination, event) for event in case.events]
    assert [""] * len(case.events) == reasons
    assert 1 == len({KINDS[kind].group(event) for event in case.events})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STANDARD_EVENTS)
def test_every_standard_event_can_be_told(kind: str, name: str) -> None:
    case = dict(cases(kind))["purchase"]
    event = msgspec.structs.replace(case.events[0], event_name=name)
    assert "" == KINDS[kind].unfit(case.destination(kind), event)
    assert 1 == len(KINDS[kind].encode(case.destination(kind), [event]).parts)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_an_answer_has_the_outcome_that_the_platform_documents(kind: str, case: Case) -> None:
    assert case.outcome == outcome_of(KINDS[kind].decide(case.answer, len(case.events)))
