"""The Graph API beside the dashboard, over the tables of two shops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession

from doublet.graph import routes
from tests.dashboard import PUBLIC_URL, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.app.router.routes[:0] = routes(
        made.catalog, made.pipeline.engine, PUBLIC_URL, tmp_path / "rates"
    )
    yield made
    made.close()


@pytest.fixture
def api(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacebookAdsApi]:
    """Meta's SDK, at our shop."""
    monkeypatch.setattr(FacebookSession, "GRAPH", site.url)
    monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
    made = FacebookAdsApi.init(access_token=site.ours.token, crash_log=False)
    yield made
    made._session.requests.close()
