"""Whatever a proven delivery holds, it is read or refused; nothing personal gets out of place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from doublet.accept import Arrival
from doublet.catalog.rows import ShopRules
from doublet.shops import PLATFORMS, Delivery, Errand, Told, UnreadableError
from doublet.shops.records import records_of
from tests.factories import ACCOUNT, NOON, PIXEL
from tests.shops.stories import NOW_S, make_shop, resource, signed, stories, told
from tests.strategies import TREES

TOPICS = {
    "shopify": {
        "orders/create": "order",
        "orders/paid": "order",
        "orders/updated": "order",
        "orders/cancelled": "order",
        "refunds/create": "refund",
        "checkouts/create": "checkout",
        "carts/create": "cart",
        "customers/create": "customer",
        "customers/redact": "redact",
        "customers/data_request": "data_request",
    },
    "woocommerce": {
        "order.created": "order",
        "order.restored": "order",
        "order.deleted": "trashed",
        "customer.created": "customer",
    },
    "bigcommerce": {
        "store/order/created": "payload",
        "store/order/statusUpdated": "payload",
        "store/cart/converted": "payload",
        "store/customer/created": "payload",
    },
}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1e308, 10**30, -(10**30), "", " ", "x", "\0", "٣", "9" * 400),
    *("NaN", "Infinity", "1e30", "1e-30", "-1e99", "1e999999999", "9e99999"),
    *("http://[", "http://[::1", "//[", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("2026-05-25", "Mon, 99 May 2026 10:00:00 +0000", "Mon, 25 May 0001 10:00:00 +2359"),
    *("Mon, 25 May 9999 10:00:00 -2359", [], {}, [None], [[]], [{}], [1], {"a": 1}, {"id": []}),
]
REFUNDS = [
    {
        "id": 3,
        "created": "2026-05-26T08:00:00+00:00",
        "total_amount": 10,
        "payments": [{"amount": 10, "is_declined": False}],
    }
]
PLAIN = ("Doe", "doe", "Zoë", "Smith", "170 1234567", "Zeil", "60311", "ring twice")


@st.composite
def mutated(draw: st.DrawFn, found: Any) -> Any:
    """A resource with some of its parts replaced or taken out."""
    found = json.loads(json.dumps(found))
    for _ in range(draw(st.integers(1, 4))):
        part = found
        while isinstance(part, dict | list) and part:
            keys = sorted(part) if isinstance(part, dict) else range(len(part))
            key = draw(st.sampled_from(keys))
            inner = part[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                if draw(st.booleans()) or isinstance(part, list):
                    part[key] = draw(TREES | st.sampled_from(ODD))
                else:
                    del part[key]
                break
            part = inner
    return found


def _places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a resource holds something, at any depth."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    for key, inner in pairs:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _variants(found: Any) -> Iterator[Any]:
    """The resource with each of its parts replaced by each odd value, and taken out."""
    for *path, last in list(_places(found)):
        part = found
        for key in path:
            part = part[key]
        kept = part[last]
        for odd in ODD:
            part[last] = odd
            yield found
        if isinstance(part, dict):
            del part[last]
            yield found
        part[last] = kept


def _is_told_or_refused(tell: Callable[[], Told]) -> None:
    with suppress(UnreadableError):
        tell()


def _is_kept_or_refused(tell: Callable[[], Told]) -> None:
    """What is told becomes records, or its fields are refused; or it cannot be read."""
    problem, said = "", Told()
    try:
        said = tell()
    except UnreadableError as error:
        problem = str(error)
    assert not any(word in problem for word in PLAIN)
    records_of(said, Arrival(ACCOUNT, PIXEL, "server", NOON, 0), {})


@pytest.mark.parametrize(
    ("platform", "topic", "of"),
    [(platform, *pair) for platform, topics in TOPICS.items() for pair in topics.items()],
)
def test_any_field_may_hold_anything(platform: str, topic: str, of: str) -> None:
    module, shop = PLATFORMS[platform], make_shop(platform)
    whole = resource(platform, of)
    if "refunds" in whole:
        whole["refunds"] = [{"id": 801, "total": "-1", **resource("shopify", "refund")}]
    for found in _variants(whole):
        _is_told_or_refused(
            lambda found=found: module.tell(Delivery(topic, "", found, NOW_S), shop)  # type: ignore[misc]
        )


@pytest.mark.parametrize("name", ["order", "products", "refunds", "customer"])
def test_any_field_of_an_api_may_hold_anything(name: str) -> None:
    module, shop = PLATFORMS["bigcommerce"], make_shop("bigcommerce", ShopRules("paid"))
    subject = {"customer_id": "11"} if name == "customer" else {"id": "250", "paid_at_s": NOW_S}
    errand = Errand("order", subject)
    api = {wanted: resource("bigcommerce", wanted) for wanted in module.wanted(errand)}
    api["refunds"] = {"data": REFUNDS}
    for found in _variants(api[name]):
        _is_told_or_refused(
            lambda found=found: module.complete(errand, {**api, name: found}, shop)  # type: ignore[misc]
        )


@pytest.mark.parametrize(
    ("platform", "topic", "of"),
    [(platform, *pair) for platform, topics in TOPICS.items() for pair in topics.items()],
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_resource_is_told_or_refused(
    platform: str, topic: str, of: str, data: st.DataObject
) -> None:
    module, shop = PLATFORMS[platform], make_shop(platform)
    found = resource(platform, of) | ({"scope": topic} if of == "payload" else {})
    body = _body(data.draw(mutated(found)))
    headers = signed(platform, topic, body)
    assert module.is_proven(headers, body, ["whsec_not"], NOW_S)
    _is_kept_or_refused(lambda: module.tell(module.read(headers, body), shop))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), subject=st.sampled_from([{"id": "250"}, {"customer_id": "11"}]))
def test_any_answer_of_an_api_is_told_or_refused(
    data: st.DataObject, subject: dict[str, str]
) -> None:
    module, errand = PLATFORMS["bigcommerce"], Errand("order", subject)
    api = {name: resource("bigcommerce", name) for name in module.wanted(errand)}
    name = data.draw(st.sampled_from(sorted(api)))
    try:
        api[name] = msgspec.json.decode(_body(data.draw(mutated(api[name]))))
    except msgspec.DecodeError:
        assume(False)
    _is_kept_or_refused(lambda: module.complete(errand, api, make_shop("bigcommerce")))


@pytest.mark.parametrize("platform", PLATFORMS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(body=st.binary(max_size=40), tree=TREES)
def test_any_body_is_read_or_refused(platform: str, body: bytes, tree: Any) -> None:
    module = PLATFORMS[platform]

    def tell(body: bytes) -> Told:
        headers = signed(platform, "order.created", body)
        return module.tell(module.read(headers, body), make_shop(platform))

    _is_kept_or_refused(lambda: tell(body))
    _is_kept_or_refused(lambda: tell(_body(tree)))


def _body(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode()
    except ValueError:
        assume(False)
        raise


def test_only_events_and_wishes_say_who_it_was() -> None:
    for story in stories():
        for said in told(story):
            bare = said._replace(
                events=tuple({**event, "user_data": {}} for event in said.events),
                errands=tuple(e for e in said.errands if e.kind == "order"),
            )
            written = msgspec.json.encode(bare._asdict()).decode()
            assert [] == [word for word in PLAIN if word in written], story.name


def test_an_order_that_is_named_by_no_id_is_not_asked_for() -> None:
    module, shop = PLATFORMS["bigcommerce"], make_shop("bigcommerce")
    odds: list[Any] = ["../../v3/customers", "1?include=x", "1/", "", None, 1.5, {}, "٣"]
    for odd in odds:
        payload = {"data": {"id": odd}}
        with pytest.raises(UnreadableError):
            module.tell(Delivery("store/order/created", "", payload), shop)
