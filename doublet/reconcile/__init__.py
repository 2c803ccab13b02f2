"""Reconciling: a shop's own orders beside the ledger, the Purchases and the relay, and what is
missing, doubled or different between them, with the reason where it can be known.

Orders in (a file or the shop's API), a closed list of findings out. Nothing is changed.
"""

from __future__ import annotations

from doublet.reconcile.compare import (
    LIMIT_MAX,
    Group,
    Listed,
    Question,
    Reconciliation,
    Sides,
    compare,
    stage,
)

__all__ = [
    "LIMIT_MAX",
    "Group",
    "Listed",
    "Question",
    "Reconciliation",
    "Sides",
    "compare",
    "stage",
]
