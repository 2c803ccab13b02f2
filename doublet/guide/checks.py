"""The checks of a live site: what each looks at, and for each fault what to change.

A check judges what a probe saw. Those that need a page, or a library that runs, are skipped where
there is none, so that one fault is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from doublet.guide import identity, road
from doublet.guide.finding import Finding, failed, noted, passed, skipped, unseen
from doublet.guide.sight import Hit, Sight, Violation
from doublet.guide.site import Expected


class Check(NamedTuple):
    """One check; `looks_at` is what it looks at, `judge` what it makes of that."""

    key: str
    title: str
    looks_at: str
    judge: Callable[[Sight, Expected], Finding]


_NEEDS_BROWSER = "Plain HTTP runs no scripts, so this cannot be seen without a browser."
_INSTALL = (
    "Install Chromium (`apt-get install chromium`) and `pip install 'doublet[browser]'` where "
    "Doublet runs, and check again."
)


def _page(sight: Sight, expected: Expected) -> Finding:
    if sight.error:
        return failed(
            "page_unreachable",
            f"{expected.site_url} cannot be opened: {sight.error}",
            "Correct the site's address, or start the site; the machine Doublet runs on must "
            "reach it.",
        )
    if sight.status is not None and sight.status >= 400:
        return failed(
            "page_status",
            f"{sight.url} answers {sight.status}.",
            "Give the address of a page that answers 200; where the site asks for a password, let "
            "this check in without.",
        )
    if "html" not in sight.content_type:
        return failed(
            "page_not_html",
            f"{sight.url} is {sight.content_type or 'of no content type'}, not HTML.",
            "Give the address of a page of the site, with the Content-Type text/html.",
        )
    return passed(f"{expected.site_url} answers {sight.status}.")


def _snippet(sight: Sight, expected: Expected) -> Finding:
    if expected.is_sandboxed:
        if any(hit.pixel_id == expected.pixel_id for hit in sight.hits):
            return passed("The custom pixel runs: its events come from this page.")
        if sight.via == "http":
            return unseen(f"{expected.platform_name} keeps the pixel out of the page's HTML.")
        return failed(
            "snippet_missing",
            "No event of the custom pixel came from this page.",
            "Paste the code as a custom pixel (Settings, Customer events), save it, and press "
            "Connect; permission and data sale must let it run.",
        )
    blocked = next((v for v in sight.violations if v.blocked == "inline"), None)
    if blocked is not None and not (sight.scripts or sight.hits or sight.held):
        return failed(
            "snippet_blocked_by_policy",
            f"The page's Content-Security-Policy ({blocked.named}) forbids the snippet.",
            f"Allow the snippet in {blocked.named}: by a nonce ('nonce-…', the same on its "
            "<script>) or by its hash.",
        )
    ids = [snippet.pixel_id for snippet in sight.snippets]
    if expected.pixel_id not in ids:
        return _no_snippet(sight, expected, ids)
    scripts = {s.script for s in sight.snippets if s.pixel_id == expected.pixel_id and s.script}
    wrong = sorted(address for address in scripts if not expected.is_library(address))
    if wrong:
        return failed(
            "snippet_address",
            f"The snippet loads {wrong[0]}, which is not where Doublet answers.",
            f"Load {expected.script_url} in the snippet; where Doublet moved, set `public_url` "
            "and paste the snippet anew.",
        )
    if ids.count(expected.pixel_id) > 1:
        return failed(
            "snippet_twice",
            f"The page has the snippet of pixel {expected.pixel_id} {ids.count(expected.pixel_id)} "
            "times.",
            "Remove all but one: look in the theme, in plug-ins and in the tag manager.",
        )
    return passed(f"The page has the snippet of pixel {expected.pixel_id}, once.")


def _no_snippet(sight: Sight, expected: Expected, ids: list[str]) -> Finding:
    if ids:
        return failed(
            "snippet_other_pixel",
            f"The page initialises pixel {', '.join(dict.fromkeys(ids))}, not {expected.pixel_id}.",
            f'Write fbq("init", "{expected.pixel_id}") in the snippet.',
        )
    if sight.via == "http" and (sight.loaders or sight.held):
        what = ", ".join(sight.loaders) or "a consent tool"
        return unseen(
            f"The HTML has no snippet; {what} may bring it in. {_NEEDS_BROWSER}", _INSTALL
        )
    if sight.held:
        return skipped("A consent tool holds the snippet back.")
    return failed(
        "snippet_missing",
        "The page has no snippet of Doublet.",
        "Put the snippet into the head of every page, publish the site, and empty the caches of "
        "site and CDN.",
    )


def _script(sight: Sight, expected: Expected) -> Finding:
    if expected.is_sandboxed:
        return skipped("The code of a custom pixel loads nothing.")
    address = _library_of(sight, expected)
    for violation in sight.violations:
        if expected.is_library(violation.blocked) and not _is_of_events(violation):
            return failed(
                "script_blocked_by_policy",
                f"The page's Content-Security-Policy ({violation.named}) forbids {address}.",
                f"Add {_origin(address)} to {violation.named} in the policy.",
            )
    loads = [script for script in sight.scripts if expected.is_library(script.url)]
    if not loads:
        return unseen(f"{address} was not asked for.")
    script = loads[-1]
    if script.status is None:
        return failed(
            "script_unreachable",
            f"{script.url} cannot be loaded: {script.error}",
            "Open this address in a browser; it must lead to Doublet: look at the name, the "
            "certificate, the web server in front, and whether `doublet serve` runs.",
        )
    if script.status >= 400:
        return failed(
            "script_status",
            f"{script.url} answers {script.status}.",
            "Have the web server in front pass this path on to Doublet (docs/first_party.md), or "
            "correct `public_url`.",
        )
    if "javascript" not in script.content_type:
        return failed(
            "script_type",
            f"{script.url} is {script.content_type or 'of no content type'}, so browsers do not "
            "run it.",
            "Doublet answers with text/javascript: have the web server in front pass its answer "
            "on as it is, and not the site's own page for unknown paths.",
        )
    return passed(f"{script.url} loads.")


def _is_of_events(violation: Violation) -> bool:
    return violation.directive in ("connect-src", "img-src")


def _library_of(sight: Sight, expected: Expected) -> str:
    named = (s.script for s in sight.snippets if s.pixel_id == expected.pixel_id and s.script)
    return next(named, expected.script_url)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _consent(sight: Sight, expected: Expected) -> Finding:
    tools = ", ".join(sight.consent_tools)
    if sight.held and not _page_views(sight, expected):
        who = tools or "The page's consent"
        return noted(
            "consent_holds",
            f"{who} holds everything back until the visitor agrees, as it should; this check "
            "agrees to nothing.",
            "Open the site yourself with the test code, agree, and make the test order: the "
            "events of your visit are what is checked then.",
        )
    if tools:
        return passed(f"{tools} is there and lets events pass, or has not been asked.")
    return passed("Nothing holds events back.")


def _page_view(sight: Sight, expected: Expected) -> Finding:
    hits = _page_views(sight, expected)
    answered = [hit for hit in hits if hit.status is not None and hit.status < 300]
    if answered:
        how = "sent as the snippet would send it" if sight.via == "http" else "sent"
        return passed(f"PageView was {how} and answered {answered[0].status}.")
    if hits and hits[-1].status is not None:
        hit = hits[-1]
        return failed(
            "page_view_refused",
            f"PageView was sent and answered {hit.status}"
            f"{f' ({hit.refused})' if hit.refused else ''}.",
            road.fix_of_refusal(hit),
        )
    endpoint = expected.endpoint_of(_library_of(sight, expected))
    for violation in sight.violations:
        if _is_of_events(violation) and violation.blocked == endpoint:
            return failed(
                "page_view_blocked_by_policy",
                f"The page's Content-Security-Policy ({violation.named}) forbids {endpoint}.",
                f"Add {_origin(endpoint)} to connect-src and img-src in the policy.",
            )
    if hits:
        return failed(
            "page_view_unreachable",
            f"PageView was sent to {hits[-1].url} and not answered: {hits[-1].error}",
            "Have the web server in front pass this path on to Doublet with POST too "
            "(docs/first_party.md).",
        )
    if sight.held:
        return skipped("It waits for consent.")
    if sight.via == "http":
        return unseen(_NEEDS_BROWSER, _INSTALL)
    return failed(
        "page_view_missing",
        "The page sent no PageView.",
        'Call fbq("track", "PageView") after fbq("init", …), as the snippet does; an error in the '
        "page's own scripts may stop it.",
    )


def _page_views(sight: Sight, expected: Expected) -> list[Hit]:
    return [
        hit
        for hit in sight.hits
        if hit.pixel_id == expected.pixel_id and hit.event_name == "PageView"
    ]


def _event_ids(sight: Sight, expected: Expected) -> Finding:
    if sight.via == "http":
        return unseen(_NEEDS_BROWSER, _INSTALL)
    hits = [hit for hit in sight.hits if hit.pixel_id == expected.pixel_id]
    bare = [hit.event_name for hit in hits if not hit.event_id]
    if bare:
        return failed(
            "event_id_missing",
            f"{', '.join(dict.fromkeys(bare))} was sent without an event id.",
            "Send it by fbq of the snippet, which gives every event an id, and not by an image or "
            "an older library; the server's copy needs the same id.",
        )
    if not hits:
        return skipped("No event was sent.")
    names = ", ".join(dict.fromkeys(hit.event_name for hit in hits))
    return passed(f"Each event has an id: {names}.")


def _once(sight: Sight, expected: Expected) -> Finding:
    ids = [snippet.pixel_id for snippet in sight.snippets]
    hits = _page_views(sight, expected)
    pages = [hit.page for hit in hits if hit.page]
    twice = sorted({page for page in pages if pages.count(page) > 1})
    if twice and len({hit.event_id for hit in hits}) > 1:
        return failed(
            "page_view_twice",
            f"PageView was sent {pages.count(twice[0])} times for {twice[0]}, each time as another "
            "event.",
            "Leave one: remove the second copy of the snippet, or the tag or plug-in that calls "
            'fbq("track", "PageView") once more, and fbq.allowDuplicatePageViews.',
        )
    doubled = ids.count(expected.pixel_id) > 1 or any(
        warning.startswith("DUPLICATE_PIXEL_ID") for warning in sight.warnings
    )
    if doubled:
        return noted(
            "pixel_twice",
            "The pixel is initialised more than once; the library passes over the second.",
            "Remove the second copy of the snippet.",
        )
    if sight.via == "http" and ids:
        return passed("The page's HTML has the snippet once.")
    if not hits:
        return skipped("No PageView was sent.")
    return passed("PageView was sent once.")


def _other_pixel(sight: Sight, expected: Expected) -> Finding:
    meta = f"Meta's pixel ({', '.join(sight.other_pixels)})" if sight.other_pixels else ""
    if sight.fbq == "meta" and not _page_views(sight, expected) and not sight.held:
        return failed(
            "fbq_taken",
            "Meta's library answers to fbq, so Doublet's was not loaded.",
            f'Load Doublet\'s with a name of its own, <script src="{expected.script_url}" '
            'data-name="dbq">, and call dbq(…) beside fbq(…) with the same eventID '
            "(docs/pixel.md).",
        )
    if meta:
        return noted(
            "other_pixel",
            f"{meta} is on the page too.",
            "Give both the same eventID, and set the destination that relays to it to "
            "`--mode beside`, or remove Meta's and let the relay send all.",
        )
    return passed("No other Meta pixel is on the page.")


def _needing_page(
    judge: Callable[[Sight, Expected], Finding],
) -> Callable[[Sight, Expected], Finding]:
    def judged(sight: Sight, expected: Expected) -> Finding:
        if _page(sight, expected).state == "failed":
            return skipped("The page cannot be opened.")
        return judge(sight, expected)

    return judged


def _needing_hits(
    judge: Callable[[Sight, Expected], Finding],
) -> Callable[[Sight, Expected], Finding]:
    def judged(sight: Sight, expected: Expected) -> Finding:
        if not _page_views(sight, expected):
            if sight.via == "http":
                return unseen(_NEEDS_BROWSER, _INSTALL)
            return skipped("No PageView was sent.")
        return judge(sight, expected)

    return _needing_page(judged)


CHECKS: tuple[Check, ...] = (
    Check("page", "The page opens", "the status and content type of the site's address", _page),
    Check(
        "snippet",
        "The snippet is there, once",
        "the pixel id and the script's address in the page",
        _needing_page(_snippet),
    ),
    Check(
        "script",
        "The script loads",
        "the script's answer, its content type, and the page's Content-Security-Policy",
        _needing_page(_script),
    ),
    Check(
        "consent",
        "Consent",
        "consent tools on the page, and events that wait for them",
        _needing_page(_consent),
    ),
    Check(
        "page_view",
        "PageView arrives",
        "the request that reports the page, and its answer",
        _needing_page(_page_view),
    ),
    Check(
        "event_ids",
        "Every event has an id",
        "eventID of each event that the page sends",
        _needing_page(_event_ids),
    ),
    Check(
        "once",
        "Nothing is sent twice",
        "PageViews of the same address, and copies of the snippet",
        _needing_page(_once),
    ),
    Check(
        "cookie",
        "The browser keeps its id",
        "the cookie _fbp, its form and its domain",
        _needing_hits(identity.cookie),
    ),
    Check(
        "first_party",
        "Cookies are the site's own",
        "whether page and script share a domain, and whether the server sets _fbp too",
        _needing_hits(identity.first_party),
    ),
    Check(
        "parameters",
        "Ad clicks are recognised",
        "whether utm_… and fbclid reach the page through its redirects, and _fbc is made of them",
        _needing_page(identity.parameters),
    ),
    Check(
        "proxy",
        "Visitors keep their address",
        "the address, scheme and host that Doublet saw of the request",
        _needing_hits(road.proxy),
    ),
    Check(
        "other_pixel",
        "Other pixels",
        "Meta's own library on the page",
        _needing_page(_other_pixel),
    ),
)
"""In the order in which they are told."""


def judge(sight: Sight, expected: Expected, at: int) -> list[Finding]:
    """What every check makes of a sight, in the order of `CHECKS`."""
    return [_named(check.judge(sight, expected), check.key, at, sight.via) for check in CHECKS]


def _named(found: Finding, key: str, at: int, via: str) -> Finding:
    return Finding(key, found.state, found.says, found.fix, found.fault, at, via)
