"""Every later version reads what the first one wrote: folders made once, kept in the repository."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from doublet.backup.restore import restore
from doublet.catalog import Catalog
from doublet.reports import overview
from doublet.reports.coverage import coverage
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import NOON, SECOND, Pipeline, make_record

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("format-*"))
PURCHASES = (4, 2, 0, 2, {"EUR": Decimal("39.0000")})


def _name(path: Path) -> str:
    return path.name


def purchases(data: Path) -> tuple[int, int, int, int, dict[str, Decimal]]:
    """What the report says of a data folder: events, both, browser_only, server_only, value."""
    settings = Settings(data=data)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.account("Golden shop")
    assert [account.account_id] == [pixel.account_id for pixel in catalog.pixels()]
    assert ("Europe/Berlin", "EUR") == (account.time_zone, account.currency)
    catalog.close()
    freshener = Freshener(settings)
    try:
        freshener.freshen()
        assert "" == freshener.problem
        (row,) = overview(freshener.engine, account)
        (covered,) = coverage(freshener.engine, account)
    finally:
        freshener.close()
    assert (row.events, row.both, row.server_only) == (
        covered.events,
        covered.both,
        covered.server_only,
    )
    return row.events, row.both, row.browser_only, row.server_only, row.value


def test_there_is_a_folder_of_the_first_format() -> None:
    assert "format-1" == GOLDEN[0].name


@pytest.mark.parametrize("golden", GOLDEN, ids=_name)
def test_a_folder_of_each_format_is_opened_loaded_and_reported(
    golden: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(golden, data)
    assert PURCHASES == purchases(data)
    # And goes on: one more copy of the last event, from the other side.
    account_id, pixel_id = _owner(data)
    pipeline = Pipeline(data)
    try:
        assert 1 == sum(file.rows for file in pipeline.lake.refused.files())
        copy = make_record(NOON + 9 * SECOND, "browser", 0, account_id, pixel_id, event_id="4")
        pipeline.append([copy])
        pipeline.refresh()
        assert 4 == len(pipeline.events())
    finally:
        pipeline.close()
    events, both, *_ = purchases(data)
    assert (4, 3) == (events, both)


def _owner(data: Path) -> tuple[str, str]:
    catalog = Catalog(Settings(data=data).catalog_url)
    (pixel,) = catalog.pixels()
    catalog.close()
    return pixel.account_id, pixel.pixel_id


@pytest.mark.parametrize("golden", GOLDEN, ids=_name)
def test_a_backup_of_each_format_is_restored(golden: Path, tmp_path: Path) -> None:
    restore(Settings(data=tmp_path / "data"), golden)
    assert PURCHASES == purchases(tmp_path / "data")
