"""The pages on attribution in a real browser: they fit, draw and lead on without any script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from doublet.web.page import ATTRIBUTION
from tests.dashboard import HOSTILE, Site
from tests.reports.world import fill
from tests.web.test_attribution_pages import world

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def advertised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    touched = world()
    for table in touched.tables().values():
        for row in table:
            row["account_id"] = made.ours.account.account_id  # type: ignore[index]
    fill(made.pipeline.engine, touched)
    yield made
    made.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_and_its_policy_is_kept(
    advertised: Site, browser: Browser, width: int
) -> None:
    options = {"viewport": {"width": width, "height": 740}, "java_script_enabled": True}
    with browser.new_context(**options) as context:  # type: ignore[arg-type]
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{advertised.url}/attribution?access_token={advertised.ours.token}")
        for path, title in ATTRIBUTION:
            page.get_by_label("Attribution", exact=True).get_by_role("link", name=title).click()
            expect(page).to_have_url(f"{advertised.url}{path}")
            assert width == page.evaluate("document.documentElement.scrollWidth"), path
            for picture in page.locator(".picture img").all():
                expect(picture).to_have_js_property("complete", True, timeout=30_000)
                assert picture.evaluate("image => image.naturalWidth") > 300, path
        assert [] == said


def test_models_are_chosen_and_names_lead_down_without_script(
    advertised: Site, browser: Browser
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{advertised.url}/attribution?access_token={advertised.ours.token}")
        heads = page.locator("thead .group")
        expect(heads).to_have_text(["Last touch", "Position based"])
        page.locator("summary", has_text="Compare").click()
        page.get_by_label("Linear").check()
        page.get_by_label("Position based").uncheck()
        page.get_by_role("button", name="Apply").click()
        expect(heads).to_have_text(["Last touch", "Linear"])
        page.get_by_role("link", name=HOSTILE).click()
        expect(heads).to_have_text(["Last touch", "Linear"])
        expect(page.locator(".crumbs li")).to_have_text(["All campaigns", HOSTILE])
        page.get_by_role("link", name="Everybody").click()
        expect(page.locator("tbody th")).to_have_text(["Red & blue"])
        page.get_by_role("link", name="All campaigns").click()
        expect(page.locator(".crumbs")).to_have_count(0)
