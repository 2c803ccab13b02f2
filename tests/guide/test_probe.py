"""What a probe may open, and what HTML and policies say without a browser."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from doublet.errors import OperatorError
from doublet.guide import answers, identity, policy, road, sight, site
from doublet.guide.html import read_html
from doublet.guide.policy import forbids, forbids_inline
from doublet.guide.site import Expected
from doublet.pixel import snippet
from doublet.probe import Probe, guard
from doublet.probe.guard import Guard
from tests.collector import Collector
from tests.guide.plain_site import PlainSite

PIXEL = "1234567890123456"


def test_examples() -> None:
    for module in (answers, identity, policy, road, sight, site, guard):
        found = doctest.testmod(module)
        assert (0, True) == (found.failed, found.attempted > 0), module


def test_an_account_does_not_look_at_private_networks_through_the_server() -> None:
    probe = Probe(reaches_private=False)
    for address in (
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "http://[::1]:9/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "http://shop.localhost/",
        "ftp://shop.example/",
        "file:///etc/passwd",
    ):
        expected = Expected(PIXEL, "https://t.example", "html", "", "own", address, "")
        with pytest.raises(OperatorError):
            probe.look(expected)
    assert Guard(False).allows("https://192.0.2.1.example.invalid/")
    assert Guard(True).allows("http://10.0.0.1/")
    assert not Guard(True).allows("file:///etc/passwd")


def test_a_redirect_into_a_private_network_is_not_followed(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    shop = PlainSite(collector.port)
    try:
        shop.redirects["/"] = "http://127.0.0.2:9/secret"
        allowed = Guard(False)
        # The site itself stands for a public one here.
        allowed.allows = lambda address: address.startswith(shop.origin())  # type: ignore[method-assign]
        expected = Expected(PIXEL, "https://t.example", "html", "", "own", f"{shop.origin()}/", "")
        from doublet.probe.plain import look

        assert "http://127.0.0.2:9/secret is in a private network." == look(expected, allowed).error
    finally:
        shop.close()
        collector.close()


def test_html_is_read_as_browsers_run_it() -> None:
    code = snippet(PIXEL, "https://t.shop.example")
    found = read_html(f"<head>{code}</head>", "https://shop.example/")
    assert [(PIXEL, "https://t.shop.example/px.js")] == [
        (each.pixel_id, each.script) for each in found.snippets
    ]
    hidden = f"<!-- {code.replace('-->', '').replace('<!--', '')} -->"
    assert () == read_html(hidden, "https://shop.example/").snippets
    off = code.replace("<script>", '<script type="text/plain" data-cookieconsent="marketing">')
    found = read_html(off, "https://shop.example/")
    assert ((), True) == (found.snippets, found.held_back)
    assert ("Google Tag Manager",) == read_html(
        "<script src=https://www.googletagmanager.com/gtm.js?id=GTM-1></script>", "https://a/"
    ).loaders


@pytest.mark.parametrize(
    ("text", "decides"),
    [
        ("", ""),
        ("img-src 'none'", ""),
        ("script-src 'self'", "script-src"),
        ("script-src 'none'; script-src *", "script-src"),
        ("default-src https:", ""),
        ("default-src 'self'", "default-src"),
        ("script-src https://t.shop.example", ""),
        ("script-src t.shop.example:443", ""),
        ("script-src https://t.shop.example:8443", "script-src"),
        ("script-src *.shop.example", ""),
        ("script-src *.example/px.js", ""),
        ("script-src t.shop.example/assets/", "script-src"),
        ("script-src http://t.shop.example", ""),
        ("script-src-elem 'self'; script-src *", "script-src-elem"),
        ("script-src 'nonce-abc' 'strict-dynamic'", ""),
        ("SCRIPT-SRC 'SELF'", "script-src"),
    ],
)
def test_a_policy_is_read_as_browsers_do(text: str, decides: str) -> None:
    library, page = "https://t.shop.example/px.js", "https://www.shop.example/"
    assert decides == forbids([text], "script-src-elem", library, page)


def test_inline_scripts_need_a_word_for_them() -> None:
    assert "script-src" == forbids_inline(["script-src 'self'"])
    assert "" == forbids_inline(["script-src 'self' 'unsafe-inline'", "img-src *"])
    assert "" == forbids_inline(["script-src 'sha256-abc'"])
    # All policies of a page hold at once.
    assert "default-src" == forbids_inline(["script-src 'unsafe-inline'", "default-src *"])
