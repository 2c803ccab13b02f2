"""Sites in web frameworks: both copies of an order and of a form are one."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from doublet.normalize import hash_user_value
from tests.recipes.conftest import Stage

pytestmark = pytest.mark.browser

PLATFORMS = ["nextjs", "django", "flask", "fastapi"]
EM = [hash_user_value("em", "jane.doe@example.com")]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_order_is_told_twice_as_one(stage: Stage, page: Page, platform: str) -> None:
    with stage.demo(platform, "purchases") as site:
        event_id = site.buy(page)
        browser, server = stage.pair("Purchase")
        page.reload()
        stage.events("PageView", count=3)
        assert 2 == len(stage.events("Purchase"))
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    contents = [{"id": "teacup", "quantity": 2, "item_price": 24.95}]
    for copy in (browser, server):
        assert (49.9, "EUR", "1001") == (float(copy["value"]), copy["currency"], copy["order_id"])
        entries = copy["custom_data"]["contents"]
        told = [{**entry, "item_price": float(entry["item_price"])} for entry in entries]
        assert contents == told
    for key in ("fbp", "client_user_agent", "client_ip_address"):
        assert browser["user_data"][key] == server["user_data"][key]
    assert EM == server["user_data"]["em"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_form_is_told_twice_as_one(stage: Stage, page: Page, platform: str) -> None:
    with stage.demo(platform, "leads") as site:
        event_id = site.submit(page)
        browser, server = stage.pair("Lead")
        page.reload()
        # The form of Next.js stays on its page.
        stage.events("PageView", count=2 if platform == "nextjs" else 3)
        assert 2 == len(stage.events("Lead"))
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert EM == server["user_data"]["em"]
    assert browser["user_data"]["fbp"] == server["user_data"]["fbp"]
