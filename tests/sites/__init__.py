"""Small sites of each platform's shape, with a recipe's pieces in the places where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from doublet.recipes import Piece
from tests.sites.framework import django_site, fastapi_site, flask_site, nextjs_site
from tests.sites.php import html_site, woocommerce_site, wordpress_site
from tests.sites.shops import bigcommerce_site, shopify_site
from tests.sites.site import DemoSite, Given
from tests.sites.tagged import gtm_site, webflow_site

__all__ = ["SITES", "DemoSite", "demo_site"]

SITES: dict[tuple[str, str], Callable[[Given], AbstractContextManager[DemoSite]]] = {
    ("shopify", "purchases"): shopify_site,
    ("shopify", "leads"): shopify_site,
    ("woocommerce", "purchases"): woocommerce_site,
    ("woocommerce", "leads"): wordpress_site,
    ("bigcommerce", "purchases"): bigcommerce_site,
    ("bigcommerce", "leads"): bigcommerce_site,
    ("webflow", "purchases"): webflow_site,
    ("webflow", "leads"): webflow_site,
    ("html", "purchases"): html_site,
    ("html", "leads"): html_site,
    ("wordpress", "leads"): wordpress_site,
    ("gtm", "purchases"): gtm_site,
    ("gtm", "leads"): gtm_site,
    ("nextjs", "purchases"): nextjs_site,
    ("nextjs", "leads"): nextjs_site,
    ("django", "purchases"): django_site,
    ("django", "leads"): django_site,
    ("flask", "purchases"): flask_site,
    ("flask", "leads"): flask_site,
    ("fastapi", "purchases"): fastapi_site,
    ("fastapi", "leads"): fastapi_site,
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
