"""Each check fails as it should on a site with that fault planted, by browser and by HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from doublet.guide.checks import CHECKS, judge
from doublet.guide.finding import Finding
from doublet.guide.sight import Hit, Sight
from doublet.guide.site import Expected
from doublet.probe import page, plain
from doublet.probe.guard import Guard
from tests.collector import Collector
from tests.guide.plain_site import PlainSite
from tests.server import free_port

pytestmark = pytest.mark.browser

WAIT_S, SETTLE_S = 0.7, 0.25
META = (
    "<script>!function(f,b,e,v,n,t,s){if(f.fbq)return;n=f.fbq=function(){n.callMethod?"
    "n.callMethod.apply(n,arguments):n.queue.push(arguments)};n.queue=[];}(window,document,"
    "'script','https://connect.facebook.net/en_US/fbevents.js');"
    "fbq('init', '111122223333444');</script>"
)
TCF = "<script>window.__tcfapi = function () {};</script>"


class Stage(NamedTuple):
    """A collector, a site, and what the guide expects of it."""

    collector: Collector
    site: PlainSite
    expected: Expected

    @property
    def server(self) -> str:
        """Doublet's address."""
        return f"http://127.0.0.1:{self.collector.port}"

    @property
    def passed_on(self) -> str:
        """The path of the site that leads to Doublet."""
        return f"{self.site.origin()}/assets"

    def like(self, **changes: str) -> Stage:
        """The same with other expectations."""
        return self._replace(expected=self.expected._replace(**changes))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collector, PlainSite]]:
    folder = tmp_path_factory.mktemp("faults")
    collector = Collector(folder, "trusted_proxies=127.0.0.1")
    site = PlainSite(collector.port)
    yield collector, site
    site.close()
    collector.close()


@pytest.fixture
def stage(parts: tuple[Collector, PlainSite]) -> Stage:
    """A faultless site."""
    collector, site = parts
    pixel_id = collector.pixel.pixel_id
    site.clean(pixel_id)
    address = f"http://127.0.0.1:{collector.port}"
    site.show(address)
    url = f"{site.origin()}/"
    setups = collector.catalog.setups
    setup = next(iter(setups.all()), None) or setups.create(
        collector.account, pixel_id, "html", "purchases", "own", url
    )
    made = Expected(pixel_id, address, "html", "Plain HTML", "own", url, setup.test_code)
    return Stage(collector, site, made)


def by(via: str, stage: Stage, browser: Browser) -> dict[str, Finding]:
    """What each check finds by a kind of probe."""
    if via == "http":
        sight = plain.look(stage.expected, Guard(True))
    else:
        sight = page.look(browser, stage.expected, Guard(True), wait_s=WAIT_S, settle_s=SETTLE_S)
    found = {finding.check: finding for finding in judge(sight, stage.expected, 1)}
    assert list(found) == [check.key for check in CHECKS]
    assert {via} == {finding.via for finding in found.values()}
    return found


@pytest.mark.parametrize("via", ["browser", "http"])
def test_a_faultless_site_passes(stage: Stage, browser: Browser, via: str) -> None:
    found = by(via, stage, browser)
    assert {} == {k: f for k, f in found.items() if f.state not in ("passed", "unseen")}
    unseen = [key for key, finding in found.items() if finding.state == "unseen"]
    assert unseen == ([] if via == "browser" else ["event_ids", "cookie"])


def test_a_site_behind_its_own_web_server_passes(stage: Stage, browser: Browser) -> None:
    stage.site.show(stage.passed_on)
    stage.site.forwarded = {"X-Forwarded-For": "203.0.113.9"}
    found = by("browser", stage.like(public_url=stage.passed_on, place="proxy"), browser)
    assert {"passed"} == {finding.state for finding in found.values()}
    assert "Doublet sees the visitor at 203.0.113.9." == found["proxy"].says


# --- one planted fault each ----------------------------------------------------------------------

Plant = Callable[[Stage], Stage]
BOTH = ("browser", "http")
BROWSER = ("browser",)


class Fault(NamedTuple):
    """A fault: the check that finds it, what its sentence on the fix must name, and its plant."""

    check: str
    fault: str
    fix: str
    plant: Plant
    probes: tuple[str, ...] = BOTH
    state: str = "failed"


def _unreachable(stage: Stage) -> Stage:
    return stage.like(site_url=f"http://127.0.0.1:{free_port()}/")


def _status(stage: Stage) -> Stage:
    stage.site.status = 403
    return stage


def _not_html(stage: Stage) -> Stage:
    stage.site.content_type = "application/json"
    return stage


def _no_snippet(stage: Stage) -> Stage:
    stage.site.page = "<!doctype html><title>Shop</title><body>Hello"
    return stage


