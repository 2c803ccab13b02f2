"""The set-up guide: questions, steps, checks, and a page to share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Account, Role, Setup
from doublet.entries import time_zones
from doublet.errors import BusyError, OperatorError
from doublet.guide.answers import GOALS, PLACES, AnswerError, read_answers, read_site_url
from doublet.guide.guide import TITLES, Guide
from doublet.guide.making import Begun, described, test_url
from doublet.guide.steps import Step
from doublet.recipes import PLATFORMS
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access, token_of
from doublet.web.forms import record_change
from doublet.web.parameters import Question, account_of
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_NEW = "new"
_BODY_SIZE_BYTES_MAX = 16_384
_encode = msgspec.json.encode


class SetupRow(msgspec.Struct):
    """A site for spreadsheets: how many checks passed and failed; `verified_at` in Unix seconds."""

    setup_id: str
    platform: str
    goal: str
    place: str
    site_url: str
    passed: int
    failed: int
    verified_at: int | None


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /setup.json`; without `account` the token's own, or the operator's new
    one."""

    platform: str
    goal: str
    place: str
    site_url: str
    name: str = ""
    time_zone: str = ""
    currency: str = ""
    account: str = ""


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /setup/{setup_id}/check.json`: a token to try the server's road with,
    where the request's own is the operator's."""

    access_token: str = ""


class Tried(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /setup/{setup_id}/test.json`: the event id of a test that has no code."""

    event_id: str = ""


def setup_routes(door: Access, guide: Guide) -> list[Route]:
    """The pages, what their forms post to, and the twins for programs."""
    view = _Setups(door, guide)
    one = "/setup/{setup_id}"
    return [
        Route("/setup", view.form, methods=["GET"]),
        Route("/setup", view.begin, methods=["POST"]),
        Route("/setup.json", view.list_json, methods=["GET"]),
        Route("/setup.json", view.begin_json, methods=["POST"]),
        Route("/setup.csv", view.list_csv, methods=["GET"]),
        Route(f"{one}/check.json", view.check_json, methods=["POST"]),
        Route(f"{one}/test.json", view.test_json, methods=["POST"]),
        Route(f"{one}.json", view.progress_json, methods=["GET"]),
        Route(one, view.page, methods=["GET"]),
        *(Route(f"{one}/{name}", view.act(name), methods=["POST"]) for name in _ACTIONS),
    ]


class _Setups:
    def __init__(self, door: Access, guide: Guide) -> None:
        self._door = door
        self._guide = guide

    # --- questions ----------------------------------------------------------------------------

    async def form(self, request: Request) -> Response:
        """The questions, and the setups that there are."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        return await run_in_threadpool(self._form, request, visitor, request.query_params, None)

    async def begin(self, request: Request) -> Response:
        """Make what the answers ask for, and lead to its page; or say what is wrong with one."""
        visitor, given = await self._door.admit_form(request)
        try:
            begun = await run_in_threadpool(self._begin, visitor, given)
        except OperatorError as error:
            return await run_in_threadpool(self._form, request, visitor, given, error)
        return RedirectResponse(f"/setup/{begun.setup.setup_id}", 303)

    def _begin(self, visitor: Visitor, given: Mapping[str, str]) -> Begun:
        wanted = given.get("account") or ""
        account: Account | None = None
        if not visitor.is_operator or wanted not in ("", _NEW):
            account = account_of(wanted or None, visitor, self._guide.catalog)
            visitor.demand(account.account_id, Role.OWNER)
        begun = self._guide.begin(read_answers(given), account)
        self._record(visitor, begun.setup, "setup.created", platform=begun.setup.platform)
        return begun

    def _record(self, visitor: Visitor, setup: Setup, what: str, **details: object) -> None:
        record_change(
            self._guide.catalog, visitor, setup.account_id, what, setup.site_url, **details
        )

    def _form(
        self,
        request: Request,
        visitor: Visitor,
        given: Mapping[str, str],
        error: OperatorError | None,
    ) -> Response:
        catalog = self._guide.catalog
        accounts = visitor.accounts(catalog)
        own = accounts[0] if len(accounts) == 1 else None
        return page.answer(
            "setup.html",
            400 if error else 200,
            question=_bar(visitor, own),
            given=given,
            error=error,
            wrong=error.field if isinstance(error, AnswerError) else "",
            platforms=PLATFORMS,
            goals=GOALS,
            places=PLACES,
            zones=time_zones(),
            accounts=accounts if visitor.names_account else [],
            may_begin=any(visitor.may(a.account_id, Role.OWNER) for a in accounts)
            or visitor.is_operator,
            setups=[(setup, _names(setup)) for setup in self._setups(visitor)],
            visitor=visitor,
        )

    def _setups(self, visitor: Visitor) -> list[Setup]:
        return [s for s in self._guide.catalog.setups.all() if visitor.may_see(s.account_id)]

    # --- one setup ----------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """Steps and checks; for who has only the key, what was found."""
        key = request.query_params.get("key")
        setup_id = request.path_params["setup_id"]
        if key is not None:
            shared = await run_in_threadpool(self._shared, setup_id, key)
            progress = await run_in_threadpool(self._guide.progress, shared)
            return page.answer(
                "setup_shared.html",
                setup=shared,
                names=_names(shared),
                progress=progress,
                titles=TITLES,
            )
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        setup = await run_in_threadpool(self._own, visitor, setup_id)
        return await run_in_threadpool(self._page, request, visitor, setup)

    def _page(self, request: Request, visitor: Visitor, setup: Setup) -> Response:
        guide = self._guide
        progress = guide.watch(setup) if setup.results else guide.progress(setup)
        account = guide.catalog.account(setup.account_id)
        # Whoever asks for the headers alone, or again for what is new, has nobody look at it.
        is_read = request.method == "GET" and "x-doublet-part" not in request.headers
        # A token opens all that an owner may.
        is_shown = is_read and visitor.may(setup.account_id, Role.OWNER)
        return page.answer(
            "setup_steps.html",
            question=_bar(visitor, account),
            setup=setup,
            names=_names(setup),
            steps=_for(visitor, setup, guide.steps(setup)),
            progress=progress,
            titles=TITLES,
            token=guide.take_unshown(setup.setup_id) if is_shown else "",
            share_key=guide.take_unshown_key(setup.setup_id) if is_shown else "",
            origin=_origin(request),
            test_url=test_url(setup),
        )

    async def progress_json(self, request: Request) -> Response:
        """How far a setup is, for programs; with the key too."""
        setup_id = request.path_params["setup_id"]
        key = request.query_params.get("key")
        if key is not None:
            setup = await run_in_threadpool(self._shared, setup_id, key)
            return _json(await run_in_threadpool(self._guide.progress, setup))
        visitor = await self._door.admit(request)
        setup = await run_in_threadpool(self._own, visitor, setup_id)
        return _json(await run_in_threadpool(self._guide.watch, setup))

    def _own(self, visitor: Visitor, setup_id: str) -> Setup:
        for setup in self._setups(visitor):
            if setup.setup_id == setup_id:
                return setup
        raise Refused(Refusal(Reason.NOT_FOUND, f"There is no setup {setup_id!r}."))

    def _shared(self, setup_id: str, key: str) -> Setup:
        setup = self._guide.catalog.setups.shared(setup_id, key)
        if setup is None:
            message = "This link opens nothing: it was revoked, or is not whole."
            raise Refused(Refusal(Reason.NOT_FOUND, message))
        return setup

    # --- what forms do ------------------------------------------------------------------------

    def act(self, action: str) -> Any:
        """The endpoint of a form of one setup."""

        async def endpoint(request: Request) -> Response:
            visitor, given = await self._door.admit_form(request)
            setup = await run_in_threadpool(self._own, visitor, request.path_params["setup_id"])
            visitor.demand(setup.account_id, _ACTIONS[action].role)
            where = await run_in_threadpool(
                getattr(self, action), setup, given, visitor, _own_token(request, visitor)
            )
            if what := _ACTIONS[action].what:
                await run_in_threadpool(self._record, visitor, setup, what)
            return RedirectResponse(f"/setup/{setup.setup_id}{where}", 303)

        return endpoint

    def check(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Begin to look at the live site."""
        try:
            self._guide.start_check(setup, token, trusted=visitor.is_operator)
        except BusyError as error:
            raise _busy(error) from None
        return "#checks"

    def test(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Look for a test by its event id."""
        self._guide.watch(setup, given.get("event_id", "").strip()[:1024])
        return "#test"

    def token(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Make one more access token."""
        self._guide.new_token(setup)
        return "#token"

    def shop(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Take what only the shop knows."""
        self._guide.complete_shop(setup, given)
        return "#step-webhook"

    def site(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Take another address of the site. Raises Refused for what is none."""
        try:
            self._guide.move(setup, read_site_url(given.get("site_url", "").strip()))
        except AnswerError as error:
            raise Refused(Refusal(Reason.PARAMETER_INVALID, str(error), error.field)) from None
        return "#checks"

    def share(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Make a link to share."""
        self._guide.share(setup)
        return "#share"

    def unshare(self, setup: Setup, given: Mapping[str, str], visitor: Visitor, token: str) -> str:
        """Revoke the link."""
        self._guide.catalog.setups.unshare(setup.setup_id)
        return "#share"

    # --- for programs -------------------------------------------------------------------------

    async def list_json(self, request: Request) -> Response:
        """The setups, newest first."""
        visitor = await self._door.admit(request)
        setups = await run_in_threadpool(self._setups, visitor)
        return _json([self._guide.progress(setup) for setup in setups])

    async def list_csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        visitor = await self._door.admit(request)
        setups = await run_in_threadpool(self._setups, visitor)
        found = [self._guide.progress(setup) for setup in setups]
        rows = [
            SetupRow(
                *(each.setup_id, each.platform, each.goal, each.place, each.site_url),
                sum(finding.state in ("passed", "noted") for finding in each.findings),
                sum(finding.state == "failed" for finding in each.findings),
                each.verified_at,
            )
            for each in found
        ]
        headers = {"content-disposition": 'attachment; filename="setup.csv"'}
        return Response(as_csv(rows, SetupRow), 200, headers, "text/csv")

    async def begin_json(self, request: Request) -> Response:
        """Make what the answers ask for; the answer holds the access token, once."""
        visitor = await self._door.admit(request)
        wanted = await _decode(request, Wanted)
        try:
            begun = await run_in_threadpool(self._begin, visitor, msgspec.structs.asdict(wanted))
        except OperatorError as error:
            field = error.field if isinstance(error, AnswerError) else ""
            refusal = Refusal(Reason.PARAMETER_INVALID, str(error), field)
            raise Refused(refusal) from None
        self._guide.take_unshown(begun.setup.setup_id)
        steps = await run_in_threadpool(self._guide.steps, begun.setup)
        return _json(described(begun.setup, steps) | {"access_token": begun.access_token})

    async def check_json(self, request: Request) -> Response:
        """Look at the live site now, and say what was found."""
        visitor = await self._door.admit(request)
        asked = await _decode(request, Asked)
        setup = await run_in_threadpool(self._own, visitor, request.path_params["setup_id"])
        visitor.demand(setup.account_id, Role.ANALYST)
        own = asked.access_token or _own_token(request, visitor)
        try:
            found = await run_in_threadpool(
                lambda: self._guide.check(setup, own, trusted=visitor.is_operator)
            )
        except BusyError as error:
            raise _busy(error) from None
        except OperatorError as error:
            raise Refused(Refusal(Reason.PARAMETER_INVALID, str(error), "site_url")) from None
        return _json(found)

    async def test_json(self, request: Request) -> Response:
        """Look for a test by its event id, or by the test code."""
        visitor = await self._door.admit(request)
        tried = await _decode(request, Tried)
        setup = await run_in_threadpool(self._own, visitor, request.path_params["setup_id"])
        visitor.demand(setup.account_id, Role.ANALYST)
        return _json(await run_in_threadpool(self._guide.watch, setup, tried.event_id[:1024]))


class _Action(NamedTuple):
    role: Role
    what: str = ""
    """The verb in the record of changes; empty for what changes nothing."""


_ACTIONS = {
    "check": _Action(Role.ANALYST),
    "test": _Action(Role.ANALYST),
    "token": _Action(Role.OWNER, "token.created"),
    "shop": _Action(Role.OWNER, "shop.changed"),
    "site": _Action(Role.OWNER, "setup.changed"),
    "share": _Action(Role.OWNER, "setup.shared"),
    "unshare": _Action(Role.OWNER, "setup.unshared"),
}
"""The forms of a setup's page, by the last part of their address."""


def _own_token(request: Request, visitor: Visitor) -> str:
    """The token to try the server's road with, empty where something else let the visitor in."""
    return "" if visitor.is_operator or visitor.user_name else token_of(request)


def _for(visitor: Visitor, setup: Setup, steps: Sequence[Step]) -> Sequence[Step]:
    """The steps as the visitor may see them: what signs a shop's orders only owners know."""
    if visitor.may(setup.account_id, Role.OWNER):
        return steps
    hidden = "An owner of the account sees it here."
    return [
        step._replace(
            pieces=tuple(
                piece._replace(text=hidden) if piece.key == "secret" else piece
                for piece in step.pieces
            )
        )
        for step in steps
    ]


def _busy(error: BusyError) -> Refused:
    return Refused(Refusal(Reason.BUSY, error.message))


def _names(setup: Setup) -> dict[str, str]:
    """What the answers are called."""
    return {
        "platform": next((p.name for p in PLATFORMS if p.key == setup.platform), setup.platform),
        "goal": next((g.name for g in GOALS if g.key == setup.goal), setup.goal),
        "place": next((p.name for p in PLACES if p.key == setup.place), setup.place),
    }


def _bar(visitor: Visitor, account: Account | None) -> Question | None:
    if account is None:
        return None
    return Question(account, [], None, None, None, visitor.names_account, visitor=visitor)


def _origin(request: Request) -> str:
    scheme = request.headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{request.headers.get('host', '')}"


async def _decode(request: Request, kind: Any) -> Any:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than any answers."))
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Refused(Refusal(Reason.PARAMETER_INVALID, f"{error}.")) from None


def _json(content: Any) -> Response:
    return Response(_encode(content), media_type="application/json")
