"""Traffic that a pixel's rules speak against: stored all the same, and marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.accept.traffic import Quotas, host_of, marks
from doublet.catalog import Catalog, PixelRules, check_domains
from doublet.errors import OperatorError
from tests.collector import Collector

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HOUR_US = 3_600_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.close()


def set_rules(server: Collector, rules: PixelRules) -> None:
    """A pixel that nobody has makes the collector read the catalog at once."""
    catalog = Catalog(server.settings.catalog_url)
    catalog.edit_pixel(server.pixel.pixel_id, rules=rules)
    catalog.close()
    assert 400 == server.hit(id="1", ev="PageView").status_code
    server.new_records()


def marked(server: Collector, agent: str, page: str) -> list[str]:
    """The marks of one hit, which is answered and stored like any other."""
    answer = server.client.get(
        "/tr",
        params={"id": server.pixel.pixel_id, "ev": "PageView", "ts": "1", "dl": page},
        headers={"user-agent": agent},
    )
    assert 200 == answer.status_code
    flags = server.new_record().get("flags") or []
    return sorted({"blocked_domain", "bot", "over_quota"} & set(flags))


def test_hits_are_marked_by_the_rules_of_their_pixel(server: Collector) -> None:
    assert [] == marked(server, GOOGLEBOT, "https://copy.example/")
    set_rules(
        server,
        PixelRules(allow_domains=["*.shop.example"], mark_bots=True, hits_per_hour=1000),
    )
    assert [] == marked(server, FIREFOX, "https://www.shop.example/cart")
    assert ["bot"] == marked(server, GOOGLEBOT, "https://www.shop.example/")
    assert ["blocked_domain"] == marked(server, FIREFOX, "https://copy.example/")
    assert ["blocked_domain", "bot"] == marked(server, "curl/8.5.0", "https://copy.example/")


def test_hits_beyond_the_quota_are_stored_and_marked(server: Collector) -> None:
    set_rules(server, PixelRules(hits_per_hour=1))
    found = [marked(server, FIREFOX, "https://shop.example/") for _ in range(4)]
    # A new hour may begin meanwhile: then one more is within the quota.
    assert [] == found[0]
    assert found.count(["over_quota"]) >= 2


def test_a_quota_begins_anew_with_each_hour_and_pixel() -> None:
    quotas = Quotas()
    assert [False, False, True] == [quotas.is_over("1", 2, HOUR_US + n) for n in range(3)]
    assert not quotas.is_over("2", 2, HOUR_US)
    assert not quotas.is_over("1", 2, 2 * HOUR_US)


@pytest.mark.parametrize(
    ("rules", "page", "expected"),
    [
        (PixelRules(block_domains=["copy.example"]), "https://copy.example/a", True),
        (PixelRules(block_domains=["copy.example"]), "https://COPY.example.:8443/a", True),
        (PixelRules(block_domains=["copy.example"]), "https://a.copy.example/", False),
        (PixelRules(block_domains=["*.copy.example"]), "https://a.copy.example/", True),
        (PixelRules(block_domains=["*.copy.example"]), "https://evilcopy.example/", False),
        (PixelRules(block_domains=["copy.example"]), None, False),
        (PixelRules(allow_domains=["shop.example"]), None, True),
        (PixelRules(allow_domains=["shop.example"]), "https://shop.example/", False),
        (
            PixelRules(allow_domains=["*.shop.example"], block_domains=["a.shop.example"]),
            "https://a.shop.example/",
            True,
        ),
    ],
)
def test_domains_are_matched_as_whole_names(
    rules: PixelRules, page: str | None, expected: bool
) -> None:
    assert expected == ("blocked_domain" in marks(rules, page, FIREFOX))


def test_an_address_that_is_none_has_no_host() -> None:
    assert ["", "", ""] == [host_of(text) for text in ("http://[", "not an address", None)]


def test_a_browser_that_does_not_say_its_name_is_a_bot() -> None:
    assert ["bot"] == marks(PixelRules(mark_bots=True), None, None)


def test_domains_are_checked_before_they_are_kept() -> None:
    assert ["*.b.example", "a.example"] == check_domains(["A.example.", "*.b.example", ""])
    for wrong in ("https://a.example", "a.example:80", "a.*.example", "*"):
        with pytest.raises(OperatorError, match="is no domain"):
            check_domains([wrong])