def _other_pixel(stage: Stage) -> Stage:
    stage.site.pixel_id = stage.collector.other_pixel.pixel_id
    stage.site.show(stage.server)
    return stage


def _other_address(stage: Stage) -> Stage:
    stage.site.show(f"http://localhost:{stage.collector.port}")
    return stage


def _twice(stage: Stage) -> Stage:
    stage.site.show(stage.server, before=stage.site.page)
    return stage


def _with_policy(policy: str) -> Plant:
    def plant(stage: Stage) -> Stage:
        stage.site.headers["Content-Security-Policy"] = policy.replace("SERVER", stage.server)
        return stage

    return plant


def _gone(stage: Stage) -> Stage:
    address = f"http://127.0.0.1:{free_port()}"
    stage.site.show(address)
    return stage.like(public_url=address)


def _at_assets(
    upstream: bool = True, place: str = "own", source: str = "127.0.0.1", **forwarded: str
) -> Plant:
    def plant(stage: Stage) -> Stage:
        stage.site.show(stage.passed_on)
        stage.site.forwarded = {name.replace("_", "-"): text for name, text in forwarded.items()}
        stage.site.source = source
        if not upstream:
            stage.site.upstream = None
        return stage.like(public_url=stage.passed_on, place=place)

    return plant


def _not_found(stage: Stage) -> Stage:
    return _at_assets(upstream=False)(stage)


def _wrong_type(stage: Stage) -> Stage:
    stage.site.unknown_status = 200
    return _at_assets(upstream=False)(stage)


def _dropped(stage: Stage) -> Stage:
    stage.site.dropped = {"/assets/px"}
    return _at_assets()(stage)


def _around(before: str = "", after: str = "") -> Plant:
    def plant(stage: Stage) -> Stage:
        pixel_id = stage.expected.pixel_id
        stage.site.show(
            stage.server,
            before.replace("SERVER", stage.server).replace("PIXEL", pixel_id),
            after.replace("SERVER", stage.server).replace("PIXEL", pixel_id),
        )
        return stage

    return plant


def _turned_off(stage: Stage) -> Stage:
    code = stage.site.page
    stage.site.page = code.replace("<script>", '<script type="text/plain">', 1).replace(
        "<title>", '<script src="/cookiebot.js"></script><title>'
    )
    return stage


def _without_view(stage: Stage) -> Stage:
    stage.site.page = stage.site.page.replace('fbq("track", "PageView");', "")
    return stage


def _nobodys(stage: Stage) -> Stage:
    stage.site.pixel_id = "999900001111222"
    stage.site.show(stage.server)
    return stage.like(pixel_id="999900001111222")


def _on_names(after: str) -> Plant:
    """Site and server with names of one domain; names lead somewhere only in the browser."""

    def plant(stage: Stage) -> Stage:
        server = f"http://t.shop.example:{stage.collector.port}"
        stage.site.show(server, after=after)
        site_url = stage.site.origin("www.shop.example") + "/"
        return stage.like(public_url=server, site_url=site_url)

    return plant


def _without_cookies(stage: Stage) -> Stage:
    stage.site.page = stage.site.page.replace(
        'fbq("init"', 'fbq("set", "firstPartyCookies", false); fbq("init"'
    )
    return stage


def _third_party(stage: Stage) -> Stage:
    return stage.like(site_url=f"http://localhost:{stage.site.port}/")


def _for_trying(stage: Stage) -> Stage:
    return _third_party(stage).like(place="local")


def _forgetful(stage: Stage) -> Stage:
    stage.site.redirects["/"] = "/de/"
    return stage


