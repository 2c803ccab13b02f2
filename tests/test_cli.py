"""The command `doublet` as people type it: right, wrong, and interrupted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from doublet.catalog import Catalog
from doublet.settings import Settings
from tests.server import free_port

USAGE, OPERATOR = 2, 3


def doublet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "doublet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def pixel_id(tmp_path: Path) -> str:
    """A pixel in the usual data folder below the test's own."""
    catalog = Catalog(Settings(data=tmp_path / "doublet-data").catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    catalog.close()
    return pixel.pixel_id


_WRONG = [
    (("report", "overview", "--account", ""), "--account"),
    (("report", "overview", "--pixel", " "), "--pixel"),
    (("pixel", "list", "--account", ""), "--account"),
    (("report", "overview", "--json", "--csv"), "choose one"),
    (("report", "overview", "--since", "2026-01-02", "--until", "2026-01-01"), "swap them"),
    (("report", "overview", "--since", "tomorrow"), "--since"),
    (("account", "create", " "), "empty"),
    (("pixel", "create", ""), "empty"),
    (("serve", "--set", "port"), "name=value"),
    (("demo", "--seconds", "-1"), "--seconds"),
    (("demo", "--shoppers", "-1"), "--shoppers"),
]


@pytest.mark.parametrize(("arguments", "said"), _WRONG)
def test_what_cannot_be_meant_is_a_usage_error(
    tmp_path: Path, arguments: Sequence[str], said: str
) -> None:
    done = doublet(tmp_path, *arguments)
    assert (USAGE, "") == (done.returncode, done.stdout)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert [] == list(tmp_path.iterdir())


def test_an_unknown_pixel_is_named_with_what_to_do(tmp_path: Path, pixel_id: str) -> None:
    done = doublet(tmp_path, "report", "overview", "--pixel", "1234567890123456")
    assert (OPERATOR, "") == (done.returncode, done.stdout)
    assert "has no pixel '1234567890123456'" in done.stderr
    assert "`doublet pixel list`" in done.stderr
    assert pixel_id in doublet(tmp_path, "pixel", "list", "--json").stdout


def test_a_filter_that_matches_nothing_is_named(tmp_path: Path, pixel_id: str) -> None:
    done = doublet(tmp_path, "report", "overview", "--pixel", pixel_id, "--since", "2026-01-01")
    assert (0, "") == (done.returncode, done.stdout)
    assert f"No event matches --pixel {pixel_id} --since 2026-01-01." in done.stderr
    assert "No events yet." in doublet(tmp_path, "report", "overview").stderr
    found = doublet(tmp_path, "report", "overview", "--since", "2026-01-01", "--json")
    assert [] == json.loads(found.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "overview"),
        ("refresh",),
        ("rebuild",),
        ("pixel", "list"),
        ("account", "list"),
    ],
)
def test_a_mistyped_data_folder_is_not_made(tmp_path: Path, arguments: Sequence[str]) -> None:
    done = doublet(tmp_path, *arguments, "--data", "mistyped")
    assert (OPERATOR, "") == (done.returncode, done.stdout)
    assert "There is no data folder mistyped." in done.stderr
    assert [] == list(tmp_path.iterdir())


_INTERRUPTED = """
import atexit, os, signal, sys
from doublet.__main__ import main
calls, interrupt_at = 0, int(sys.argv.pop(1))
def count(frame, event, argument):
    global calls
    calls += event == "call"
    if calls == interrupt_at:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
atexit.register(lambda: print(calls, file=sys.stderr))
sys.setprofile(count)
main()
"""


def _interrupt(folder: Path, at: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that gets Ctrl-C's signal at its n-th function call, be it still being loaded."""
    return subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(at), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_ctrl_c_is_quiet_at_any_moment_of_loading(tmp_path: Path) -> None:
    whole = _interrupt(tmp_path, 0, "version")
    calls = int(whole.stderr)
    assert (0, True) == (whole.returncode, calls > 10_000)
    for part in range(1, 20):
        at = calls * part // 20
        for command, codes in (
            (("version",), {130}),
            (("serve", f"--port={free_port()}"), {0}),
        ):
            done = _interrupt(tmp_path, at, *command)
            assert "Traceback" not in done.stderr, f"{command} at call {at}:\n{done.stderr}"
            assert done.returncode in codes, f"{command} at call {at}"
