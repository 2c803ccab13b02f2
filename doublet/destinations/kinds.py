"""Every platform by its name."""

from __future__ import annotations

from doublet.destinations import drop, ga4, meta, pinterest, postback, tiktok, webhook
from doublet.destinations.contract import Kind
from doublet.errors import OperatorError

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (meta, tiktok, pinterest, ga4, webhook, postback, drop)
}
"""In the order in which people are shown them."""


def kind_named(name: str) -> Kind:
    """Raises OperatorError for a name that is none."""
    if name not in KINDS:
        raise OperatorError(f"There is no kind {name!r}.", f"Known: {', '.join(KINDS)}.")
    return KINDS[name]
