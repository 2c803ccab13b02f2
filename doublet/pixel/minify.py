"""`python -m doublet.pixel.minify`: a JSON list of scripts in, the same list of smaller ones out.

A process of its own, since the minifier is a Go library whose runtime would stay in a collector
with threads and signal handlers of its own. Where the library is not to be had, scripts stay as
they are.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress


def main() -> None:
    """Raises SyntaxError with the place where the script is wrong."""
    scripts = json.load(sys.stdin)
    with suppress(ImportError):
        from minify import string

        try:
            scripts = [string("text/javascript", script) for script in scripts]
        except ValueError as error:
            raise SyntaxError(str(error)) from error
    json.dump(scripts, sys.stdout)


if __name__ == "__main__":
    main()
