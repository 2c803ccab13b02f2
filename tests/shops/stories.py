"""Stories of shops: what a platform delivers about one order, and what Doublet makes of it.

`golden/shops/<platform>/*.json` are complete resources of the platform's API; a story says how they
change from one delivery to the next (JSON merge patch, RFC 7396) and which ledger they end in.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.catalog import Shop
from doublet.catalog.rows import ShopRules, ShopSecret
from doublet.shops import PLATFORMS, Errand, Told
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND

GOLDEN = Path(__file__).parent.parent / "golden" / "shops"
SECRET = "whsec_not"
NOW_S = NOON // SECOND

TARGETS = {
    "shopify": {"domain": "corner.myshopify.example"},
    "woocommerce": {"domain": "shop.example"},
    "bigcommerce": {"store_hash": "abc123", "domain": "shop.example"},
}


class Story(NamedTuple):
    """A story by the platform's and its own name."""

    platform: str
    name: str
    said: dict[str, Any]

    @property
    def folder(self) -> Path:
        return GOLDEN / self.platform / self.name

    @property
    def shop(self) -> Shop:
        """The shop that it happens in."""
        rules = msgspec.convert(self.said.get("rules", {}), ShopRules)
        return make_shop(self.platform, rules)


def make_shop(platform: str, rules: ShopRules | None = None) -> Shop:
    """A shop of a platform, with one secret."""
    return Shop(
        "shp_1",
        ACCOUNT,
        PIXEL,
        platform,
        "Corner",
        0,
        TARGETS[platform],
        [ShopSecret(SECRET)],
        "",
        rules or ShopRules(),
    )


def stories() -> Iterator[Story]:
    """All of them."""
    for path in sorted(GOLDEN.glob("*/*/story.json")):
        said = json.loads(path.read_text("utf-8"))
        yield Story(path.parent.parent.name, path.parent.name, said)


def resource(platform: str, name: str) -> Any:
    """A complete resource."""
    return json.loads((GOLDEN / platform / f"{name}.json").read_text("utf-8"))


def patched(target: Any, patch: Any) -> Any:
    """A resource after a JSON merge patch, which takes out what it says is `"absent"`: null is a
    value of these platforms."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value == "absent":
            found.pop(key, None)
        else:
            found[key] = patched(found.get(key), value)
    return found


def signed(platform: str, topic: str, body: bytes, delivery_id: str = "1") -> dict[str, str]:
    """The headers that a platform sends with a delivery."""
    digest = hmac.digest(SECRET.encode(), body, "sha256")
    signature = base64.b64encode(digest).decode()
    json_type = {"content-type": "application/json"}
    if platform == "shopify":
        return json_type | {
            "x-shopify-topic": topic,
            "x-shopify-hmac-sha256": signature,
            "x-shopify-webhook-id": delivery_id,
        }
    if platform == "woocommerce":
        return json_type | {
            "x-wc-webhook-topic": topic,
            "x-wc-webhook-signature": signature,
            "x-wc-webhook-delivery-id": delivery_id,
        }
    return json_type | {"x-doublet-secret": SECRET}


def told(story: Story) -> list[Told]:
    """What each delivery of a story says, completed where a platform names only an id."""
    platform, shop = PLATFORMS[story.platform], story.shop
    resources: dict[str, Any] = {}
    found = []
    for nth, delivery in enumerate(story.said["deliveries"]):
        for name, patch in delivery.items():
            if (GOLDEN / story.platform / f"{name}.json").exists():
                known = resources.get(name) or resource(story.platform, name)
                resources[name] = patched(known, patch)
        of = delivery.get("of", "order")
        if story.platform == "bigcommerce":
            payload = resource(story.platform, "payload") | {"scope": delivery["topic"]}
            payload = patched(payload, delivery.get("payload", {}))
        else:
            payload = resources.get(of) or resource(story.platform, of)
        body = json.dumps(payload).encode()
        headers = signed(story.platform, delivery["topic"], body, str(nth))
        assert platform.is_proven(headers, body, [SECRET], NOW_S)
        read = platform.read(headers, body)._replace(received_at_s=_received_at(delivery))
        said = platform.tell(read, shop)
        orders = [errand for errand in said.errands if errand.kind == "order"]
        found.append(_completed(orders[0], story, resources, shop) if orders else said)
    return found


def _completed(errand: Errand, story: Story, resources: dict[str, Any], shop: Shop) -> Told:
    platform = PLATFORMS[story.platform]
    wanted = platform.wanted(errand)
    assert wanted
    api = {name: resources.get(name) or resource(story.platform, name) for name in wanted}
    return platform.complete(errand, api, shop)


def _received_at(delivery: dict[str, Any]) -> int:
    given = delivery.get("received_at")
    moment = datetime.fromisoformat(given) if given else datetime.fromtimestamp(NOW_S, UTC)
    return int(moment.replace(tzinfo=UTC).timestamp())
