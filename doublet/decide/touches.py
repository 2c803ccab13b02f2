"""`GET /v1/i` and `GET /v1/c`: an ad was seen, or clicked.

Both take a link as `/v1/decide` gave it. What comes too late is recorded and costs nothing; what
comes again is answered and recorded no more; what was changed on its way is refused.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

from doublet.collect.hits import GIF, IMAGE_HEADERS
from doublet.collect.intake import Intake, refuse
from doublet.collect.request import HeaderList, Scope, Send, parse_pairs, respond
from doublet.delivery.links import Link, LinkError, Links, landing_url
from doublet.delivery.records import TouchKind, touch_records
from doublet.refusal import Reason, Refusal

logger = logging.getLogger(__name__)

PATHS: dict[str, TouchKind] = {"/v1/i": "view", "/v1/c": "click"}

_REMEMBERED_MAX = 200_000

_ANYBODY = (b"access-control-allow-origin", b"*")


class Touches:
    """Takes impressions and clicks."""

    def __init__(self, intake: Intake, links: Links, on_view: Callable[[Link], object]) -> None:
        """`on_view` is told of each impression that counts."""
        self._intake = intake
        self._links = links
        self._on_view = on_view
        self._taken: OrderedDict[tuple[str, int, TouchKind], None] = OrderedDict()

    async def answer(self, scope: Scope, send: Send) -> None:
        """Take one. An impression is durable before it is answered; whoever clicks gets to the
        page in any case."""
        kind = PATHS[scope["path"]]
        if scope["method"] not in ("GET", "HEAD", "POST"):
            await refuse(send, Refusal(Reason.METHOD_NOT_ALLOWED, "Load the link with GET."))
            return
        pairs = parse_pairs(scope["query_string"])
        sealed = "" if isinstance(pairs, Refusal) else dict(pairs).get("t", "")
        try:
            link = self._links.open(sealed)
        except LinkError as error:
            await refuse(send, Refusal(Reason.PARAMETER_INVALID, str(error), "t"))
            return
        # A checker of links that only looks has seen nothing.
        refusal = None if scope["method"] == "HEAD" else await self._take(link, kind)
        if kind == "click":
            if refusal is not None:
                logger.error("click-lost reason=%s", refusal.message)
            location = landing_url(link.url, link.click_id).encode()
            await respond(send, 302, [(b"location", location), *_nothing()])
        elif refusal is not None:
            await refuse(send, refusal, more=[_ANYBODY])
        else:
            head = scope["method"] == "HEAD"
            await respond(send, 200, [*IMAGE_HEADERS, _ANYBODY], GIF, head=head)

    async def _take(self, link: Link, kind: TouchKind) -> Refusal | None:
        name = (link.decision_id, link.position, kind)
        if name in self._taken:
            return None
        # From here on, so that one that comes while this one is being written is a repetition.
        self._taken[name] = None
        at = self._intake.appender.clock.stamp()
        refusal = await self._intake.append(list(touch_records(link, kind, at)))
        if refusal is not None:
            self._taken.pop(name, None)
        elif kind == "view":
            self._on_view(link)
        if len(self._taken) > _REMEMBERED_MAX:
            self._taken.popitem(last=False)
        return refusal


def _nothing() -> HeaderList:
    return [(b"content-length", b"0"), (b"cache-control", b"no-store")]
