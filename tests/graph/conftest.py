"""The Graph API beside the dashboard, over the tables of two shops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.graph import routes
from tests.dashboard import PUBLIC_URL, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.app.router.routes[:0] = routes(made.catalog, made.pipeline.engine, PUBLIC_URL)
    yield made
    made.close()
