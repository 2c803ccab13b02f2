"""How a delivery proves itself, and what else may come to a shop's address."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.shops import PLATFORMS, Headers, UnreadableError
from tests.shops.stories import NOW_S, SECRET, signed

SHOPIFY, WOOCOMMERCE, BIGCOMMERCE = (
    PLATFORMS[key] for key in ("shopify", "woocommerce", "bigcommerce")
)
BODY = b'{"id": 1, "scope": "store/order/created"}'
FORM = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
KEY = bytes(range(24))
ENCODED = "whsec_" + base64.b64encode(KEY).decode()


def standard(
    key: bytes, sent_at: int = NOW_S, version: str = "v1", body: bytes = BODY
) -> dict[str, str]:
    """Headers of Standard Webhooks."""
    digest = hmac.digest(key, b".".join((b"msg_1", str(sent_at).encode(), body)), "sha256")
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1a,AAAA {version},{base64.b64encode(digest).decode()}",
    }


@pytest.mark.parametrize("platform", ["shopify", "woocommerce"])
@given(body=st.binary(max_size=60), other=st.binary(max_size=60), secret=st.text(max_size=8))
def test_a_signature_proves_its_own_body_under_a_secret_of_the_shop(
    platform: str, body: bytes, other: bytes, secret: str
) -> None:
    is_proven = PLATFORMS[platform].is_proven
    headers = signed(platform, "orders/create", body)
    assert is_proven(headers, body, ["older", SECRET], NOW_S)
    assert (body == other) == is_proven(headers, other, [SECRET], NOW_S)
    assert (secret == SECRET) == is_proven(headers, body, [secret], NOW_S)
    assert not is_proven(headers, body, [], NOW_S)
    assert not is_proven({}, body, [SECRET], NOW_S)


def test_shopify_is_proven_under_its_newer_header_names() -> None:
    newer = {name.removeprefix("x-"): v for name, v in signed("shopify", "a/b", BODY, "7").items()}
    assert SHOPIFY.is_proven(newer, BODY, [SECRET], NOW_S)
    assert ("a/b", "7") == SHOPIFY.read(newer, BODY)[:2]


@pytest.mark.parametrize(
    ("headers", "is_proven"),
    [
        ({"x-doublet-secret": SECRET}, True),
        ({"x-doublet-secret": SECRET[:-1]}, False),
        ({"x-doublet-secret": "\xff\ud800"}, False),
        ({"x-doublet-secret": ""}, False),
        ({}, False),
        (standard(SECRET.encode()), True),
        (standard(KEY), True),
        (standard(ENCODED.encode()), True),
        (standard(KEY[1:]), False),
        (standard(KEY, NOW_S - 300), True),
        (standard(KEY, NOW_S + 300), True),
        (standard(KEY, NOW_S - 301), False),
        (standard(KEY, NOW_S + 301), False),
        (standard(KEY, version="v2"), False),
        (standard(KEY, body=BODY + b" "), False),
        (standard(KEY) | {"webhook-id": "msg_2"}, False),
        (standard(KEY) | {"webhook-timestamp": str(NOW_S + 1)}, False),
        (standard(KEY) | {"webhook-timestamp": "now"}, False),
        (standard(KEY) | {"webhook-timestamp": "9" * 5000}, False),
        (standard(KEY) | {"webhook-signature": "\ud800 v1,"}, False),
        ({name: v for name, v in standard(KEY).items() if name != "webhook-id"}, False),
    ],
)
def test_bigcommerce_proves_itself_by_secret_or_signature(
    headers: Headers, is_proven: bool
) -> None:
    assert is_proven == BIGCOMMERCE.is_proven(headers, BODY, [SECRET, ENCODED], NOW_S)


def test_a_secret_that_is_no_base64_still_proves_as_it_is() -> None:
    assert BIGCOMMERCE.is_proven(standard(b"whsec_*"), BODY, ["whsec_*"], NOW_S)


def test_bigcommerce_deliveries_are_known_by_their_id_or_the_hash_of_the_payload() -> None:
    body = b'{"scope": "store/order/created", "hash": "dd70c0"}'
    assert "dd70c0" == BIGCOMMERCE.read({}, body).delivery_id
    assert "msg_1" == BIGCOMMERCE.read({"webhook-id": "msg_1"}, body).delivery_id


@pytest.mark.parametrize(
    ("headers", "body", "is_ping"),
    [
        (FORM, b"webhook_id=12", True),
        (FORM, b"webhook_id=12&x=1", False),
        (FORM, b"webhook_id=", False),
        (FORM, b"webhook_id=12\n", False),
        (FORM, b"", False),
        ({"content-type": "application/json"}, b"webhook_id=12", False),
        ({}, b"webhook_id=12", False),
        (FORM | {"x-wc-webhook-topic": "order.created"}, b"webhook_id=12", False),
    ],
)
def test_only_the_form_of_a_new_woocommerce_webhook_is_a_ping(
    headers: Headers, body: bytes, is_ping: bool
) -> None:
    assert is_ping == WOOCOMMERCE.is_ping(headers, body)
    assert not SHOPIFY.is_ping(headers, body)
    assert not BIGCOMMERCE.is_ping(headers, body)


def test_woocommerce_deliveries_of_one_second_are_told_apart() -> None:
    """Their id is made of the webhook and the second, so two orders can share one."""

    def read(body: bytes) -> str:
        return WOOCOMMERCE.read(signed("woocommerce", "order.updated", body), body).delivery_id

    assert read(b'{"id": 1}') == read(b'{"id": 1}')
    assert read(b'{"id": 1}') != read(b'{"id": 2}')
    assert "" == WOOCOMMERCE.read({"x-wc-webhook-topic": "order.updated"}, BODY).delivery_id


@pytest.mark.parametrize(
    ("read", "body", "problem"),
    [
        (lambda body: SHOPIFY.read({}, body), b"{}", "X-Shopify-Topic"),
        (lambda body: WOOCOMMERCE.read({}, body), b"{}", "X-WC-Webhook-Topic"),
        (lambda body: BIGCOMMERCE.read({}, body), b"{}", "scope"),
        (lambda body: BIGCOMMERCE.read({}, body), b"[]", "JSON object"),
        (lambda body: SHOPIFY.read({}, body), b"\xff", "JSON object"),
        (
            lambda body: WOOCOMMERCE.read({"x-wc-webhook-topic": "order.created"}, body),
            b'{"code": "woocommerce_rest_cannot_view", "message": "m", "data": {"status": 401}}',
            "woocommerce_rest_cannot_view: save the webhook as an administrator",
        ),
    ],
)
def test_what_cannot_be_read_says_why(
    read: Callable[[bytes], object], body: bytes, problem: str
) -> None:
    with pytest.raises(UnreadableError, match=problem):
        read(body)
