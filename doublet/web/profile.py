"""One's own password, and the browsers in which one is signed in."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import SESSION_COOKIE, Access, with_cookie
from doublet.web.forms import record_change
from doublet.web.limits import Limit
from doublet.web.refused import Refused
from doublet.web.sign_in import ATTEMPTS_PER_NAME, ATTEMPTS_WINDOW_S
from doublet.web.visitor import Visitor


class SessionRow(msgspec.Struct, frozen=True):
    """A browser that is signed in; `is_this` is the one that asks."""

    session_id: str
    created_at: datetime
    seen_at: datetime
    browser: str
    is_this: bool


class _Profile:
    def __init__(self, door: Access) -> None:
        self._door = door
        self._users = door.catalog.users
        self._tries = Limit(ATTEMPTS_PER_NAME, ATTEMPTS_WINDOW_S, door.now)

    async def page(self, request: Request) -> Response:
        """The page."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        return await self._page(visitor, 200, "")

    async def _page(self, visitor: Visitor, status: int, problem: str) -> Response:
        accounts = await run_in_threadpool(visitor.accounts, self._door.catalog)
        return page.answer(
            "profile.html",
            status,
            question=None,
            visitor=visitor,
            sessions=await self._sessions(visitor),
            roles=[(a, visitor.role_in(a.account_id)) for a in accounts],
            problem=problem,
        )

    async def json(self, request: Request) -> Response:
        """The sessions for programs."""
        rows = await self._sessions(await self._door.admit(request))
        return Response(msgspec.json.encode(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The sessions for spreadsheets."""
        rows = await self._sessions(await self._door.admit(request))
        headers = {"content-disposition": 'attachment; filename="sessions.csv"'}
        return Response(as_csv(rows, SessionRow), 200, headers, "text/csv")

    async def _sessions(self, visitor: Visitor) -> list[SessionRow]:
        if not visitor.user_name:
            return []
        found = await run_in_threadpool(self._users.sessions, visitor.user_name)
        return [
            SessionRow(
                each.session_id,
                datetime.fromtimestamp(each.created_at, UTC),
                datetime.fromtimestamp(each.seen_at, UTC),
                each.browser,
                each.session_id == visitor.session_id,
            )
            for each in found
        ]

    async def password(self, request: Request) -> Response:
        """Change the password, which ends all sessions but a new one here."""
        visitor, fields = await self._admit(request)
        name, password = visitor.user_name, fields.get("password", "")
        if wait_s := self._tries.take(name):
            message = "Too many wrong passwords."
            raise Refused(
                Refusal(Reason.TOO_MANY_REQUESTS, message), headers={"retry-after": str(wait_s)}
            )
        if not await self._door.hashing.run(self._users.is_right, name, fields.get("current", "")):
            return await self._page(visitor, 400, "The present password is not right.")
        self._tries.forget(name)
        if password != fields.get("repeated", ""):
            return await self._page(visitor, 400, "The two passwords are not the same.")
        try:
            await self._door.hashing.run(self._users.set_password, name, password)
        except OperatorError as error:
            return await self._page(visitor, 400, str(error))
        self._door.forget()
        await run_in_threadpool(
            record_change, self._door.catalog, visitor, None, "user.password", name
        )
        browser = request.headers.get("user-agent", "")
        secret = await run_in_threadpool(self._users.begin_session, name, browser)
        answer = RedirectResponse("/profile", 303)
        return with_cookie(request, answer, SESSION_COOKIE, secret)

    async def end(self, request: Request) -> Response:
        """End one session, or all others."""
        visitor, fields = await self._admit(request)
        wanted, name = fields.get("session", ""), visitor.user_name
        ended = False
        for each in await run_in_threadpool(self._users.sessions, name):
            is_other = wanted == "others" and each.session_id != visitor.session_id
            if is_other or each.session_id == wanted:
                ended |= await run_in_threadpool(self._users.end_session, name, each.session_id)
        self._door.forget()
        if ended:
            await run_in_threadpool(
                record_change, self._door.catalog, visitor, None, "session.ended", name
            )
        return RedirectResponse("/profile", 303)

    async def _admit(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        visitor, fields = await self._door.admit_form(request)
        if not visitor.user_name:
            message = "An access token has neither password nor sessions."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        return visitor, fields


def routes(door: Access) -> list[Route]:
    """The page, its twins, and what its forms post to."""
    profile = _Profile(door)
    return [
        Route("/profile", profile.page),
        Route("/profile.json", profile.json),
        Route("/profile.csv", profile.csv),
        Route("/profile/password", profile.password, methods=["POST"]),
        Route("/profile/session", profile.end, methods=["POST"]),
    ]
