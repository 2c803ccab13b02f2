"""Reading backups: verified first, never over something, and none that is not whole."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.backup.manifest import NAME, complete_backups
from doublet.backup.restore import restore
from doublet.errors import CorruptError, NewerFormatError, OperatorError
from doublet.rates import Rate, keep_rates, kept_rates
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import Pipeline
from tests.saving import Shop, restored
from tests.server import DoubletProcess, free_port, wait_for


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


# --- bad backups -----------------------------------------------------------------------------


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("pattern", ["part-*.parquet", "*.json", "*.jsonl", "catalog.sqlite"])
@pytest.mark.parametrize("harm", [_flip, _cut, Path.unlink])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    shop: Shop, tmp_path: Path, pattern: str, harm: Callable[[Path], None]
) -> None:
    shop.send(2)
    shop.refresh()
    shop.send(2)
    folder = shop.save().folder
    victim = next(path for path in sorted(folder.rglob(pattern)) if path.name != NAME)
    harm(victim)
    with pytest.raises(CorruptError, match=victim.name):
        restore(Settings(data=tmp_path / "new"), folder)
    assert not (tmp_path / "new").exists()


def _edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = msgspec.json.decode((folder / NAME).read_bytes())
    change(manifest)
    (folder / NAME).write_bytes(msgspec.json.encode(manifest))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(version=2, files=None, new=1), "backup .* has format 2"),
        (lambda m: m["formats"].update(log=2), "log .* has format 2"),
        (lambda m: m["formats"].update(lake=2), "lake .* has format 2"),
        (lambda m: m["formats"].update(catalog="9999"), "catalog has format 9999"),
    ],
)
def test_a_newer_backup_is_refused_before_anything_is_written(
    shop: Shop, tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    folder = shop.save().folder
    _edit(folder, change)
    with pytest.raises(NewerFormatError, match=said):
        restore(Settings(data=tmp_path / "new"), folder)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "log/../../evil"])
def test_a_backup_writes_nowhere_else(shop: Shop, tmp_path: Path, path: str) -> None:
    folder = shop.save().folder
    _edit(folder, lambda m: m["files"][0].update(path=path))
    with pytest.raises(CorruptError, match="names"):
        restore(Settings(data=tmp_path / "new"), folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"format":"doublet-backup"}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(shop: Shop, tmp_path: Path, text: bytes) -> None:
    folder = shop.save().folder
    (folder / NAME).write_bytes(text)
    with pytest.raises(CorruptError, match=NAME):
        restore(Settings(data=tmp_path / "new"), folder)


def test_a_backup_that_cannot_be_read_does_not_hinder_the_next(shop: Shop) -> None:
    shop.send(1)
    shop.refresh()
    (shop.save().folder / NAME).write_bytes(b"{")
    assert 0 < shop.save().copied_files
    assert 2 == len(complete_backups(shop.backups))


def test_an_interrupted_backup_is_none_and_the_next_one_tidies_up(
    shop: Shop, tmp_path: Path
) -> None:
    shop.send(20_000)
    shop.refresh()
    shop.backups.mkdir()
    stranger = shop.backups / "2026 holidays.partial"
    stranger.mkdir()

    def partial() -> list[Path]:
        # One that has its manifest is complete, and only its name is not.
        return [
            path
            for path in shop.backups.glob("*Z.partial")
            if (path / "lake").is_dir() and not (path / NAME).exists()
        ]

    data = f"--data={shop.settings.data}"
    # The copying is quick: a backup that was ready before the kill is no interrupted one.
    for _ in range(20):
        with DoubletProcess(tmp_path, "backup", str(shop.backups), data) as process:
            running = process.process
            wait_for(lambda: partial() or running.poll() is not None)  # noqa: B023
            running.send_signal(signal.SIGKILL)
            process.wait()
        if partial():
            break
        for made in [*shop.backups.glob("*Z"), *shop.backups.glob("*Z.partial")]:
            shutil.rmtree(made)
    assert partial()
    for named in (shop.backups, *partial()):
        with pytest.raises(OperatorError, match=f"no complete backup: it has no {NAME}"):
            restore(Settings(data=tmp_path / "new"), named)
    shop.save()
    assert [] == partial()
    assert stranger.exists()
    assert not (shop.settings.run_folder / "backup").exists()
    assert 20_000 == len(restored(shop.backups, tmp_path / "new"))


# --- where to --------------------------------------------------------------------------------


def test_nothing_is_written_over_and_replacing_moves_aside(shop: Shop, tmp_path: Path) -> None:
    shop.send(3)
    shop.save()
    data = tmp_path / "new"
    data.mkdir()
    (data / "mine.txt").write_text("mine")
    settings = Settings(data=data)
    with pytest.raises(OperatorError, match=r"not empty: it holds mine\.txt"):
        restore(settings, shop.backups)
    done = restore(settings, shop.backups, replace=True)
    assert done.replaced is not None
    assert "mine" == (done.replaced / "mine.txt").read_text()
    Freshener(settings).close()
    again = restore(settings, shop.backups, replace=True)
    assert again.replaced is not None
    assert {"catalog.sqlite", "log", "lake", "warehouse.duckdb"} == {
        path.name for path in again.replaced.iterdir()
    }
    freshener = Freshener(settings)
    assert (3, 3) == freshener.freshen()
    freshener.close()


def test_an_interrupted_restore_is_no_data_folder(shop: Shop, tmp_path: Path) -> None:
    shop.send(3)
    shop.save()
    settings = Settings(data=tmp_path / "new")
    began = []

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "Restoring":
            began.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(settings, shop.backups, on_progress=interrupt)
    assert began
    with pytest.raises(OperatorError, match=r"restore into .* has not come to its end"):
        Freshener(settings)
    for command in ("serve", "collect", "work"):
        flag = f"--set=port={free_port()}"
        with DoubletProcess(tmp_path, command, f"--data={settings.data}", flag) as process:
            assert 3 == process.wait()
            assert "--replace" in process.stderr
    restore(settings, shop.backups)
    Freshener(settings).close()


def test_what_cannot_be_united_leaves_the_present_content_as_it_is(
    shop: Shop, tmp_path: Path
) -> None:
    shop.send(1)
    for folder, key in ((shop.settings.data, b"a"), (tmp_path / "other", b"b")):
        (folder / "erasures").mkdir(parents=True)
        (folder / "erasures" / "key").write_bytes(key * 32)
    other = Settings(data=tmp_path / "other")
    with pytest.raises(CorruptError, match="two installations"):
        restore(other, shop.save().folder, replace=True)
    assert not (other.data / "restoring").exists()
    Freshener(other).close()


def test_tables_that_end_with_a_checkpoint_can_be_written_to(shop: Shop, tmp_path: Path) -> None:
    shop.send(2)
    shop.refresh()
    for table in shop.lake.tables:
        table.forget_history()
    new = Settings(data=tmp_path / "new")
    restore(new, shop.save().folder)
    pipeline = Pipeline(new.data)
    for table in pipeline.lake.tables:
        table.set_mark("mark", 1)
        assert 1 == table.mark("mark")
    pipeline.close()


def test_exchange_rates_are_kept_with_it(shop: Shop, tmp_path: Path) -> None:
    usd = Rate(date(2026, 11, 1), "USD", Decimal("0.92"))
    keep_rates(shop.settings.rates_folder, "act_1", [usd])
    new = Settings(data=tmp_path / "new")
    restore(new, shop.save().folder)
    assert [usd] == kept_rates(new.rates_folder, "act_1")


def test_checking_writes_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.send(3)
    folder = shop.save().folder
    command = [sys.executable, "-m", "doublet", "restore", str(shop.backups), "--check", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(folder) == msgspec.json.decode(done.stdout)["backup"]
    assert not (tmp_path / "doublet-data").exists()
    _flip(folder / "catalog.sqlite")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 3 == done.returncode
    assert "catalog.sqlite has another content" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_are_kept_with_it(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("doublet.toml").write_text('public_url = "https://shop.example"\n')
    shop.save()
    restore(Settings(data=tmp_path / "new"), shop.backups)
    assert "shop.example" in (tmp_path / "new" / "doublet.toml").read_text()
