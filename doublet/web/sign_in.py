"""Signing in and out."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.refusal import Reason, Refusal
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
from doublet.web.refused import Refused


def routes(door: Access) -> list[Route]:
    """What the forms post to."""

    async def login(request: Request) -> Response:
        form = await read_form(request)
        token = form.get("access_token", "").strip()
        target = form.get("next", "")
        target = target if is_own_path(target) else FRONT_PAGE
        if is_foreign(request):
            raise sign_in("Signing in is only possible on this page.", target)
        if not token or await door.visitor_of_token(token) is None:
            raise sign_in("This access token is not valid.", target)
        return with_cookie(request, RedirectResponse(target, 303), TOKEN_COOKIE, token)

    async def logout(request: Request) -> Response:
        if is_foreign(request):
            raise sign_in("Signing out is only possible on this site's own pages.", FRONT_PAGE)
        fields = await read_form(request)
        session, token = session_of(request), request.cookies.get(TOKEN_COOKIE, "")
        held = [secret for secret in (session, token) if secret]
        if held and not any(is_proven(request, fields, secret) for secret in held):
            message = "Load the page again, and sign out there."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        visitor = await door.visitor_of_session(session) if session else None
        if visitor is not None:
            await run_in_threadpool(
                door.catalog.users.end_session, visitor.user_name, visitor.session_id
            )
            door.forget()
        answer = RedirectResponse(FRONT_PAGE, 303)
        for name in (SESSION_COOKIE, TOKEN_COOKIE):
            answer.delete_cookie(name, path="/", httponly=True, samesite="lax")
        return answer

    return [
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
    ]
