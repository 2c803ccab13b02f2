"""Decisions of operators: what is written of them, and what an erasure leaves of them."""

from __future__ import annotations

import json

from doublet.accept import Arrival, unmerge_record
from tests.factories import ACCOUNT, NOON
from tests.persons.touching import em

ANN, BEA = f"em={em('ann')[0]}", f"em={em('bea')[0]}"


def decide(one: str, other: str, at: int, reason: str = "", *, revoked: bool = False) -> bytes:
    """The record of a decision that two identifiers are not one person's, received at `at` µs."""
    return unmerge_record(
        one, other, reason, Arrival(ACCOUNT, "", "server", at, 0), revoked=revoked
    )


def test_a_reason_holds_no_address() -> None:
    record = json.loads(decide(ANN, BEA, NOON, "ann@example.com is not Bea, see order 17"))
    assert "ann@" not in record["reason"]
    assert record["reason"].endswith(" is not Bea, see order 17")
