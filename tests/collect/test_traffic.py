"""Traffic that a pixel's rules speak against: stored all the same, and marked."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.accept import traffic
from doublet.accept.traffic import MARKS, Networks, Quotas, host_of, marks, read_networks
from doublet.catalog import Catalog, PixelRules
from doublet.entries import check_domains
from doublet.errors import OperatorError, SettingsError
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


def marked(server: Collector, agent: str, page: str, ip: str = "") -> list[str]:
    """The marks of one hit, which is answered and stored like any other."""
    answer = server.client.get(
        "/tr",
        params={"id": server.pixel.pixel_id, "ev": "PageView", "ts": "1", "dl": page},
        headers={"user-agent": agent} | ({"x-forwarded-for": ip} if ip else {}),
    )
    assert 200 == answer.status_code
    flags = server.new_record().get("flags") or []
    return sorted(set(MARKS) & set(flags))


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


def test_hits_from_datacentres_are_marked_where_bots_are(tmp_path: Path) -> None:
    networks = tmp_path / "clouds.txt"
    networks.write_text("# Clouds\n198.51.100.0/24\n\n2001:db8:c::/48  # and their IPv6\n")
    server = Collector(
        tmp_path, "trusted_proxies=127.0.0.1", f"datacenter_networks={networks.absolute()}"
    )
    page, home, cloud = "https://shop.example/", "203.0.113.7", "198.51.100.9"
    assert [] == marked(server, FIREFOX, page, cloud)
    set_rules(server, PixelRules(mark_bots=True))
    assert ["datacenter"] == marked(server, FIREFOX, page, cloud)
    assert ["datacenter"] == marked(server, FIREFOX, page, "2001:db8:c::1")
    assert ["bot", "datacenter"] == marked(server, GOOGLEBOT, page, cloud)
    assert [] == marked(server, FIREFOX, page, home)
    server.close()


def test_networks_are_searched_as_they_are_written() -> None:
    assert 0 == doctest.testmod(traffic).failed
    networks = Networks(["10.0.0.0/8", "10.1.0.0/16", "192.0.2.4/30", "192.0.2.7"])
    inside = ["10.0.0.0", "10.255.255.255", "192.0.2.7", "::ffff:10.1.2.3"]
    outside = ["9.255.255.255", "11.0.0.0", "192.0.2.3", "192.0.2.8", "2001:db8::1", "", "x", None]
    assert [True] * 4 == [networks.holds(address) for address in inside]
    assert not any(networks.holds(address) for address in outside)


def test_a_file_of_networks_that_cannot_be_read_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "clouds.txt"
    with pytest.raises(SettingsError, match="cannot be read"):
        read_networks(str(file))
    file.write_text("10.0.0.0/8\n10.0.0.0/33\n")
    with pytest.raises(SettingsError, match=r"line 2 of .* is no network"):
        read_networks(str(file))
