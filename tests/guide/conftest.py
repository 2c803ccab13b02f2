"""A running server with the guide, for the module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guide.server import GuideServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideServer]:
    """A server and its account."""
    running = GuideServer(tmp_path_factory.mktemp("guide"))
    yield running
    running.close()
