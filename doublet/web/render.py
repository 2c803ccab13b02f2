"""Draws charts in a process of its own: the drawing engine would hold 150 MB for ever.

Run as a script. `bundle` reads a JavaScript text and writes it with all of Vega beneath it; `svg`
and `png` read a Vega-Lite specification and write its picture. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TIMEOUT_S = 60.0
_PNG_SCALE = 2.0


def render(command: str, text: str) -> str:
    """What the script makes of a text. Raises RuntimeError when it fails or takes too long."""
    return render_bytes(command, text).decode()


def render_bytes(command: str, text: str) -> bytes:
    """The same as bytes, which a picture in PNG is."""
    # By path: as a module, the script would first import the whole dashboard. `-P` keeps this
    # folder, whose modules have common names, out of the script's import path.
    arguments = [sys.executable, "-P", str(Path(__file__)), command]
    try:
        done = subprocess.run(
            arguments, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"Rendering took longer than {_TIMEOUT_S:.0f} s.") from error
    if done.returncode != 0:
        raise RuntimeError(f"Rendering failed: {done.stderr.decode('utf-8', 'replace')[-500:]}")
    return done.stdout


def _main(command: str) -> None:
    import vl_convert

    text = sys.stdin.buffer.read().decode()
    if command == "bundle":
        made = vl_convert.javascript_bundle(text).encode()
    elif command == "png":
        made = vl_convert.vegalite_to_png(text, scale=_PNG_SCALE, allowed_base_urls=[])
    else:
        made = vl_convert.vegalite_to_svg(text, allowed_base_urls=[]).encode()
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    _main(sys.argv[1])
