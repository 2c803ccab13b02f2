"""Forms that change something: read, and taken from this site's own pages only.

A browser sends its cookies along with what other sites have it send. So whatever a cookie allows
needs a proof that only this site's pages hold: the hidden field `csrf`, or the header
X-CSRF-Token, made of the cookie's secret. Fetch Metadata is looked at too.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from doublet.catalog import Account, Catalog
from doublet.refusal import Reason, Refusal
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_SIZE_BYTES_MAX = 16_384
_FIELDS_MAX = 20


class Asked(NamedTuple):
    """A form that was let in: whose, for which account, and its fields."""

    visitor: Visitor
    account: Account
    fields: dict[str, str]

    def record(self, catalog: Catalog, what: str, target: str, **details: object) -> None:
        """Put into the record of changes that it was done; see record_change."""
        record_change(catalog, self.visitor, self.account.account_id, what, target, **details)


def record_change(
    catalog: Catalog,
    visitor: Visitor,
    account_id: str | None,
    what: str,
    target: str,
    **details: object,
) -> None:
    """Put into the record of changes what a visitor has done. `what` is one of
    doublet.catalog.changes.VERBS, `target` names what was changed (a name or id), `details` are
    plain values; no secrets and nothing personal."""
    catalog.changes.record(visitor.who, what, target, details, account_id=account_id)


def csrf_of(secret: str) -> str:
    """What a form must carry that the cookie with this secret allows. It does not tell the
    secret, and ends with it."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def check_csrf(request: Request, visitor: Visitor, fields: dict[str, str] | None = None) -> None:
    """Raises Refused where a cookie let the visitor in and the request does not prove that it is
    from this site's own pages."""
    if not visitor.csrf:
        return
    if is_foreign(request):
        raise _not_ours("This is only taken from this site's own pages.")
    if not _is_given(request, fields or {}, visitor.csrf):
        raise _not_ours(
            "The form does not prove that it is from your session. Load its page again, and send "
            "it once more."
        )


def is_proven(request: Request, fields: dict[str, str], secret: str) -> bool:
    """Whether a request carries what goes with the cookie of this secret."""
    return _is_given(request, fields, csrf_of(secret))


def _is_given(request: Request, fields: dict[str, str], csrf: str) -> bool:
    given = request.headers.get("x-csrf-token") or fields.get("csrf", "")
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), csrf.encode())


def _not_ours(message: str) -> Refused:
    return Refused(Refusal(Reason.NOT_ALLOWED, message))


def is_foreign(request: Request) -> bool:
    """Whether another site sent the browser here (Fetch Metadata; `Origin` where it is lacking).

    What says nothing about itself is no browser of these years, and holds no cookies to abuse.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


async def read_form(request: Request, size_bytes_max: int = FORM_SIZE_BYTES_MAX) -> dict[str, str]:
    """The fields of a form; the last of a name counts. Raises Refused for a larger one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > size_bytes_max:
            raise Refused(Refusal(Reason.TOO_LARGE, "This form is larger than it can be."))
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise Refused(Refusal(Reason.MALFORMED_BODY, "The form has too many fields.")) from None
    return {name: values[-1] for name, values in fields.items()}
