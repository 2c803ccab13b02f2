"""Asks a host of the Graph Insights API what its ads brought, page by page.

A question that fails for now (throttled, 5xx, no answer) is asked again later; what stays broken
ends the import, since a part must never pass for the whole. Sources: Meta, *Insights API*, *Rate
limiting*, *Handling errors*.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from doublet.accept.ad_days import AD_LEVELS
from doublet.errors import DestinationError, OperatorError
from doublet.event import WireAdDay, WireFigure

WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
"""What is asked for as `action_attribution_windows`."""

PAGE_ROWS = 500
ATTEMPTS_MAX = 8
_WAIT_S_MAX = 300.0
_TIMEOUT_S = 120.0
_ANSWER_SIZE_BYTES_MAX = 64 << 20

_THROTTLED = frozenset((1, 2, 4, 17, 32, 341, 613, *range(80_000, 80_015)))
_TOO_MUCH = 1_487_534
_FIGURES = ("impressions", "clicks", "reach", "spend")

_is_account = re.compile(r"act_[0-9]{1,20}").fullmatch


class LaterError(Exception):
    """It may go well the next time; after so many seconds, where the host says it."""

    def __init__(self, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.wait_s = wait_s


class TooMuchError(Exception):
    """The host wants to be asked for less at once."""


class CursorError(Exception):
    """The host does not know the place any more from which it was to go on."""


class Asked(NamedTuple):
    """What is asked: days (both included) of an ad account, each row a day of a `level`."""

    ad_account: str
    level: str
    since: date
    until: date


class AdAccount(NamedTuple):
    """What a host says of an ad account; empty where it does not."""

    currency: str
    time_zone: str


class Page(NamedTuple):
    """Rows as they came, and where the next page begins; empty on the last one."""

    rows: list[dict[str, Any]]
    after: str


class GraphHost:
    """One host of the Graph API. Use it as a context manager."""

    def __init__(self, url: str, token: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """`url` ends with the version. Raises OperatorError for what is no address."""
        if not re.fullmatch(r"https?://[^\s?#]+", url):
            raise OperatorError(
                f"{url!r} is no address of a Graph API.",
                "Write one such as https://graph.facebook.com/v25.0.",
            )
        if not token:
            raise OperatorError("The token is empty.", "Put it alone into the --token-file.")
        # A redirect would hand the token on.
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            timeout=_TIMEOUT_S,
            follow_redirects=False,
            headers={"authorization": f"Bearer {token}"},
        )
        self._retrying = Retrying(
            retry=retry_if_exception_type(LaterError),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            wait=_wait_s,
            sleep=sleep,
            reraise=True,
        )

    def __enter__(self) -> GraphHost:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def account(self, ad_account: str) -> AdAccount:
        """Currency and time zone of an ad account. Raises like `page`."""
        if not _is_account(ad_account):
            raise OperatorError(
                f"{ad_account!r} is no ad account.", "Write its id with act_ before it."
            )
        found = self._ask(f"/{ad_account}", {"fields": "currency,timezone_name"})
        return AdAccount(str(found.get("currency") or ""), str(found.get("timezone_name") or ""))

    def page(self, asked: Asked, after: str = "") -> Page:
        """One page of rows, those behind `after`. Raises TooMuchError, CursorError, OperatorError
        where the host lets nobody in, and DestinationError where it does not answer."""
        parameters = {
            "level": asked.level,
            "fields": ",".join(_fields(asked.level)),
            "time_range": msgspec.json.encode(
                {"since": asked.since.isoformat(), "until": asked.until.isoformat()}
            ).decode(),
            "time_increment": "1",
            "action_attribution_windows": msgspec.json.encode(WINDOWS).decode(),
            "limit": str(PAGE_ROWS),
            **({"after": after} if after else {}),
        }
        found = self._ask(f"/{asked.ad_account}/insights", parameters, has_cursor=bool(after))
        rows = found.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DestinationError("The host's answer holds no list of rows.", "Look at --url.")
        following = _following(found.get("paging"))
        if following and following == after:
            raise DestinationError("The host names the same page again.", "Tell its operator.")
        return Page(rows, following)

    def _ask(
        self, path: str, parameters: Mapping[str, str], *, has_cursor: bool = False
    ) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._retrying(self._ask_once, path, parameters, has_cursor)
        except LaterError as error:
            raise DestinationError(
                f"{self._client.base_url} does not answer: {error}",
                "Run the command again later; it goes on where it ended.",
            ) from None
        return found

    def _ask_once(
        self, path: str, parameters: Mapping[str, str], has_cursor: bool
    ) -> dict[str, Any]:
        try:
            with self._client.stream("GET", path, params=parameters) as answer:
                content = bytearray()
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _ANSWER_SIZE_BYTES_MAX:
                        raise TooMuchError
        except httpx.HTTPError as problem:
            raise LaterError(f"{type(problem).__name__}: {problem}") from None
        try:
            found = msgspec.json.decode(content)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            found = None
        error = found.get("error") if isinstance(found, dict) else None
        if answer.is_success and isinstance(found, dict) and error is None:
            return found
        raise _judged(answer, error if isinstance(error, dict) else {}, has_cursor)


def _judged(answer: httpx.Response, error: Mapping[str, Any], has_cursor: bool) -> Exception:
    """What an answer that is none means."""
    code, subcode = error.get("code"), error.get("error_subcode")
    said = str(error.get("error_user_msg") or error.get("message") or "")
    said = textwrap.shorten(said, 300, placeholder=" …")
    told = f"HTTP {answer.status_code}" + (f", code {code}: {said}" if code is not None else "")
    if code == 100 and subcode == _TOO_MUCH:
        return TooMuchError()
    is_throttled = code in _THROTTLED or bool(error.get("is_transient"))
    if is_throttled or answer.status_code in (408, 429) or answer.status_code >= 500:
        return LaterError(told, _retry_after_s(answer))
    if answer.status_code == 401 or code in (10, 102, 190, 200, 294):
        return OperatorError(
            f"The host does not let the token read this ad account ({told}).",
            "The token needs the right ads_read for it; look at --ad-account and --token-file.",
        )
    if answer.is_success:
        return LaterError("It is no JSON object.")
    if has_cursor and code == 100:
        return CursorError()
    return DestinationError(
        f"The host refuses the question ({told}).", "Look at --ad-account and --url."
    )


def _retry_after_s(answer: httpx.Response) -> float | None:
    try:
        return max(float(answer.headers.get("retry-after", "")), 0.0)
    except ValueError:
        return None


_EXPONENTIAL = wait_random_exponential(multiplier=2.0, max=_WAIT_S_MAX)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, LaterError) and error.wait_s is not None:
        return min(error.wait_s, _WAIT_S_MAX)
    return _EXPONENTIAL(state)


def _following(paging: Any) -> str:
    """The cursor of the next page: there is one when `next` is there. Its address is not called,
    which may hold a token, or another host. Raises DestinationError when it holds none: a part must
    not pass for the whole."""
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    after = after or httpx.URL(str(paging["next"])).params.get("after")
    if not after:
        raise DestinationError(
            "The host has a next page and names no cursor of it.", "Tell its operator."
        )
    return str(after)


def _fields(level: str) -> list[str]:
    levels = AD_LEVELS[: AD_LEVELS.index(level) + 1]
    names = [f"{each}_{part}" for each in levels for part in ("id", "name")]
    return [*names, "account_currency", *_FIGURES, "actions", "action_values"]


def day_of(row: Mapping[str, Any], asked: Asked, account: AdAccount, platform: str) -> WireAdDay:
    """A row as a day of an ad; its lists of actions become `reported` (see `event.Reported`)."""
    levels = AD_LEVELS[: AD_LEVELS.index(asked.level) + 1]
    fields = [f"{each}_{part}" for each in levels for part in ("id", "name")]
    named = {field: _text(row.get(field)) for field in fields}
    figures = {name: _text(row.get(name)) for name in _FIGURES}
    reported: dict[str, dict[str, WireFigure]] = {}
    for field, figure in (("actions", "count"), ("action_values", "value")):
        stats = row.get(field)
        for entry in stats if isinstance(stats, list) else ():
            if not isinstance(entry, dict):
                continue
            windows = reported.setdefault(str(entry.get("action_type")), {})
            for window in ("value", *WINDOWS):
                if entry.get(window) is not None:
                    setattr(windows.setdefault(window, WireFigure()), figure, _text(entry[window]))
    return WireAdDay(
        platform=platform,
        level=asked.level,
        date=_text(row.get("date_start")),
        **named,
        **figures,
        currency=_text(row.get("account_currency")) or account.currency or None,
        reported=reported or None,
        time_zone=account.time_zone or None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
