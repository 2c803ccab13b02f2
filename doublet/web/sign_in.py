"""Signing in and out, and the links by which users choose a password.

Who guesses is slowed down: so many attempts for a user name and from an address, then none for a
while. What is answered, and how soon, does not tell whether there is such a user.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog.users import LINK_IS_OVER
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.web import page
from doublet.web.access import (
    FRONT_PAGE,
    SESSION_COOKIE,
    TOKEN_COOKIE,
    Access,
    is_own_path,
    session_of,
    sign_in,
    with_cookie,
)
from doublet.web.forms import is_foreign, is_proven, read_form
from doublet.web.limits import Limit, address_of
from doublet.web.refused import Refused

ATTEMPTS_PER_NAME = 10
ATTEMPTS_PER_ADDRESS = 30
ATTEMPTS_WINDOW_S = 15 * 60
_WRONG = "User name and password do not go together."


class _Signing:
    def __init__(self, door: Access) -> None:
        self._door = door
        self._users = door.catalog.users
        self._per_name = Limit(ATTEMPTS_PER_NAME, ATTEMPTS_WINDOW_S, door.now)
        self._per_address = Limit(ATTEMPTS_PER_ADDRESS, ATTEMPTS_WINDOW_S, door.now)

    # --- in and out ---------------------------------------------------------------------------

    async def form(self, request: Request) -> Response:
        """The page to sign in."""
        target = request.query_params.get("next", "")
        return _sign_in_page(200, "", target if is_own_path(target) else FRONT_PAGE)

    async def login(self, request: Request) -> Response:
        """Sign in by name and password, or by an access token."""
        form = await read_form(request)
        target = form.get("next", "")
        target = target if is_own_path(target) else FRONT_PAGE
        if is_foreign(request):
            raise sign_in("Signing in is only possible on this page.", target)
        if "user_name" in form:
            return await self._login_user(request, form, target)
        token = form.get("access_token", "").strip()
        address = address_of(request)
        if wait_s := self._per_address.take(address):
            return _too_often(wait_s, target)
        if not token or await self._door.visitor_of_token(token) is None:
            raise sign_in("This access token is not valid.", target)
        self._per_address.give_back(address)
        return with_cookie(request, RedirectResponse(target, 303), TOKEN_COOKIE, token)

    async def _login_user(self, request: Request, form: dict[str, str], target: str) -> Response:
        # The name of a try counts as it was typed in, whether it is anybody's or not.
        name, address = form["user_name"].strip().lower()[:200], address_of(request)
        if wait_s := self._per_address.take(address) or self._per_name.take(name):
            return _too_often(wait_s, target)
        password = form.get("password", "")
        if not await self._door.hashing.run(self._users.is_right, name, password):
            return _sign_in_page(401, _WRONG, target, name)
        self._per_name.forget(name)
        self._per_address.give_back(address)
        return await self._begin(request, name, target)

    async def _begin(self, request: Request, user_name: str, target: str) -> Response:
        browser = request.headers.get("user-agent", "")
        secret = await run_in_threadpool(self._users.begin_session, user_name, browser)
        answer = RedirectResponse(target, 303)
        # Who signs in as somebody is no longer who the token let in.
        _forget(answer, TOKEN_COOKIE)
        return with_cookie(request, answer, SESSION_COOKIE, secret)

    async def logout(self, request: Request) -> Response:
        """End the session; forget the token."""
        if is_foreign(request):
            raise sign_in("Signing out is only possible on this site's own pages.", FRONT_PAGE)
        fields = await read_form(request)
        session, token = session_of(request), request.cookies.get(TOKEN_COOKIE, "")
        held = [secret for secret in (session, token) if secret]
        if held and not any(is_proven(request, fields, secret) for secret in held):
            message = "Load the page again, and sign out there."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        visitor = await self._door.visitor_of_session(session) if session else None
        if visitor is not None:
            await run_in_threadpool(self._users.end_session, visitor.user_name, visitor.session_id)
            self._door.forget()
        answer = RedirectResponse(FRONT_PAGE, 303)
        _forget(answer, SESSION_COOKIE)
        _forget(answer, TOKEN_COOKIE)
        return answer

    # --- links --------------------------------------------------------------------------------

    async def welcome(self, request: Request) -> Response:
        """What a link opens: a form for the password. Looking at it does not use the link."""
        code = request.query_params.get("code", "")
        return await self._welcome(request, code, 200, "")

    async def _welcome(self, request: Request, code: str, status: int, problem: str) -> Response:
        found = await run_in_threadpool(self._users.link, code[:200])
        if found is None:
            raise Refused(Refusal(Reason.NOT_FOUND, " ".join(LINK_IS_OVER)))
        return page.answer("welcome.html", status, code=code, user_name=found[0], problem=problem)

    async def take(self, request: Request) -> Response:
        """Use a link: the user has a password now, and is signed in."""
        form = await read_form(request)
        if is_foreign(request):
            message = "This form is only taken from this site's own pages."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        code, password = form.get("code", "")[:200], form.get("password", "")
        if password != form.get("repeated", ""):
            return await self._welcome(request, code, 400, "The two passwords are not the same.")
        try:
            user = await self._door.hashing.run(
                self._users.use_link, code, form.get("user_name", ""), password
            )
        except OperatorError as error:
            return await self._welcome(request, code, 400, str(error))
        await run_in_threadpool(
            self._door.catalog.changes.record, user.user_name, "user.joined", user.user_name
        )
        self._door.forget()
        return await self._begin(request, user.user_name, FRONT_PAGE)


def routes(door: Access) -> list[Route]:
    """The pages, and what their forms post to."""
    signing = _Signing(door)
    return [
        Route("/login", signing.form, methods=["GET"]),
        Route("/login", signing.login, methods=["POST"]),
        Route("/logout", signing.logout, methods=["POST"]),
        Route("/welcome", signing.welcome, methods=["GET"]),
        Route("/welcome", signing.take, methods=["POST"]),
    ]


def _forget(answer: Response, cookie: str) -> None:
    answer.delete_cookie(cookie, path="/", httponly=True, samesite="lax")


def _sign_in_page(status: int, message: str, target: str, name: str = "") -> Response:
    return page.answer(
        "sign_in.html", status, message=message, target=target, token="", user_name=name
    )


def _too_often(wait_s: int, target: str) -> Response:
    minutes = -(-wait_s // 60)
    message = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
    answer = _sign_in_page(429, message, target)
    answer.headers["retry-after"] = str(wait_s)
    return answer
