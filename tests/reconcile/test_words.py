"""What a comparison is told in, and that the page about it has every finding."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from doublet.catalog import Shop, ShopRules
from doublet.reconcile import Group, Reconciliation
from doublet.reconcile.findings import FINDINGS, reason_of
from doublet.reconcile.words import sentences, wanted_topics, webhooks
from doublet.shops.api import Subscription

DOCS = Path(__file__).parents[2] / "docs" / "reconcile.md"
NOW = datetime(2026, 11, 3, tzinfo=UTC)
HERE = "https://events.shop.example/v1/shops/shp_100000000001/webhooks"
WHERE = {
    "shopify": "look under Settings, Notifications, Webhooks too",
    "woocommerce": "The shop has no webhook order.created or order.updated that leads here",
    "bigcommerce": "The shop has no webhook store/order/created or store/order/* that leads here",
}
TOPICS = {
    "shopify": "orders/create",
    "woocommerce": "order.created",
    "bigcommerce": "store/order/*",
}


def told(*reasons: tuple[str, str]) -> Reconciliation:
    """A comparison of ten orders with these findings."""
    groups = [
        Group(finding, why, "", False, 1, 0.1, {}, NOW, NOW, "", "", []) for finding, why in reasons
    ]
    total = {"EUR": Decimal("1200.5")}
    return Reconciliation(NOW, NOW, 10, 9, total, {"id": 6, "name": 3}, 2, not groups, groups)


def shop(platform: str) -> Shop:
    """A shop on a platform."""
    return Shop(
        *("shp_100000000001", "act_1", "1", platform, "Shop", 0, {}, [], "token", ShopRules())
    )


@pytest.mark.parametrize("platform", WHERE)
def test_the_webhook_that_should_have_told_is_looked_at(platform: str) -> None:
    topic = TOPICS[platform]
    lacking = told(("missing", "not_delivered"), ("value_differs", "tax"))
    elsewhere = [Subscription(topic, HERE.replace("100000000001", "100000000002"), True)]
    (absent,) = webhooks(lacking, shop(platform), elsewhere)
    assert WHERE[platform] in absent
    (active,) = webhooks(lacking, shop(platform), [Subscription(topic, HERE, True)])
    assert f"The webhook {topic} is there and active" in active
    (inactive,) = webhooks(lacking, shop(platform), [Subscription(topic, HERE, False)])
    assert "no longer active" in inactive
    for why in ("cancelled", "refunded", "paid"):
        assert 1 == len(list(webhooks(told(("status_differs", why)), shop(platform), [])))


def test_what_no_webhook_tells_is_not_looked_for() -> None:
    nothing = told(("missing", "refused"), ("doubled", "two_pixels"), ("extra", "unknown"))
    assert {} == wanted_topics(nothing, "shopify")
    assert {} == wanted_topics(told(("missing", "not_delivered")), "another")


def test_a_comparison_is_told_in_sentences() -> None:
    said = list(sentences(told(("missing", "not_delivered"))))
    assert (
        "10 orders of the shop from 2026-11-03 00:00 to 2026-11-03 00:00, worth 1,200.50 EUR: "
        "9 agree (90 %)."
    ) == said[0]
    assert "Not all were found here by the shop's id: 3 by name." == said[1]
    assert "2 Purchases of that time have no order_id, and cannot be compared." == said[2]
    assert 3 == len(said)
    assert "Both sides agree." == list(sentences(told()))[-1]


def test_the_page_has_every_finding_as_the_code_says_it() -> None:
    lines = DOCS.read_text("utf-8").splitlines()
    for key, finding in FINDINGS.items():
        for why, reason in finding.reasons.items():
            order = " In order." if reason.is_expected else ""
            named = f"`{why}`" if why else ""
            assert f"| `{key}` | {named} | {reason.says}{order} |" in lines


def test_every_reason_that_is_no_right_one_says_what_to_do() -> None:
    silent = [
        (key, why)
        for key, finding in FINDINGS.items()
        for why, reason in finding.reasons.items()
        if not reason.is_expected and not reason.do
    ]
    assert [] == silent
    assert "`doublet destination replay`" in reason_of("not_relayed", "failed/100").do
    assert reason_of("not_relayed", "withheld/consent_denied").is_expected