FAULTS = (
    Fault("page", "page_unreachable", "Correct the site's address", _unreachable),
    Fault("page", "page_status", "answers 200", _status),
    Fault("page", "page_not_html", "text/html", _not_html),
    Fault("snippet", "snippet_missing", "into the head of every page", _no_snippet),
    Fault("snippet", "snippet_other_pixel", 'fbq("init", "', _other_pixel),
    Fault("snippet", "snippet_address", "/px.js in the snippet", _other_address),
    Fault("snippet", "snippet_twice", "Remove all but one", _twice),
    Fault(
        "snippet",
        "snippet_blocked_by_policy",
        "in script-src:",
        _with_policy("script-src SERVER; connect-src SERVER"),
    ),
    Fault(
        "script",
        "script_blocked_by_policy",
        "to script-src in",
        _with_policy("script-src 'unsafe-inline' 'self'"),
    ),
    Fault("script", "script_unreachable", "doublet serve", _gone),
    Fault("script", "script_status", "pass this path on", _not_found),
    Fault("script", "script_type", "text/javascript", _wrong_type),
    Fault("consent", "consent_holds", "agree", _around(before=TCF), BROWSER, "noted"),
    Fault("consent", "consent_holds", "agree", _turned_off, BOTH, "noted"),
    Fault("page_view", "page_view_missing", 'fbq("track", "PageView")', _without_view, BROWSER),
    Fault("page_view", "page_view_refused", "doublet pixel", _nobodys),
    Fault(
        "page_view",
        "page_view_blocked_by_policy",
        "to connect-src and img-src",
        _with_policy("connect-src 'self'; img-src 'self'"),
    ),
    Fault("page_view", "page_view_unreachable", "with POST too", _dropped),
    Fault(
        "event_ids",
        "event_id_missing",
        "by fbq of the snippet",
        _around(after='<img src="SERVER/tr?id=PIXEL&ev=ViewContent&ts=1795656435000">'),
        BROWSER,
    ),
    Fault(
        "once",
        "page_view_twice",
        "second copy of the snippet",
        _around(
            after='<script>fbq.allowDuplicatePageViews = true; fbq("track", "PageView");</script>'
        ),
        BROWSER,
    ),
    Fault(
        "once",
        "pixel_twice",
        "second copy of the snippet",
        _around(after='<script>fbq("init", String(PIXEL));</script>'),
        BROWSER,
        "noted",
    ),
    Fault("cookie", "cookie_missing", "firstPartyCookies", _without_cookies, BROWSER),
    Fault(
        "cookie",
        "cookie_twice",
        "for a single host",
        _on_names("<script>document.cookie = '_fbp=fb.2.1795656435000.1';</script>"),
        BROWSER,
    ),
    Fault(
        "cookie",
        "cookie_malformed",
        "overwrites it",
        _around(after="<script>setInterval(() => { document.cookie = '_fbp=me'; }, 20);</script>"),
        BROWSER,
    ),
    Fault(
        "cookie",
        "cookie_narrow",
        "the widest domain",
        _on_names(
            "<script>setInterval(() => { document.cookie = '_fbp=; max-age=0; domain=shop.example';"
            "document.cookie = '_fbp=fb.1.1795656435000.1'; }, 20);</script>"
        ),
        BROWSER,
    ),
    Fault("first_party", "third_party", "set `public_url` to it", _third_party),
    Fault("first_party", "third_party", "choose `own` or `proxy`", _for_trying, BOTH, "noted"),
    Fault("first_party", "host_lost", "proxy_set_header Host", _at_assets(Host="internal.example")),
    Fault("parameters", "parameters_lost", "$request_uri", _forgetful),
    Fault("parameters", "fbc_missing", "firstPartyCookies", _without_cookies, BROWSER),
    Fault(
        "proxy",
        "proxy_untrusted",
        'trusted_proxies = "127.0.0.2"',
        _at_assets(source="127.0.0.2", X_Forwarded_For="203.0.113.9"),
    ),
    Fault("proxy", "proxy_silent", "X-Forwarded-For", _at_assets(place="proxy")),
    Fault("proxy", "proxy_host", "proxy_set_header Host", _at_assets(Host="internal.example")),
    Fault("other_pixel", "fbq_taken", 'data-name="dbq"', _around(before=META), BROWSER),
    Fault("other_pixel", "other_pixel", "--mode beside", _around(after=META), BOTH, "noted"),
)


@pytest.mark.parametrize(
    ("fault", "via"),
    [
        pytest.param(fault, via, id=f"{fault.fault}-{n}-{via}")
        for n, fault in enumerate(FAULTS)
        for via in fault.probes
    ],
)
def test_a_planted_fault_is_found_and_its_fix_named(
    stage: Stage, browser: Browser, fault: Fault, via: str
) -> None:
    found = by(via, fault.plant(stage), browser)
    finding = found[fault.check]
    assert (fault.state, fault.fault) == (finding.state, finding.fault), found
    assert fault.fix in finding.fix
    assert finding.says.endswith((".", "…"))


def test_what_needs_a_page_is_skipped_where_there_is_none(stage: Stage, browser: Browser) -> None:
    found = by("http", _unreachable(stage), browser)
    assert {"failed": ["page"]} == {
        "failed": [key for key, finding in found.items() if finding.state == "failed"]
    }


def test_a_proxy_that_says_http_of_https_is_told() -> None:
    expected = Expected(
        "1234567890123456", "https://t.shop.example", "html", "", "own", "https://shop.example/", ""
    )
    seen = (
        "address=203.0.113.9; peer=127.0.0.1; forwarded=believed; scheme=http; host=t.shop.example"
    )
    hit = Hit(
        "https://t.shop.example/px", "1234567890123456", "PageView", "1", status=200, seen=seen
    )
    sight = Sight(via="browser", asked="", status=200, content_type="text/html", hits=(hit,))
    (found,) = [each for each in judge(sight, expected, 1) if each.check == "proxy"]
    assert ("failed", "proxy_scheme") == (found.state, found.fault)
    assert "X-Forwarded-Proto" in found.fix
