"""The signed webhook: what a receiver checks, and what repeats."""

from __future__ import annotations

import pytest

from doublet.destinations import webhook
from doublet.destinations.contract import Outgoing, Request
from doublet.errors import SettingsError
from tests.destinations.cases import make_destination

TARGET = {"url": "https://crm.example/events"}
# The example of Standard Webhooks' own test suites.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENTS = [Outgoing("Lead", "1", 1790000000), Outgoing("Lead", "2", 1790000000)]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek"}
    request = Request("POST", TARGET["url"], headers, b'{"test": 2432232314}', [])
    signed = webhook.sign(make_destination("webhook", TARGET, SECRET), request, 1614265330)
    assert "1614265330" == signed.headers["webhook-timestamp"]
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signed.headers["webhook-signature"]


def test_another_attempt_has_its_own_time_and_the_same_id() -> None:
    destination = make_destination("webhook", TARGET, SECRET)
    first, again = (
        webhook.sign(destination, webhook.encode(destination, EVENTS), now_s)
        for now_s in (1790000010, 1790009999)
    )
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    other = webhook.encode(destination, EVENTS[:1])
    assert first.headers["webhook-id"] != other.headers["webhook-id"]


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("crm.example/events", SECRET, "no address"),
        ("https://crm.example/a b", SECRET, "no address"),
        ("https://me:pass@crm.example/", SECRET, "name or password"),
        (TARGET["url"], "", "whsec_"),
        (TARGET["url"], "whsec_c2hvcnQ=", "24 to 64 bytes"),
        (TARGET["url"], "whsec_kein Base64 in diesem Text", "24 to 64 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, secret: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        webhook.check(make_destination("webhook", {"url": url}, secret))
