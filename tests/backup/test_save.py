"""Making backups: whole or none, of one moment while everything goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from doublet.accept import Arrival, refused_record
from doublet.backup.manifest import complete_backups
from doublet.backup.restore import check, restore
from doublet.backup.save import save
from doublet.catalog import Catalog
from doublet.errors import CorruptError, LockedError, OperatorError
from doublet.log import segment
from doublet.log.tail import tail
from doublet.refusal import Reason, Refusal
from doublet.settings import Settings
from tests.factories import ACCOUNT, NOON, PIXEL
from tests.saving import Shop, event_ids, ids, is_up, restored, send
from tests.server import DoubletProcess, free_port


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_what_is_loaded_and_what_is_not_are_there_once(shop: Shop, tmp_path: Path) -> None:
    shop.send(5)
    shop.send(3, slot=1)
    shop.refresh()
    shop.send(4)
    shop.send(2, slot=2)
    saved = shop.save()
    assert (8, 6) == (saved.manifest.tables["events"].rows, saved.manifest.log_records)
    shop.send(7)
    shop.refresh()
    assert ids(14) == restored(shop.backups, tmp_path / "new")
    account = Catalog(Settings(data=tmp_path / "new").catalog_url).account_of_token(shop.token)
    assert shop.account == account


def test_it_and_what_is_restored_are_for_this_user_alone(shop: Shop, tmp_path: Path) -> None:
    shop.send(5)
    shop.refresh()
    shop.save()
    restore(Settings(data=tmp_path / "new"), shop.backups)
    for root in (shop.backups, tmp_path / "new"):
        assert [] == [path for path in (root, *root.rglob("*")) if path.stat().st_mode & 0o077]
    assert {"catalog.sqlite", "lake", "log", "run"} == {
        p.name for p in (tmp_path / "new").iterdir()
    }


def test_refused_requests_are_in_it_too(shop: Shop, tmp_path: Path) -> None:
    arrival = Arrival(ACCOUNT, PIXEL, "server", NOON, 0)
    refusal = Refusal(Reason.MALFORMED_BODY, "No.")
    shop.append([refused_record(refusal, arrival, b"x")])
    shop.send(2)
    shop.refresh()
    shop.append([refused_record(refusal, arrival, b"y")])
    shop.save()
    assert ids(2) == restored(shop.backups, tmp_path / "new")
    files = DeltaTable(str(tmp_path / "new" / "lake" / "refused")).get_add_actions()
    assert 2 == sum(files.column("num_records").to_pylist())


def test_a_folder_that_has_only_begun_can_be_backed_up(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    Catalog(settings.catalog_url).migrate()
    saved = save(settings, tmp_path / "backups")
    assert ["catalog.sqlite"] == [file.path for file in saved.manifest.files]
    assert (0, {}) == (saved.manifest.log_records, saved.manifest.tables)
    restore(Settings(data=tmp_path / "new"), tmp_path / "backups")


def test_there_must_be_data_and_a_place_apart_from_it(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no data folder"):
        save(Settings(data=tmp_path / "nothing"), shop.backups)
    with pytest.raises(OperatorError, match="lies in the data folder"):
        save(shop.settings, shop.settings.data / "backups")


def test_a_second_backup_copies_only_what_is_new(shop: Shop, tmp_path: Path) -> None:
    shop.send(5)
    shop.refresh()
    first = shop.save()
    shop.send(1)
    shop.refresh()
    second = shop.save()
    kept = {file.path for file in first.manifest.files if file.path.startswith("lake/")}
    assert kept < {file.path for file in second.manifest.files}
    new = len(second.manifest.files) - len(kept)
    assert new == second.copied_files
    assert second.copied_size_bytes < second.manifest.size_bytes
    for path in kept:
        assert (first.folder / path).samefile(second.folder / path)
    shutil.rmtree(first.folder)
    assert ids(6) == restored(shop.backups, tmp_path / "new")


def test_an_older_backup_can_still_be_named(shop: Shop, tmp_path: Path) -> None:
    shop.send(1)
    first = shop.save()
    shop.send(1)
    second = shop.save()
    assert [first.folder, second.folder] == complete_backups(shop.backups)
    assert second.folder == check(shop.backups)[0]
    assert ids(1) == restored(first.folder, tmp_path / "new")


# --- what goes on meanwhile ------------------------------------------------------------------


def _many_files(shop: Shop) -> None:
    for _ in range(9):
        shop.send(2)
        shop.refresh()


def test_clean_up_meanwhile_pulls_no_file_away(shop: Shop, tmp_path: Path) -> None:
    _many_files(shop)
    before = set(shop.settings.data.rglob("part-*.parquet"))

    def meanwhile(what: str, done: int, total: int) -> None:
        if done == 0:
            shop.send(3)
            shop.refresh()
            shop.clean_up()

    saved = shop.save(meanwhile)
    assert not any(path.exists() for path in before)
    assert 18 == saved.manifest.tables["events"].rows
    assert ids(18) == restored(shop.backups, tmp_path / "new")
    assert not (shop.settings.run_folder / "backup").exists()


def test_without_hard_links_it_begins_anew(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        if not source.exists():
            raise FileNotFoundError(errno.ENOENT, "gone", str(source))
        raise PermissionError(errno.EPERM, "no links here", str(target))

    monkeypatch.setattr(os, "link", refuse)
    _many_files(shop)
    began = []

    def meanwhile(what: str, done: int, total: int) -> None:
        if done == 0:
            began.append(total)
            if len(began) == 1:
                shop.send(3)
                shop.refresh()
                shop.clean_up()

    saved = shop.save(meanwhile)
    assert 2 == len(began)
    assert 21 == saved.manifest.tables["events"].rows
    assert ids(21) == restored(shop.backups, tmp_path / "new")


def test_files_that_are_always_gone_end_it_with_advice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.send(2)
    shop.refresh()
    for path in shop.settings.data.rglob("part-*.parquet"):
        path.unlink()
    with pytest.raises(OperatorError, match="vacuum_retention_h"):
        shop.save()
    assert ["lock"] == [path.name for path in shop.backups.iterdir()]


def test_two_backups_at_once_are_one_too_many(shop: Shop, tmp_path: Path) -> None:
    shop.send(2)
    shop.refresh()
    told = []

    def meanwhile(what: str, done: int, total: int) -> None:
        for into in (shop.backups, tmp_path / "others"):
            with pytest.raises(LockedError):
                save(shop.settings, into)
            told.append(into)

    shop.save(meanwhile)
    assert told


# --- the log's tail --------------------------------------------------------------------------


def _slot(shop: Shop) -> Path:
    return shop.settings.log_folder / "0"


def test_the_tail_begins_with_the_segment_that_holds_the_position(shop: Shop) -> None:
    shop.send(4)
    (path,) = segment.segments(_slot(shop))
    first = list(tail(_slot(shop), 0))
    assert (path.name, path.read_bytes()) == (first[0].name, bytes(first[0].data))
    assert (4, 4) == (first[0].next_offset, first[0].records)
    assert 0 == next(tail(_slot(shop), 4)).records


def test_a_torn_end_is_left_out_and_damage_is_an_error(shop: Shop) -> None:
    shop.send(4)
    (path,) = segment.segments(_slot(shop))
    sound = path.read_bytes()
    path.write_bytes(sound + b'{"log_offset":4,"torn')
    assert sound == bytes(next(tail(_slot(shop), 0)).data)
    path.write_bytes(sound.replace(b"Purchase", b"purchase", 1) + sound[-60:])
    with pytest.raises(CorruptError, match="damaged at byte"):
        list(tail(_slot(shop), 0))


def test_a_closed_segment_must_be_whole(shop: Shop) -> None:
    shop.send(4)
    (path,) = segment.segments(_slot(shop))
    sound = path.read_bytes()
    following = _slot(shop) / segment.name(4)
    following.write_bytes(segment.frame_header(0, 4, len(sound)))
    assert [4, 4] == [piece.next_offset for piece in tail(_slot(shop), 0)]
    path.write_bytes(sound[:-1])
    with pytest.raises(CorruptError, match="damaged at byte"):
        list(tail(_slot(shop), 0))
    # What lies before the position is loaded, and no matter any more.
    assert [following.name] == [piece.name for piece in tail(_slot(shop), 4)]


def test_a_segment_that_was_freed_meanwhile_is_noticed_only_if_it_is_needed(shop: Shop) -> None:
    shop.send(4)
    known = [segment.name(0), segment.name(4)]
    (path,) = segment.segments(_slot(shop))
    following = _slot(shop) / segment.name(4)
    following.write_bytes(segment.frame_header(0, 4, path.stat().st_size))
    path.unlink()
    assert [following.name] == [piece.name for piece in tail(_slot(shop), 4, known)]
    with pytest.raises(FileNotFoundError):
        list(tail(_slot(shop), 3, known))


def test_a_slot_that_lags_behind_the_lake_is_left_out(shop: Shop, tmp_path: Path) -> None:
    """Its offsets would be given out again, and the loader takes them for loaded."""
    shop.send(4)
    shop.refresh()
    (path,) = segment.segments(_slot(shop))
    path.write_bytes(segment.frame_header(0, 0, 0))
    saved = shop.save()
    assert [] == [file.path for file in saved.manifest.files if file.path.startswith("log/")]
    assert ids(4) == restored(shop.backups, tmp_path / "new")
    with DoubletProcess(tmp_path, "work", f"--data={tmp_path / 'new'}") as work:
        port = free_port()
        with DoubletProcess(
            tmp_path, "collect", f"--data={tmp_path / 'new'}", f"--set=port={port}"
        ) as collect:
            url = f"http://127.0.0.1:{port}"
            collect.wait_until(lambda: is_up(url))
            assert 200 == send(url, shop.pixel.pixel_id, shop.token, "4")
            collect.stop(signal.SIGTERM)
        work.wait_until(lambda: (tmp_path / "new" / "run" / "worker.json").exists())
        work.stop(signal.SIGTERM)
    assert ids(5) == event_ids(tmp_path / "new")
