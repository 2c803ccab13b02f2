"""Who is let in: by an access token, the operator's key, or the cookie of a session."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from doublet.catalog import Catalog, Role
from doublet.catalog.changes import COMMAND_LINE
from doublet.catalog.users import secret_sha256
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.web.forms import (
    FORM_SIZE_BYTES_MAX,
    SAFE_METHODS,
    Asked,
    check_csrf,
    csrf_of,
    is_foreign,
    read_form,
)
from doublet.web.limits import Limit, Queue
from doublet.web.parameters import account_of
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

TOKEN_COOKIE = "doublet_token"
SESSION_COOKIE = "doublet_session"
COOKIE_AGE_S = 30 * 86_400
FRONT_PAGE = "/overview"
REQUESTS_PER_MINUTE = 600
"""How much a person's browser may ask; what a script sends with its token is not counted."""

_KNOWN_S = 3.0
_KNOWN_MAX = 1024
# A path on this server. Browsers take // and /\ for the beginning of another host's address.
is_own_path = re.compile(r"/(?![/\\])[\x21-\x7e]{0,2000}").fullmatch


class Access:
    """Finds out who sends a request; what it has looked up it believes for 3 s. `now` is a clock in
    seconds."""

    def __init__(
        self,
        catalog: Catalog,
        is_operator: Callable[[str], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.catalog = catalog
        self.now = now
        self._is_operator = is_operator
        self._known: dict[str, tuple[float, Visitor]] = {}
        self.hashing = Queue()
        self._requests = Limit(REQUESTS_PER_MINUTE, 60, now)

    async def admit(self, request: Request) -> Visitor:
        """The visitor. Raises Refused without a valid token or session; and, where the method may
        change something and a cookie lets in, without the header X-CSRF-Token."""
        visitor = await self._admit(request)
        if request.method not in SAFE_METHODS:
            check_csrf(request, visitor)
        return visitor

    async def admit_to_change(
        self, request: Request, role: Role, *, size_bytes_max: int = FORM_SIZE_BYTES_MAX
    ) -> Asked:
        """The visitor, the account and the fields of a form. Raises Refused for a form of another
        site, without the session's `csrf`, and for who may less than `role` in the account that the
        field or parameter `account` names."""
        visitor, fields = await self.admit_form(request, size_bytes_max=size_bytes_max)
        wanted = fields.get("account") or request.query_params.get("account") or None
        account = await run_in_threadpool(account_of, wanted, visitor, self.catalog)
        visitor.demand(account.account_id, role)
        return Asked(visitor, account, fields)

    async def admit_form(
        self, request: Request, *, size_bytes_max: int = FORM_SIZE_BYTES_MAX
    ) -> tuple[Visitor, dict[str, str]]:
        """The visitor and the fields of a form that is of no account yet. Raises Refused for a
        form of another site and without the session's `csrf`; the role is not looked at."""
        visitor = await self._admit(request)
        if is_foreign(request):
            raise Refused(
                Refusal(Reason.NOT_ALLOWED, "This form is only taken from this site's own pages.")
            )
        fields = await read_form(request, size_bytes_max)
        check_csrf(request, visitor, fields)
        return visitor, fields

    async def admit_to_page(self, request: Request) -> Visitor | Response:
        """The visitor, or the way from an address that holds the token to the one that does not.

        Not for a link on another site: it would sign a person in to an account of its choice.
        """
        token = request.query_params.get("access_token")
        visitor = await self.admit(request)
        if not token or "authorization" in request.headers:
            return visitor
        target = _without_token(request)
        if is_foreign(request) and request.cookies.get(TOKEN_COOKIE) != token:
            message = "A link on another site led here. Continue to open the account it is for."
            raise sign_in(message, target, token)
        return with_cookie(request, RedirectResponse(target, 303), TOKEN_COOKIE, token)

    async def _admit(self, request: Request) -> Visitor:
        token = token_of(request)
        if not (session := session_of(request)) or token != request.cookies.get(TOKEN_COOKIE, ""):
            # What names itself counts, whatever cookies come along.
            session = ""
        visitor = await self.visitor_of_session(session) if session else None
        if visitor is None and token:
            visitor = await self.visitor_of_token(token)
            if visitor is not None and _is_by_cookie(request):
                visitor = visitor._replace(csrf=csrf_of(token))
        if visitor is None:
            message = "This access token is not valid." if token else "Sign in to see this page."
            raise sign_in(message, _without_token(request))
        if visitor.csrf and (wait_s := self._requests.take(visitor.csrf)):
            message = f"More than {REQUESTS_PER_MINUTE} requests in a minute."
            raise Refused(
                Refusal(Reason.TOO_MANY_REQUESTS, message), headers={"retry-after": str(wait_s)}
            )
        return visitor

    async def visitor_of_token(self, token: str) -> Visitor | None:
        """Whom a token lets in, None for one that is not valid."""
        if self._is_operator(token):
            return Visitor(COMMAND_LINE, None)
        return await self._known_or("token", token, self._look_up_token)

    async def visitor_of_session(self, secret: str) -> Visitor | None:
        """Whom the cookie of a session lets in, None for one that is over."""
        return await self._known_or("session", secret, self._look_up_session)

    def forget(self) -> None:
        """Believe nothing that was looked up: a session has ended, or a role is another."""
        self._known.clear()

    async def _known_or(
        self, kind: str, secret: str, look_up: Callable[[str], Visitor | None]
    ) -> Visitor | None:
        key = kind + secret_sha256(secret)
        looked_at, visitor = self._known.get(key, (float("-inf"), None))
        if visitor is None or not 0 <= self.now() - looked_at <= _KNOWN_S:
            self._known.pop(key, None)
            visitor = await run_in_threadpool(look_up, secret)
            if visitor is None:
                return None
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = (self.now(), visitor)
        return visitor

    def _look_up_token(self, token: str) -> Visitor | None:
        holder = self.catalog.tokens.holder(token)
        if holder is None:
            return None
        account, name = holder
        return Visitor(f"access token {name}", {account.account_id: Role.OWNER}, account)

    def _look_up_session(self, secret: str) -> Visitor | None:
        session = self.catalog.users.session(secret)
        if session is None:
            return None
        try:
            user = self.catalog.users.one(session.user_name)
        except OperatorError:
            return None
        if user.is_disabled:
            return None
        roles = None if user.is_operator else user.roles
        only = None
        if roles is not None and len(roles) == 1:
            only = self.catalog.account(next(iter(roles)))
        name = user.user_name
        return Visitor(name, roles, only, name, csrf_of(secret), session.session_id)


def token_of(request: Request) -> str:
    """The access token that a request carries, empty for none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return request.query_params.get("access_token") or request.cookies.get(TOKEN_COOKIE, "")


def session_of(request: Request) -> str:
    """The secret of the session that a request's cookie names, empty for none."""
    return request.cookies.get(SESSION_COOKIE, "")


def _is_by_cookie(request: Request) -> bool:
    is_bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
    return not is_bearer and not request.query_params.get("access_token")


def _without_token(request: Request) -> str:
    """The same address without the token, for this site's own pages."""
    pairs = [(k, v) for k, v in request.query_params.multi_items() if k != "access_token"]
    target = request.url.path + (f"?{urlencode(pairs)}" if pairs else "")
    return target if is_own_path(target) else FRONT_PAGE


def sign_in(message: str, target: str, token: str = "") -> Refused:
    """Ends a request with the page to sign in, which then leads to `target`."""
    return Refused(Refusal(Reason.TOKEN_INVALID, message), target=target, token=token)


def with_cookie(request: Request, answer: Response, name: str, secret: str) -> Response:
    """The answer with a cookie that no script can read and no other site can send along."""
    answer.set_cookie(
        name,
        secret,
        max_age=COOKIE_AGE_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer
