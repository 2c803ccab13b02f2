"""Writing a file that a destination asked for: whole or not at all, and twice is once."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from doublet.destinations.contract import Request, Response
from doublet.processes import make_folder


def write_file(request: Request) -> Response:
    """Durable when it answers 201; otherwise as `Request` says, with the system's words."""
    path = Path(unquote(urlsplit(request.url).path))
    fresh = path.with_name(f".{path.name}.part")
    # Only the day's folder is made: a disk that is not mounted must not be taken for an empty one.
    try:
        if not path.parent.parent.is_dir():
            return Response(404, {}, f"There is no folder {path.parent.parent}.".encode())
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
        status = 403 if isinstance(error, PermissionError) else 507
        return Response(status, {}, message.encode())
    return Response(201, {}, b"")
