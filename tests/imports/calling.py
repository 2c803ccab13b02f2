"""`doublet` commands within the test's own process: the same code, without a second to start it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from doublet.cli import app
from doublet.errors import DoubletError


class Done(NamedTuple):
    """What a command has printed."""

    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, code: int = 0) -> Done:
    """A command on the data in `folder`, run in it to its end with an exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("DOUBLET_PORT", "DOUBLET_DATA"):
            patch.delenv(name, raising=False)
        done = CliRunner().invoke(app, [*arguments, f"--data={folder}"])
    error, found, stderr = done.exception, done.exit_code, done.stderr
    if isinstance(error, DoubletError):
        found, stderr = error.exit_code, f"{stderr}{error.message}\n{error.hint}\n"
    elif error is not None and not isinstance(error, SystemExit):
        raise error
    assert code == found, f"{done.stdout}{stderr}"
    return Done(done.stdout, stderr)
