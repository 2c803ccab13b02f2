"""The settings of an account on one page: what there is, and the forms of those who may change it.

Every form is one act (doublet.web.settings_acts, doublet.web.users), and every act is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, PixelRules, Role
from doublet.destinations.kinds import KINDS
from doublet.entries import time_zones
from doublet.errors import OperatorError
from doublet.reports import as_csv
from doublet.settings import SETTINGS, Settings
from doublet.shops import PLATFORMS
from doublet.web import page, settings_acts, users
from doublet.web.access import Access
from doublet.web.forms import Asked, is_foreign
from doublet.web.parameters import Question, read_account_question
from doublet.web.visitor import Visitor

_KEPT = ("retention_events_d", "retention_refused_d", "log_retention_h")
"""The settings that say how long something is kept."""
_UNSHOWN_MAX = 100


class PixelShown(msgspec.Struct, frozen=True):
    """A pixel and its rules."""

    pixel_id: str
    name: str
    created_at: datetime
    rules: PixelRules


class TokenShown(msgspec.Struct, frozen=True):
    """An access token without what opens the account."""

    token_id: str
    name: str
    created_at: datetime


class Integration(msgspec.Struct, frozen=True):
    """A shop or a destination."""

    id: str
    kind: str
    name: str
    is_paused: bool = False


class UserShown(msgspec.Struct, frozen=True):
    """Who may see the account; `role` is `operator` for an owner of all accounts."""

    user_name: str
    role: str
    is_disabled: bool
    has_password: bool


class SettingsShown(msgspec.Struct, frozen=True):
    """All settings of an account. `retention` is of the whole server, in days or hours as the
    settings' names say."""

    account: Account
    pixels: list[PixelShown]
    tokens: list[TokenShown]
    shops: list[Integration]
    destinations: list[Integration]
    retention: dict[str, float]
    users: list[UserShown]


class _CsvRow(msgspec.Struct, frozen=True):
    part: str
    id: str
    name: str
    value: str


class Unshown(NamedTuple):
    """A secret that its maker has not seen yet: what it is, and itself."""

    what: str
    secret: str


Act = Callable[[Access, Asked, Mapping[str, str]], tuple[str, str] | None]
"""What a form does, with the parts of its address; a secret that is then shown once, and what it
is."""


class _SettingsPage:
    def __init__(self, door: Access, settings: Settings) -> None:
        self._door = door
        self._settings = settings
        self._unshown: dict[tuple[str, str], Unshown] = {}

    async def page(self, request: Request) -> Response:
        """The page."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        key = (visitor.session_id or visitor.who, question.account.account_id)
        # Nobody sees what a link on another site fetches in the background.
        is_seen = request.method == "GET" and not is_foreign(request)
        unshown = self._unshown.pop(key, None) if is_seen else None
        return await run_in_threadpool(self._page, question, visitor, unshown=unshown)

    def _page(
        self,
        question: Question,
        visitor: Visitor,
        status: int = 200,
        *,
        unshown: Unshown | None = None,
        problem: str = "",
        part: str = "",
    ) -> Response:
        account_id = question.account.account_id
        shown = read_settings(self._door.catalog, question.account, self._settings)
        return page.answer(
            "settings.html",
            status,
            question=question,
            shown=shown,
            unshown=unshown,
            problem=problem,
            part=part,
            zones=time_zones(),
            kinds={name: kind.title for name, kind in KINDS.items()},
            platforms={name: platform.name for name, platform in PLATFORMS.items()},
            helps={each.name: each.help for each in SETTINGS},
            all_roles=list(Role),
            may_manage_users=visitor.may_manage_users(account_id),
            ruled=users.ruled_by(self._door.catalog, visitor, account_id),
        )

    def _failed(self, question: Question, visitor: Visitor, part: str, problem: str) -> Response:
        return self._page(question, visitor, 400, problem=problem, part=part)

    async def json(self, request: Request) -> Response:
        """The same for programs."""
        shown = await self._read(request)
        return Response(msgspec.json.encode(shown), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The same for spreadsheets: a row for each value."""
        rows = _flat(await self._read(request))
        headers = {"content-disposition": 'attachment; filename="settings.csv"'}
        return Response(as_csv(rows, _CsvRow), 200, headers, "text/csv")

    async def _read(self, request: Request) -> SettingsShown:
        question = await self._question(request, await self._door.admit(request))
        return await run_in_threadpool(
            read_settings, self._door.catalog, question.account, self._settings
        )

    async def _question(self, request: Request, visitor: Visitor) -> Question:
        message = "Settings are of the account, not of a pixel; leave pixel out."
        return await read_account_question(request, visitor, self._door.catalog, message)

    def doing(self, act: Act, part: str, manages_users: bool = False) -> Any:
        """The endpoint of a form for owners, which leads back to its part of the page."""

        async def endpoint(request: Request) -> Response:
            asked = await self._door.admit_to_change(request, Role.OWNER)
            if manages_users:
                users.demand(asked)
            visitor, account = asked.visitor, asked.account
            try:
                made = await run_in_threadpool(act, self._door, asked, request.path_params)
            except OperatorError as error:
                question = Question(
                    account, [], None, None, None, visitor.names_account, visitor=visitor
                )
                return await run_in_threadpool(self._failed, question, visitor, part, str(error))
            self._door.forget()
            if made is not None:
                while len(self._unshown) >= _UNSHOWN_MAX:
                    self._unshown.pop(next(iter(self._unshown)))
                key = (visitor.session_id or visitor.who, account.account_id)
                what, secret = made
                # A link begins with its path.
                whole = self._settings.url + secret if secret.startswith("/") else secret
                self._unshown[key] = Unshown(what, whole)
            return RedirectResponse(f"/settings?account={account.account_id}#{part}", 303)

        return endpoint


