"""Writing a file that a destination asked for: whole or not at all, and twice is once."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from doublet.destinations.contract import Outcome, Request, Verdict
from doublet.processes import make_folder


def write_file(request: Request) -> Outcome:
    """Durable when it returns DONE. A full disk or a missing right is tried again later."""
    path = Path(unquote(urlsplit(request.url).path))
    fresh = path.with_name(f".{path.name}.part")
    try:
        make_folder(path.parent)
        with fresh.open("wb") as file:
            file.write(request.body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        message = f"{path.parent}: {error.strerror}."
        is_right = isinstance(error, PermissionError | NotADirectoryError | FileNotFoundError)
        return Outcome(Verdict.BLOCKED if is_right else Verdict.LATER, "file", message)
    return Outcome(Verdict.DONE)
