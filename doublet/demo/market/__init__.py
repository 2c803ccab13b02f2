"""The simulated market: shoppers whose true story is known, and what of it reaches the servers.

Its parameters stand in `market.toml`. `lives` makes people, from a seed; `TruthFiles` writes down
what truly happened; `in_order` gives the requests of all clients by time; `over_http` sends them to
a running server, `into_log` writes them to a log as a collector would. `Places` is where ads are
shown to them, for deliveries that learn.
"""

from __future__ import annotations

from doublet.demo.market.drive import into_log, over_http, recent_start, records
from doublet.demo.market.lives import Life, in_order, live, lives
from doublet.demo.market.parameters import Market, read_market
from doublet.demo.market.places import Places, Quarter, read_places
from doublet.demo.market.signals import Signal
from doublet.demo.market.truth import TruthFiles, count, count_by_day, event_rows, read_events

__all__ = [
    "Life",
    "Market",
    "Places",
    "Quarter",
    "Signal",
    "TruthFiles",
    "count",
    "count_by_day",
    "event_rows",
    "in_order",
    "into_log",
    "live",
    "lives",
    "over_http",
    "read_events",
    "read_market",
    "read_places",
    "recent_start",
    "records",
]
