"""Pages made by hand and WordPress: forms and orders, told by browser and server as one."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from doublet.normalize import hash_user_value
from tests.recipes.conftest import Stage
from tests.sites.php import FormsSite
from tests.sites.site import sent_form

pytestmark = pytest.mark.browser

EM = [hash_user_value("em", "jane.doe@example.com")]
PH = [hash_user_value("ph", "+491701234567")]


def test_a_page_made_by_hand_tells_the_order_twice_as_one(stage: Stage, page: Page) -> None:
    with stage.demo("html", "purchases") as site:
        event_id = site.buy(page)
        browser, server = stage.pair("Purchase")
        page.reload()
        stage.events("PageView", count=3)
        assert 2 == len(stage.events("Purchase"))
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert ("1001", "1001") == (browser["order_id"], server["order_id"])
    assert ["teacup"] == [entry["id"] for entry in browser["custom_data"]["contents"]]
    assert EM == server["user_data"]["em"]
    assert browser["user_data"]["fbp"] == server["user_data"]["fbp"]


def test_a_form_of_a_page_made_by_hand_is_one_lead(stage: Stage, page: Page) -> None:
    with stage.demo("html", "leads") as site:
        event_id = site.submit(page)
        browser, server = stage.pair("Lead")
        page.reload()
        stage.events("PageView", count=3)
        assert 2 == len(stage.events("Lead"))
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert ("contact", 25.0) == (
        browser["custom_data"]["content_name"],
        float(browser["custom_data"]["value"]),
    )
    assert browser["user_data"]["fbp"] == server["user_data"]["fbp"]


def test_only_a_form_that_was_taken_is_a_lead(stage: Stage, page: Page) -> None:
    with stage.demo("wordpress", "leads") as site:
        page.goto(site.url)
        page.fill("#cf7 [type=email]", "spam@example.com")
        page.click("#cf7 button")
        page.wait_for_selector("#cf7[data-status=wpcf7spam]")
        page.click("#search button")
        page.wait_for_url("**/?s=")
        stage.events("PageView", count=2)
        assert [] == stage.events("Lead")
        first = site.submit(page)
        browser, server = stage.pair("Lead")
        assert (first, first) == (browser["event_id"], server["event_id"])
        assert (EM, PH) == (server["user_data"]["em"], server["user_data"]["ph"])
        page.click("#cf7 button")
        assert 4 == len(stage.events("Lead", count=4))
        assert 2 == len({record["event_id"] for record in stage.events("Lead")})


@pytest.mark.parametrize(("form", "thanks"), [("wpforms", "/wpforms"), ("plain", "/thank-you")])
def test_a_form_that_leads_to_another_page_is_one_lead(
    stage: Stage, page: Page, form: str, thanks: str
) -> None:
    with stage.demo("wordpress", "leads") as site:
        event_id = sent_form(page, site.url, f"#{form}", f"**{thanks}")
        browser, server = stage.pair("Lead")
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert (EM, form) == (server["user_data"]["em"], browser["custom_data"]["content_name"])
    for key in ("fbp", "client_user_agent", "client_ip_address"):
        assert browser["user_data"][key] == server["user_data"][key]


def test_a_form_of_wpforms_that_stays_on_its_page_is_one_lead(stage: Stage, page: Page) -> None:
    with stage.demo("wordpress", "leads") as site:
        page.goto(site.url)
        page.click("#wpforms-ajax button")
        page.wait_for_selector("#wpforms-ajax[data-taken=true]")
        event_id = page.input_value("#wpforms-ajax [name=doublet_event_id]")
        browser, server = stage.pair("Lead")
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert (EM, PH) == (server["user_data"]["em"], server["user_data"]["ph"])


def test_a_form_that_posts_to_its_own_page_names_that_page(stage: Stage, page: Page) -> None:
    with stage.demo("wordpress", "leads") as site:
        address = f"{site.url}/contact"
        event_id = sent_form(page, address, "#own", "**/contact")
        browser, server = stage.pair("Lead")
    assert (event_id, event_id) == (browser["event_id"], server["event_id"])
    assert (address, address) == (browser["event_source_url"], server["event_source_url"])


def test_a_lead_that_was_not_taken_waits_without_plain_values(stage: Stage, page: Page) -> None:
    away = stage.site._replace(public_url="http://127.0.0.1:9")
    stage.site = away
    with stage.demo("wordpress", "leads") as site:
        assert isinstance(site, FormsSite)
        event_id = site.submit(page)
        ((hook, (event, tries)),) = site.state()["scheduled"]
    assert ("doublet_post", 1, event_id) == (hook, tries, event["event_id"])
    assert EM == [event["user_data"]["em"]]
    assert "ph" not in event["user_data"]
