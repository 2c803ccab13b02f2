"""Products in use: how many of the ids in events a feed knows, and audiences of those who looked at
some and bought none."""

from __future__ import annotations

import html

__all__ = ["clean_category"]


def clean_category(text: str) -> str:
    """A category as a path, its parts joined by ` > `.

    >>> clean_category(" Shoes&gt;  Running>>Trail ")
    'Shoes > Running > Trail'
    """
    parts = (" ".join(part.split()) for part in html.unescape(text).split(">"))
    return " > ".join(part for part in parts if part)
