"""What processes ask of the operating system: folders, sockets, limits."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from doublet.errors import OperatorError
from doublet.processes import make_data_folders, make_folder, private_socket
from doublet.settings import Settings


def mode_of(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_and_an_old_one_stays_as_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    old.chmod(0o755)
    make_data_folders(Settings(data=old))
    assert 0o755 == mode_of(old)
    assert [0o700, 0o700] == [mode_of(old / name) for name in ("log", "lake")]
    make_folder(tmp_path / "a" / "b")
    assert 0o700 == mode_of(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose socket does not fit into the data folder."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    return Settings(data=tmp_path / ("deep" * 30))


def test_a_socket_in_a_shared_folder_lies_in_a_folder_of_ours(deep: Settings) -> None:
    path = private_socket(deep)
    assert Path(tempfile.gettempdir()) / f"doublet-{os.getuid()}" == path.parent
    assert 0o700 == mode_of(path.parent)
    assert path == private_socket(deep)


def test_a_socket_is_never_looked_for_where_others_could_put_theirs(deep: Settings) -> None:
    folder = private_socket(deep).parent
    folder.chmod(0o770)
    with pytest.raises(OperatorError, match="only this user"):
        private_socket(deep)
    folder.rmdir()
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(OperatorError, match="only this user"):
        private_socket(deep)
    folder.unlink()
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
        with pytest.raises(OperatorError, match="only this user"):
            private_socket(deep)


def test_a_socket_in_the_data_folder_needs_no_other_folder(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short:
        settings = Settings(data=Path(short))
        assert settings.run_folder.absolute() / "worker.sock" == private_socket(settings)


@pytest.mark.parametrize(("wanted", "expected"), [(400, (400, 500)), (900, (500, 500))])
def test_open_files_are_allowed_as_far_as_the_system_concedes(
    wanted: int, expected: tuple[int, int]
) -> None:
    code = (
        "import resource; from doublet.processes import allow_open_files; "
        f"allow_open_files({wanted}); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 500)),
    ).stdout
    assert str(expected) == output.strip()
