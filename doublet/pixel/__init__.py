"""The browser pixel: the script and the code to paste."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def script() -> bytes:
    """The script, served as `/px.js`."""
    return files("doublet.pixel").joinpath("pixel.js").read_bytes()


def snippet(pixel_id: str, public_url: str) -> str:
    """HTML to paste."""
    return f"<!-- {pixel_id} {public_url} -->"
