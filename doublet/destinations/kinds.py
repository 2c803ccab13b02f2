"""Every platform by its name."""

from __future__ import annotations

from doublet.destinations import drop, meta, postback, webhook
from doublet.destinations.contract import Kind
from doublet.errors import OperatorError

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (meta.KIND, webhook.KIND, postback.KIND, drop.KIND)
}
"""In the order in which people are shown them."""


def kind_named(name: str) -> Kind:
    """Raises OperatorError for a name that is none."""
    if name not in KINDS:
        raise OperatorError(f"There is no kind {name!r}.", f"Known: {', '.join(KINDS)}.")
    return KINDS[name]