def read_settings(catalog: Catalog, account: Account, settings: Settings) -> SettingsShown:
    """What there is to show of an account."""
    account_id = account.account_id
    made = catalog.creation_times(account_id)
    return SettingsShown(
        catalog.account(account_id),
        [
            PixelShown(p.pixel_id, p.name, _at(made[p.pixel_id]), catalog.pixel_rules(p.pixel_id))
            for p in catalog.pixels(account_id)
        ],
        [TokenShown(t.token_id, t.name, _at(t.created_at)) for t in catalog.tokens.all(account_id)],
        [Integration(s.shop_id, s.platform, s.name) for s in catalog.shops.all(account_id)],
        [
            Integration(d.destination_id, d.kind, d.name, d.is_paused)
            for d in catalog.destinations(account_id)
        ],
        {name: float(getattr(settings, name)) for name in _KEPT},
        [
            UserShown(
                u.user_name,
                "operator" if u.is_operator else u.roles[account_id].value,
                u.is_disabled,
                u.has_password,
            )
            for u in catalog.users.all(account_id)
        ],
    )


def _at(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _flat(shown: SettingsShown) -> list[_CsvRow]:
    account = msgspec.structs.asdict(shown.account)
    rows = [_CsvRow("account", shown.account.account_id, k, str(v)) for k, v in account.items()]
    for pixel in shown.pixels:
        rules = msgspec.structs.asdict(pixel.rules) | {"name": pixel.name}
        for name, value in rules.items():
            text = " ".join(value) if isinstance(value, list) else str(value)
            rows.append(_CsvRow("pixel", pixel.pixel_id, name, text))
    rows += [_CsvRow("token", t.token_id, t.name, t.created_at.isoformat()) for t in shown.tokens]
    rows += [_CsvRow("shop", s.id, s.name, s.kind) for s in shown.shops]
    rows += [_CsvRow("destination", d.id, d.name, d.kind) for d in shown.destinations]
    rows += [_CsvRow("retention", "", name, f"{v:g}") for name, v in shown.retention.items()]
    rows += [_CsvRow("user", u.user_name, u.user_name, u.role) for u in shown.users]
    return rows


def settings_routes(door: Access, settings: Settings) -> list[Route]:
    """The page, its twins, and what its forms post to."""
    view = _SettingsPage(door, settings)
    forms: tuple[tuple[str, Act, str], ...] = (
        ("account", settings_acts.edit_account, "account"),
        ("pixels", settings_acts.create_pixel, "pixels"),
        ("pixels/{pixel_id}", settings_acts.edit_pixel, "pixels"),
        ("tokens", settings_acts.create_token, "tokens"),
        ("tokens/{token_id}/revoke", settings_acts.revoke_token, "tokens"),
    )
    people: tuple[tuple[str, Act], ...] = (
        ("users", users.invite),
        ("users/{user_name}/role", users.change_role),
        ("users/{user_name}/link", users.make_link),
        ("users/{user_name}/disable", users.disable),
    )
    return [
        Route("/settings", view.page),
        Route("/settings.json", view.json),
        Route("/settings.csv", view.csv),
        *(
            Route(f"/settings/{path}", view.doing(act, part), methods=["POST"])
            for path, act, part in forms
        ),
        *(
            Route(f"/settings/{path}", view.doing(act, "users", True), methods=["POST"])
            for path, act in people
        ),
    ]
