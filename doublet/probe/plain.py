"""A look at a site by plain HTTP: what its HTML and headers say, and whether the road to the server
is open. It runs no scripts, so it sends the PageView itself, as the snippet would."""

from __future__ import annotations

import re
import secrets
import ssl
import time
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

import httpx
from msgspec.structs import replace

from doublet.guide.html import Found, read_html
from doublet.guide.policy import forbids, forbids_inline
from doublet.guide.sight import Hit, Script, Sight, Violation
from doublet.guide.site import Expected
from doublet.probe.guard import Guard

_TIMEOUT_S = 15.0
_PAGE_SIZE_BYTES_MAX = 4 << 20
_REDIRECTS_MAX = 10
_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) DoubletSetup/1.0"

_meta_policy = re.compile(
    r"""<meta\s[^>]*http-equiv\s*=\s*["']?content-security-policy["']?[^>]*>""", re.IGNORECASE
).finditer
_content = re.compile(r"""content\s*=\s*("([^"]*)"|'([^']*)')""", re.IGNORECASE).search


def look(expected: Expected, guard: Guard) -> Sight:
    """What the site answers."""
    click = f"IwAR{secrets.token_hex(8)}"
    sight = Sight(via="http", asked=expected.address(click))
    with httpx.Client(timeout=_TIMEOUT_S, headers={"user-agent": _USER_AGENT}) as client:
        answer = _open(client, sight, guard)
        if answer is None:
            return sight
        text, policies = answer
        found = read_html(text, sight.url)
        sight.snippets, sight.other_pixels = found.snippets, found.other_pixels
        sight.consent_tools, sight.loaders = found.consent_tools, found.loaders
        if found.held_back:
            sight.held = ("PageView",)
        _follow_road(client, sight, expected, found, policies, click)
    return sight


def _open(client: httpx.Client, sight: Sight, guard: Guard) -> tuple[str, list[str]] | None:
    """The page's text and policies; None where there is no page."""
    address, redirects = sight.asked, []
    for _ in range(_REDIRECTS_MAX + 1):
        if not guard.allows(address):
            sight.error = f"{address} is in a private network."
            return None
        try:
            with client.stream("GET", address) as answer:
                if answer.is_redirect:
                    redirects.append(address)
                    address = urljoin(address, answer.headers.get("location", ""))
                    sight.redirects = tuple(redirects)
                    continue
                text = _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            sight.error = in_words(error)
            return None
        sight.url = address
        sight.status = answer.status_code
        sight.content_type = answer.headers.get("content-type", "")
        policies = answer.headers.get_list("content-security-policy")
        return text, [*_split(policies), *_policies_of(text)]
    sight.error = f"it redirects more than {_REDIRECTS_MAX} times."
    return None


def _read(answer: httpx.Response) -> str:
    body = b""
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > _PAGE_SIZE_BYTES_MAX:
            break
    return body.decode(answer.encoding or "utf-8", "replace")


def _split(policies: Iterable[str]) -> list[str]:
    """A header may hold several policies (CSP, section 7.1)."""
    return [part for policy in policies for part in policy.split(",")]


def _policies_of(text: str) -> list[str]:
    found = (_content(tag[0]) for tag in _meta_policy(text))
    return [each[2] or each[3] or "" for each in found if each]


def in_words(error: Exception) -> str:
    """Why there was no answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"its certificate is not accepted ({cause.reason or cause})."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {_TIMEOUT_S:.0f} s."
    if isinstance(error, httpx.ConnectError):
        text = str(error)
        if "refused" in text:
            return "nothing listens there."
        return f"there is no connection ({text})."
    return f"{type(error).__name__} ({error})."


def _follow_road(
    client: httpx.Client,
    sight: Sight,
    expected: Expected,
    found: Found,
    policies: list[str],
    click: str,
) -> None:
    """Load the script and send a PageView, where the page would and may."""
    mine = [s for s in found.snippets if s.pixel_id == expected.pixel_id]
    may_hide = (expected.is_sandboxed or found.loaders) and not found.held_back
    if not mine and not may_hide:
        return
    library = next((s.script for s in mine if s.script), expected.script_url)
    if not expected.is_library(library):
        return
    endpoint = expected.endpoint_of(library)
    if not expected.is_sandboxed:
        blocked = forbids_inline(policies) if mine else ""
        if blocked:
            sight.violations = (Violation("script-src-elem", "inline", blocked),)
            return
        blocked = forbids(policies, "script-src-elem", library, sight.url)
        if blocked:
            sight.violations = (Violation("script-src-elem", library, blocked),)
            return
        sight.scripts = (_load(client, library),)
        (script,) = sight.scripts
        if script.status != 200 or "javascript" not in script.content_type:
            return
        blocked = forbids(policies, "connect-src", endpoint, sight.url)
        if blocked:
            sight.violations = (Violation("connect-src", endpoint, blocked),)
            if forbids(policies, "img-src", endpoint, sight.url):
                return
    sight.hits = (_send(client, sight, expected, endpoint, click),)


def _load(client: httpx.Client, address: str) -> Script:
    try:
        answer = client.get(address, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Script(address, error=in_words(error))
    return Script(address, answer.status_code, answer.headers.get("content-type", ""))


def _send(client: httpx.Client, sight: Sight, expected: Expected, endpoint: str, click: str) -> Hit:
    now_ms = time.time_ns() // 1_000_000
    page = urlsplit(sight.url)
    dots = min(1, (page.hostname or "").count("."))
    fields = {
        "id": expected.pixel_id,
        "ev": "PageView",
        "eid": f"setup.{secrets.token_hex(8)}",
        "dl": sight.url,
        "ts": str(now_ms),
        "ec": "0",
        "fbp": f"fb.{dots}.{now_ms}.{secrets.randbelow(10**10)}",
        "fbc": f"fb.{dots}.{now_ms}.{click}",
        "test_event_code": expected.test_code,
        "rqm": "fetch",
    }
    hit = Hit(
        endpoint,
        expected.pixel_id,
        "PageView",
        fields["eid"],
        sight.url,
        fields["fbp"],
        fields["fbc"],
    )
    try:
        answer = client.post(
            endpoint, data=fields, headers={"origin": f"{page.scheme}://{page.netloc}"}
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return replace(hit, error=in_words(error))
    return replace(
        hit,
        status=answer.status_code,
        refused=answer.headers.get("x-doublet-refused", ""),
        seen=answer.headers.get("x-doublet-seen", ""),
        cookies=names_of(answer.headers.get_list("set-cookie")),
    )


def names_of(set_cookies: Iterable[str]) -> tuple[str, ...]:
    """The names of the cookies that an answer sets."""
    return tuple(value.partition("=")[0].strip() for value in set_cookies)
