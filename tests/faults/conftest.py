"""The collector that the fronts stand before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector import Collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"), "trusted_proxies=127.0.0.1")
    yield running
    running.close()
