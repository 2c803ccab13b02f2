"""A look at a site in a browser: what its scripts do, and what the browser and the server say."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from doublet.guide.html import read_html
from doublet.guide.policy import governing
from doublet.guide.sight import Cookie, Hit, Script, Sight, Snippet, Violation
from doublet.guide.site import Expected
from doublet.probe.guard import Guard
from doublet.probe.plain import names_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Response, Route

_OPEN_MS = 20_000
WAIT_S = 4.0
_STEP_MS = 50
_BEGIN_S = 1.5
SETTLE_S = 0.5

# The check must not be counted by a pixel of Meta's that is on the page too.
_metas_door = re.compile(r"https?://([\w-]+\.)?facebook\.(com|net)/tr\b")

_WATCH = """
window.doubletViolations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  if (event.disposition === "enforce") {
    window.doubletViolations.push(
      [event.effectiveDirective, event.blockedURI, event.originalPolicy]);
  }
});
"""

_ASK = """
() => {
  const named = [...document.scripts].map((each) => each.dataset.name).filter(Boolean);
  const ours = ["fbq", ...named].map((name) => window[name]).find((each) => each && each.log);
  const library = [...document.scripts].find((each) => /\\/(\\w|-)+(-core)?\\.js/.test(each.src));
  return {
    violations: window.doubletViolations || [],
    log: ours ? ours.log.map(({ type, id, name, text }) => ({ type, id, name, text })) : [],
    pixels: ours && ours.getState ? ours.getState().pixels.map((each) => each.id) : [],
    isOurs: !!(window.fbq && window.fbq.log),
    isThere: typeof window.fbq === "function",
    isTcf: typeof window.__tcfapi === "function",
    library: library ? library.src : "",
  };
}
"""


class _Traffic:
    """The requests of a page and what became of them."""

    def __init__(self, page: Page) -> None:
        self.requests: list[Request] = []
        self.responses: dict[Request, Response] = {}
        self.failures: dict[Request, str] = {}
        page.on("request", lambda request: self.requests.append(request))
        page.on("response", lambda response: self.responses.update({response.request: response}))
        page.on("requestfailed", lambda request: self.failures.update({request: _why(request)}))

    def hits(self) -> Iterator[tuple[Request, dict[str, str]]]:
        """Requests that report an event, with their parameters."""
        for request in self.requests:
            fields = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
            if request.method == "POST":
                fields |= dict(parse_qsl(_body_of(request), keep_blank_values=True))
            if fields.get("id", "").isdecimal() and fields.get("ev"):
                yield request, fields

    def is_settled(self, request: Request) -> bool:
        """Whether it was answered or has failed."""
        return request in self.responses or request in self.failures


def _body_of(request: Request) -> str:
    try:
        return request.post_data or ""
    except UnicodeDecodeError:
        return ""


def _why(request: Request) -> str:
    return (request.failure or "").removeprefix("net::")


def look(
    browser: Browser,
    expected: Expected,
    guard: Guard,
    *,
    wait_s: float = WAIT_S,
    settle_s: float = SETTLE_S,
) -> Sight:
    """What a visitor of the site meets who has just clicked an ad; `wait_s` is how long after the
    page a PageView may come, `settle_s` how long after it a second one."""
    click = f"IwAR{secrets.token_hex(8)}"
    asked = expected.address(click)
    sight = Sight(via="browser", asked=asked)
    with browser.new_context(service_workers="block") as context:
        context.add_init_script(_WATCH)
        context.route(_metas_door, lambda route: route.abort())
        if not guard.reaches_private:
            context.route("**/*", lambda route: _guarded(route, guard))
        page = context.new_page()
        traffic = _Traffic(page)
        if not _open(page, sight, f"{asked}&doublet_debug=1"):
            return sight
        _wait(page, traffic, expected, wait_s, settle_s)
        told = page.evaluate(_ASK)
        _read_page(page, sight, told)
        _read_traffic(sight, traffic, expected)
        sight.cookies = tuple(
            Cookie(each["name"], each["value"], each["domain"])
            for each in context.cookies(page.url)
        )
    return sight


def _guarded(route: Route, guard: Guard) -> None:
    if guard.allows(route.request.url):
        route.fallback()
    else:
        route.abort("addressunreachable")


def _open(page: Page, sight: Sight, address: str) -> bool:
    from playwright.sync_api import Error, TimeoutError

    try:
        response = page.goto(address, wait_until="load", timeout=_OPEN_MS)
    except TimeoutError:
        sight.error = f"it did not load within {_OPEN_MS // 1000} s."
        return False
    except Error as error:
        sight.error = _in_words(error.message)
        return False
    if response is None:
        sight.error = "it answers with no page."
        return False
    chain: list[str] = []
    request = response.request.redirected_from
    while request is not None:
        chain.insert(0, request.url)
        request = request.redirected_from
    sight.redirects = tuple(chain)
    # Where it landed: scripts may tidy the address later.
    sight.url, sight.status = response.url, response.status
    sight.content_type = response.headers.get("content-type", "")
    return True


def _in_words(message: str) -> str:
    for word, said in (
        ("ERR_NAME_NOT_RESOLVED", "its name leads nowhere."),
        ("ERR_CONNECTION_REFUSED", "nothing listens there."),
        ("ERR_CERT", "its certificate is not accepted."),
        ("ERR_SSL", "its certificate is not accepted."),
        ("ERR_TOO_MANY_REDIRECTS", "it redirects without an end."),
        ("ERR_EMPTY_RESPONSE", "the connection ends without an answer."),
        ("ERR_CONNECTION", "there is no connection."),
        ("ERR_ADDRESS", "there is no connection."),
    ):
        if word in message:
            return said
    return f"the browser says {message.splitlines()[0][:200].rstrip('.')}."


def _wait(
    page: Page, traffic: _Traffic, expected: Expected, wait_s: float, settle_s: float
) -> None:
    """Until PageView is answered and a moment more, or it does not come; not long where nothing
    has begun that could send one."""
    began_at = time.monotonic()
    give_up_at = began_at + wait_s
    settled_at = None
    while time.monotonic() < give_up_at:
        mine = [
            request
            for request, fields in traffic.hits()
            if fields["id"] == expected.pixel_id and fields["ev"] == "PageView"
        ]
        if settled_at is None and mine and all(map(traffic.is_settled, mine)):
            settled_at = time.monotonic()
        if settled_at is not None and time.monotonic() > settled_at + settle_s:
            return
        if time.monotonic() > began_at + _BEGIN_S and not _has_begun(page, traffic, expected):
            return
        page.wait_for_timeout(_STEP_MS)


def _has_begun(page: Page, traffic: _Traffic, expected: Expected) -> bool:
    if expected.is_sandboxed or any(expected.is_library(each.url) for each in traffic.requests):
        return True
    return bool(page.evaluate("typeof window.fbq === 'function' || !!window.google_tag_manager"))


def _read_page(page: Page, sight: Sight, told: dict[str, Any]) -> None:
    found = read_html(page.content(), page.url)
    ids = [snippet.pixel_id for snippet in found.snippets]
    # A tag manager takes its scripts out again once they have run.
    ran = [Snippet(pixel_id) for pixel_id in told["pixels"] if pixel_id not in ids]
    sight.snippets = (*found.snippets, *ran)
    sight.other_pixels, sight.loaders = found.other_pixels, found.loaders
    tools = set(found.consent_tools)
    if told["isTcf"] and not tools:
        tools.add("a consent tool of the IAB (TCF)")
    sight.consent_tools = tuple(sorted(tools))
    sight.violations = tuple(_violation(*each) for each in told["violations"])
    log = told["log"]
    sight.held = tuple(each["name"] for each in log if each["type"] == "held")
    if found.held_back and not sight.snippets:
        sight.held = ("PageView",)
    sight.warnings = tuple(f"{e['id']}: {e['text']}" for e in log if e["type"] == "warning")
    if told["isOurs"]:
        sight.fbq = "doublet"
    elif told["isThere"]:
        sight.fbq = "meta" if sight.other_pixels else "other"


def _violation(directive: str, blocked: str, policy: str) -> Violation:
    # A policy of several headers is told as one each; the directive that decides may be wider.
    found = governing(policy, directive)
    return Violation(directive, blocked, found[0] if found else directive)


def _read_traffic(sight: Sight, traffic: _Traffic, expected: Expected) -> None:
    scripts = []
    for request in traffic.requests:
        if request.resource_type == "script" and expected.is_library(request.url):
            response = traffic.responses.get(request)
            error = traffic.failures.get(request, "" if response else "no answer.")
            if error == "csp":
                continue
            kind = response.headers.get("content-type", "") if response else ""
            scripts.append(
                Script(request.url, response.status if response else None, kind, _said(error))
            )
    sight.scripts = tuple(scripts)
    sight.hits = tuple(
        _hit(request, fields, traffic)
        for request, fields in traffic.hits()
        if not _metas_door.match(request.url)
    )
    metas = [fields["id"] for request, fields in traffic.hits() if _metas_door.match(request.url)]
    sight.other_pixels = tuple(dict.fromkeys((*sight.other_pixels, *metas)))


def _said(error: str) -> str:
    return _in_words(error) if error else ""


def _hit(request: Request, fields: dict[str, str], traffic: _Traffic) -> Hit:
    response = traffic.responses.get(request)
    headers = response.headers if response else {}
    set_cookies = response.header_values("set-cookie") if response else []
    return Hit(
        request.url.partition("?")[0],
        fields["id"],
        fields["ev"],
        fields.get("eid", ""),
        fields.get("dl", ""),
        fields.get("fbp", ""),
        fields.get("fbc", ""),
        response.status if response else None,
        headers.get("x-doublet-refused", ""),
        headers.get("x-doublet-seen", ""),
        names_of(set_cookies),
        _said(traffic.failures.get(request, "")),
    )
