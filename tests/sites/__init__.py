"""Small sites of each platform's shape, with a recipe's pieces in the places where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from doublet.recipes import Piece
from tests.sites.php import html_site, woocommerce_site, wordpress_site
from tests.sites.site import DemoSite, Given

__all__ = ["SITES", "DemoSite", "demo_site"]

SITES: dict[tuple[str, str], Callable[[Given], AbstractContextManager[DemoSite]]] = {
    ("woocommerce", "purchases"): woocommerce_site,
    ("woocommerce", "leads"): wordpress_site,
    ("wordpress", "leads"): wordpress_site,
    ("html", "purchases"): html_site,
    ("html", "leads"): html_site,
}
"""What builds a site of a platform for a goal."""


@contextmanager
def demo_site(
    platform: str, goal: str, pieces: Iterable[Piece], folder: Path, access_token: str = ""
) -> Iterator[DemoSite]:
    """A running site; `folder` is its own. Its server's copies go where the pieces say."""
    given = Given(goal, {piece.key: piece for piece in pieces}, folder, access_token)
    folder.mkdir(parents=True, exist_ok=True)
    given.write()
    with SITES[platform, goal](given) as site:
        yield site
