"""The pages in the order of the navigation, and templates made into answers.

Everything that a template prints is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from iso4217 import Currency
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from doublet.reports import as_percent
from doublet.web import assets


class Page(NamedTuple):
    """A page of the navigation: its address, its title, the name of its sign in icons.svg."""

    path: str
    title: str
    icon: str


PAGES: tuple[tuple[str, tuple[Page, ...]], ...] = (
    (
        "Results",
        (
            Page("/overview", "Overview", "overview"),
            Page("/attribution", "Attribution", "attribution"),
            Page("/orders", "Orders", "orders"),
            Page("/leads", "Leads", "leads"),
        ),
    ),
    (
        "Signal",
        (
            Page("/events", "Events", "events"),
            Page("/persons", "Persons", "persons"),
            Page("/test_events", "Test events", "test"),
            Page("/quality", "Quality", "quality"),
            Page("/refused", "Refused", "refused"),
            Page("/alerts", "Alerts", "alerts"),
        ),
    ),
    (
        "Advertising",
        (
            Page("/audiences", "Audiences", "audiences"),
            Page("/delivery", "Delivery", "delivery"),
        ),
    ),
    (
        "Connections",
        (
            Page("/relay", "Relay", "relay"),
            Page("/setup", "Set up", "setup"),
        ),
    ),
    (
        "Account",
        (
            Page("/settings", "Settings", "settings"),
            Page("/changes", "Changes", "changes"),
        ),
    ),
)
"""The groups of the navigation and their pages."""

ATTRIBUTION: tuple[tuple[str, str], ...] = (
    ("/attribution", "Ads"),
    ("/paths", "Paths"),
    ("/time_to_conversion", "Time to conversion"),
    ("/windows", "Windows"),
    ("/lift", "Lift"),
    ("/differences", "Differences"),
)
"""The pages that stand side by side beneath the first of them."""

PATHS: frozenset[str] = frozenset(
    {
        *("/", "/login", "/logout", "/welcome", "/profile"),
        *("/event", "/audience", "/payload", "/order", "/reconcile", "/campaigns"),
        *(each.path for _, pages in PAGES for each in pages),
        *(path for path, _ in ATTRIBUTION),
    }
)
"""Every page, those included that the navigation does not name."""

_templates = Environment(
    loader=PackageLoader("doublet.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def money(amount: Decimal, currency: str | None = None) -> str:
    """An amount with as many decimals as its currency has (ISO 4217), two where that is not known.

    >>> money(Decimal("1234.5000"), "EUR"), money(Decimal(1200), "JPY"), money(Decimal(3), "KWD")
    ('1,234.50', '1,200', '3.000')
    """
    return f"{amount:,.{_exponents().get(currency or '', 2)}f}"


@cache
def _exponents() -> dict[str, int]:
    return {each.code: each.exponent for each in Currency if each.exponent is not None}


def _count(number: int) -> str:
    return f"{number:,}"


def _moment(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _instant(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def clock(moment: datetime, zone: str, *, seconds: bool = True) -> str:
    """A moment on the clocks of a time zone, as every page writes it.

    >>> clock(datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC), "Europe/Berlin")
    '2026-05-28 22:26:40'
    """
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"


def _csrf_field(visitor: Any) -> Markup:
    """The hidden field that proves a form to be this site's own."""
    if visitor is None or not visitor.csrf:
        return Markup("")
    return Markup('<input type="hidden" name="csrf" value="{}">').format(visitor.csrf)


def _iso_clock(text: str, zone: str) -> str:
    return clock(datetime.fromisoformat(text), zone)


def _at_clock(at_s: int, zone: str) -> str:
    return clock(datetime.fromtimestamp(at_s, UTC), zone)


def _path(address: str) -> str:
    """What tells one page of a site from another; the whole address if it has no host.

    >>> _path("https://shop.example/cart?step=2"), _path("https://["), _path("about:blank")
    ('/cart?step=2', 'https://[', 'about:blank')
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if not parts.netloc:
        return address
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


_templates.filters.update(
    money=money,
    count=_count,
    moment=_moment,
    instant=_instant,
    clock=clock,
    at_clock=_at_clock,
    iso_clock=_iso_clock,
    path=_path,
)
_templates.globals.update(
    share=as_percent,
    asset=assets.address,
    groups=PAGES,
    attribution=ATTRIBUTION,
    csrf_field=_csrf_field,
)


def answer(
    template: str, status: int = 200, *, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """A template, filled in. A page of an account also says as of when, by the account's clocks,
    and every page whose `visitor` it is for."""
    question = context.get("question")
    context.setdefault("visitor", question.visitor if question is not None else None)
    if question is not None:
        context.setdefault("now", datetime.now(ZoneInfo(question.account.time_zone)))
    return HTMLResponse(_templates.get_template(template).render(context), status, headers)
