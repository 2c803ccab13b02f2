"""The parameters of a report, read from an address: `since`, `until`, `pixel`, `account`."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from doublet.catalog import Account, Catalog, Pixel
from doublet.refusal import Reason, Refusal
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_is_day = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_SHOWN_MAX = 40


class Question(NamedTuple):
    """What a report is asked: an account that the visitor may see, and filters."""

    account: Account
    pixels: list[Pixel]
    """All pixels of the account."""
    pixel_id: str | None
    since: date | None
    until: date | None
    names_account: bool
    """Whether addresses must name the account, since the visitor may see several."""
    with_marked: bool = False
    """Whether what the rules of its pixel mark counts too."""
    visitor: Visitor | None = None
    """Who asks."""

    def may(self, role: str) -> bool:
        """Whether who asks may do in this account what a role may, for templates."""
        return self.visitor is not None and self.visitor.may(self.account.account_id, role)

    @property
    def filters(self) -> dict[str, str]:
        """Parameters that ask for the same rows again."""
        given = {
            "account": self.account.account_id if self.names_account else None,
            "pixel": self.pixel_id,
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "marked": "1" if self.with_marked else None,
        }
        return {name: str(value) for name, value in given.items() if value}

    @property
    def is_filtered(self) -> bool:
        """Whether only a part of the account's events is asked for."""
        return bool(self.filters.keys() - {"account", "marked"})

    def address(self, path: str, **more: str) -> str:
        """A path with these parameters."""
        parameters = {**self.filters, **more}
        return f"{path}?{urlencode(parameters)}" if parameters else path


async def read_question(request: Request, visitor: Visitor, catalog: Catalog) -> Question:
    """Read and check all parameters; an empty one counts as not given. Raises Refused naming the
    parameter and the form it must have."""
    return await run_in_threadpool(_read, request, visitor, catalog)


async def read_account_question(
    request: Request, visitor: Visitor, catalog: Catalog, message: str
) -> Question:
    """The same for a report that is of no pixel; `message` says so to who names one."""
    question = await read_question(request, visitor, catalog)
    if question.pixel_id is not None:
        raise _invalid("pixel", message)
    return question


def read_choice(request: Request, name: str, choices: tuple[str, ...]) -> str:
    """One of a parameter's few values, the first when it is not given. Raises Refused."""
    chosen = request.query_params.get(name) or choices[0]
    if chosen not in choices:
        raise _invalid(name, f"{name} is {_shown(chosen)}, but must be {' or '.join(choices)}.")
    return chosen


def _read(request: Request, visitor: Visitor, catalog: Catalog) -> Question:
    given = request.query_params
    account = account_of(given.get("account") or None, visitor, catalog)
    pixels = catalog.pixels(account.account_id)
    since, until = read_day("since", given.get("since")), read_day("until", given.get("until"))
    if since and until and until < since:
        raise _invalid("until", f"until ({until}) is before since ({since}); swap them.")
    return Question(
        account,
        pixels,
        own_pixel_id(given.get("pixel") or None, pixels),
        since,
        until,
        visitor.names_account,
        read_choice(request, "marked", ("0", "1")) == "1",
        visitor,
    )


def _invalid(field: str, message: str) -> Refused:
    return Refused(Refusal(Reason.PARAMETER_INVALID, message, field))


def read_day(name: str, text: str | None) -> date | None:
    """The day that a parameter names, None for no text. Raises Refused."""
    if not text:
        return None
    try:
        if _is_day(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    message = f"{name} is {_shown(text)}, but must be a day written as YYYY-MM-DD."
    raise _invalid(name, message)


def account_of(account_id: str | None, visitor: Visitor, catalog: Catalog) -> Account:
    """The account with this id, or the only one that the visitor may see. Raises Refused."""
    known = visitor.accounts(catalog)
    found = [a for a in known if account_id in (None, a.account_id)]
    if len(found) == 1:
        return found[0]
    if account_id is None:
        if not known and not visitor.is_operator:
            message = "No account is open to you; ask its owner for a role in it."
            raise Refused(Refusal(Reason.NOT_ALLOWED, message))
        refusal = Refusal(
            Reason.PARAMETER_INVALID,
            "account is missing, but must be the id of an account, such as act_1234…",
            "account",
        )
        raise Refused(refusal, accounts=known)
    message = (
        f"account is {_shown(account_id or '')}, but must be the id of an account you may see."
    )
    raise _invalid("account", message)


def own_pixel_id(pixel_id: str | None, pixels: list[Pixel]) -> str | None:
    """A pixel of another account is answered like one that nobody has."""
    if pixel_id is None or any(pixel.pixel_id == pixel_id for pixel in pixels):
        return pixel_id
    message = f"pixel is {_shown(pixel_id)}, but must be the id of a pixel of this account."
    raise Refused(Refusal(Reason.PIXEL_UNKNOWN, message, "pixel"))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…")
