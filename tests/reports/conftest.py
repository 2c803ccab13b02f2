"""A database with the tables of conversions, for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doublet.engine.duckdb import DuckDBEngine
from tests.reports.world import engine_in


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    with engine_in(tmp_path_factory.mktemp("reports")) as made:
        yield made
