"""`python -m doublet.pixel.minify`: JavaScript on standard input, the same and smaller on output.

A process of its own, since the minifier is a Go library whose runtime would stay in a collector
with threads and signal handlers of its own.
"""

from __future__ import annotations

import sys

from minify import string


def main() -> None:
    """Raises SyntaxError with the place where the script is wrong."""
    try:
        small = string("text/javascript", sys.stdin.read())
    except ValueError as error:
        raise SyntaxError(str(error)) from error
    sys.stdout.write(small)


if __name__ == "__main__":
    main()
