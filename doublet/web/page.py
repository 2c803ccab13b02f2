"""Templates made into answers. Everything that a template prints is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from doublet.reports import as_percent
from doublet.web import assets

_templates = Environment(
    loader=PackageLoader("doublet.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _count(number: int) -> str:
    return f"{number:,}"


def _moment(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _instant(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


_templates.filters.update(money=_money, count=_count, moment=_moment, instant=_instant)
_templates.globals.update(share=as_percent, asset=assets.address)


def answer(
    template: str, status: int = 200, *, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """A template, filled in."""
    return HTMLResponse(_templates.get_template(template).render(context), status, headers)
