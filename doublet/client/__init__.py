"""A Conversions API client for Python sites: events are kept, sent in the background, and retried.

Works against Doublet and against Meta. `track` returns at once and never raises for want of a
network. Importing it loads neither a database engine nor a web server.
"""

from __future__ import annotations

from doublet.client.client import Client, GivenUp
from doublet.client.events import (
    Content,
    Event,
    UserData,
    add_to_cart,
    complete_registration,
    hash_user_data,
    initiate_checkout,
    lead,
    page_view,
    purchase,
    search,
    view_content,
)
from doublet.client.middleware import ASGIMiddleware, WSGIMiddleware
from doublet.client.visitor import Reader, Visitor, current_visitor

__all__ = [
    "ASGIMiddleware",
    "Client",
    "Content",
    "Event",
    "GivenUp",
    "Reader",
    "UserData",
    "Visitor",
    "WSGIMiddleware",
    "add_to_cart",
    "complete_registration",
    "current_visitor",
    "hash_user_data",
    "initiate_checkout",
    "lead",
    "page_view",
    "purchase",
    "search",
    "view_content",
]
