"""Delivery: which ad is worth most to whom, what it costs, and how a budget lasts the day.

Amounts are `units`: ten-thousandths of the account's currency, whole numbers, as money is in
tables. A *decision* chooses ads for one person and one place.
"""

from __future__ import annotations

UNITS = 10_000
"""Units in one of the account's currency."""

SEEN_MAX = 30
"""So many impressions per person and ad set are remembered, for frequency caps."""
