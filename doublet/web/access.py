"""Who is asking: the token of a request, the account it opens, signing in and out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, token_sha256
from doublet.refusal import Reason, Refusal
from doublet.web.refused import Refused

_COOKIE = "doublet_token"
_COOKIE_AGE_S = 30 * 86_400
_KNOWN_S = 3.0
_KNOWN_MAX = 1024
_FORM_SIZE_BYTES_MAX = 16_384
_FRONT_PAGE = "/overview"
# A path on this server. Browsers take // and /\ for the beginning of another host's address.
_is_own_path = re.compile(r"/(?![/\\])[\x21-\x7e]{0,2000}").fullmatch


class Visitor(NamedTuple):
    """Whoever sent a valid token: an account's, or (without an account) the operator's."""

    account: Account | None

    @property
    def is_operator(self) -> bool:
        """Whether every account is open to this visitor."""
        return self.account is None


class Access:
    """Finds out whose token a request carries; what it has looked up it believes for 3 s."""

    def __init__(self, catalog: Catalog, is_operator: Callable[[str], bool]) -> None:
        self._catalog = catalog
        self._is_operator = is_operator
        self._known: dict[str, tuple[float, Account]] = {}

    def routes(self) -> list[Route]:
        """Signing in and out."""
        return [
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
        ]

    async def admit(self, request: Request) -> Visitor:
        """The visitor. Raises Refused without a valid token."""
        token = token_of(request)
        visitor = await self._visitor(token) if token else None
        if visitor is None:
            message = "This access token is not valid." if token else "An access token is required."
            raise _sign_in(message, _without_token(request))
        return visitor

    async def admit_to_page(self, request: Request) -> Visitor | Response:
        """The visitor, or the way from an address that holds the token to the one that does not.

        Not for a link on another site: it would sign a person in to an account of its choice.
        """
        token = request.query_params.get("access_token")
        visitor = await self.admit(request)
        if not token or "authorization" in request.headers:
            return visitor
        target = _without_token(request)
        if is_foreign(request) and request.cookies.get(_COOKIE) != token:
            message = "A link on another site led here. Continue to open the account it is for."
            raise _sign_in(message, target, token)
        return _signed_in(request, token, target)

    async def _visitor(self, token: str) -> Visitor | None:
        if self._is_operator(token):
            return Visitor(None)
        digest = token_sha256(token)
        looked_at, account = self._known.get(digest, (float("-inf"), None))
        if account is None or time.monotonic() - looked_at > _KNOWN_S:
            self._known.pop(digest, None)
            account = await run_in_threadpool(self._catalog.account_of_token, token)
            if account is None:
                return None
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[digest] = (time.monotonic(), account)
        return Visitor(account)

    async def _login(self, request: Request) -> Response:
        form = await read_form(request)
        token = form.get("access_token", "").strip()
        target = form.get("next", "")
        target = target if _is_own_path(target) else _FRONT_PAGE
        if is_foreign(request):
            raise _sign_in("Signing in is only possible on this page.", target)
        if not token or await self._visitor(token) is None:
            raise _sign_in("This access token is not valid.", target)
        return _signed_in(request, token, target)

    async def _logout(self, request: Request) -> Response:
        if is_foreign(request):
            raise _sign_in("Signing out is only possible on this site's own pages.", _FRONT_PAGE)
        answer = RedirectResponse(_FRONT_PAGE, 303)
        answer.delete_cookie(_COOKIE, path="/", httponly=True, samesite="lax")
        return answer


def token_of(request: Request) -> str:
    """The token that a request carries, empty for none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return request.query_params.get("access_token") or request.cookies.get(_COOKIE, "")


def _without_token(request: Request) -> str:
    """The same address without the token, for this site's own pages."""
    pairs = [(k, v) for k, v in request.query_params.multi_items() if k != "access_token"]
    target = request.url.path + (f"?{urlencode(pairs)}" if pairs else "")
    return target if _is_own_path(target) else _FRONT_PAGE


def _sign_in(message: str, target: str, token: str = "") -> Refused:
    return Refused(Refusal(Reason.TOKEN_INVALID, message), target=target, token=token)


def _signed_in(request: Request, token: str, target: str) -> Response:
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        _COOKIE,
        token,
        max_age=_COOKIE_AGE_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


def is_foreign(request: Request) -> bool:
    """Whether another site sent the browser here (Fetch Metadata; `Origin` where it is lacking).

    What says nothing about itself is no browser of these years, and holds no cookies to abuse.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a small form; the last of a name counts. Raises Refused."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "This form is larger than it can be."))
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    except ValueError:
        raise Refused(Refusal(Reason.MALFORMED_BODY, "The form has too many fields.")) from None
    return {name: values[-1] for name, values in fields.items()}
