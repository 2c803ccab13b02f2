"""The file of faults, and what befalls which request."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest

from doublet.errors import SettingsError
from doublet.faults.answers import find_poison
from doublet.faults.plan import SHARES, Plan, Poison, RateLimit, decide, read_plan

WHOLE = """
seed = 7
paths = ["/v*/events"]
latency_ms = 1
latency_jitter_ms = 2.5
server_error = 0.1
reset_before = 0.1
reset_after = 0.1
timeout_before = 0.1
timeout_after = 0.1
truncate = 0.1

[rate_limit]
every = 30
burst = 3
retry_after_s = 2

[[poison]]
event_id = "order.13"
subcode = 2804050
title = "Too little"
message = "This one not."

[[poison]]
event_name = "Lead"
"""


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(WHOLE)
    plan = read_plan(str(file))
    assert RateLimit(30, 3, 2) == plan.rate_limit
    assert Poison("order.13", "", 2804050, "Too little", "This one not.") == plan.poison[0]
    assert (Poison(event_name="Lead"), 2.5) == (plan.poison[1], plan.latency_jitter_ms)
    file.write_text("")
    assert Plan() == read_plan(str(file))


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("sever_error = 0.1", "`sever_error`", "'server_error'"),
        ("server_error = 1.1", "server_error", "docs/faults.md"),
        ('server_error = "often"', "server_error", "docs/faults.md"),
        ("server_error = 0.6\ntruncate = 0.6", "is 1.2", "at most 1"),
        ("latency_ms = -1", "latency_ms", "docs/faults.md"),
        ('paths = ["v25.0/*"]', "'v25.0/*'", "Begin it with /."),
        ("[rate_limit]\nevery = 0", "rate_limit.every", "docs/faults.md"),
        ("[rate_limit]\neach = 3", "`each`", ""),
        ('[[poison]]\nsubcode = 1\ntitle = "x"', "poison[0]", "event_id or event_name"),
        ("seed = ", "Cannot read", "Mend"),
    ],
)
def test_what_a_file_cannot_mean_is_named_with_the_fix(
    tmp_path: Path, text: str, said: str, hint: str
) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as found:
        read_plan(str(file))
    assert str(file) in found.value.message
    assert said in found.value.message
    assert found.value.hint
    assert hint in found.value.hint


def test_the_fate_of_a_request_depends_on_seed_and_number_alone() -> None:
    plan = Plan(seed=3, server_error=0.2, truncate=0.3, latency_ms=10, latency_jitter_ms=5)
    fates = [decide(plan, number) for number in range(1, 10_001)]
    assert fates[::-1] == [decide(plan, number) for number in range(10_000, 0, -1)]
    assert fates != [decide(Plan(seed=4, server_error=0.2), n) for n in range(1, 10_001)]
    shares = Counter(fate.fault for fate in fates)
    assert {"": 0.5, "server_error": 0.2, "truncate": 0.3} == {
        fault: pytest.approx(count / 10_000, abs=0.02) for fault, count in shares.items()
    }
    latencies = [fate.latency_s for fate in fates]
    assert 0.010 <= min(latencies) < 0.0101 < 0.0149 < max(latencies) <= 0.015


def test_shares_that_add_up_to_one_leave_no_request_alone() -> None:
    plan = Plan(**dict.fromkeys(SHARES, 1 / 6))  # type: ignore[arg-type]
    assert set(SHARES) == {decide(plan, number).fault for number in range(1, 2001)}


def test_the_rate_is_limited_again_and_again() -> None:
    plan = Plan(rate_limit=RateLimit(every=3, burst=2))
    fates = [decide(plan, number).fault for number in range(1, 11)]
    assert ["", "", "", "rate_limit", "rate_limit"] * 2 == fates


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v25.0/123/events", True),
        ("/v25.0/123/events/", True),
        ("/123/events", True),
        ("/capi/123/events", True),
        ("/v1/test_events", False),
        ("/test_events", False),
        ("/tr/", False),
        ("/", False),
    ],
)
def test_requests_of_the_conversions_api_meet_faults(path: str, expected: bool) -> None:
    assert expected == Plan().applies_to(path)
    assert Plan(paths=("/*",)).applies_to(path)
    assert not Plan(paths=("/*",)).applies_to("/health")


LEADS = [{"event_id": 7, "event_name": "Lead"}, {"event_id": "bad", "event_name": "Lead"}]
TEXTS = [json.dumps(each) for each in LEADS]
BOUNDARY = 'x\r\nContent-Disposition: form-data; name="data"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        (json.dumps({"data": LEADS}).encode(), {}, b""),
        (json.dumps({"data": TEXTS}).encode(), {}, b""),
        (json.dumps({"data": json.dumps(LEADS)}).encode(), {}, b""),
        (
            gzip.compress(json.dumps({"data": TEXTS}).encode(), mtime=0),
            {"content-encoding": "gzip"},
            b"",
        ),
        (
            urlencode({"data": json.dumps(TEXTS)}).encode(),
            {"content-type": "application/x-www-form-urlencoded"},
            b"",
        ),
        (
            f"--{BOUNDARY}{json.dumps(LEADS)}\r\n--x--\r\n".encode(),
            {"content-type": "multipart/form-data; boundary=x"},
            b"",
        ),
        (b"", {}, urlencode({"data": json.dumps(LEADS)}).encode()),
    ],
)
def test_poison_is_found_however_it_is_sent(
    body: bytes, headers: dict[str, str], query: bytes
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"headers": raw, "query_string": query}

    def index_of(**fields: str) -> int | None:
        found = find_poison(Plan(poison=(Poison(**fields),)), scope, body, 1 << 20)  # type: ignore[arg-type]
        return found[1] if found else None

    assert (1, 0, 0) == (
        index_of(event_id="bad"),
        index_of(event_name="Lead"),
        index_of(event_id="7", event_name="Lead"),
    )
    assert (None, None) == (
        index_of(event_id="good"),
        index_of(event_id="bad", event_name="Purchase"),
    )


@pytest.mark.parametrize("body", [b"", b"{", b'{"data": [1]}', b'{"data": "["}', b"\xff"])
def test_what_cannot_be_read_holds_no_poison(body: bytes) -> None:
    plan = Plan(poison=(Poison(event_name="Lead"),))
    assert find_poison(plan, {"headers": [], "query_string": b""}, body, 1 << 20) is None
